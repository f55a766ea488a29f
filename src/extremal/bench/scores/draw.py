"""The picture of a comparison: a panel a method, each seed's curve a thin line, the mean of a program a thick one."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from extremal.report.style import INK, MUTED, PALETTE, figure

_ACROSS = 3  # panels beside each other
_WIDTH, _HEIGHT = 3.3, 2.7  # of a panel, inches


def curves(record: Mapping[str, Any]) -> Any:
    """Score over updates."""
    methods = list(dict.fromkeys(row["method"] for row in record["rows"]))
    others = [curve["program"] for entry in record["published"] for curve in entry["curves"]]
    programs = list(dict.fromkeys(["extremal", *(row["peer"] for row in record["rows"] if row["peer"]), *others]))
    colour = {name: PALETTE[number % len(PALETTE)] for number, name in enumerate(programs)}
    across = min(_ACROSS, len(methods))
    down = -(-len(methods) // across)
    width = max(_WIDTH * across, 5.0)
    drawn = figure(width, _HEIGHT * down + 0.6)
    axes = drawn.subplots(down, across, squeeze=False, sharey=True).ravel()
    for axis, method in zip(axes, methods, strict=False):
        _panel(axis, method, record, colour)
    for axis in axes[len(methods) :]:
        axis.set_axis_off()
    unit = "return" if record["reference"] is None else "normalised score"
    axes[0].set_ylabel(unit)
    handles = [axes[0].plot([], [], color=colour[name], label=name, linewidth=2.2)[0] for name in programs]
    drawn.legend(handles=handles, loc="outside upper left", ncols=len(programs), labelcolor=INK)
    _caption(drawn, record, width)
    return drawn


def _panel(axis: Any, method: str, record: Mapping[str, Any], colour: Mapping[str, str]) -> None:
    for program, hue in colour.items():
        own = [cell for cell in record["cells"] if cell["method"] == method]
        others = [curve for entry in record["published"] if entry["method"] == method for curve in entry["curves"]]
        cells = [cell for cell in (*own, *others) if cell["program"] == program and cell["curve"]]
        for cell in cells:
            at, score = _line(cell)
            axis.plot(at, score, color=hue, linewidth=0.8, alpha=0.45)
        if cells:
            axis.plot(*_mean(cells), color=hue, linewidth=2.2)
    axis.set_title(method)
    axis.set_xlabel("updates")
    axis.xaxis.set_major_formatter(lambda x, _: f"{x / 1000:g}k" if x >= 1000 else f"{x:g}")
    axis.set_xlim(left=0)
    said = [_verdict(row) for row in record["rows"] if row["method"] == method and row["peer"]]
    axis.annotate(
        "\n".join(said), (1.0, 1.0), xycoords="axes fraction", xytext=(0, 4), textcoords="offset points",
        ha="right", va="bottom", fontsize=8, color=MUTED,
    )  # fmt: skip


def _line(cell: Mapping[str, Any]) -> tuple[list[int], list[float]]:
    return [point["update"] for point in cell["curve"]], [point["score"] for point in cell["curve"]]


def _mean(cells: Sequence[Mapping[str, Any]]) -> tuple[list[int], list[float]]:
    """Over the seeds, at the points that all have come to."""
    each = [dict(zip(*_line(cell), strict=True)) for cell in cells]
    common = sorted(set.intersection(*map(set, each)))
    return common, [float(np.mean([scores[update] for scores in each])) for update in common]


def _verdict(row: Mapping[str, Any]) -> str:
    if "0.9" not in row["intervals"]:
        return row["verdict"]
    low, high = row["intervals"]["0.9"]
    return f"{row['difference']:+.1f} [{low:.1f}, {high:.1f}]: {row['verdict']}"


def _caption(drawn: Any, record: Mapping[str, Any], width: float) -> None:
    options = record["options"]
    said = (
        f"{record['data']['name']}, {options['seeds']} seeds each (thin) and their mean; {options['depth']} × {options['width']}, "
        f"batch {options['batch']}, {options['episodes']} episodes a point. Above a panel: ours less theirs at the last "
        f"checkpoint, {options['last_episodes']} episodes a seed, with the 90 % Welch interval over seeds"
    )
    drawn.supxlabel("\n".join(textwrap.wrap(said, int(15 * width))), fontsize=8, color=MUTED)
