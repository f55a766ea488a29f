"""KL-ball XQL with one set of defaults for every data set, beside methods that are set per domain; and other radii."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from extremal.report.runs import curves
from extremal.report.style import MUTED, colours, figure
from extremal.reproduce.experiment import Arm, Budget, Cell, preset_of
from extremal.reproduce.figure import Numbers
from extremal.reproduce.offline_trained import CONSERVATIVE, DATASETS_AT_HAND, by_domain, read_scores
from extremal.reproduce.panels import draw_cells, draw_curve, entry, last

BUDGETS = {
    "reduced": Budget(updates=100_000, seeds=3, episodes=50, evaluations=10, width=0.5, holdout=0.05),
    "paper": Budget(updates=1_000_000, seeds=6, episodes=50, evaluations=20, holdout=0.05),
}
MANY = {name: dataclasses.replace(budget, seeds=20) for name, budget in BUDGETS.items()}  # to see a rare collapse
KAPPAS = (0.1, 0.2, 0.42, 1.0, 2.0)
DATASETS = DATASETS_AT_HAND


def bound(kappa: float) -> float:
    """Of the log density ratio: the default, and for a large radius three deviations above its mean under the policy (normal Q)."""
    return 3.0 if kappa <= 0.5 else kappa + 3.0 * math.sqrt(2.0 * kappa)


STEADY = (
    Arm(label="KLXQL", settings=preset_of("klxql")),
    Arm(label="XQL, KL held", settings=preset_of("xql", target_kl=0.42, policy_weight="statistic")),
    Arm(label="XQL", settings=by_domain("xql")),
)
ARMS = (
    *STEADY,
    Arm(label="KLXQL, V as fast", settings=preset_of("klxql", value_learning_rate=None, value_rate=None)),
    Arm(label="IQL", settings=by_domain("iql")),
    Arm(label="TD3+BC", settings=preset_of("td3bc", "paper/locomotion-v2")),
    CONSERVATIVE,
)
RADII = tuple(
    Arm(label=f"kappa {kappa:g}", settings=preset_of("klxql", kappa=kappa, clip=bound(kappa))) for kappa in KAPPAS
)


def read_table(cells: Sequence[Cell]) -> Numbers:
    """Scores at the last checkpoint; how far the worst of the later ones falls below the best; and the held-out identities."""
    found = read_scores(cells)
    kept: dict[str, dict[str, float]] = {}
    health: dict[str, dict[str, Numbers]] = {}
    for cell in cells:
        name, replicas = cell.run.dataset["name"], len(cell.run.config["replicas"])
        judge = cell.run.judge[0] if cell.run.judge else ""
        _, values = curves(cell.run.evaluations, judge, range(replicas))
        if values.size:
            course = np.nanmean(values, axis=0)
            if course.max() > 0.0:
                kept.setdefault(name, {})[cell.arm] = float(course[len(course) // 2 :].min() / course.max())
        measured = {
            what: entry(last(cell.run.metrics, f"heldout/v/{what}", replicas)) for what in ("weight", "kl", "at_floor")
        }
        if measured["weight"] is not None:
            health.setdefault(name, {})[cell.arm] = {k: v for k, v in measured.items() if v is not None}
    return {**found, "worst_of_later_over_best": kept, "held_out": health}


def draw_table(numbers: Numbers) -> Any:
    """Two rows of panels: scores, and what of the best checkpoint the worst later one keeps."""
    columns, kept = numbers["columns"], numbers["worst_of_later_over_best"]
    rows = list(dict.fromkeys(row for column in columns.values() for row in column))
    colour = colours(rows)
    drawn = figure(2.7 * len(columns) + 1.2, 0.34 * len(rows) * 2 + 1.8)
    axes = drawn.subplots(2, len(columns), squeeze=False, sharey=True)
    for place, (name, column) in enumerate(columns.items()):
        draw_cells(axes[0][place], rows, column, colour, digits=1)
        axes[0][place].set_title(name)
        shares = {row: {"mean": 100.0 * x, "per_seed": []} for row, x in kept.get(name, {}).items()}
        draw_cells(axes[1][place], rows, shares, colour, digits=0)
    axes[0][0].set_xlabel("score, mean and 95 % interval over seeds", color=MUTED)
    axes[1][0].set_xlabel("worst checkpoint of the last half, % of the best", color=MUTED)
    return drawn


def read_courses(cells: Sequence[Cell]) -> Numbers:
    """By data set and method: every seed's score at every checkpoint, and the share of checkpoints under half of its seed's best."""
    columns: dict[str, dict[str, Numbers]] = {}
    for cell in cells:
        judge = cell.run.judge[0] if cell.run.judge else ""
        updates, values = curves(cell.run.evaluations, judge, range(len(cell.run.config["replicas"])))
        if updates.size:
            low = values < 0.5 * np.nanmax(values, axis=1, keepdims=True)
            columns.setdefault(cell.run.dataset["name"], {})[cell.arm] = {
                "updates": updates,
                "scores": np.where(np.isfinite(values), values, 0.0),  # of a seed that diverged
                "below_half": float(low.mean()),
                "below_half_later": float(low[:, len(updates) // 2 :].mean()),
            }
    return {"columns": columns}


def draw_courses(numbers: Numbers) -> Any:
    """A panel a method: all seeds, and their mean."""
    panels = [(name, arm, found) for name, column in numbers["columns"].items() for arm, found in column.items()]
    colour = colours([arm for _, arm, _ in panels])
    drawn = figure(3.2 * len(panels) + 0.5, 2.9)
    axes = drawn.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for axis, (name, arm, found) in zip(axes, panels, strict=True):
        scores = np.asarray(found["scores"])
        axis.plot(found["updates"], scores.T, color=colour[arm], linewidth=0.8, alpha=0.35)
        mean = {"updates": found["updates"], **dict.fromkeys(("mean", "low", "high"), scores.mean(axis=0))}
        draw_curve(axis, mean, colour[arm], arm)
        axis.set_title(f"{arm}, {name}")
        axis.set_xlabel(
            f"updates; {100 * found['below_half_later']:.1f} % of the later checkpoints\nare under half of their seed's best"
        )
    axes[0].set_ylabel("score of each seed, and their mean")
    return drawn
