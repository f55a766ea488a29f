"""Writes figures: a PNG, an SVG, and a JSON file with the numbers behind them and what they come from.

A figure whose numbers come from training leaves its runs beside them, in the folder `runs`.
"""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from extremal.core.checked import admitted
from extremal.core.errors import ConfigError, nearest, require
from extremal.core.files import atomic
from extremal.core.ranges import Count, Seed
from extremal.core.types import Follow
from extremal.report.style import png, standalone_svg, styled
from extremal.reproduce.experiment import Experiment
from extremal.reproduce.figure import Figure, Options
from extremal.reproduce.registry import EXPERIMENTS, FIGURES

DPI = 200
SUFFIXES = (".png", ".svg", ".json")  # the numbers last: where they are, the pictures are


def reproduce(
    names: Sequence[str],
    out: Path,
    *,
    seed: int = 0,
    overwrite: bool = False,
    options: Options | None = None,
    watch: Follow = lambda name, finished, total: None,
) -> list[Path]:
    """Write NAME.png, NAME.svg and NAME.json of each figure into the folder `out`, and return their paths.

    Args:
        names: of figures, or "all" that need no training.
        seed: of whatever is random in them; the first one, where several seeds are trained.
        options: of the figures that need training. Their runs stay in `out`/runs, and are gone on with the next time.
        watch: is told what is at work, how much is finished, and of how much (figures, or updates of a run).

    Raises:
        ConfigError: a figure that is unknown, a file that exists where `overwrite` is false, or options that do not fit;
            nothing is computed then.
        MissingExtraError: matplotlib is absent.
    """
    seed, figures = admitted("seed", seed, Seed), chosen(names)
    require("matplotlib", extra="report", purpose="a figure")
    there = [path for figure in figures for path in paths(figure, out) if path.exists()]
    if there and not overwrite:
        raise ConfigError(f"{there[0]} exists; choose another --out, or replace what is there by --overwrite")
    options = options or Options()
    admitted("seeds", options.seeds, Count | None)
    for figure in figures:
        figure.check(options)
    written = []
    for finished, figure in enumerate(figures):
        watch(figure.name, finished, len(figures))
        written += write(figure, out, seed=seed, options=options, watch=watch)
    watch("done", len(figures), len(figures))
    return written


def chosen(names: Sequence[str]) -> list[Figure | Experiment]:
    """The figures of these names, each once, in the order asked for."""
    known: dict[str, Figure | Experiment] = {**FIGURES, **EXPERIMENTS}
    for name in names:
        if name not in known and name != "all":
            raise nearest(name, [*known, "all"], kind="figure")
    wanted = [figure for name in names for figure in (FIGURES if name == "all" else [name])]
    return [known[name] for name in dict.fromkeys(wanted)]


def paths(figure: Figure | Experiment, out: Path) -> list[Path]:
    """The files of a figure."""
    return [Path(out) / f"{figure.name}{suffix}" for suffix in SUFFIXES]


def write(
    figure: Figure | Experiment,
    out: Path,
    *,
    seed: int = 0,
    options: Options | None = None,
    watch: Follow = lambda name, finished, total: None,
) -> list[Path]:
    """Compute and draw one figure; each of its files is whole or absent, and none is written before all are made."""
    record = {
        "figure": figure.name,
        "source": figure.paper,
        "shows": figure.shows,
        "version": importlib.metadata.version("extremal"),
        "seed": seed,
        **figure.record(Path(out), options or Options(), seed=seed, watch=watch),
    }
    text = json.dumps(record, indent=1, allow_nan=False) + "\n"
    with styled():
        drawn = figure.draw(json.loads(text)["numbers"])
        contents: list[Any] = [png(drawn, dpi=DPI), standalone_svg(drawn).encode(), text.encode()]
    for path, content in zip(paths(figure, out), contents, strict=True):
        with atomic(path) as temporary:
            temporary.write_bytes(content)
    return paths(figure, out)
