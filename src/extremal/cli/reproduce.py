"""`extremal reproduce`: figures of the papers, drawn from numbers that are computed on the spot."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from extremal.cli.console import Json, print_json, table
from extremal.core.errors import ConfigError


@dataclasses.dataclass
class Reproduce:
    """Compute and draw figures of the papers: a PNG, an SVG, and their numbers as JSON."""

    names: Annotated[Positional[tuple[str, ...]], arg(metavar="NAME...")] = ()
    """Figures to make (`extremal reproduce --list`), or `all`."""
    out: Path = Path("figures")
    """Folder to write NAME.png, NAME.svg and NAME.json into."""
    seed: int = 0
    """Of whatever is random in a figure."""
    overwrite: bool = False
    """Replace figures that are there already."""
    list: bool = False
    """List the figures, and make none."""
    json: Json = False

    def run(self) -> int:
        if self.list:
            return self._list()
        if not self.names:
            raise ConfigError("name the figures to make, or `all`; `extremal reproduce --list` shows them")
        from extremal.cli.progress import naming
        from extremal.reproduce.write import reproduce

        with naming() as watch:
            written = reproduce(self.names, self.out, seed=self.seed, overwrite=self.overwrite, watch=watch)
        if self.json:
            print_json([str(path) for path in written])
        else:
            print(*written, sep="\n")
        return 0

    def _list(self) -> int:
        from extremal.reproduce.registry import FIGURES

        if self.json:
            print_json({name: {"paper": figure.paper, "shows": figure.shows} for name, figure in FIGURES.items()})
        else:
            table(["figure", "of", "what it shows"], [[f.name, f.paper, f.shows] for f in FIGURES.values()])
        return 0
