"""Stored successors beside the rows that follow: are they the same observation, within the precision of the stored numbers?

Logs keep numbers with few decimals, at half precision, or as another program printed them, and often one of two columns only.
So two numbers are the same where they differ by no more than the last place in which the coarser column is written, feature by
feature, and never more strictly than float32 tells them apart.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from extremal.data.finding import Finding

GROSS = 4.0  # a mismatch is gross beyond so many times the 99 % quantile of the steps in a feature
COMMON = 0.05  # or where more than this share of rows miss by more than a usual step
LOOKED_AT = 20_000  # numbers of a column, at most, from which its last place is read
EXACT = 4.0 * float(np.finfo(np.float32).eps)  # relative


class Mismatch(NamedTuple):
    """Rows whose successor is another observation than that of the row after them."""

    rows: np.ndarray  # [M]
    largest: float
    feature: int  # in which the largest stands
    gross: bool  # no matter of precision or noise: a reset, missing rows, or no order at all

    def finding(self) -> Finding:
        """For a log whose labels or flags say that the episode goes on."""
        return Finding(
            level="error" if self.gross else "warning",
            code="successor-mismatch",
            says=f"'next_observation' of {len(self.rows)} rows is not the observation of the row after it, by up to {self.largest:.3g} "
            f"in feature {self.feature}, though labels or flags say that the episode goes on; the row after it is taken",
            advice="set 'truncated' where an episode ends; mend the order of time; for rows in no order leave out labels and "
            "'truncated': each then is an episode of its own",
            rows=tuple(self.rows.tolist()),
        )


def mismatch(seen: np.ndarray, follow: np.ndarray, last: np.ndarray) -> Mismatch | None:
    """Rows within an episode whose successor is not the next row's observation; none: there are none.

    Args:
        seen: [N, *O] observations. follow: [N, *O] their successors. last: [N] bool, an episode ends after this row.
    """
    x, y = (value.reshape(len(value), -1) for value in (seen, follow))
    unlike = np.flatnonzero((x[1:] != y[:-1]).any(axis=1) & ~last[:-1])
    if not unlike.size:
        return None
    after, stored = x[unlike + 1].astype(np.float64), y[unlike].astype(np.float64)
    apart, rough = np.abs(after - stored), EXACT * np.maximum(np.abs(after), np.abs(stored)).max(axis=0)
    beyond = apart > rough
    for feature in np.flatnonzero(beyond.any(axis=0)):
        fine, coarse = sorted((last_place(x[:, feature]), last_place(y[~last, feature])))
        if fine < coarse:  # else both were written alike, and the same number would look the same
            beyond[:, feature] &= apart[:, feature] > 1.001 * (coarse + fine) + rough[feature]
    if not beyond.any():
        return None
    worst, inner = np.where(beyond, apart, 0.0), _some(np.flatnonzero(~last))
    return Mismatch(
        rows=unlike[beyond.any(axis=1)],
        largest=float(worst.max()),
        feature=int(worst.max(axis=0).argmax()),
        gross=_gross(worst, np.abs(y[inner].astype(np.float64) - x[inner]), after.std(axis=0), int((~last).sum())),
    )


def last_place(value: np.ndarray) -> float:
    """The unit of the last place in which the numbers of a feature [N] are written; 0 where that is as fine as float32.

    Of decimals, up to the seventh; of significant digits, up to the seventh; or of half precision.
    """
    value = _some(value).astype(np.float64)
    value = value[value != 0.0]
    if not value.size:
        return 0.0
    single = bool((value.astype(np.float32) == value).all())  # noise of its last bits, beside the decimals
    near, largest = EXACT if single else 1e-9, float(np.abs(value).max())
    half = _half(value, largest) if single else 0.0  # half of a large number looks like one decimal, or like none
    for decimals in range(8):
        if near * largest * 10.0**decimals > 0.1:
            break
        if _whole(value * 10.0**decimals, near):
            return max(10.0**-decimals, half)
    if half:
        return half
    place = np.floor(np.log10(np.abs(value)))
    for digits in range(3, 6 if single else 8):
        if _whole(value * 10.0 ** (digits - 1 - place), near):
            return float(10.0 ** (np.floor(np.log10(largest)) + 1 - digits))
    return 0.0


def _half(value: np.ndarray, largest: float) -> float:
    """The unit in which half precision writes the `largest` of these numbers; 0 where it does not hold them all."""
    if largest > np.finfo(np.float16).max or (value.astype(np.float16).astype(np.float64) != value).any():
        return 0.0
    return float(np.spacing(np.float16(largest)))


def _whole(scaled: np.ndarray, near: float) -> bool:
    return bool((np.abs(scaled - np.round(scaled)) <= near * np.maximum(np.abs(scaled), 1.0)).all())


def _some(value: np.ndarray) -> np.ndarray:
    """At most `LOOKED_AT` of the rows or so, evenly spread."""
    return value[:: max(len(value) // LOOKED_AT, 1)]


def _gross(worst: np.ndarray, steps: np.ndarray, deviation: np.ndarray, inner: int) -> bool:
    """Whether some mismatch is far beyond a step, or of `inner` rows many miss by as much as one."""
    far = (worst > GROSS * np.percentile(steps, 99, axis=0)) & (worst > 0.01 * deviation)
    size = lambda x: np.linalg.norm(x / np.where(deviation > 0.0, deviation, 1.0), axis=1)  # noqa: E731
    return bool(far.any() or (size(worst) > np.median(size(steps))).sum() > COMMON * inner)
