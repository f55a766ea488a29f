"""The results of some runs as a table for a terminal."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from extremal.report.runs import names, read_runs
from extremal.report.words import apart, interval, label, measure, number, verdict


def table(runs: Sequence[Path]) -> str:
    """One line per result, as wide as it needs; a run without a result says why below, and so does one that diverged."""
    read = read_runs(runs)
    lines = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("method", "dataset", "measure"):
        lines.add_column(heading)
    for heading in ("mean", "IQM", "95 % interval", "seeds", "updates", "updates/s"):
        lines.add_column(heading, justify="right")
    notes = []
    for run, name in zip(read, names(read), strict=True):
        for result in run.results:
            metric = result["metric"]
            lines.add_row(
                label(name, result),
                result["dataset"],
                measure(metric),
                number(result["mean"], metric),
                number(result.get("iqm"), metric),
                interval(result),
                str(result["seeds"]),
                f"{result['updates']:,}",
                f"{result['updates_per_second']:,.0f}",
            )
        if not run.results or run.judge is None:
            notes.append(verdict(run, name))
        notes += [f"{name} diverged: {text}" for text in run.diverged]
        notes += [f"{name}, {text}" for text in run.alarms]
        notes += [f"{name} {text}" for text in run.course]
        notes += [f"{run.dataset['name']}, {text}" for text in run.check]
    notes += apart(read, names(read))
    console = Console(file=(file := io.StringIO()), width=1000, highlight=False, markup=False)
    if lines.row_count:
        console.print(lines)
    printed = [line.rstrip() for line in file.getvalue().splitlines() if line.strip()]
    return "\n".join(printed + [textwrap.fill(note, 100) for note in dict.fromkeys(notes)])
