"""The figures of a report: learning curves with bands, losses and value statistics, and value maps of mazes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from extremal.evaluation.statistics import band
from extremal.report.runs import Run, curves, names
from extremal.report.style import DASHES, INK, MUTED, PAPER, RULE, colours, figure

POINTS = 300  # of a drawn curve; more cannot be seen
ENTRIES = 12  # of an action, whose calibration is drawn
PROMISE, TRUTH, GAP = "predicted_value", "discounted_return", "critic/gap_expansion"


def learning(runs: Sequence[Run]) -> Any | None:
    """Score over updates, one panel per dataset; None where no run was evaluated."""
    panels = _by_dataset([run for run in runs if run.judge])
    if not panels:
        return None
    drawn = figure(9.6, 3.6 * len(panels))
    axes = drawn.subplots(len(panels), 1, squeeze=False)[:, 0]
    for axis, panel in zip(axes, panels, strict=True):
        learning_panel(axis, panel)
        if len(panels) > 1:
            axis.set_title(panel[0].dataset["name"])
    return drawn


def learning_panel(axis: Any, runs: Sequence[Run]) -> None:
    """Mean over seeds with its 95 % interval; the last checkpoint is marked and named."""
    ends = []
    for label, colour, dash, run, replicas in _lines(runs):
        column, _, words = run.judge or ("return", "return", "return")
        updates, values = curves(run.evaluations, column, replicas)
        if not updates.size:
            continue
        percent = 100.0 if column == "success" else 1.0
        _curve(axis, updates, percent * values, colour, dash, label=label)
        last = percent * np.nanmean(values[:, -1])
        axis.plot(updates[-1], last, "o", color=colour, markersize=5.5, markeredgecolor=PAPER, clip_on=False, zorder=4)
        ends.append((last, label, colour))
        axis.set_ylabel(f"{words} (%)" if column == "success" else words)
        if column == "success":
            axis.set_ylim(-3, 103)
    _named(axis, ends)


def critics(runs: Sequence[Run]) -> Any | None:
    """What each critic claims: its promise beside what came true, and by how much other actions surpass the logged ones."""
    promised = [run for run in runs if np.isfinite(run.evaluations.get(PROMISE, np.empty(0))).any()]
    panels = [(promise_panel, promised)] if promised else []
    if gapped := [run for run in runs if GAP in run.metrics]:
        panels.append((gap_panel, gapped))
    if not panels:
        return None
    drawn = figure(9.6, 3.2 * len(panels))
    axes = drawn.subplots(len(panels), 1, squeeze=False)[:, 0]
    for axis, (panel, shown) in zip(axes, panels, strict=True):
        panel(axis, shown)
    return drawn


def promise_panel(axis: Any, runs: Sequence[Run]) -> None:
    """The value that a critic predicts for the episodes' first states, and (dotted) their true discounted return."""
    ends = []
    for label, colour, dash, run, replicas in _lines(runs):
        for column, style in ((PROMISE, dash), (TRUTH, DASHES[2])):
            updates, values = curves(run.evaluations, column, replicas)
            if updates.size:
                _curve(axis, updates, values, colour, style, label=label if column == PROMISE else None)
                if column == PROMISE:
                    ends.append((np.nanmean(values[:, -1]), label, colour))
    axis.set_ylabel("value at the start")
    axis.set_yscale("symlog", linthresh=100.0)  # an unrestrained critic leaves every linear scale
    _named(axis, ends)


def gap_panel(axis: Any, runs: Sequence[Run]) -> None:
    """How far the best of some uniform actions is above the logged one, by the critic."""
    ends = []
    for label, colour, dash, run, replicas in _lines(runs):
        updates, values = curves(run.metrics, GAP, replicas)
        if updates.size:
            _curve(axis, updates, values, colour, dash, label=label)
            ends.append((np.nanmean(values[:, -1]), label, colour))
    axis.axhline(0.0, color=MUTED, linewidth=0.8)
    axis.set_ylabel("max Q(s, uniform) - Q(s, logged)")
    _named(axis, ends)


def training(runs: Sequence[Run]) -> Any | None:
    """Every logged metric as a small panel; the same metric on held-out episodes is dashed beside it."""
    logged = sorted(
        {name for run in runs for name in run.metrics if not name.startswith(("critic/", "seen/", "calibration/"))}
        - {"update", "replica", "seconds", "updates_per_second"}
    )
    shown = sorted(
        {name.removeprefix("heldout/") for name in logged}, key=lambda n: (n.split("/")[0], "loss" not in n, n)
    )
    if not shown:
        return None
    across = 3
    down = math.ceil(len(shown) / across)
    drawn = figure(9.6, 2.0 * down + 0.3)
    drawn.get_layout_engine().set(h_pad=0.09, w_pad=0.06)
    axes = drawn.subplots(down, across, squeeze=False).ravel()
    for axis, name in zip(axes, shown, strict=False):
        _training_panel(axis, runs, name)
    for axis in axes[len(shown) :]:
        axis.set_axis_off()
    return drawn


