"""Delta(s, N) of a data set, from its JSON form: a table for a terminal, and a picture."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from extremal.core.files import atomic, check_replaces
from extremal.report.style import DASHES, INK, PALETTE, figure, png, styled

DPI = 160


def difficulty_text(told: Mapping[str, Any]) -> str:
    """One line per N, then what was looked at, and what the draws cannot tell."""
    lines = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("N", "Delta(s, N)", "95 % interval", "share of N = 1", "median", "90 % below", "largest"):
        lines.add_column(heading, justify="right")
    for row in told["delta"]:
        interval = "one episode" if row["low"] is None else f"{row['low']:.4g} to {row['high']:.4g}"
        share = "–" if row["share"] is None else f"{100 * row['share']:.1f} %"
        spread = (f"{row[name]:.4g}" for name in ("median", "ninetieth", "largest"))
        lines.add_row(str(row["samples"]), f"{row['mean']:.4g}", interval, share, *spread)
    console = Console(file=(file := io.StringIO()), width=1000, highlight=False, markup=False)
    console.print(lines)
    table = [line.rstrip() for line in file.getvalue().splitlines() if line.strip()]
    return "\n".join([*table, "", *_notes(told)])


def _notes(told: Mapping[str, Any]) -> list[str]:
    kind = "first states" if told["first"] else "states"
    notes = [
        f"{told['data']}: mean over {told['states']:,} {kind} of {told['episodes']:,} episodes, in units of {told['method']}'s Q; "
        "the interval is over episodes."
    ]
    return [
        *notes,
        f"The best action is the best of {told['draws']:,} draws a state, so each Delta is too small by that of "
        f"N = {told['draws']:,}; the last doubling of the draws raised the best by {told['rise']:.3g}.",
    ]


def write_difficulty(told: Mapping[str, Any], out: Path) -> Path:
    """Write the picture to the PNG file `out`; returns `out`.

    Raises:
        RunError: `out` holds something else than a picture.
        MissingExtraError: matplotlib is not installed.
    """
    check_replaces(Path(out), b"\x89PNG")
    with styled():
        image = png(_drawn(told), dpi=DPI)
    with atomic(Path(out)) as temporary:
        temporary.write_bytes(image)
    return Path(out)


def _drawn(told: Mapping[str, Any]) -> Any:
    rows = sorted(told["delta"], key=lambda row: row["samples"])
    shared = all(row["share"] is not None for row in rows)
    drawn = figure(9.6 if shared else 5.0, 3.6)
    axes = drawn.subplots(1, 2 if shared else 1, squeeze=False)[0]
    _delta(axes[0], told, rows)
    if shared:
        _share(axes[1], rows)
    for axis in axes:
        axis.set_xscale("log")
        axis.set_xticks([row["samples"] for row in rows], [str(row["samples"]) for row in rows])
        axis.minorticks_off()
        axis.set(xlabel="N, actions drawn", ylim=(0, None))
    return drawn


def _delta(axis: Any, told: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> None:
    column = lambda name: np.array([np.nan if row[name] is None else row[name] for row in rows])  # noqa: E731
    count, colour = column("samples"), PALETTE[0]
    axis.fill_between(
        count, column("tenth"), column("ninetieth"), color=colour, alpha=0.10, lw=0, label="80 % of the states"
    )
    axis.fill_between(
        count, column("low"), column("high"), color=colour, alpha=0.30, lw=0, label="95 % interval of the mean"
    )
    axis.plot(count, column("mean"), "o-", color=colour, markersize=4, label="mean")
    axis.set_title(f"Δ(s, N), {told['data']}")
    axis.set_ylabel(f"below the best of {told['draws']:,}, units of {told['method']}'s Q")
    axis.legend(fontsize=8.5)


def _share(axis: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    count = np.array([row["samples"] for row in rows], float)
    axis.plot(count, [100.0 * row["share"] for row in rows], "o-", color=PALETTE[0], markersize=4)
    even = np.geomspace(count.min(), count.max(), 50) if len(count) > 1 else count
    axis.plot(
        even,
        200.0 / (even + 1.0),
        color=INK,
        linewidth=0.9,
        linestyle=DASHES[2],
        label="if Q were uniform: 2 / (N + 1)",
    )
    axis.set_title("Δ(s, N) / Δ(s, 1)")
    axis.set_ylabel("share that is left (%)")
    axis.legend(fontsize=8.5)
