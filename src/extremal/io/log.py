"""Tables of a run: rows are kept in memory and the whole file is replaced, so it is never half-written."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from extremal.core.files import atomic


class Table:
    """A CSV file whose columns are the union of its rows' keys, in order of appearance; a missing value is empty."""

    def __init__(self, path: Path):
        self.path = path
        self.rows: list[dict[str, Any]] = []

    def add(self, row: Mapping[str, Any]) -> None:
        self.rows.append(dict(row))

    def save(self) -> None:
        """Replace the file by the rows so far."""
        columns = list(dict.fromkeys(name for row in self.rows for name in row))
        with atomic(self.path) as temporary, temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)

    def resume(self, update: int) -> None:
        """Read the rows back, up to and with `update`; what was logged after the checkpoint is logged again."""
        if self.path.exists():
            with self.path.open(newline="") as file:
                self.rows = [row for row in csv.DictReader(file) if int(row["update"]) <= update]
