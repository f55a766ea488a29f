"""The library's seeds: one run of `extremal train` on all rows, its curves from its evaluations, its last policies judged once more."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from extremal.bench.scores.cells import Cell, Cells
from extremal.bench.scores.judged import Judge, point
from extremal.bench.scores.options import Options
from extremal.bench.scores.settings import settings
from extremal.core.errors import DivergedError
from extremal.io import config
from extremal.runs.plan import Plan, read_plan, versions
from extremal.runs.run import Run, train
from extremal.runs.train import Watcher, read_diverged, tables

OWN = "extremal"


def learn(method: str, options: Options, cells: Cells, *, bar: Callable[[str, int], Watcher]) -> Plan:
    """Train all seeds, or go on with them, and write the cells that are not there yet; the plan that a peer follows, too.

    Raises:
        What `extremal.runs.run.train` raises, but for seeds that all diverge: their cells say so.
    """
    path, seeds = cells.run(method), range(options.seeds)
    if not all(cells.read(method, OWN, seed) for seed in seeds):
        with contextlib.suppress(DivergedError):  # of all: the cells say it
            train(
                settings(method, options),
                options.dataset,
                updates=options.updates,
                seeds=options.seeds,
                out=path,
                environment=options.environment,
                evaluate_every=options.every,
                episodes=options.episodes,
                holdout=0.0,
                resume=True,
                watch=bar(f"{method} {OWN}", options.updates),
            )
        for cell in _cells(method, path, options):
            cells.write(cell)
    return read_plan(path)


def _cells(method: str, path: Path, options: Options) -> Iterator[Cell]:
    """Of every seed, from what the run left; the last policies play their episodes now."""
    run, plan = Run(path), read_plan(path)
    diverged = {d.replica: f"diverged: {d.advice}" for d in read_diverged(path, options.seeds)}
    judge, (metrics, evaluations) = Judge(plan, options), tables(path)
    for table in (metrics, evaluations):
        table.resume(options.updates, options.seeds)
    for seed in range(options.seeds):
        returns: dict[int, list[float]] = {}
        for row in evaluations.rows:
            if row["replica"] == seed:
                returns.setdefault(row["update"], []).append(float(row["return"]))
        yield {
            "method": method,
            "program": OWN,
            "seed": seed,
            "curve": [point(update, np.array(each), judge.reference) for update, each in returns.items()],
            "last": None if seed in diverged else judge.point(run.policy(seed), seed, options.updates, last=True),
            "seconds": sum(row["seconds"] for row in metrics.rows if row["replica"] == seed) / options.seeds,
            "facts": {"versions": versions(), "differs": ""},
            "settings": config.to_json(plan.settings),
            "failure": diverged.get(seed, ""),
        }
