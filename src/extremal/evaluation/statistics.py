"""Numbers over seeds: the interquartile mean, bootstrap intervals, and a summary that admits what one seed cannot say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from extremal.core.errors import DataError


class Summary(NamedTuple):
    """What S seeds say of one number. `low` and `high` bound the mean; with one seed they are None."""

    mean: float
    iqm: float
    low: float | None
    high: float | None
    seeds: int

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.mean:.4g} (one seed: no interval)"
        return f"{self.mean:.4g} [{self.low:.4g}, {self.high:.4g}] over {self.seeds} seeds"


def summarise(per_seed: Any, *, level: float = 0.95, resamples: int = 2000, seed: int = 0) -> Summary:
    """Mean, interquartile mean, and the interval of the mean, in the units of `per_seed`.

    Args:
        per_seed: [S], or [S, K] for S seeds on each of K tasks.

    Raises:
        DataError: no seed, or a number that is not finite (a seed that diverged has no score: leave it out and say so).

    >>> print(summarise([0.9, 1.0, 0.8, 1.0]))
    0.925 [0.85, 1] over 4 seeds
    >>> print(summarise([0.9]))
    0.9 (one seed: no interval)
    """
    values = _seeds(per_seed)
    bounds = interval(values, level=level, resamples=resamples, seed=seed)
    low, high = bounds if bounds is not None else (None, None)
    return Summary(float(values.mean()), float(iqm(values, axis=None)), low, high, len(values))


def iqm(values: Any, axis: int | None = -1) -> np.ndarray:
    """Interquartile mean: the mean of the middle half along `axis` (None: of all values).

    Less is lost to chance than with the median, and one lucky or broken seed moves it less than it moves the mean.

    Source: [agarwal2021].
    Differs from the paper: a quarter is cut exactly, by weighing the values at the cut; its code cuts floor(n / 4) whole
    values, which with three seeds is none.

    >>> float(iqm([0.0, 1.0, 2.0, 9.0])), float(iqm([0.0, 3.0, 6.0]))
    (1.5, 3.0)
    """
    ordered = np.asarray(values, np.float64)
    ordered = np.sort(ordered.reshape(-1) if axis is None else np.moveaxis(ordered, axis, -1), axis=-1)
    count = ordered.shape[-1]
    inside = np.diff(np.clip(np.arange(count + 1), count / 4, 3 * count / 4))  # how much of each value lies within
    return ordered @ inside / (count / 2)


def interval(
    per_seed: Any,
    *,
    statistic: Callable[..., Any] = np.mean,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[float, float] | None:
    """Percentile bootstrap interval of `statistic(values, axis=...)` over seeds; None with one seed.

    With several tasks, `per_seed` [S, K], the seeds of each task are drawn on their own and the statistic is taken over
    all of them. The interval speaks of new seeds on the same data, not of new data; below about five seeds it is too
    narrow. The same input gives the same interval.

    Source: [agarwal2021].
    """
    values = _seeds(per_seed)
    if len(values) == 1:
        return None
    tasks = tuple(values.T) if values.ndim == 2 else (values,)
    together = lambda *drawn, axis: statistic(np.concatenate(drawn, axis=axis), axis=axis)  # noqa: E731
    low, high = _percentile(tasks, together, level, resamples, seed, axis=-1)
    return float(low), float(high)


def band(curves: Any, *, level: float = 0.95, resamples: int = 1000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Low and high [P] of the mean of `curves` [S, P] at each point; NaN where fewer than two seeds have a number."""
    curves = np.asarray(curves, np.float64)
    low, high = np.full(curves.shape[1], np.nan), np.full(curves.shape[1], np.nan)
    there, pattern = np.unique(np.isfinite(curves), axis=1, return_inverse=True)
    for number, seeds in enumerate(there.T):  # points that the same seeds reached are drawn together
        if seeds.sum() < 2:
            continue
        at = np.flatnonzero(pattern == number)
        low[at], high[at] = _percentile((curves[np.ix_(seeds, at)],), np.mean, level, resamples, seed, axis=0)
    return low, high


def grouped_interval(
    values: Any, group: Any, *, level: float = 0.95, resamples: int = 1000, seed: int = 0
) -> tuple[np.ndarray, np.ndarray] | None:
    """Low and high [...] of the mean over rows of `values` [N, ...]; None where all rows are of one group.

    A percentile bootstrap that draws whole groups `group` [N], such as the episodes that steps are of: the steps of an
    episode are alike, and resampled one by one they would promise too much. The same input gives the same interval.
    """
    rows = np.asarray(values, np.float64)
    names, member = np.unique(np.asarray(group), return_inverse=True)
    count = len(names)
    if count == 1:
        return None
    sums = np.zeros((count, rows[0].size))
    np.add.at(sums, member, rows.reshape(len(rows), -1))
    chosen = np.random.default_rng(seed).multinomial(count, np.full(count, 1.0 / count), size=resamples)
    means = chosen @ sums / (chosen @ np.bincount(member))[:, None]
    low, high = np.quantile(means, [0.5 - 0.5 * level, 0.5 + 0.5 * level], axis=0)
    return low.reshape(rows.shape[1:]), high.reshape(rows.shape[1:])


def grouped_error(values: Any, group: Any) -> float | None:
    """Standard error of the mean over rows of `values` [N], whose rows are alike within a `group` [N]; None with one group.

    Groups are what was drawn, so that the mean is a ratio of two sums over them, and its error that of the ratio.
    """
    rows = np.asarray(values, np.float64)
    names, member = np.unique(np.asarray(group), return_inverse=True)
    count = len(names)
    if count == 1:
        return None
    beyond = np.bincount(member, weights=rows - rows.mean())
    return float(np.sqrt(count / (count - 1) * np.sum(beyond**2)) / len(rows))


def _percentile(data: tuple, statistic: Callable[..., Any], level: float, resamples: int, seed: int, *, axis: int):
    from scipy.stats import bootstrap  # a second of import that training does not need

    result = bootstrap(
        data,
        statistic,
        axis=axis,
        confidence_level=level,
        n_resamples=resamples,
        method="percentile",
        vectorized=True,
        rng=np.random.default_rng(seed),
    )
    return result.confidence_interval


def _seeds(per_seed: Any) -> np.ndarray:
    values = np.asarray(per_seed, np.float64)
    if values.ndim not in (1, 2) or values.size == 0:
        raise DataError(f"has shape {values.shape}, expected [seeds] or [seeds, tasks]", field="per_seed")
    if (bad := np.flatnonzero(~np.isfinite(values.reshape(len(values), -1)).all(axis=1))).size:
        raise DataError("is not finite; leave out a seed that diverged, and say so", field="per_seed", row=int(bad[0]))
    return values
