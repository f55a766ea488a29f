"""What is compared, checked before anything is trained."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

from extremal.algorithms.registry import METHODS
from extremal.bench.peers import LEARNERS
from extremal.core.checked import admitted
from extremal.core.errors import ConfigError, nearest
from extremal.core.ranges import Count, Positive
from extremal.runs.plan import OPTIONS

COMPARED = ("iql", "td3bc", "bc", "cql", "awac")
ALONE = ("xql", "klxql", "onestep", "emaq", "brac")  # of which no peer has a form; published curves stand beside them
_RANGES: dict[str, Any] = {
    "updates": OPTIONS["updates"],
    "seeds": Count,
    "width": Count,
    "depth": Count,
    "batch": Count,
    "episodes": Count,
    "last_episodes": Count,
    "threads": Count,
    "evaluate_every": Count,
    "reward_range": Positive,
}
_OPEN = ("evaluate_every", "reward_range")  # may be none
_WHO = ("methods", "peers", "threads")  # who takes part, and on how many cores: changes no number of the others


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """What is compared; `extremal bench --help` says what each means."""

    dataset: str
    methods: Sequence[str] = COMPARED
    peers: Sequence[str] = tuple(LEARNERS)
    updates: int = 100_000
    seeds: int = 5
    width: int = 256
    depth: int = 2
    batch: int = 256
    evaluate_every: int | None = None
    episodes: int = 10
    last_episodes: int = 20
    reward_range: float | None = 1000.0
    environment: str | None = None
    threads: int = 1

    def __post_init__(self) -> None:
        for name in self.methods:
            if name not in (*COMPARED, *ALONE):
                raise nearest(name, (*COMPARED, *ALONE), kind="method of bench --scores")
        for name in self.peers:
            if name not in LEARNERS:
                raise nearest(name, LEARNERS, kind="peer of bench --scores")
        for name in ("methods", "peers"):
            if len(set(given := getattr(self, name))) < len(given):
                raise ConfigError(f"{name} {' '.join(given)}: name each once")
        if not self.methods:
            raise ConfigError(f"name a method at least: {', '.join((*COMPARED, *ALONE))}")
        for name, kind in _RANGES.items():
            if name not in _OPEN or getattr(self, name) is not None:
                object.__setattr__(self, name, admitted(name, getattr(self, name), kind))
        if self.threads > (there := len(os.sched_getaffinity(0))):
            raise ConfigError(f"threads is {self.threads}; this process may use {there} cores")

    @property
    def every(self) -> int:
        """Updates between two evaluations; a tenth of them all, unless given."""
        return max(self.updates // 10, 1) if self.evaluate_every is None else self.evaluate_every

    @property
    def points(self) -> list[int]:
        """Updates after which there is an evaluation; the last one always."""
        return [*range(self.every, self.updates, self.every), self.updates]

    def decisive(self) -> dict[str, Any]:
        """All that decides a number, as plain data: a folder goes on only with the same."""
        given = {name: value for name, value in dataclasses.asdict(self).items() if name not in _WHO}
        return given | {"evaluate_every": self.every}


def peers_of(method: str, options: Options) -> list[str]:
    """The peers asked for that have the method."""
    assert method in METHODS
    return [name for name in options.peers if method in LEARNERS[name].methods]
