"""KL-ball XQL with one set of defaults for every data set, beside methods that are set per domain; and other radii."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from extremal.report.runs import curves
from extremal.report.style import MUTED, colours, figure
from extremal.reproduce.experiment import Arm, Budget, Cell, preset_of
from extremal.reproduce.figure import Numbers
from extremal.reproduce.offline_trained import CONSERVATIVE, DATASETS_AT_HAND, by_domain, read_scores
from extremal.reproduce.panels import draw_cells, entry, last

BUDGETS = {
    "reduced": Budget(updates=100_000, seeds=3, episodes=50, evaluations=10, width=0.5, holdout=0.05),
    "paper": Budget(updates=1_000_000, seeds=6, episodes=50, evaluations=20, holdout=0.05),
}
KAPPAS = (0.1, 0.2, 0.42, 1.0, 2.0)
DATASETS = DATASETS_AT_HAND


def bound(kappa: float) -> float:
    """Of the log density ratio: for a normal Q three deviations above its mean under the policy, and at least the default."""
    return max(3.0, kappa + 3.0 * math.sqrt(2.0 * kappa))


ARMS = (
    Arm(label="KLXQL", settings=preset_of("klxql")),
    Arm(label="XQL, KL held", settings=preset_of("xql", target_kl=0.42, policy_weight="statistic")),
    Arm(label="XQL", settings=by_domain("xql")),
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
