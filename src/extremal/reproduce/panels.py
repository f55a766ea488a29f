"""What figures of trained runs share: a curve with its interval, and a table that is looked at before it is read."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from extremal.evaluation.statistics import band, summarise
from extremal.report.runs import Columns, curves
from extremal.report.style import INK, MUTED, PAPER, RULE, figure
from extremal.reproduce.figure import Numbers


def curve(columns: Columns, name: str, replicas: int) -> Numbers | None:
    """A logged column along updates: mean over seeds and 95 % interval (one seed: none wide); none where it was not logged."""
    updates, values = curves(columns, name, range(replicas))
    if not updates.size:
        return None
    mean = np.nanmean(values, axis=0)
    low, high = (np.where(np.isfinite(bound), bound, mean) for bound in band(values))  # one seed has no interval
    return {"updates": updates, "mean": mean, "low": low, "high": high}


def last(columns: Columns, name: str, replicas: int) -> list[float]:
    """[S] a column at the last evaluation, one number a seed: the mean over its episodes; a seed that diverged has none."""
    updates, values = curves(columns, name, range(replicas))
    return [float(x) for x in values[:, -1] if np.isfinite(x)] if updates.size else []


def entry(per_seed: Sequence[float]) -> Numbers | None:
    """Mean and interval of a table's cell, with what they are made of; none without a number."""
    if not len(per_seed):
        return None
    found = summarise(per_seed)
    bounds = {} if found.low is None or found.high is None else {"low": found.low, "high": found.high}
    return {"mean": found.mean, **bounds, "per_seed": list(per_seed)}


def draw_curve(axis: Any, line: Numbers, colour: str, label: str) -> None:
    axis.fill_between(line["updates"], line["low"], line["high"], color=colour, alpha=0.16, linewidth=0)
    axis.plot(line["updates"], line["mean"], color=colour, label=label)
    axis.set_xlim(left=0)
    axis.xaxis.set_major_formatter(lambda value, _: f"{value / 1000:g}k" if value >= 1000 else f"{value:g}")


def draw_table(
    columns: Mapping[str, Mapping[str, Numbers]],
    colour: Mapping[str, str],
    *,
    published: Mapping[str, Mapping[str, float]] | None = None,
    digits: int = 1,
    logarithmic: bool = False,
    says: str = "",
) -> Any:
    """One panel a column of the table, one line a row: mean, interval, the seeds, and the published number beside it.

    Args:
        columns: by column and row, what `entry` gives. published: the paper's numbers, by column and row.
        logarithmic: symmetrically about 0. says: a line below.
    """
    rows = list(dict.fromkeys(row for column in columns.values() for row in column))
    width = 3.3 * len(columns) + 1.2
    drawn = figure(width, 0.34 * len(rows) + 1.25)
    axes = drawn.subplots(1, len(columns), squeeze=False, sharey=True)[0]
    for axis, (name, column) in zip(axes, columns.items(), strict=True):
        draw_cells(axis, rows, column, colour, digits=digits)
        for place, row in enumerate(rows):
            if (paper := (published or {}).get(name, {}).get(row)) is not None:
                axis.plot(paper, place + 0.28, "|", color=MUTED, markersize=9, markeredgewidth=1.6)
        axis.set_title(name)
        if logarithmic:
            axis.set_xscale("symlog", linthresh=10.0)
            axis.set_xticks(_decades(*axis.get_xlim()))
            axis.axvline(0.0, color=INK, linewidth=0.8)
    if says:
        drawn.supxlabel(textwrap.fill(says, round(15 * width)), fontsize=8.5, color=MUTED)
    return drawn


def _decades(low: float, high: float) -> list[float]:
    """0, and a few powers of ten on both sides of it.

    >>> _decades(-500.0, 2e7)
    [-100.0, 0.0, 100.0, 10000.0, 1000000.0]
    """
    step = max(2, math.ceil(math.log10(max(-low, high, 1.0)) / 5))
    powers = [10.0**power for power in range(step, 300, step)]
    return [x for x in (*(-p for p in reversed(powers)), 0.0, *powers) if low <= x <= high]


def draw_cells(
    axis: Any, rows: Sequence[str], column: Mapping[str, Numbers], colour: Mapping[str, str], *, digits: int
) -> None:
    """One panel: the cells of a column, a line a row; a column of shares has a digit more."""
    digits += all(abs(x) <= 1.0 for cell in column.values() for x in cell["per_seed"] or [cell["mean"]])
    for place, row in enumerate(rows):
        if row in column:
            _cell(axis, place, column[row], colour[row], digits)
    axis.set_yticks(range(len(rows)), rows)
    axis.set_ylim(len(rows) - 0.4, -0.6)
    axis.grid(axis="x", color=RULE, linewidth=0.6)
    axis.grid(visible=False, axis="y")


def _cell(axis: Any, place: float, cell: Numbers, colour: str, digits: int) -> None:
    if "low" in cell:
        axis.plot([cell["low"], cell["high"]], [place, place], color=colour, linewidth=2.2, solid_capstyle="butt")
    axis.plot(cell["per_seed"], [place] * len(cell["per_seed"]), "o", color=colour, markersize=2.5, alpha=0.5)
    axis.plot(cell["mean"], place, "o", color=colour, markersize=6, markeredgecolor=PAPER)
    axis.annotate(
        f"{cell['mean']:,.{digits}f}",
        (1.02, place),
        xycoords=("axes fraction", "data"),
        va="center",
        fontsize=8.5,
        color=INK,
        annotation_clip=False,
    )
