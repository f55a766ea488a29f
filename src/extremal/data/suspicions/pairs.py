"""Logs in which observations recur: a move is a pair of numbered observations, and what matters is which pairs there are."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from extremal.data.dataset import Dataset
from extremal.data.suspicions.jumps import sampled

_COMMON = 20_000  # rows that tell whether observations recur
OFTEN = 8  # moves from an observation, from which on it is known where they lead


class Novelty(NamedTuple):
    """Of a group of moves that start from observations which other moves leave often."""

    seen: float  # share of them that lead where none of the other moves does
    expected: float  # the same, were the group like the others (Good and Turing: pairs that occur once among them)
    size: int  # how many they are

    @property
    def chance(self) -> float:
        """That at least so many would lead there, were the group like the others; 0 where there are many of them."""
        if self.size > 30:
            return 0.0
        least = round(self.seen * self.size)
        terms = (
            math.comb(self.size, k) * self.expected**k * (1.0 - self.expected) ** (self.size - k)
            for k in range(least, self.size + 1)
        )
        return sum(terms)


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Moves as numbers of pairs."""

    code: np.ndarray  # [N + E] number of each observation
    start: np.ndarray  # [N - 1] code that each move starts from
    pair: np.ndarray  # [N - 1] number of the pair of codes that each move starts from and leads to
    keys: np.ndarray  # [K] the pairs, in order: start times the number of codes, plus arrival
    real: np.ndarray  # [N - 1] bool: not from a successor to the row that sees just this

    def novelty(self, rows: np.ndarray, often: int = OFTEN) -> Novelty | None:
        """Of the moves from `rows`; None where too few of them start from where `often` others do."""
        return self._novelty(self.start[rows], self.pair[rows], rows[self.real[rows]], often)

    def novelty_of(self, start: np.ndarray, arrival: np.ndarray) -> Novelty | None:
        """Of moves between these codes, none of which is among those of the log."""
        key = start * self._codes + arrival
        place = np.minimum(np.searchsorted(self.keys, key), len(self.keys) - 1)
        return self._novelty(start, np.where(self.keys[place] == key, place, -1), np.zeros(0, int))

    @property
    def _codes(self) -> int:
        return int(self.code.max()) + 1

    def _novelty(self, start: np.ndarray, pair: np.ndarray, own: np.ndarray, often: int = OFTEN) -> Novelty | None:
        def count(value: np.ndarray, size: int) -> np.ndarray:
            return np.bincount(value[self.real], minlength=size) - np.bincount(value[own], minlength=size)

        left, each = count(self.start, self._codes), count(self.pair, len(self.keys))
        once = np.bincount(self.keys[each == 1] // self._codes, minlength=self._codes)
        known = left[start] >= often
        if known.sum() < max(3, 0.2 * len(start)):
            return None
        unseen = np.where(pair < 0, True, each[pair] == 0)[known]
        return Novelty(float(unseen.mean()), float(((once + 1.0) / (left + 2.0))[start[known]].mean()), len(unseen))


def pairs_of(data: Dataset, leave: np.ndarray) -> Pairs | None:
    """The pairs of a log whose moves start from the slots `leave` [N - 1]; None where observations hardly recur."""
    flat = data.observation.reshape(len(data.observation), -1)
    some = sampled(data.slot, _COMMON)
    if data.rows < 2 or len(np.unique(_digest(flat[some]))) > len(some) / 5:
        return None
    code = np.unique(_digest(flat), return_inverse=True)[1].astype(np.int64)
    start, arrival = code[leave], code[data.slot[1:]]
    keys, pair = np.unique(start * (code.max() + 1) + arrival, return_inverse=True)
    return Pairs(code=code, start=start, pair=pair, keys=keys, real=(leave == data.slot[:-1]) | (start != arrival))


def _digest(flat: np.ndarray) -> np.ndarray:
    """[rows] uint64, equal where rows are equal."""
    whole = (flat + np.zeros((), flat.dtype)).view(np.uint32 if flat.dtype.itemsize == 4 else np.uint64)  # -0 becomes 0
    factors = np.random.default_rng(0).integers(1, 2**63, whole.shape[1], np.uint64) * np.uint64(2) + np.uint64(1)
    digest = np.zeros(len(whole), np.uint64)
    for column, factor in zip(whole.T, factors, strict=True):
        digest += (column.astype(np.uint64) + np.uint64(1)) * factor
    return digest
