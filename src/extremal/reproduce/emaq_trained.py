"""EMaQ's figures and tables, from training: how many samples it takes, what the model of the behaviour does, who does better."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Sequence
from typing import Any

from extremal.report.style import MUTED, colours, figure
from extremal.reproduce.experiment import Arm, Budget, Cell, preset_of
from extremal.reproduce.figure import Numbers
from extremal.reproduce.panels import entry, last

BUDGETS = {
    "reduced": Budget(updates=20_000, seeds=3, episodes=50),
    "paper": Budget(
        updates=1_000_000,
        seeds=2,
        episodes=100,
        evaluations=20,
        ours="500,000 updates of the behaviour's model; 20 evaluations of 100 episodes each; width 256 in Fig. 10",
    ),
}
NARROW = BUDGETS | {
    "reduced": dataclasses.replace(BUDGETS["reduced"], width=0.5)  # of every width below, too; where rivals train
}
FIT = {"reduced": 20_000, "paper": 500_000}  # updates of the behaviour's model; the paper does not print them
DRAWS = {"reduced": (5, 20, 100), "paper": (5, 10, 25, 50, 100, 200, 400)}
TABLE1_DRAWS = {"reduced": (20,), "paper": (16, 32, 50, 64, 100, 128, 150, 200)}  # AntMaze's and Adroit's together
SOFT_DRAWS = {"reduced": 20, "paper": 25}
ALPHAS = {"reduced": (1.0, 16.0, 256.0), "paper": tuple(2.0**n for n in (0, 2, 3, 4, 5, 6, 7, 8, 9, 10))}
SHIFTS = {"reduced": (0.05,), "paper": (0.005, 0.015, 0.05, 0.15, 0.5)}
WEIGHTS = {
    "reduced": (0.1, 10.0),
    "paper": (0.1, 1.0, 10.0),
}  # the published script's 0.1 is little for a narrow behaviour
BOUNDS = {"reduced": (0.05, 0.5), "paper": (0.015, 0.05, 0.15, 0.5, 1.5)}
LONGER = {"reduced": 30_000}  # updates of methods with a policy
# Where the reduced budget departs from the paper's networks of Table 2.
CRITICS: dict[str, Any] = {"critics": 2, "width": 256, "depth": 2}
HEADS: dict[str, Any] = {
    "behaviour_head_depth": 1,
    "behaviour_prefix_width": 128,
}  # as in Table 3: less work to draw from
# The VAE has about as many weights as the autoregressive model that it stands beside (App. H.1).
VAE: dict[str, dict[str, Any]] = {
    "reduced": {"behaviour_width": 320, "behaviour_depth": 3},
    "paper": {"behaviour_width": 1024, "behaviour_depth": 3},
}


def _model(budget: str, kind: str = "autoregressive") -> dict[str, Any]:
    """The model of the behaviour, that of all arms which stand on one of this kind."""
    given = {"behaviour_model": kind, "behaviour_updates": FIT[budget]}
    if kind == "vae":
        return given | VAE[budget]
    return given | HEADS if budget == "reduced" else given


def _emaq(
    budget: str, *, samples: int = 20, preset: str = "paper/mujoco", model: str = "autoregressive", **changes: Any
) -> Any:
    """EMaQ's settings: the paper's; or two critics of two layers, and twice the actions drawn ahead."""
    if budget == "paper":
        return preset_of("emaq", preset, samples=samples, **_model(budget, model), **changes)
    return preset_of("emaq", samples=samples, draws_ahead=2 * samples, **CRITICS, **_model(budget, model), **changes)


def _alone(budget: str, model: str = "autoregressive", **given: Any) -> Arm:
    """A model of the behaviour like that which EMaQ stands on, as a policy."""
    emaq = _emaq(budget, model=model, **given)
    return Arm(label=f"behaviour, {model}", settings=lambda dataset: emaq(dataset).behaviour, updates=FIT)


def _drawn(budget: str, model: str = "autoregressive") -> tuple[Arm, ...]:
    """EMaQ with more and more actions, on one model; the paper's ablation has a batch and updates of its own."""
    arm = lambda n: _emaq(budget, preset="paper/ablation", samples=n, model=model)  # noqa: E731
    updates = {"paper": 500_000}
    return tuple(Arm(label=f"{model}, N = {n}", settings=arm(n), updates=updates) for n in DRAWS[budget])


