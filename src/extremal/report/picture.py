"""One picture of some runs: what they learned of the maze, beside how well they act."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from extremal.core.errors import RunError
from extremal.core.files import atomic
from extremal.report.figures import learning_panel, maze_panels
from extremal.report.runs import names, read_runs
from extremal.report.style import figure, png, styled

DPI = 160
WIDTH = 1600


def picture(runs: Sequence[Path], out: Path) -> Path:
    """Write a PNG 1600 pixels wide to `out`: the value map of every maze run, then the learning curves; returns `out`.

    Raises:
        RunError: the runs hold neither a maze nor an evaluation.
    """
    read = read_runs(runs)
    mapped, judged = [run for run in read if run.maze is not None], [run for run in read if run.judge]
    if not mapped and not judged:
        raise RunError("there is nothing to draw: the runs hold neither a maze nor an evaluation")
    with styled():
        drawn = figure(WIDTH / DPI, 3.0 if mapped else 4.0)
        shares = ([0.7 * len(mapped)] if mapped else []) + ([1.0] if judged else [])
        parts = list(drawn.subfigures(1, len(shares), width_ratios=shares, squeeze=False)[0])
        if mapped:
            part = parts.pop(0)
            part.set_facecolor("none")
            maze_panels(part, list(part.subplots(1, len(mapped), squeeze=False)[0]), mapped, names(mapped))
        if judged:
            parts[0].set_facecolor("none")
            learning_panel(parts[0].subplots(), judged)
        image = png(drawn, dpi=DPI)
    with atomic(Path(out)) as temporary:
        temporary.write_bytes(image)
    return Path(out)
