"""Pictures of a bench's record."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from extremal.report.style import INK, MUTED, PALETTE, RULE, figure

_WORDS = {"replicas": "replicas", "batch": "batch size", "width": "width of the hidden layers", "rows": "rows of data"}
_ACROSS = 3  # panels beside each other


def bars(record: Mapping[str, Any]) -> Any:
    """A panel a method, a bar a program: median updates/s, and how many times as fast the library is."""
    methods = list(dict.fromkeys(row["method"] for row in record["rows"]))
    programs = list(dict.fromkeys(row["program"] for row in record["rows"]))
    colour = {name: PALETTE[number % len(PALETTE)] for number, name in enumerate(programs)}
    across = min(_ACROSS, len(methods))
    down = -(-len(methods) // across)
    most = max(sum(row["method"] == method for row in record["rows"]) for method in methods)
    width = max(3.8 * across + 0.4, 5.0)
    drawn = figure(width, down * (0.36 * most + 0.75) + 0.6)
    axes = drawn.subplots(down, across, squeeze=False).ravel()
    for axis, method in zip(axes, methods, strict=False):
        _bars(axis, [row for row in record["rows"] if row["method"] == method], colour, most)
        axis.set_title(method)
    for axis in axes[len(methods) :]:
        axis.set_axis_off()
    _caption(drawn, record, width)
    return drawn


def _bars(axis: Any, rows: list[Mapping[str, Any]], colour: Mapping[str, str], places: int) -> None:
    most = max(max(row["rounds"]) for row in rows)
    for place, row in enumerate(rows):
        rate, times = row["updates_per_second"], row["ours_to_it"]
        axis.barh(place, rate, height=0.66, color=colour[row["program"]])
        axis.plot(row["rounds"], [place] * len(row["rounds"]), "|", color=INK, markersize=6, alpha=0.6)
        said = _short(rate) if times is None else f"{_short(rate)}  (ours: {times:.2f} ×)"
        axis.annotate(
            said,
            (max(rate, *row["rounds"]), place),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
            annotation_clip=False,
        )
    axis.set_yticks(range(len(rows)), [row["program"] for row in rows])
    axis.set_ylim(places - 0.4, -0.6)  # a bar is as thick in every panel
    axis.set_xlim(0.0, 1.9 * most)  # room for what stands behind the bars
    axis.grid(axis="x", color=RULE, linewidth=0.6)
    axis.grid(visible=False, axis="y")


def growth(record: Mapping[str, Any]) -> Any:
    """A panel an axis: updates/s of the library alone."""
    count = len(record["growth"])
    width = max(3.1 * count + 0.4, 5.0)
    drawn = figure(width, 3.1)
    panels = drawn.subplots(1, count, squeeze=False, sharey=True)[0]
    for panel, grown in zip(panels, record["growth"], strict=True):
        values = [point["value"] for point in grown["points"]]
        panel.plot(values, [point["updates_per_second"] for point in grown["points"]], "o-", color=PALETTE[0])
        panel.set_xscale("log")
        panel.set_yscale("log")
        panel.set_xticks(values, [f"{value:,}" for value in values], minor=False)
        panel.minorticks_off()
        panel.set_xlabel(_WORDS[grown["axis"]])
        for point in grown["points"]:
            panel.annotate(
                _short(point["updates_per_second"]),
                (point["value"], point["updates_per_second"]),
                xytext=(0, 6),
                textcoords="offset points",
                ha="center",
                fontsize=8,
            )
        panel.margins(0.14, 0.2)
        panel.set_title(f"{grown['method']}: updates/s in all")
    low, high = panels[0].get_ylim()
    wider = max(10.0 * low / high, 1.0) ** 0.5  # a decade at least, or noise would look like much
    panels[0].set_ylim(low / wider, high * wider)
    _caption(drawn, record, width)
    return drawn


def threads(count: int) -> str:
    """'1 thread', '2 threads'."""
    return f"{count} thread{'s' if count > 1 else ''}"


def _short(value: float) -> str:
    """Three digits of it, or its whole part.

    >>> _short(1.2345), _short(12.345), _short(1234.5)
    ('1.23', '12.3', '1,234')
    """
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _caption(drawn: Any, record: Mapping[str, Any], width: float) -> None:
    """What was the same for all."""
    settings, rows = record["settings"], record["rows"]
    devices = dict.fromkeys(row["device"] for row in rows)
    on = ", ".join(threads(settings["threads"]) if device == "cpu" else device for device in devices)
    types = ", ".join(dict.fromkeys(row["dtype"] for row in rows))
    said = (
        f"updates/s, median of {settings['rounds']} rounds, programs in turn; {settings['depth']} × {settings['width']}, "
        f"batch {settings['batch']}, {types}, {on}; compilation and evaluation not inside"
    )
    drawn.supxlabel("\n".join(textwrap.wrap(said, int(14 * width))), fontsize=8, color=MUTED)
