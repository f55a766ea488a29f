"""`extremal reproduce`: figures of the papers, drawn from numbers that are computed on the spot."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, ClassVar

from tyro.conf import Positional, arg

from extremal.cli.console import Json, print_json, table
from extremal.core.errors import ConfigError


@dataclasses.dataclass
class Reproduce:
    """Compute and draw figures and tables of the papers: a PNG, an SVG, and their numbers as JSON."""

    names: Annotated[Positional[tuple[str, ...]], arg(metavar="NAME...")] = ()
    """Figures to make (`extremal reproduce --list`), or `all` that need no training."""
    out: Path = Path("figures")
    """Folder to write NAME.png, NAME.svg and NAME.json into, and runs/ where something is trained."""
    seed: int = 0
    """Of whatever is random in a figure; the first of the seeds that are trained."""
    budget: Annotated[str, arg(metavar="{reduced,paper}")] = "reduced"
    """Of a figure that needs training: `reduced` for two cores, or `paper` for the paper's own updates and seeds."""
    methods: tuple[str, ...] | None = None
    """Trained instead of the figure's own: its labels, or any method with its defaults."""
    datasets: tuple[str, ...] | None = None
    """Trained on, instead of the figure's own."""
    seeds: int | None = None
    """How many, instead of the budget's."""
    overwrite: bool = False
    """Replace figures that are there already."""
    list: bool = False
    """List the figures, and make none."""
    json: Json = False
    goes_on: ClassVar[str] = "the same command goes on where it stopped"

    def run(self) -> int:
        if self.list:
            return self._list()
        if not self.names:
            raise ConfigError("name the figures to make, or `all`; `extremal reproduce --list` shows them")
        from extremal.cli.progress import naming
        from extremal.reproduce.figure import Options
        from extremal.reproduce.write import reproduce

        options = Options(budget=self.budget, methods=self.methods, datasets=self.datasets, seeds=self.seeds)
        with naming() as watch:
            written = reproduce(
                self.names, self.out, seed=self.seed, overwrite=self.overwrite, options=options, watch=watch
            )
        if self.json:
            print_json([str(path) for path in written])
        else:
            print(*written, sep="\n")
        return 0

    def _list(self) -> int:
        from extremal.reproduce.registry import EXPERIMENTS, FIGURES

        known = {**FIGURES, **EXPERIMENTS}
        if self.json:
            print_json(
                {
                    name: {"paper": figure.paper, "shows": figure.shows, "trains": name in EXPERIMENTS}
                    for name, figure in known.items()
                }
            )
        else:
            rows = [[f.name, f.paper, f.shows, "yes" if f.name in EXPERIMENTS else ""] for f in known.values()]
            table(["figure", "of", "what it shows", "trains"], rows)
        return 0
