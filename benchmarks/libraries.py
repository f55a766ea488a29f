"""Updates/s of a method when each of the two libraries takes its matrix products, and the one that is chosen on this machine.

One replica, the method's defaults, random data of locomotion's size. Both take turns; the ratio is the median over the rounds.
YNNPACK, the compiler's own choice, is the state before there was a choice.

    python benchmarks/libraries.py --out libraries.json    wants an idle machine
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
from pathlib import Path
from typing import Any

from methods import Engine

from engine import ROWS, seconds
from extremal import METHODS, Dataset
from extremal.bench.job import call_size, synthetic
from extremal.core.files import write_json
from extremal.engine.products import LIBRARIES, fastest_library
from extremal.runs.plan import versions


def measure(dataset: Dataset, method: str, settings: Any, rounds: int, updates: int | None) -> dict[str, Any]:
    """Updates/s by each library, and how many times YNNPACK's Eigen's is."""
    width, batch = settings.width, settings.batch_size
    count = updates or call_size(method, width=width, batch=batch)
    programs = {library: Engine(dataset, settings, count, library) for library in LIBRARIES}
    taken: dict[str, list[float]] = {library: [] for library in LIBRARIES}
    for _ in range(rounds):
        for library, program in programs.items():
            taken[library].append(seconds(program.turn))
    ratios = (a / b for a, b in zip(taken["ynnpack"], taken["eigen"], strict=True))
    rates = {library: count / statistics.median(times) for library, times in taken.items()}
    chosen = fastest_library(settings.algorithm(dataset.spec, updates=count), 1)
    return {
        "method": method,
        "width": width,
        "batch": batch,
        **rates,
        "ratio": statistics.median(ratios),
        "chosen": chosen,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--methods", nargs="+", default=["xql", "iql", "td3bc", "sac", "bc", "cql"])
    parser.add_argument("--widths", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--updates", type=int, help="of a turn; default: about a second")
    parser.add_argument("--out", type=Path, help="also write the numbers to this JSON file")
    given = parser.parse_args()
    dataset = synthetic(ROWS)
    cases = [
        (method, dataclasses.replace(METHODS[method].default, width=width, batch_size=given.batch))
        for method in given.methods
        for width in given.widths
    ]
    # Before anything keeps the cores busy: on a busy machine there is no choice.
    chosen = [fastest_library(settings.algorithm(dataset.spec, updates=ROWS), 1) for _, settings in cases]
    rows = []
    print("method    width    ynnpack      eigen   eigen / ynnpack   chosen")
    for (method, settings), library in zip(cases, chosen, strict=True):
        row = measure(dataset, method, settings, given.rounds, given.updates) | {"chosen": library}
        numbers = f"{row['ynnpack']:11.1f}{row['eigen']:11.1f}{row['ratio']:15.2f} x"
        print(f"{method:8s}{settings.width:7d}{numbers}   {library}", flush=True)
        rows.append(row)
    if given.out is not None:
        write_json(given.out, {"versions": versions(), "rounds": given.rounds, "rows": rows})


if __name__ == "__main__":
    main()
