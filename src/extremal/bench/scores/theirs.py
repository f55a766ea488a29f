"""A peer's seed: trained in its own Python on the rows that the library's run learned from, and judged as that run is."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from extremal.bench.contestant import Contestant
from extremal.bench.scores.cells import Cell
from extremal.bench.scores.judged import Judge, through
from extremal.bench.scores.options import Options
from extremal.core.errors import DivergedError
from extremal.io import config
from extremal.runs.plan import Plan
from extremal.runs.train import Watcher

SLICE = 250  # updates at most between two signs of life


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lesson:
    """What a peer's learner is told; it travels as JSON, like a `Job`."""

    method: str
    data: str  # path of what `write_prepared` wrote
    seed: int
    updates: int  # in all, for schedules
    settings: dict[str, Any]  # the library's, by its names
    threads: int | None = None  # cores that the process is kept to: all
    call: int = 0  # updates before the first evaluation is asked for


def learn(
    program: str, command: Sequence[str], plan: Plan, rows: Path, seed: int, options: Options, *, watch: Watcher
) -> Cell:
    """The finished cell of one seed: its curve, and the last policy's episodes.

    Raises:
        PeerError: it cannot be started, raises or dies.
    """
    given = config.to_json(plan.settings)
    lesson = Lesson(method=plan.method, data=str(rows), seed=seed, updates=options.updates, settings=given)
    cell: Cell = {"method": plan.method, "program": program, "seed": seed}
    cell |= {"curve": [], "last": None, "seconds": 0.0, "failure": ""}
    one = Contestant(program, command, threads=options.threads)
    try:
        facts = one.start(lesson)
        cell |= {"settings": facts.pop("settings"), "facts": facts}
        _curve(one, cell, plan, options, watch)
    finally:
        one.stop()
    return cell


def _curve(one: Contestant, cell: Cell, plan: Plan, options: Options, watch: Watcher) -> None:
    """Train and judge in turn; where actions are no numbers any more, the cell says so, and that is its end."""
    judge, act, reached = Judge(plan, options), through(plan, one.act), 0
    for update in options.points:
        cell["seconds"] += _train(one, reached, update, watch)
        reached = update
        try:
            cell["curve"].append(judge.point(act, cell["seed"], update))
            if update == options.updates:
                cell["last"] = judge.point(act, cell["seed"], update, last=True)
        except DivergedError:
            cell["failure"] = f"diverged: its actions were not finite after {update:,} updates"
            return
        watch(update, {"evaluation": cell["curve"][-1]["score"]})


def _train(one: Contestant, reached: int, update: int, watch: Watcher) -> float:
    """Go on from `reached` to `update`; the seconds that it took."""
    seconds = 0.0
    while reached < update:
        step = min(SLICE, update - reached)
        taken = one.run(step).seconds
        reached, seconds = reached + step, seconds + taken
        watch(reached, {"updates_per_second": step / taken})
    return seconds
