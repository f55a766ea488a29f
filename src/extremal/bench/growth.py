"""How the library's own speed goes with replicas, batch, width and rows: points of one axis take turns like programs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from extremal.bench.job import synthetic, write_rows
from extremal.bench.race import Entry, race
from extremal.core.errors import nearest
from extremal.core.types import Follow
from extremal.data.dataset import Dataset

if TYPE_CHECKING:
    from extremal.bench.measure import Options

GRID: dict[str, tuple[int, ...]] = {
    "replicas": (1, 2, 4, 8),
    "batch": (64, 256, 1024, 4096),
    "width": (64, 128, 256, 512, 1024),
    "rows": (10_000, 100_000, 1_000_000, 10_000_000),
}


def check(axes: Sequence[str]) -> None:
    """Refuse what does not grow.

    Raises:
        ConfigError: an unknown axis; says the nearest ones.
    """
    for axis in axes:
        if axis not in GRID:
            raise nearest(axis, GRID, kind="axis to grow along")


def along(
    axis: str, options: Options, command: Sequence[str], data: Dataset, rows: Path, *, watch: Follow
) -> dict[str, Any]:
    """Updates/s of the first method, of all replicas together, at each value of `axis`; the rest as the race has it.

    Along `rows` the data are random, of the sizes of `data`.
    """
    method, entries = options.methods[0], []
    for value in GRID[axis]:
        if axis == "rows":
            table = rows.with_name(f"rows-{value}.npz")
            write_rows(synthetic(value, data.spec.observation[0], data.spec.action[0]), table)
            job = options.job(method, table)
        else:
            job = options.job(method, rows, **{axis: value})
        entries.append(Entry(name=f"{axis} {value:,}", command=command, job=job, own=True))
    results, _ = race(entries, rounds=options.rounds, updates=options.updates, watch=watch)
    return {
        "axis": axis,
        "method": method,
        "device": results[0].facts["device"],
        "points": [
            {
                "value": value,
                "updates_per_second": result.rate,
                "rounds": result.rates,
                "peak_bytes": result.facts["peak_bytes"],
            }
            for value, result in zip(GRID[axis], results, strict=True)
        ],
    }
