"""Tables of a run: rows are kept in memory and the whole file is replaced, so it is never half-written."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from extremal.core.errors import RunError
from extremal.core.files import atomic

_WHOLE = re.compile(r"-?\d{1,18}")
KEYS = ("update", "replica")  # whole numbers, in every row
SUMMARY_AGAIN = "delete it and resume the run, which writes it again"  # about a damaged summary.json
WITHOUT_DIVERGED = "delete it: what it says of replicas that left the finite numbers is lost, and nothing else"


class Table:
    """A CSV file whose columns are the union of its rows' keys, in order of appearance; a missing value is empty.

    Args:
        needs: columns that hold a number in every row, besides update and replica.
    """

    def __init__(self, path: Path, needs: Sequence[str] = ()):
        self.path, self.needs = path, tuple(needs)
        self.rows: list[dict[str, Any]] = []

    def add(self, row: Mapping[str, Any]) -> None:
        self.rows.append(dict(row))

    def save(self) -> None:
        """Replace the file by the rows so far."""
        columns = list(dict.fromkeys(name for row in self.rows for name in row))
        with atomic(self.path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)

    def resume(self, update: int, replicas: int | None = None) -> None:
        """Read the rows back as they were, up to and with `update`; what was logged after the checkpoint is logged again.

        Raises:
            RunError: the file is damaged, or tells of a replica that is none of so many; names the line.
        """
        if not self.path.exists():
            return
        columns, lines = read_table(self.path)
        if columns and (missing := [name for name in (*KEYS, *self.needs) if name not in columns]):
            raise damaged(self.path, 1, f"there is no column {missing[0]!r}")
        self.rows = []
        for line, row in lines:
            self._check(line, row, replicas)
            if row["update"] <= update:
                self.rows.append(row)

    def _check(self, line: int, row: Mapping[str, Any], replicas: int | None) -> None:
        for name in KEYS:
            if not isinstance(row[name], int) or row[name] < 0:
                raise damaged(self.path, line, f"{name} is {row[name]!r}, expected a whole number")
        if replicas is not None and row["replica"] >= replicas:
            raise damaged(self.path, line, f"replica is {row['replica']}, the run has 0 to {replicas - 1}")
        for name in self.needs:
            if row[name] == "":
                raise damaged(self.path, line, f"{name} is empty, expected a number")


def read_table(path: Path) -> tuple[list[str], list[tuple[int, dict[str, Any]]]]:
    """The columns of a table, and its rows with their line in the file: whole numbers, floats, and "" for an empty cell.

    Raises:
        RunError: it cannot be read, a line has too few or too many cells, or a cell is no number; names line and cell.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            cells = csv.reader(file)
            columns = next(cells, [])
            if len(set(columns)) < len(columns):
                raise damaged(path, 1, "two columns have one name")
            return columns, list(_rows(path, columns, cells))
    except (UnicodeDecodeError, csv.Error) as error:
        raise RunError(f"{path} is damaged: it is no table ({error}); {_ADVICE}") from error
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror}") from error


def _rows(path: Path, columns: Sequence[str], cells: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    for row in cells:
        if not row:  # an empty line
            continue
        if len(row) != len(columns):
            raise damaged(path, cells.line_num, f"{len(row)} cells, the header has {len(columns)}")
        yield (
            cells.line_num,
            {name: _value(path, cells.line_num, name, cell) for name, cell in zip(columns, row, strict=True)},
        )


def _value(path: Path, line: int, name: str, cell: str) -> Any:
    if cell == "" or _WHOLE.fullmatch(cell):
        return int(cell) if cell else ""
    try:
        return float(cell)
    except ValueError:
        raise damaged(path, line, f"{name} is {cell[:40]!r}, expected a number") from None


_ADVICE = "delete the file: its numbers are then missing from curves and tables, the checkpoints are not touched by it"


def damaged(path: Path, line: int, reason: str) -> RunError:
    """The error for one line of a table."""
    return RunError(f"{path}, line {line}: {reason}; mend or delete the line, or {_ADVICE}")
