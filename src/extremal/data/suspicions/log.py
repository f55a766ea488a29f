"""A dataset as the rules of the check look at it: on the host, with what several of them need worked out once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from extremal.data.dataset import Dataset
from extremal.data.finding import Finding
from extremal.data.suspicions.jumps import Jumps, jumps_of
from extremal.data.suspicions.moves import Moves, moves_of

_ARRAYS = ("observation", "action", "reward", "terminated", "truncated", "starts", "slot")


@dataclass(frozen=True)
class Log:
    """Dataset on the host. Every figure of observations is of `state`: what a row saw, never the padding after an end."""

    data: Dataset

    @classmethod
    def of(cls, data: Dataset) -> Log:
        """The log of a dataset on host or device."""
        return cls(data.replace(**{name: np.asarray(getattr(data, name)) for name in _ARRAYS}))

    @cached_property
    def state(self) -> np.ndarray:
        """[N, *O] observation of each row."""
        return self.data.observation[self.data.slot]

    @cached_property
    def constant(self) -> list[int]:
        """Observation features that never change; none where observations are no vectors."""
        return constant_columns(self.state) if self.state.ndim == 2 else []

    @cached_property
    def duplicated(self) -> list[list[int]]:
        """Groups of observation features that are equal in every row, constant ones left out."""
        groups: dict[int, list[int]] = {}
        for index in sorted(set(range(self.state.shape[1])) - set(self.constant)):
            groups.setdefault(hash(self.state[:, index].tobytes()), []).append(index)
        return [group for group in groups.values() if len(group) > 1]

    @cached_property
    def one_hot(self) -> bool:
        """Whether each row sees a single 1 among three or more entries, and 0 elsewhere: a number, no place."""
        flat = self.state.reshape(self.data.rows, -1)
        return flat.shape[1] > 2 and bool(((flat != 0.0).sum(axis=1) == 1).all() and (flat.max(axis=1) == 1.0).all())

    @cached_property
    def last(self) -> np.ndarray:
        """[E] last row of each episode."""
        return self.data.starts[1:] - 1

    @cached_property
    def usual_reward(self) -> float:
        """The most frequent reward."""
        values, counts = np.unique(self.data.reward, return_counts=True)
        return float(values[counts.argmax()])

    @cached_property
    def jumps(self) -> Jumps | None:
        """None where observations are not vectors: pixels move everywhere at once."""
        return jumps_of(self.data) if self.data.observation.ndim == 2 else None

    @cached_property
    def moves(self) -> Moves:
        """The rows as one sequence in time."""
        return moves_of(self.data)


Rule = Callable[[Log], Iterator[Finding]]


def constant_columns(value: np.ndarray) -> list[int]:
    """Columns of `value` [N, C] that never change."""
    return np.flatnonzero(value.min(axis=0) == value.max(axis=0)).tolist()


def first_rows(rows: np.ndarray) -> tuple[int, ...]:
    """The first five, as plain numbers."""
    return tuple(rows[:5].tolist())


def listed(numbers: list[int]) -> str:
    """Numbers for a sentence, ten at most."""
    return ", ".join(map(str, numbers[:10])) + (f" and {len(numbers) - 10} more" if len(numbers) > 10 else "")
