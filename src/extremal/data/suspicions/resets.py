"""Whether a group of moves are resets: they are far, they end in one place, or they lead where nothing else leads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from extremal.data.suspicions.jumps import sampled
from extremal.data.suspicions.moves import NEAR, Moves

_REST = 50_000  # moves that a group is compared with
GROUP = 2_000  # moves that a spread is taken from


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What tells a group of moves from all others."""

    far: float  # share of the group beyond 95 % of all others
    rank: float  # chance that one of the group is larger than another move, ties counted half
    spread: float  # of where they lead in that of where they start, median over features; 1 where nothing is known
    novel: float | None  # share that leads where no other move from there does; None where that cannot be told

    @property
    def reset(self) -> bool:
        """Whether these are resets."""
        if self.novel is not None:
            return self.novel >= 0.5
        return (self.far >= 0.6 and self.rank >= 0.85) or self.spread <= 0.4

    @property
    def ordinary(self) -> bool:
        """Whether these are moves like any other."""
        if self.novel is not None:
            return self.novel <= 0.25
        return self.far < 0.3 and self.rank < 0.8 and self.spread > 0.6


def evidence(moves: Moves, rows: np.ndarray) -> Evidence:
    """Of the moves from `rows` [M] against all other moves; where observations recur, only kinds of moves count."""
    if moves.start is not None and moves.kind is not None:
        return Evidence(far=0.0, rank=0.5, spread=1.0, novel=_novel(moves, moves.start, moves.kind, rows))
    others = ~moves.joint
    others[rows] = False
    far, rank = standing(moves.size[rows], moves.size[others])
    some = sampled(rows, GROUP)
    return Evidence(far=far, rank=rank, spread=spread(moves.departure(some), moves.seen(some + 1)), novel=None)


def standing(group: np.ndarray, others: np.ndarray) -> tuple[float, float]:
    """Share of `group` beyond 95 % of the `others`, and the chance that one of it is larger than one of them."""
    if not len(group) or not len(others):
        return 0.0, 0.5
    others = np.sort(others[sampled(np.arange(len(others)), _REST)])
    below = np.searchsorted(others, group, "left") + np.searchsorted(others, group, "right")
    return float((group > np.quantile(others, 0.95)).mean()), float(below.mean() / (2 * len(others)))


def linked(moves: Moves, ends: np.ndarray) -> np.ndarray:
    """[M] bool: whether the row after each of these last rows sees the very successor of it."""
    episode = np.searchsorted(moves.data.starts, ends, side="right") - 1
    if moves.code is not None:
        after = moves.data.slot[ends + 1]
        return moves.code[after - 1] == moves.code[after]
    return moves.gap[episode] <= NEAR


def _novel(moves: Moves, start: np.ndarray, kind: np.ndarray, rows: np.ndarray) -> float | None:
    """Share of the moves from `rows` of which no other move is of the kind, where other moves start there at all."""
    real, own = ~moves.joint, rows[~moves.joint[rows]]

    def elsewhere(value: np.ndarray) -> np.ndarray:
        size = int(value.max()) + 1
        return (np.bincount(value[real], minlength=size) - np.bincount(value[own], minlength=size))[value[rows]]

    known = elsewhere(start) >= 3
    if known.sum() < max(3, 0.2 * len(rows)):
        return None
    return float((elsewhere(kind)[known] == 0).mean())


def spread(before: np.ndarray, after: np.ndarray) -> float:
    """Of states [M, C] after a move in that of the states before it, median over features; 1 where they are few."""
    old, new = _deviation(before), _deviation(after)
    moving = (old > 0.0) | (new > 0.0)
    if len(before) < 10 or not moving.any():
        return 1.0
    with np.errstate(divide="ignore"):
        return float(np.median(new[moving] / old[moving]))


def _deviation(state: np.ndarray) -> np.ndarray:
    """[C] median distance from the median."""
    return np.median(np.abs(state - np.median(state, axis=0)), axis=0)
