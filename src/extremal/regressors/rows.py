"""Rows of a regression: weighted, standardised, and padded to few shapes, so that folds share one compiled program."""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np


class Rows(NamedTuple):
    """N rows, NumPy's until a fit puts them on the device; those added by padding repeat the first, with no weight."""

    x: Any  # [N, D]
    y: Any  # [N]
    weight: Any  # [N], sums to one

    def take(self, index: np.ndarray) -> Rows:
        """Some of the rows; their weights sum to one again."""
        weight = self.weight[index]
        return Rows(self.x[index], self.y[index], weight / weight.sum())

    def padded(self) -> Rows:
        """At most a sixteenth more rows from 1024 on; below, up to a multiple of 64."""
        more = padding(len(self.y))
        return Rows(
            np.concatenate([self.x, np.repeat(self.x[:1], more, axis=0)]),
            np.concatenate([self.y, np.repeat(self.y[:1], more)]),
            np.concatenate([self.weight, np.zeros(more)]),
        )


def padding(rows: int) -> int:
    """How many rows bring `rows` to a multiple of 64, or of the power of two that is a 16th to a 32nd of it."""
    return -rows % max(64, 2 ** (rows.bit_length() - 5))


class Scale(NamedTuple):
    """What standardises columns: (x - centre) / deviation."""

    centre: np.ndarray  # [...]
    deviation: np.ndarray  # [...], one where a column is constant

    @classmethod
    def of(cls, values: np.ndarray, weight: np.ndarray) -> Self:
        """Weighted mean and deviation over the first axis."""
        centre = values[0] + np.tensordot(weight, values - values[0], 1)  # of a constant column: exactly the constant
        away = values - centre
        peak = np.max(np.abs(away), axis=0)
        varies = peak > 8.0 * np.finfo(float).eps * np.max(np.abs(values), axis=0)  # what is less is rounding
        peak = np.where(varies, peak, 1.0)  # taken out before squaring: no overflow, and no underflow
        deviation = peak * np.sqrt(np.tensordot(weight, (away / peak) ** 2, 1))
        return cls(centre, np.where(varies & (deviation > 0.0), deviation, 1.0))

    def __call__(self, values: np.ndarray) -> np.ndarray:
        return (values - self.centre) / self.deviation
