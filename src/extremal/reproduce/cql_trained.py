"""CQL's Fig. 2 and Table 4, from training: which actions a critic prefers, and whether its values are too high.

Any method that trains a critic can stand beside CQL: every run logs both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from extremal.report.figures import GAP, PROMISE, TRUTH
from extremal.report.runs import curves
from extremal.report.style import DASHES, MUTED, colours, figure
from extremal.reproduce.experiment import Arm, Budget, Cell, preset_of
from extremal.reproduce.figure import Numbers
from extremal.reproduce.panels import curve, draw_curve, draw_table, entry

BUDGETS = {
    "reduced": Budget(updates=10_000, seeds=2, episodes=20, evaluations=10, width=0.5),
    "paper": Budget(updates=1_000_000, seeds=4, episodes=10, evaluations=50),
}

# What the paper prints. Its Table 4 has "mixed" for what D4RL now calls medium-replay.
TABLE4 = {
    "hopper-medium-expert": {
        "CQL(H), Lagrange": -43.20,
        "CQL (Eq. 1), weight 5": -151.36,
        "ensemble of 2": 3.71e6,
        "ensemble of 4": 2.93e6,
        "ensemble of 10": 0.32e6,
        "ensemble of 20": 24.05e3,
        "BEAR": 65.93,
    },
    "hopper-medium-replay-like": {
        "CQL(H), Lagrange": -10.93,
        "CQL (Eq. 1), weight 5": -22.87,
        "ensemble of 2": 15.00e6,
        "ensemble of 4": 59.93e3,
        "ensemble of 10": 8.92e3,
        "ensemble of 20": 2.47e3,
        "BEAR": 1399.46,
    },
    "hopper-medium": {
        "CQL(H), Lagrange": -7.48,
        "CQL (Eq. 1), weight 5": -156.70,
        "ensemble of 2": 26.03e12,
        "ensemble of 4": 437.57e6,
        "ensemble of 10": 1.12e12,
        "ensemble of 20": 885e3,
        "BEAR": 4.32,
    },
}


# Its Sec. 6 tunes the weight (App. F); the fixed one is of its Table 7.
LAGRANGE = Arm(label="CQL(H), Lagrange", settings=preset_of("cql", "paper/locomotion"))
FIXED = Arm(label="CQL(H), weight 5", settings=preset_of("cql", "paper/fixed"))
# Published code fits BEAR's model beside the critics, and its policy meets the constraint alone for 40,000 updates of a million.
BEAR = {
    name: Arm(label="BEAR", settings=preset_of("bear", "code/mujoco", **shorter))
    for name, shorter in (("reduced", {"behaviour_updates": 10_000, "warm_start": 1_000}), ("paper", {}))
}
FIG2_ARMS = {
    name: (
        LAGRANGE,
        FIXED,
        bear,
        Arm(label="TD3+BC", settings=preset_of("td3bc", "paper/locomotion-v2")),
        Arm(label="SAC", settings=preset_of("sac")),
    )
    for name, bear in BEAR.items()
}
TABLE4_ARMS = {
    name: (
        LAGRANGE,
        FIXED,
        Arm(label="CQL (Eq. 1), weight 5", settings=preset_of("cql", "paper/equation-1")),
        *(Arm(label=f"ensemble of {n}", settings=preset_of("sac", critics=n)) for n in (2, 4, 10, 20)),
        bear,
    )
    for name, bear in BEAR.items()
}


def read_gap(cells: Sequence[Cell]) -> Numbers:
    """By data set and method: the gap of Eq. (10) and the score along updates.

    Source: [kumar2020] Eq. (10), Fig. 2.
    """
    panels: dict[str, dict[str, Numbers]] = {}
    for cell in cells:
        run, replicas = cell.run, len(cell.run.config["replicas"])
        judge = run.judge[0] if run.judge else ""
        found = {"gap": curve(run.metrics, GAP, replicas), "score": curve(run.evaluations, judge, replicas)}
        panels.setdefault(cell.dataset, {})[cell.arm] = {k: v for k, v in found.items() if v is not None}
    return {"panels": panels}


def draw_gap(numbers: Numbers) -> Any:
    panels = numbers["panels"]
    drawn = figure(9.0, 2.9 * len(panels) + 0.3)
    axes = drawn.subplots(len(panels), 2, squeeze=False)
    colour = colours([arm for panel in panels.values() for arm in panel])
    for (left, right), (name, arms) in zip(axes, panels.items(), strict=True):
        for arm, found in arms.items():
            for axis, what in ((left, "gap"), (right, "score")):
                if what in found:
                    draw_curve(axis, found[what], colour[arm], arm)
        left.axhline(0.0, color=MUTED, linewidth=0.9, linestyle=DASHES[1])
        left.set_yscale("symlog", linthresh=10.0)
        left.set_title(f"{name}: what arbitrary actions are held for")
        left.set_ylabel("Q, best of 10 uniform actions\nless the logged one")
        right.set_title(f"{name}: score")
        right.legend()
    for axis in axes[-1]:
        axis.set_xlabel("updates")
    return drawn


def read_bias(cells: Sequence[Cell]) -> Numbers:
    """By data set and method: the value predicted at the first states less the discounted return, at the last checkpoint.

    Source: [kumar2020] Table 4.
    """
    columns: dict[str, dict[str, Numbers]] = {}
    for cell in cells:
        replicas = range(len(cell.run.config["replicas"]))
        (updates, promised), (_, true) = (curves(cell.run.evaluations, name, replicas) for name in (PROMISE, TRUTH))
        excess = [float(x) for x in (promised - true)[:, -1] if np.isfinite(x)] if updates.size else []
        if (found := entry(excess)) is not None:
            columns.setdefault(cell.dataset, {})[cell.arm] = found
    return {"columns": columns, "published": {name: TABLE4[name] for name in columns if name in TABLE4}}


def draw_bias(numbers: Numbers) -> Any:
    columns = numbers["columns"]
    return draw_table(
        columns,
        colours([row for column in columns.values() for row in column]),
        published=numbers["published"],
        logarithmic=True,
        says="predicted value less discounted return (above 0: too high); bar: the paper, on D4RL's own data and 1M updates",
    )
