"""`extremal sweep`: settings, seeds, methods and data sets as the fewest compiled programs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from tyro.conf import Positional, arg

from extremal.cli.console import Json, print_json

if TYPE_CHECKING:
    from extremal.runs.sweep import Program


@dataclasses.dataclass
class Sweep:
    """Train every combination that a file names, and draw what came of it; run it again to go on where it stopped.

    Values of number settings and seeds are replicas of one compiled program; everything else is a program each.
    """

    spec: Annotated[Positional[Path], arg(metavar="FILE")]
    """TOML: `datasets`, `updates`, `seeds`, ..., and a table [[method]] for each method, with one value or a list for each setting."""
    out: Path = Path("runs/sweep")
    """Folder for runs/, sweep.json and sweep.png; what is there of the same settings is gone on with."""
    plan: bool = False
    """Say which programs there are, and train none."""
    json: Json = False
    goes_on: ClassVar[str] = "the same command goes on where it stopped"

    def run(self) -> int:
        from extremal.cli.progress import naming
        from extremal.report.text import table as runs_table
        from extremal.runs.sweep import read_sweep, run_sweep, write_sweep

        programs = read_sweep(self.spec)
        if self.plan:
            return self._plan(programs)
        with naming() as follow:
            runs = run_sweep(programs, self.out, follow=follow)
        results = write_sweep(programs, runs, self.out)
        if self.json:
            print_json(results)
        else:
            print(runs_table([run.path for run in runs]))
            print(f"\n{self.out / 'sweep.json'}: the numbers")
            if results:
                print(f"{self.out / 'sweep.png'}: the same as a picture")
        return 0

    def _plan(self, programs: Sequence[Program]) -> int:
        from extremal.cli.console import table

        rows = [
            [
                p.folder,
                p.label,
                p.dataset,
                ", ".join(f"{n} {' '.join(f'{v:g}' for v in vs)}" for n, vs in p.swept.items()),
                p.replicas,
            ]
            for p in programs
        ]
        if self.json:
            print_json(
                [dict(zip(("folder", "program", "dataset", "swept", "replicas"), row, strict=True)) for row in rows]
            )
        else:
            table(
                ["folder", "program", "data set", "swept in it", "replicas"],
                [[str(cell) for cell in row] for row in rows],
            )
        return 0