def _training_panel(axis: Any, runs: Sequence[Run], name: str) -> None:
    extent: list[np.ndarray] = []
    for _, colour, dash, run, replicas in _lines(runs):
        for column, style in ((name, dash), (f"heldout/{name}", DASHES[2])):
            updates, values = curves(run.metrics, column, replicas)
            if updates.size:
                _curve(axis, updates, values, colour, style, linewidth=1.3)
                extent.append(values[np.isfinite(values)])
    axis.set_title(name, fontsize=9)
    axis.tick_params(labelsize=8)
    _updates(axis)
    axis.locator_params(axis="x", nbins=4)
    together = np.concatenate(extent)
    if together.min() > 0 and together.max() > 1000 * together.min():
        axis.set_yscale("log")
    else:
        axis.locator_params(axis="y", nbins=4)


def calibrations(runs: Sequence[Run]) -> Any | None:
    """How evenly held-out actions spread over the levels of each model of the behaviour; None where no run has one.

    One panel an entry of the action: the `ENTRIES` entries that are farthest from even, where there are more.
    """
    shown = [run for run in runs if run.calibration is not None]
    if not shown:
        return None
    off = [_uneven(run) for run in shown]
    worst = np.max([np.pad(x, (0, max(map(len, off)) - len(x))) for x in off], axis=0)
    entries = np.sort(np.argsort(-worst, kind="stable")[:ENTRIES])
    across = min(len(entries), 4)
    down = math.ceil(len(entries) / across)
    drawn = figure(9.6, 1.9 * down + 0.7)
    axes = drawn.subplots(down, across, squeeze=False, sharex=True, sharey=True).ravel()
    for axis, entry in zip(axes, entries, strict=False):
        for label, colour, dash, run, replicas in _lines(shown):
            if run.calibration is not None and entry < run.calibration["share"].shape[1]:
                _levels(axis, run.calibration, replicas, entry, colour, dash, label)
        axis.axhline(1.0, color=INK, linewidth=0.8, linestyle=DASHES[2])
        axis.set_title(f"entry {entry}: off by {worst[entry]:.2f}", fontsize=9)
        axis.tick_params(labelsize=8)
    axes[0].set(xlim=(0, 1), ylim=(0, None))
    for axis in axes[len(entries) :]:
        axis.set_axis_off()
    drawn.supxlabel("level: the model's probability of less", fontsize=9, color=MUTED)
    drawn.legend(*axes[0].get_legend_handles_labels(), loc="outside upper left", ncols=3)
    return drawn


def _levels(
    axis: Any, known: dict[str, np.ndarray], replicas: Sequence[int], entry: int, colour: str, dash: Any, label: str
) -> None:
    """The density of the levels of one entry, mean over replicas, with its interval over episodes."""
    cells = known["share"].shape[-1]
    edges = np.linspace(0.0, 1.0, cells + 1)
    chosen = [r for r in replicas if np.isfinite(known["share"][r]).all()]
    if not chosen:
        return
    density, low, high = (cells * known[name][chosen, entry].mean(axis=0) for name in ("share", "low", "high"))
    axis.stairs(density, edges, baseline=None, color=colour, linestyle=dash, linewidth=1.3, label=label)
    axis.fill_between(
        edges, np.append(low, low[-1]), np.append(high, high[-1]), step="post", color=colour, alpha=0.16, lw=0
    )


def _uneven(run: Run) -> np.ndarray:
    """[A] the largest distance between the levels' distribution and the even one, at the cells' edges, over replicas."""
    share = run.calibration["share"] if run.calibration is not None else np.empty((0, 0, 0))
    even = np.linspace(0.0, 1.0, share.shape[-1] + 1)[1:]
    found = np.abs(np.cumsum(share, axis=-1) - even).max(axis=-1)
    return np.max(np.where(np.isfinite(found), found, 0.0), axis=0)


def mazes(runs: Sequence[Run]) -> Any | None:
    """The value map of each maze run with its trajectories; one colour scale for all."""
    mapped = [run for run in runs if run.maze is not None]
    if not mapped:
        return None
    across = min(len(mapped), 3)
    down = math.ceil(len(mapped) / across)
    x0, x1, y0, y1 = mapped[0].maze["extent"] if mapped[0].maze is not None else (0, 1, 0, 1)
    width = 9.6 / max(across, 2)  # one maze alone need not fill the page
    drawn = figure(9.6, (width * 0.8 * (y1 - y0) / (x1 - x0) + 0.45) * down + 0.2, layout="compressed")
    axes = drawn.subplots(down, across, squeeze=False).ravel()
    maze_panels(drawn, list(axes), mapped, names(mapped))
    return drawn


def maze_panels(drawn: Any, axes: list[Any], runs: Sequence[Run], titles: Sequence[str]) -> None:
    """Fill `axes` with the mazes of `runs`, and put one colour bar beside them."""
    values = [run.maze["value"] for run in runs if run.maze is not None and "value" in run.maze]
    finite = np.concatenate([value[np.isfinite(value)] for value in values]) if values else np.empty(0)
    scale = (float(finite.min()), float(finite.max())) if finite.size else None
    image = None
    for axis, run, title in zip(axes, runs, titles, strict=False):
        image = _maze(axis, run.maze or {}, scale) or image
        axis.set_title(title)
    for axis in axes[len(runs) :]:
        axis.set_axis_off()
    if image is not None:
        bar = drawn.colorbar(image, ax=axes, shrink=0.75, aspect=24, pad=0.015, label="V(s) at rest")
        bar.outline.set_visible(False)


