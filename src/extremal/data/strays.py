"""Stray numbers: a few that stand alone, far from everything else, as -9999 for 'no reading' does; and a range without them."""

from __future__ import annotations

import numpy as np

ALONE = (
    20.0  # times as far from the median as the farthest of the others: one Student-t(3) column in 10^4 has such a gap
)
_FEW = 100  # one row in so many may be stray, unless the number is one that people write for 'missing'
_SAMPLE = 50_000
# Numbers that stand for 'missing' or 'overflow': 999, 9999, ...; 10^6 and on; the ends of integer types and of float32.
_CODES = np.array(
    [10.0**k - 1 for k in range(3, 10)]
    + [10.0**k for k in range(6, 39)]
    + [2.0**15 - 1, 2.0**15, 2.0**16 - 1, 2.0**31 - 1, 2.0**31, np.finfo(np.float32).max],
    np.float32,
)


def strays(values: np.ndarray, *, codes_only: bool = False) -> np.ndarray:
    """Rows of the column `values` [N] whose number is stray.

    A number that is a usual code for 'missing' needs a gap of half the range of all others; any other one, in at most one row of
    a hundred, has to lie 20 times as far from the median as the farthest of the rest. `codes_only` looks for the former alone.
    """
    values = np.asarray(values, np.float64)
    if len(values) < 10:
        return np.zeros(0, np.int64)
    kept = np.ones(len(values), bool)
    for _ in range(4):  # two codes at either end
        if not any(_drop_code(values, kept, extreme) for extreme in (values[kept].max(), values[kept].min())):
            break
    if not codes_only:
        _drop_alone(values, kept)
    return np.flatnonzero(~kept)


def usual_range(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Least and largest number of each column of `values` [N, A], strays left out."""
    low, high = values.min(axis=0), values.max(axis=0)
    for column in range(values.shape[1]):
        if (rows := strays(values[:, column])).size:
            kept = np.delete(values[:, column], rows)
            low[column], high[column] = kept.min(), kept.max()
    return low, high


def _drop_code(values: np.ndarray, kept: np.ndarray, extreme: float) -> bool:
    """Whether `extreme` is a code, and far from all other numbers; then its rows are no longer `kept`."""
    if np.float32(abs(extreme)) not in _CODES:
        return False
    others = kept & (values != extreme)
    if 2 * int(others.sum()) <= int(kept.sum()):
        return False
    low, high = values[others].min(), values[others].max()
    alone = min(abs(extreme - low), abs(extreme - high)) >= max(0.5 * (high - low), 1.0)
    if alone:
        kept &= others
    return bool(alone)


def _drop_alone(values: np.ndarray, kept: np.ndarray) -> None:
    """Rows beyond the first wide gap are no longer `kept`."""
    left = values[kept]
    sample = left[:: max(1, len(left) // _SAMPLE)]
    low, centre, high = np.quantile(sample, (0.05, 0.5, 0.95))
    width = max(high - centre, centre - low)
    if width == 0.0 or max(left.max() - centre, centre - left.min()) < ALONE * width:
        return
    few = max(1, len(left) // _FEW)
    distance = np.abs(values - centre)
    top = np.sort(np.partition(np.abs(left - centre), len(left) - few - 1)[-few - 1 :])
    gaps = np.flatnonzero((top[1:] >= ALONE * top[:-1]) & (top[:-1] >= width))
    if gaps.size:
        kept &= distance <= top[gaps[0]]
