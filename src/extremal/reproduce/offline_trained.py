"""Tables of offline methods, from training: XQL's Table 1 on the locomotion sets at hand, and NeoRL-2's DMSD.

The locomotion sets are simulated anew from published policies and are not D4RL's own, so that a published number beside ours
tells where a method should come out, not what it should come to. NeoRL-2's data and simulator are the published ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from extremal.report.style import colours
from extremal.reproduce.experiment import Arm, Budget, Cell, preset_of
from extremal.reproduce.figure import Numbers
from extremal.reproduce.panels import draw_table, entry, last

DATASETS_AT_HAND = (
    "pointmaze-medium-goal",
    "pointmaze-large-goal",
    "hopper-medium",
    "hopper-medium-expert",
    "hopper-medium-replay-like",
    "halfcheetah-medium",
    "adroit-door-human",
)
LOCOMOTION = ("hopper-medium-expert", "hopper-medium", "halfcheetah-medium")
BUDGETS = {
    "reduced": Budget(updates=100_000, seeds=3, episodes=50, width=0.5),
    "paper": Budget(updates=1_000_000, seeds=6, episodes=10, evaluations=100),
}
DMSD_BUDGETS = {
    "reduced": Budget(updates=50_000, seeds=3, episodes=50, width=0.5),
    "paper": Budget(updates=1_000_000, seeds=3, episodes=100, evaluations=20),
}


def _consistent(dataset: str) -> str | None:
    """XQL's one set of settings for a domain, where the paper has it."""
    from extremal.algorithms.registry import METHODS

    name = f"code/consistent/{dataset.removesuffix('-like')}-v2"
    return name if name in METHODS["xql"].presets else None


def _domain(dataset: str) -> str:
    return "maze" if dataset.startswith("pointmaze") else "adroit" if dataset.startswith("adroit") else "locomotion"


def by_domain(method: str) -> Callable[[str], Any]:
    """XQL's or IQL's settings for a domain as their papers have them; of mazes those for AntMaze, without its shift."""
    presets: dict[str, dict[str, Any]] = {
        "xql": {"adroit": "paper/consistent/door-human-v0", "maze": "paper/consistent/antmaze-medium-play-v0"},
        "iql": {"locomotion": "code/locomotion-v2", "adroit": "paper/adroit-v0", "maze": None},
    }
    maze: dict[str, Any] = (
        {"expectile": 0.9, "inverse_temperature": 10.0} if method == "iql" else {"reward_shift": None}
    )

    def settings(dataset: str) -> Any:
        domain = _domain(dataset)
        which = _consistent(dataset) if (method, domain) == ("xql", "locomotion") else presets[method][domain]
        return preset_of(method, which, **(maze if domain == "maze" else {}))(dataset)

    return settings


def _asked(dataset: str) -> str | None:
    """Decision Transformer's settings for a robot: the higher of the returns that its code asks for."""
    from extremal.algorithms.registry import METHODS

    name = f"code/{dataset.split('-')[0]}-high"
    return name if name in METHODS["dt"].presets else None


FEWER = {"reduced": 30_000}  # updates of CQL
CONSERVATIVE = Arm(label="CQL(H), weight 5", settings=preset_of("cql", "paper/fixed"), updates=FEWER)
IMPLICIT = Arm(label="IQL", settings=preset_of("iql", "code/locomotion-v2"))
ARMS = (
    Arm(label="BC", settings=preset_of("bc")),
    Arm(label="10%BC", settings=preset_of("bc10")),
    Arm(label="DT", settings=preset_of("dt", _asked), updates={"reduced": 10_000, "paper": 100_000}),
    Arm(label="AWAC", settings=preset_of("awac")),
    Arm(
        label="Onestep", settings=preset_of("onestep", inverse_temperature=0.01)
    ),  # published code's, rewards as they are
    Arm(label="TD3+BC", settings=preset_of("td3bc", "paper/locomotion-v2")),
    Arm(label="CQL(H), Lagrange", settings=preset_of("cql", "paper/locomotion"), updates=FEWER),
    CONSERVATIVE,
    IMPLICIT,
    Arm(label="XQL", settings=preset_of("xql", _consistent)),
)
DMSD_ARMS = (
    Arm(label="BC", settings=preset_of("bc")),
    Arm(label="TD3+BC", settings=preset_of("td3bc", "paper/locomotion-v2")),
    Arm(label="CQL(H), weight 5", settings=preset_of("cql", "paper/fixed"), updates={"reduced": 20_000}),
    IMPLICIT,
    Arm(label="XQL", settings=preset_of("xql")),
)

# XQL's Table 1 (the consistent column for XQL), and NeoRL-2's own scores. Neither says how CQL's weight was chosen; XQL's are those
# of [kostrikov2021], so that CQL's number is beside both of ours.
_ROWS = ("BC", "10%BC", "DT", "AWAC", "Onestep", "TD3+BC", "CQL(H), Lagrange", "CQL(H), weight 5", "IQL", "XQL")
PUBLISHED = {
    "halfcheetah-medium": dict(zip(_ROWS, (42.6, 42.5, 42.6, 43.5, 48.4, 48.3, 44.0, 44.0, 47.4, 47.7), strict=True)),
    "hopper-medium": dict(zip(_ROWS, (52.9, 56.9, 67.6, 57.0, 59.6, 59.3, 58.5, 58.5, 66.3, 71.1), strict=True)),
    "hopper-medium-expert": dict(
        zip(_ROWS, (52.5, 110.9, 107.6, 55.8, 103.3, 98.0, 105.4, 105.4, 91.5, 107.1), strict=True)
    ),
    "DMSD-high-100000-train": {"BC": 65.09, "TD3+BC": 60.01, "CQL(H), weight 5": 70.24},
}


def read_scores(cells: Sequence[Cell]) -> Numbers:
    """By data set and method, the normalised score at the last checkpoint.

    Source: [garg2023] Table 1.
    """
    columns: dict[str, dict[str, Numbers]] = {}
    for cell in cells:
        column = cell.run.judge[0] if cell.run.judge else ""
        if (found := entry(last(cell.run.evaluations, column, len(cell.run.config["replicas"])))) is not None:
            columns.setdefault(cell.run.dataset["name"], {})[cell.arm] = found
    return {"columns": columns, "published": {name: PUBLISHED[name] for name in columns if name in PUBLISHED}}


def draw_scores(numbers: Numbers) -> Any:
    columns, published = numbers["columns"], numbers["published"]
    bars = any(row in known for name, known in published.items() for row in columns[name])
    return draw_table(
        columns,
        colours([row for column in columns.values() for row in column]),
        published=published,
        says="score at the last checkpoint, mean and 95 % interval over seeds"
        + ("; bar: as published" if bars else ""),
    )
