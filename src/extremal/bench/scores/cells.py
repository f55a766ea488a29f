"""What is finished of a comparison, one file a cell (method, program, seed), so that an interrupted one goes on.

OUT/options.json                     what decides every number; another comparison is refused here
OUT/cells/iql-d3rlpy-2.json          one seed of one program
OUT/runs/iql/                        the library's run of all seeds, as `extremal train` leaves it
OUT/scores.json, OUT/scores.png      drawn from the cells
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from extremal.core.errors import ConfigError, RunError
from extremal.core.files import read_json, write_json

Cell = dict[str, Any]
OPTIONS, CELLS, RUNS, NUMBERS, FIGURE = "options.json", "cells", "runs", "scores.json", "scores.png"
_AGAIN = "delete it, and its seed is trained again"
_KEYS = ("method", "program", "seed", "curve", "last", "seconds", "facts", "settings", "failure")


class Cells:
    """The finished cells of the comparison in a folder."""

    def __init__(self, folder: Path):
        self.folder = folder

    def begin(self, decisive: Mapping[str, Any], *, overwrite: bool) -> None:
        """Claim the folder for a comparison with these options; one with the same goes on.

        Raises:
            ConfigError: it holds something else, or a comparison with others, and `overwrite` is false; says which differ.
        """
        before = read_json(self.folder / OPTIONS, advice="delete the folder, or choose another --out")
        differ = [] if before is None else _differing(before, decisive)
        if before is not None and (overwrite or not self._begun()):
            self._clear()
        elif differ:
            raise ConfigError(
                f"{self.folder} holds scores with {', '.join(differ)}; go on with the same ones, choose another --out, or "
                "replace what is there by --overwrite"
            )
        elif before is None and (strange := self._strange()):
            raise ConfigError(f"{self.folder} holds {strange} and no scores; choose another --out")
        write_json(self.folder / OPTIONS, dict(decisive))

    def read(self, method: str, program: str, seed: int) -> Cell | None:
        """A finished cell; none where there is none.

        Raises:
            RunError: its file is damaged.
        """
        file = self._file(method, program, seed)
        cell = read_json(file, advice=_AGAIN)
        if cell is not None and (missing := [key for key in _KEYS if key not in cell]):
            raise RunError(f"{file} is damaged: it lacks {missing[0]}; {_AGAIN}")
        return cell

    def write(self, cell: Cell) -> None:
        assert set(cell) == set(_KEYS), set(cell) ^ set(_KEYS)
        write_json(self._file(cell["method"], cell["program"], cell["seed"]), cell)

    def run(self, method: str) -> Path:
        """Where the library's run of a method stands."""
        return self.folder / RUNS / method

    def _file(self, method: str, program: str, seed: int) -> Path:
        return self.folder / CELLS / f"{method}-{program}-{seed}.json"

    def _begun(self) -> bool:
        """Whether there is anything to lose: a finished cell, or a checkpoint."""
        return any((self.folder / CELLS).glob("*.json")) or any((self.folder / RUNS).glob("*/checkpoints/*"))

    def _clear(self) -> None:
        for name in (CELLS, RUNS):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        for name in (OPTIONS, NUMBERS, FIGURE):
            (self.folder / name).unlink(missing_ok=True)

    def _strange(self) -> str:
        """Something in the folder that is no part of a comparison."""
        ours = (CELLS, RUNS, NUMBERS, FIGURE, "lock")
        there = sorted(entry.name for entry in self.folder.iterdir()) if self.folder.is_dir() else []
        return next((name for name in there if name not in ours), "")


def _differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The differences, as `updates 200 (now 300)`."""
    names = sorted(before.keys() | now.keys())
    return [f"{name} {before.get(name)} (now {now.get(name)})" for name in names if before.get(name) != now.get(name)]
