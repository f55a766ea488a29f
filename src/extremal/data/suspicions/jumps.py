"""Jumps inside episodes, against the 99 % quantile of all steps: they show ends that no flag tells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from extremal.data.dataset import Dataset

_SAMPLE = 200_000  # steps that a quantile is taken from


@dataclass(frozen=True, kw_only=True)
class Jumps:
    """How far observations move in one step, told in each feature's 99 % quantile inside episodes.

    A number is the second largest over the features, since a reset moves several at once (the only one, if there is one).
    Where the MDP ended nothing follows: such a row is no step, and its own number is 0.
    """

    inside: np.ndarray  # [N] from each row's observation to its next one
    boundary: np.ndarray  # [E - 1] from each episode's last observation to the first of the next episode
    far: np.ndarray  # [N] bool: more than four times the quantile and half a deviation


def jumps_of(dataset: Dataset) -> Jumps | None:
    """The jumps of `dataset`, observations [N + E, C]; None where nothing ever moves."""
    slot, going_on = dataset.slot, ~dataset.terminated
    last = dataset.starts[1:-1] - 1  # of all episodes but the last one
    leave, enter = slot[last] + going_on[last], slot[last + 1]
    steps = sampled(np.flatnonzero(going_on), _SAMPLE)
    inside, boundary, wide, moving = _Largest(dataset.rows), _Largest(len(last)), np.zeros(dataset.rows, np.int32), 0
    for column in dataset.observation.T if steps.size else ():
        value = column.astype(np.float64)
        step = np.abs(value[slot + 1] - value[slot])
        usual, spread = np.percentile(step[steps], 99), value[slot[steps]].std()
        if usual <= 1e-6 * spread or usual == 0.0:
            continue
        moving += 1
        inside.add(step / usual)
        boundary.add(np.abs(value[enter] - value[leave]) / usual)
        wide += step > 0.5 * spread
    if not moving:
        return None
    rank = min(2, moving)
    moved = np.where(going_on, inside.of(rank), 0.0)
    return Jumps(inside=moved, boundary=boundary.of(rank), far=(moved > 4.0) & (wide >= rank) & going_on)


def sampled(rows: np.ndarray, count: int) -> np.ndarray:
    """About `count` of `rows`, always the same ones; all of them where there are no more."""
    return rows if len(rows) <= count else rows[np.random.default_rng(0).integers(0, len(rows), count)]


class _Largest:
    """The two largest numbers of each row, over columns that come one by one."""

    def __init__(self, rows: int):
        self._first, self._second = np.zeros(rows), np.zeros(rows)

    def add(self, column: np.ndarray) -> None:
        np.maximum(self._second, np.minimum(self._first, column), out=self._second)
        np.maximum(self._first, column, out=self._first)

    def of(self, rank: int) -> np.ndarray:
        return self._first if rank == 1 else self._second
