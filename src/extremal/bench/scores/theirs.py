"""A peer's seed: trained in its own Python on the rows that the library's run learned from, and judged as that run is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from extremal.bench.contestant import Contestant
from extremal.bench.scores.cells import Cell
from extremal.bench.scores.judged import Judge, through
from extremal.bench.scores.options import Options
from extremal.core.errors import DivergedError
from extremal.io import config
from extremal.runs.plan import Plan

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
    program: str,
    command: Sequence[str],
    plan: Plan,
    rows: Path,
    seed: int,
    options: Options,
    *,
    watch: Callable[[int, dict[str, Any]], None],
) -> Cell:
    """The finished cell of one seed: its curve, and the last policy's episodes.

    Raises:
        PeerError: it cannot be started, raises or dies.
    """
    lesson = Lesson(
        method=plan.method,
        data=str(rows),
        seed=seed,
        updates=options.updates,
        settings=config.to_json(plan.settings),
    )
    judge, curve, seconds, failure = Judge(plan, options), list[dict[str, Any]](), 0.0, ""
    one = Contestant(program, command, threads=options.threads)
    last: dict[str, Any] | None = None
    try:
        facts = one.start(lesson)
        act, reached = through(plan, one.act), 0
        for update in options.points:
            seconds += _train(one, reached, update, watch)
            reached = update
            try:
                curve.append(judge.point(act, seed, update))
                if update == options.updates:
                    last = judge.point(act, seed, update, last=True)
            except DivergedError:
                failure = f"diverged: its actions were not finite after {update:,} updates"
                break
            watch(update, {"evaluation": curve[-1]["score"]})
    finally:
        one.stop()
    settings = facts.pop("settings", {})
    return {
        "method": plan.method,
        "program": program,
        "seed": seed,
        "curve": curve,
        "last": last,
        "seconds": seconds,
        "facts": facts,
        "settings": settings,
        "failure": failure,
    }


def _train(one: Contestant, reached: int, update: int, watch: Callable[[int, dict[str, Any]], None]) -> float:
    """Go on from `reached` to `update`; the seconds that it took."""
    seconds = 0.0
    while reached < update:
        step = min(SLICE, update - reached)
        taken = one.run(step).seconds
        reached, seconds = reached + step, seconds + taken
        watch(reached, {"updates_per_second": step / taken})
    return seconds
