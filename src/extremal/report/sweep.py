"""A sweep as a picture: one panel for each method and data set, over the settings that it varies."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from extremal.report.runs import value_text
from extremal.report.style import INK, MUTED, PAPER, RULE, figure
from extremal.report.words import measure, number

Result = Mapping[str, Any]  # method, dataset, settings (those that vary), metric, mean, low, high

SHADES = ("#f3f1ea", "#cfe0ea", "#7fb3d3", "#2f6ea5", "#22306e")  # of low to high, light to dark


def draw_sweep(results: Sequence[Result]) -> Any:
    """Heat maps of the mean over seeds: the first setting downwards, all others to the right; equal shades are equal numbers.

    Args:
        results: one of each combination, by the best measure of its data set; a mean of None is one whose seeds all diverged.
    """
    methods = list(dict.fromkeys(result["method"] for result in results))
    datasets = list(dict.fromkeys(result["dataset"] for result in results))
    panels = {
        (m, d): _panel([r for r in results if (r["method"], r["dataset"]) == (m, d)]) for m in methods for d in datasets
    }
    tall = [max(len(panels[m, d][0]) for d in datasets) for m in methods]
    wide = [max(len(panels[m, d][1]) for m in methods) for d in datasets]
    drawn = figure(1.15 * sum(wide) + 1.3 * len(wide) + 0.6, 0.52 * sum(tall) + 0.95 * len(tall) + 0.5)
    axes = drawn.subplots(
        len(methods), len(datasets), squeeze=False, gridspec_kw={"height_ratios": tall, "width_ratios": wide}
    )
    for (row, method), (column, dataset) in itertools.product(enumerate(methods), enumerate(datasets)):
        axis = axes[row][column]
        means = [r["mean"] for r in results if r["dataset"] == dataset and r["mean"] is not None]
        if panels[method, dataset][0]:
            _draw(axis, panels[method, dataset], (min(means, default=0.0), max(means, default=1.0)))
            axis.set_title(f"{method}, {dataset}")
        else:
            axis.set_axis_off()
    said = " or ".join(dict.fromkeys(measure(result["metric"]) for result in results))
    caption = f"{said} at the last checkpoint: mean and 95 % interval over seeds"
    drawn.supxlabel(textwrap.fill(caption, int(16 * drawn.get_figwidth())), fontsize=8.5, color=MUTED)
    return drawn


def _panel(results: Sequence[Result]) -> tuple[list[str], list[str], dict[tuple[str, str], Result], str, str]:
    """What stands at the left and at the bottom, the results by both, and the names of the settings there."""
    names = list(dict.fromkeys(name for result in results for name in result["settings"]))
    first, others = (names[0], names[1:]) if len(names) > 1 else ("", names)
    down = lambda result: value_text(result["settings"].get(first, "")) if first else ""  # noqa: E731
    right = lambda result: "\n".join(value_text(result["settings"].get(name)) for name in others)  # noqa: E731
    cells = {(down(result), right(result)): result for result in results}
    rows, columns = (list(dict.fromkeys(key[side] for key in cells)) for side in (0, 1))
    return rows, columns, cells, first, ", ".join(others)


def _draw(axis: Any, panel: tuple[Any, ...], span: tuple[float, float]) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    rows, columns, cells, first, others = panel
    shades, (low, high) = LinearSegmentedColormap.from_list("sweep", SHADES), span
    for (y, row), (x, column) in itertools.product(enumerate(rows), enumerate(columns)):
        result = cells.get((row, column))
        if result is None:
            continue
        share = None if result["mean"] is None else (result["mean"] - low) / max(high - low, 1e-12)
        colour = RULE if share is None else shades(share)
        axis.add_patch(_square(x, y, colour))
        ink = PAPER if share is not None and share > 0.55 else INK
        text = "diverged" if share is None else number(result["mean"], result["metric"])
        axis.text(
            x, y - (0.1 if result["low"] is not None else 0.0), text, ha="center", va="center", color=ink, fontsize=9
        )
        if result["low"] is not None:
            bounds = " to ".join(number(result[end], result["metric"]).removesuffix(" %") for end in ("low", "high"))
            axis.text(x, y + 0.24, bounds, ha="center", va="center", color=ink, fontsize=6.5)
    axis.set(xlim=(-0.5, len(columns) - 0.5), ylim=(len(rows) - 0.5, -0.5), xlabel=others, ylabel=first)
    axis.set_xticks(range(len(columns)), columns)
    axis.set_yticks(range(len(rows)), rows)
    axis.grid(visible=False)
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)


def _square(x: float, y: float, colour: Any) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((x - 0.48, y - 0.47), 0.96, 0.94, facecolor=colour, linewidth=0)