def _best_of(budget: str, draws: Sequence[int], preset: str) -> tuple[Arm, ...]:
    return tuple(Arm(label=f"EMaQ, N = {n}", settings=_emaq(budget, preset=preset, samples=n)) for n in draws)


def _on_the_same_model(budget: str, preset: str) -> tuple[Arm, ...]:
    """BCQ and BEAR on EMaQ's model."""
    which = preset if budget == "paper" else None
    arm = lambda label, method, **bound: Arm(  # noqa: E731
        label=label, settings=preset_of(method, which, **_model(budget), **bound), updates=LONGER
    )
    return (
        *(arm(f"BCQ, shift {x:g}", "bcq", shift=x) for x in SHIFTS[budget]),
        *(arm(f"BEAR, MMD {x:g}", "bear", threshold=x) for x in BOUNDS[budget]),
    )


def _brac(budget: str) -> tuple[Arm, ...]:
    """An addition of our own: BRAC by its published code, on a Gaussian, whose density has a slope for the policy to follow."""
    shorter = {"warm_start": 5_000, "behaviour_updates": FIT[budget]} if budget == "reduced" else {}
    return tuple(
        Arm(
            label=f"{label}, alpha {weight:g}",
            settings=preset_of("brac", preset, divergence_weight=weight, **shorter),
            updates=LONGER,
        )
        for label, preset in (("BRAC-p", "code/policy-kl"), ("BRAC-v", "code/value-kl"))
        for weight in WEIGHTS[budget]
    )


def _soft(budget: str) -> tuple[Arm, ...]:
    """soft-EMaQ for rising alpha, and EMaQ itself; the paper's networks are smaller there, by how much is not printed."""
    smaller = {"width": 256} if budget == "paper" else {}
    arm = lambda **target: _emaq(budget, samples=SOFT_DRAWS[budget], **smaller, **target)  # noqa: E731
    return (
        *(Arm(label=f"soft, alpha {a:g}", settings=arm(target="soft", beta=1.0 / a)) for a in ALPHAS[budget]),
        Arm(label="EMaQ", settings=arm()),
    )


def _table1(budget: str) -> tuple[Arm, ...]:
    """The behaviour cloned, its model, EMaQ, and its rivals there."""
    return (
        Arm(label="BC", settings=preset_of("bc"), updates=LONGER),
        _alone(budget, preset="paper/kitchen-antmaze-adroit"),
        *_on_the_same_model(budget, "emaq/kitchen-antmaze-adroit"),
        *_best_of(budget, TABLE1_DRAWS[budget], "paper/kitchen-antmaze-adroit"),
    )


SAMPLES = {name: (_alone(name), *_drawn(name)) for name in BUDGETS}
MODELS = {
    name: tuple(arm for model in ("autoregressive", "vae") for arm in (_alone(name, model), *_drawn(name, model)))
    for name in BUDGETS
}
RIVALS = {
    name: (
        _alone(name),
        *_best_of(name, DRAWS[name], "paper/mujoco"),
        *_on_the_same_model(name, "emaq/mujoco"),
        *_brac(name),
    )
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
    width = 3.4 * len(columns) + 0.6
    drawn = figure(width, 3.2)
    axes = drawn.subplots(1, len(columns), squeeze=False)[0]
    colour = colours([model for column in columns.values() for model in column])
    for axis, (name, column) in zip(axes, columns.items(), strict=True):
        for model, found in column.items():
            _line(axis, found, colour[model], model)
        axis.set_title(name)
        counts = sorted({int(n) for found in column.values() for n in found["samples"]})
        axis.set_xscale("log")
        axis.set_xticks(counts, [str(n) for n in counts])
        axis.minorticks_off()
        axis.set_xlabel("actions drawn, N")
    axes[0].set_ylabel("score")
    axes[0].legend()
    says = "dashed: a model of the behaviour alone; bars and bands: 95 % interval over seeds"
    drawn.supxlabel(textwrap.fill(says, round(15 * width)), fontsize=8.5, color=MUTED)
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
        alone = found["alone"]
        axis.axhline(alone["mean"], color=colour, linestyle="--", linewidth=1.1)
        axis.axhspan(
            alone.get("low", alone["mean"]), alone.get("high", alone["mean"]), color=colour, alpha=0.12, linewidth=0
        )
