"""EMaQ's figures and tables, from training: how many samples it takes, what the model of the behaviour does, who does better."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from extremal.report.style import MUTED, colours, figure
from extremal.reproduce.experiment import Arm, Budget, Cell, preset_of
from extremal.reproduce.figure import Numbers
from extremal.reproduce.panels import entry, last

BUDGETS = {
    "reduced": Budget(updates=20_000, seeds=3, episodes=50, width=0.5),
    "paper": Budget(updates=1_000_000, seeds=2, episodes=100, evaluations=20),
}
FIT = {"reduced": 20_000, "paper": 500_000}  # updates of the behaviour's model
DRAWS = {"reduced": (5, 20, 100), "paper": (5, 10, 25, 50, 100, 200, 400)}
ALPHAS = {"reduced": (1.0, 16.0, 256.0), "paper": tuple(2.0**n for n in (0, 2, 3, 4, 5, 6, 7, 8, 9, 10))}
SHIFTS = {"reduced": (0.05,), "paper": (0.005, 0.015, 0.05, 0.15, 0.5)}
BOUNDS = {"reduced": (0.05,), "paper": (0.015, 0.05, 0.15, 0.5, 1.5)}
SMALL: dict[str, Any] = {  # where the reduced budget departs from the paper's networks of Table 2
    "critics": 2,
    "width": 256,
    "depth": 2,
    "behaviour_head_depth": 1,  # the model of the paper's Table 3: far less work to draw from
    "behaviour_prefix_width": 128,
}


def _emaq(budget: str, *, preset: str = "paper/mujoco", **changes: Any) -> Any:
    """EMaQ's settings: the paper's, or two critics of two layers."""
    if budget == "paper":
        return preset_of("emaq", preset, behaviour_updates=FIT[budget], **changes)
    return preset_of("emaq", behaviour_updates=FIT[budget], **SMALL, **changes)


def _alone(budget: str, model: str = "autoregressive", **given: Any) -> Arm:
    """The model of the behaviour that EMaQ stands on, as a policy."""
    emaq = _emaq(budget, behaviour_model=model, **given)
    return Arm(label=f"behaviour, {model}", settings=lambda dataset: emaq(dataset).behaviour, updates=FIT)


def _drawn(budget: str, model: str = "autoregressive") -> tuple[Arm, ...]:
    """EMaQ with more and more actions, on one model; the paper's ablation has a batch and updates of its own."""
    arm = lambda n: _emaq(budget, preset="paper/ablation", samples=n, behaviour_model=model)  # noqa: E731
    updates = {"paper": 500_000}
    return tuple(Arm(label=f"{model}, N = {n}", settings=arm(n), updates=updates) for n in DRAWS[budget])


def _rivals(budget: str) -> tuple[Arm, ...]:
    """BCQ and BEAR on the same model, and BRAC on a Gaussian, whose density has a slope."""
    longer = {"reduced": 30_000}
    fit: dict[str, Any] = {"behaviour_updates": FIT[budget]}
    preset = "emaq/mujoco" if budget == "paper" else None
    model: dict[str, Any] = {"behaviour_model": "autoregressive", **fit}
    return (
        *(
            Arm(label=f"BCQ, shift {x:g}", settings=preset_of("bcq", preset, shift=x, **model), updates=longer)
            for x in SHIFTS[budget]
        ),
        *(
            Arm(label=f"BEAR, MMD {x:g}", settings=preset_of("bear", preset, threshold=x, **model), updates=longer)
            for x in BOUNDS[budget]
        ),
        Arm(label="BRAC-p", settings=preset_of("brac", penalty="policy", **fit), updates=longer),
        Arm(label="BRAC-v", settings=preset_of("brac", penalty="value", **fit), updates=longer),
    )


def _soft(budget: str) -> tuple[Arm, ...]:
    """soft-EMaQ for rising alpha, and EMaQ itself, all with 20 actions."""
    arm = lambda a: _emaq(budget, samples=20, target="soft", beta=1.0 / a)  # noqa: E731
    return (
        *(Arm(label=f"soft, alpha {a:g}", settings=arm(a)) for a in ALPHAS[budget]),
        Arm(label="EMaQ", settings=_emaq(budget, samples=20)),
    )


def _table1(budget: str) -> tuple[Arm, ...]:
    """The behaviour cloned, its model, EMaQ, and two rivals."""
    most, preset = 64 if budget == "paper" else 20, "paper/kitchen-antmaze-adroit"
    return (
        Arm(label="BC", settings=preset_of("bc"), updates={"reduced": 30_000}),
        _alone(budget, preset=preset),
        *_rivals(budget)[-2:],
        Arm(label="EMaQ", settings=_emaq(budget, preset=preset, samples=most)),
    )


SAMPLES = {name: (_alone(name), *_drawn(name)) for name in BUDGETS}
MODELS = {
    name: tuple(arm for model in ("autoregressive", "vae") for arm in (_alone(name, model), *_drawn(name, model)))
    for name in BUDGETS
}
RIVALS = {
    name: (_alone(name), Arm(label="EMaQ", settings=_emaq(name, samples=DRAWS[name][-1])), *_rivals(name))
    for name in BUDGETS
}
SOFT = {name: _soft(name) for name in BUDGETS}
TABLE1 = {name: _table1(name) for name in BUDGETS}


def read_samples(cells: Sequence[Cell]) -> Numbers:
    """By data set and model of the behaviour: the score of the model alone, and of EMaQ by its N; other arms by their labels.

    Source: [ghasemipour2021] Fig. 1.
    """
    columns: dict[str, dict[str, Numbers]] = {}
    for cell in cells:
        judge = cell.run.judge[0] if cell.run.judge else ""
        found = entry(last(cell.run.evaluations, judge, len(cell.run.config["replicas"])))
        if found is None:
            continue
        column = columns.setdefault(cell.run.dataset["name"], {})
        first, _, second = cell.arm.partition(", ")
        if second.startswith("N = "):
            column.setdefault(first, {"samples": {}})["samples"][second.removeprefix("N = ")] = found
        else:
            column.setdefault(second or first, {"samples": {}})["alone"] = found
    return {"columns": columns}


def draw_samples(numbers: Numbers) -> Any:
    columns = numbers["columns"]
    drawn = figure(3.4 * len(columns) + 0.6, 3.2)
    axes = drawn.subplots(1, len(columns), squeeze=False)[0]
    colour = colours([model for column in columns.values() for model in column])
    for axis, (name, column) in zip(axes, columns.items(), strict=True):
        for model, found in column.items():
            _line(axis, found, colour[model], model)
        axis.set_title(name)
        axis.set_xscale("log")
        axis.set_xlabel("actions drawn, N")
    axes[0].set_ylabel("score")
    axes[0].legend()
    drawn.supxlabel(
        "dashed: the model of the behaviour alone; bars: 95 % interval over seeds", fontsize=8.5, color=MUTED
    )
    return drawn


def _line(axis: Any, found: Numbers, colour: str, label: str) -> None:
    if found["samples"]:
        counts = sorted(found["samples"], key=int)
        cells = [found["samples"][n] for n in counts]
        means = [cell["mean"] for cell in cells]
        low, high = ([cell.get(end, cell["mean"]) for cell in cells] for end in ("low", "high"))
        spread = [[m - b for m, b in zip(means, low, strict=True)], [t - m for m, t in zip(means, high, strict=True)]]
        axis.errorbar([int(n) for n in counts], means, yerr=spread, color=colour, marker="o", capsize=2, label=label)
    if "alone" in found:
        axis.axhline(found["alone"]["mean"], color=colour, linestyle="--", linewidth=1.1)
