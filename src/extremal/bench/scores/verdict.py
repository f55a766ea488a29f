"""What two programs' seeds say of each other: the difference of their means, its Welch intervals, and one word.

With d = mean(ours) - mean(theirs), in points of the normalised score, and its 90 % interval [low, high]:

    better                        low > 0
    worse                         high < 0 and low <= -10
    worse, by less than 10        high < 0 and low > -10
    too few to tell               low <= 0 <= high, and the interval is wider than 20
    no worse                      low <= 0 <= high, and low > -10
    overlap                       low <= 0 <= high otherwise: it may be worse by 10 points or more
    no verdict                    fewer than four seeds of either with a score, or a seed that diverged

Returns that no score is known of have no points: there the interval decides between better, worse and overlap alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

LEAST = 4  # seeds of each, below which nothing is said
MARGIN = 10.0  # points that count as a difference
WIDEST = 20.0  # points of the 90 % interval


class Welch(NamedTuple):
    """A difference of two means, and an interval of it."""

    difference: float
    low: float
    high: float
    freedom: float  # degrees of it, by Welch and Satterthwaite


def welch(ours: Sequence[float], theirs: Sequence[float], level: float) -> Welch:
    """The difference of two samples' means, at least two numbers each, and its interval; their variances need not be equal.

    >>> w = welch([1.0, 2.0, 3.0, 4.0], [0.0, 2.0, 4.0, 6.0], 0.9)
    >>> [round(x, 3) for x in w]
    [-0.5, -3.496, 2.496, 4.412]
    """
    from scipy.stats import t

    one, other = (np.asarray(sample, np.float64) for sample in (ours, theirs))
    difference = float(one.mean() - other.mean())
    parts = [sample.var(ddof=1) / len(sample) for sample in (one, other)]
    total = sum(parts)
    if total == 0.0:  # neither varies
        return Welch(difference, difference, difference, float("inf"))
    freedom = total**2 / sum(part**2 / (len(sample) - 1) for part, sample in zip(parts, (one, other), strict=True))
    half = float(t.ppf(0.5 + 0.5 * level, freedom) * np.sqrt(total))
    return Welch(difference, difference - half, difference + half, float(freedom))


def verdict(interval: Welch, *, points: bool = True) -> str:
    """The word for a 90 % interval; `points`: it is of normalised scores, so that the margin means something."""
    _, low, high, _ = interval
    if low > 0.0:
        return "better"
    if high < 0.0:
        return "worse, by less than 10" if points and low > -MARGIN else "worse"
    if not points:
        return "overlap"
    if high - low > WIDEST:
        return "too few to tell"
    return "no worse" if low > -MARGIN else "overlap"
