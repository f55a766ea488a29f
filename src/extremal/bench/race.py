"""Programs that take turns at the same job: a round of each, and again, so that a slow minute of the machine hits all."""

from __future__ import annotations

import contextlib
import dataclasses
import statistics
from collections.abc import Sequence
from typing import Any

from extremal.bench.contestant import Contestant, Round
from extremal.bench.job import Job
from extremal.core.errors import PeerError
from extremal.core.types import Follow

SECONDS = 5.0  # that a round is to take, where the number of updates is not given


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """Who takes part, with what, and how it is started."""

    name: str
    command: Sequence[str]
    job: Job
    own: bool = False  # the library itself


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """What one program did in each round, compilation and evaluation apart."""

    entry: Entry
    facts: dict[str, Any]  # versions, device, dtype, differs, first_call, peak_bytes
    updates: int  # a round, of each replica
    rounds: tuple[Round, ...]

    @property
    def rates(self) -> list[float]:
        """Updates/s of each round, of all replicas together."""
        return [self.entry.job.replicas * self.updates / taken.seconds for taken in self.rounds]

    @property
    def rate(self) -> float:
        return statistics.median(self.rates)

    @property
    def cores(self) -> float:
        """How many it kept busy, waiting threads that spin among them; fewer than it could where others took them."""
        return statistics.median(taken.processor_seconds / taken.seconds for taken in self.rounds)


def ratio(one: Result, other: Result) -> float:
    """How many times as fast `one` is: the median over the rounds."""
    return statistics.median(a / b for a, b in zip(one.rates, other.rates, strict=True))


class _Runner:
    """A contestant under way."""

    def __init__(self, entry: Entry, contestant: Contestant, updates: int | None):
        self.entry, self.contestant, self.rounds = entry, contestant, list[Round]()
        self.facts, call = contestant.start(entry.job), entry.job.call
        taken = contestant.run(call)  # the second call, by which all is compiled
        calls = SECONDS / taken.seconds if updates is None else updates / call
        self.updates = max(1, round(calls)) * call

    def turn(self) -> None:
        self.rounds.append(self.contestant.run(self.updates))

    @property
    def result(self) -> Result:
        return Result(entry=self.entry, facts=self.facts, updates=self.updates, rounds=tuple(self.rounds))


def race(
    entries: Sequence[Entry],
    *,
    rounds: int,
    updates: int | None = None,
    watch: Follow = lambda name, finished, total: None,
) -> tuple[list[Result], list[str]]:
    """Every entry's result, in order; and one text for each peer that could not go on, which is left out.

    Args:
        updates: of a round, to the nearest whole call; none: as many as take about five seconds.

    Raises:
        PeerError: the library itself could not go on.
    """
    failures: list[str] = []
    with contextlib.ExitStack() as stack:
        runners: list[_Runner] = []
        for number, entry in enumerate(entries):
            watch(f"{entry.name} compiles", number, len(entries))
            with _forgiven(entry, failures):
                one = Contestant(entry.name, entry.command, threads=entry.job.threads, own=entry.own)
                stack.callback(one.stop)
                runners.append(_Runner(entry, one, updates))
        for turn in range(rounds):
            first = turn % max(len(runners), 1)  # another one begins each round
            for runner in runners[first:] + runners[:first]:
                watch(runner.entry.name, turn, rounds)
                before = len(failures)
                with _forgiven(runner.entry, failures):
                    runner.turn()
                if len(failures) > before:
                    runners.remove(runner)
    return [runner.result for runner in runners], failures


@contextlib.contextmanager
def _forgiven(entry: Entry, failures: list[str]) -> Any:
    """A peer's failure is told and the others go on; the library's own is not."""
    try:
        yield
    except PeerError as error:
        if entry.own:
            raise
        failures.append(f"{entry.job.method}: {error}")