def _maze(axis: Any, maze: dict[str, np.ndarray], scale: tuple[float, float] | None) -> Any | None:
    from matplotlib.patches import Rectangle

    x0, x1, y0, y1 = (float(v) for v in maze["extent"])
    value, image = maze.get("value"), None
    if scale is not None and value is not None and np.isfinite(value).any():
        image = axis.imshow(
            np.ma.masked_invalid(value),
            origin="lower",
            extent=(*_edges(maze["x"]), *_edges(maze["y"])),
            cmap="cividis",
            vmin=scale[0],
            vmax=scale[1],
            interpolation="nearest",
        )
    for x, y, width, height in maze["walls"]:
        axis.add_patch(Rectangle((x, y), width, height, facecolor=RULE, edgecolor=RULE, linewidth=0.5, zorder=2))
    for first, last in zip(maze["offsets"][:-1], maze["offsets"][1:], strict=True):
        path = maze["trajectories"][first:last]
        if image is not None:  # a dark rim keeps a light line visible on both ends of the colour scale
            axis.plot(path[:, 0], path[:, 1], color="#00000060", linewidth=2.0, zorder=3)
        axis.plot(path[:, 0], path[:, 1], color="#ffffffd0" if image is not None else MUTED, linewidth=1.0, zorder=3)
    axis.plot(*np.atleast_2d(maze["start"]).T, "o", color=PAPER, markeredgecolor=INK, markersize=3.5, zorder=4)
    axis.plot(
        *maze["goal"], "*", color="#e6194b", markeredgecolor="#ffffff", markeredgewidth=0.7, markersize=14, zorder=5
    )
    axis.set(xlim=(x0, x1), ylim=(y0, y1), aspect="equal", xticks=[], yticks=[])
    axis.spines[:].set_visible(False)
    axis.grid(False)
    return image


def _edges(centres: np.ndarray) -> tuple[float, float]:
    """The outer edges of evenly spaced cells."""
    half = (centres[-1] - centres[0]) / max(len(centres) - 1, 1) / 2
    return float(centres[0] - half), float(centres[-1] + half)


def _by_dataset(runs: Sequence[Run]) -> list[list[Run]]:
    panels: dict[str, list[Run]] = {}
    for run in runs:
        panels.setdefault(run.dataset["hash"], []).append(run)
    return list(panels.values())


def _lines(runs: Sequence[Run]):
    """(label, colour, dash, run, replicas) of every line: a method has its colour, a swept value its dash."""
    colour = colours([run.method for run in runs])
    drawn: dict[str, int] = {}
    for run, name in zip(runs, names(runs), strict=True):
        for group in run.groups:
            number = drawn[run.method] = drawn.get(run.method, -1) + 1
            label = f"{name}, {group.label}" if group.label else name
            yield label, colour[run.method], DASHES[number % len(DASHES)], run, group.replicas


def _curve(axis: Any, updates: np.ndarray, values: np.ndarray, colour: str, dash: Any, **line: Any) -> None:
    keep = np.unique(np.linspace(0, len(updates) - 1, min(POINTS, len(updates))).astype(int))
    updates, values = updates[keep], values[:, keep]
    low, high = band(values)
    axis.fill_between(updates, low, high, color=colour, alpha=0.16, linewidth=0)
    axis.plot(updates, np.nanmean(values, axis=0), color=colour, linestyle=dash, **line)


def _named(axis: Any, ends: list[tuple[float, str, str]]) -> None:
    """The axis of updates, and what each line is: at its end, or in a legend where two have one colour (a sweep)."""
    if len(ends) > len({colour for _, _, colour in ends}):  # only the dash tells such lines apart
        axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), handlelength=3)
    else:
        _name_ends(axis, ends)
    _updates(axis)
    axis.set_xlabel("updates")


def _name_ends(axis: Any, ends: list[tuple[float, str, str]]) -> None:
    """Names at the right end of the curves, moved apart where they would overlap."""
    axis.get_ylim()  # settles the limits
    place = 1.0
    for value, label, colour in sorted(ends, reverse=True):
        height = axis.transAxes.inverted().transform(axis.transData.transform((0.0, value)))[1]
        place = min(height, place)
        axis.annotate(
            label,
            (1.012, place),
            xycoords="axes fraction",
            color=colour,
            va="center",
            weight="bold",
            annotation_clip=False,
        )
        place -= 0.075


def _updates(axis: Any) -> None:
    axis.set_xlim(left=0)
    axis.margins(x=0.02)
    axis.xaxis.set_major_formatter(lambda value, _: f"{value / 1000:g}k" if value >= 1000 else f"{value:g}")
