"""Whether a group of moves are resets: they are far, they end in one place, or they lead where nothing else leads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from extremal.data.suspicions.jumps import sampled
from extremal.data.suspicions.moves import NEAR, Moves
from extremal.data.suspicions.pairs import OFTEN, Novelty

_REST = 50_000  # moves that a group is compared with
GROUP = 2_000  # moves that a spread is taken from


@dataclass(frozen=True)
class Evidence:
    """What tells a group of moves from all others."""

    count: int  # moves in the group
    far: float = 0.0  # share of the group beyond 95 % of all others
    rank: float = 0.5  # chance that one of the group is larger than another move, ties counted half
    spread: float = (
        1.0  # of where they lead in that of where they start, median over features; 1 where nothing is known
    )
    novelty: Novelty | None = None  # where observations recur, and it can be told; then nothing else counts

    @property
    def reset(self) -> bool:
        """Whether these are resets."""
        if self.novelty is not None:
            few = self.novelty.expected <= min(0.2, self.novelty.seen / 3.0)
            return self.novelty.seen >= 0.5 and few and self.novelty.chance <= 0.01
        far, rank = (0.6, 0.85) if self.count >= 20 else (0.8, 0.95)
        near = 0.4 if self.count >= 50 else 0.2 if self.count >= 20 else 0.05  # of a few, the spread is hardly known
        return (self.far >= far and self.rank >= rank) or self.spread <= near

    @property
    def ordinary(self) -> bool:
        """Whether these are moves like any other."""
        if self.novelty is not None:
            return self.novelty.seen <= 0.25
        return self.far < 0.3 and self.rank < 0.8 and self.spread > 0.6


def evidence(moves: Moves, rows: np.ndarray, often: int = OFTEN) -> Evidence:
    """Of the moves from `rows` [M] against all other moves, and the steps that lead to the successors of cut rows.

    Args:
        often: other moves that must start from an observation, before it is known where they lead (`Pairs.novelty`).
    """
    if moves.pairs is not None:
        return Evidence(len(rows), novelty=moves.pairs.novelty(rows, often))
    others = ~moves.joint
    others[rows] = False
    cut = moves.into_end[~moves.data.terminated[moves.data.starts[1:] - 1]]
    far, rank = standing(moves.size[rows], np.append(moves.size[others], cut))
    some = sampled(rows, GROUP)
    return Evidence(len(rows), far, rank, spread(moves.departure(some), moves.seen(some + 1)))


def standing(group: np.ndarray, others: np.ndarray) -> tuple[float, float]:
    """Share of `group` beyond 95 % of the `others`, and the chance that one of it is larger than one of them."""
    if not len(group) or len(others) < 3:
        return 0.0, 0.5
    others = np.sort(others[sampled(np.arange(len(others)), _REST)])
    below = np.searchsorted(others, group, "left") + np.searchsorted(others, group, "right")
    return float((group > np.quantile(others, 0.95)).mean()), float(below.mean() / (2 * len(others)))


def linked(moves: Moves, ends: np.ndarray) -> np.ndarray:
    """[M] bool: whether the row after each of these last rows sees the very successor of it."""
    episode = np.searchsorted(moves.data.starts, ends, side="right") - 1
    if moves.pairs is not None:
        after = moves.data.slot[ends + 1]
        return moves.pairs.code[after - 1] == moves.pairs.code[after]
    return moves.gap[episode] <= NEAR


def spread(before: np.ndarray, after: np.ndarray, least: int = 10) -> float:
    """Of states [M, C] after a move in that of the states before it, median over features; 1 for fewer than `least`."""
    old, new = _deviation(before), _deviation(after)
    moving = (old > 0.0) | (new > 0.0)
    if len(before) < least or not moving.any():
        return 1.0
    with np.errstate(divide="ignore"):
        return float(np.median(new[moving] / old[moving]))


def _deviation(state: np.ndarray) -> np.ndarray:
    """[C] median distance from the median."""
    return np.median(np.abs(state - np.median(state, axis=0)), axis=0)
