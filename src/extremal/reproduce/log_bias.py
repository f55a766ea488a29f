"""The same estimators on Qs of other shapes than the normal: V where the average slope over batches drawn from one finite log is zero.

Each log holds as many Qs as it has rows, at the quantiles of its distribution, brought to mean 0 and deviation 1. The truth is the soft
maximum of the log itself, so that it is finite for every shape. Two losses may err in ways that cancel for one shape; not for all of these.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
from scipy import optimize
from scipy.special import logsumexp, ndtri, stdtr, stdtrit

from extremal.report.style import DASHES, INK, PALETTE, figure

FURTHEST = 10.0  # where Student's t is cut, in its own units: its soft maximum is infinite


def _normal(level: np.ndarray) -> np.ndarray:
    return ndtri(level)


def _left_skewed(level: np.ndarray) -> np.ndarray:
    return -np.exp(ndtri(1.0 - level))  # a negative lognormal


def _student(level: np.ndarray) -> np.ndarray:
    low, high = stdtr(3, -FURTHEST), stdtr(3, FURTHEST)
    return stdtrit(3, low + level * (high - low))


def _two_points(share: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda level: (level > 1.0 - share).astype(float)


SHAPES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "normal": _normal,
    "left-skewed": _left_skewed,
    "Student-t (3), cut": _student,
    "5 % are better": _two_points(0.05),
    "1 in 2,000 is better": _two_points(0.0005),
}


def log_of(shape: str, rows: int) -> np.ndarray:
    """[N] Qs of one state, ascending, of mean 0 and deviation 1."""
    x = SHAPES[shape]((np.arange(rows) + 0.5) / rows)
    return (x - x.mean()) / x.std()


def soft_maximum(x: np.ndarray, ratio: float) -> float:
    """log mean exp(k x) / k, k = `ratio` = sigma / beta.

    Source: [garg2023] Eq. (1). Symbols: k = sigma / beta.
    """
    return float(logsumexp(ratio * x) - np.log(len(x))) / ratio


def tangent(x: np.ndarray, ratio: float, clip: float) -> float:
    """Where mean exp(min(z, clip)) = 1, z = k (x - v): the loss that goes on as its tangent, with batches of any size."""

    def slope(v: float) -> float:
        return float(np.mean(np.exp(np.minimum(ratio * (x - v), clip)))) - 1.0

    return float(cast(float, optimize.brentq(slope, x[0] - 1.0, x[-1] + 1e-9, xtol=1e-10)))


def batch_max(x: np.ndarray, ratio: float, batch: int, clip: float) -> float:
    """z clamped to +-clip, the loss divided by exp of the batch's largest z: the V to which its average slope leads from the mean of x.

    There may be others: the slope is zero for a Q that lies beyond the clamp.

    Source: [garg2023] App. D.3. Symbols: x ascending; a batch is drawn from it with replacement.
    """
    largest = (np.arange(len(x) + 1) / len(x)) ** (
        batch - 1
    )  # chance that the other rows are all among the first so many

    def slope(v: float) -> float:
        z = ratio * (x - v)
        scale = np.exp(-np.maximum(np.clip(z, -clip, clip), -1.0))
        higher = np.diff(largest) * scale
        rest = np.cumsum(higher[::-1])[::-1] - higher
        inside = np.where(np.abs(z) < clip, np.expm1(np.clip(z, -clip, clip)), 0.0)
        return float(np.mean(inside * (scale * largest[1:] + rest)))

    step = (x[-1] - x[0]) / 400 if slope(0.0) > 0.0 else (x[0] - x[-1]) / 400
    v = 0.0
    while slope(v + step) * step > 0.0 and x[0] <= v <= x[-1]:
        v += step
    return float(cast(float, optimize.brentq(slope, v, v + step, xtol=1e-10)))


def compute(
    *,
    seed: int = 0,
    ratios: Sequence[float] = (1.0, 2.0, 4.0),
    clips: Sequence[float] = (5.0, 7.0, 8.0, 10.0),
    batches: Sequence[int] = (256, 1024),
    clip: float = 7.0,
    rows: int = 100_000,
) -> dict[str, Any]:
    """By shape: the truth in deviations above the mean, and each estimator's V in the same unit, at each sigma / beta.

    Args:
        clips: of the tangent.
        batches: of the batch maximum, whose clamp is `clip`.

    Source: [garg2023] Eq. (11), App. D.3.
    """
    found = {}
    for shape in SHAPES:
        x = log_of(shape, rows)
        found[shape] = {"truth": [soft_maximum(x, k) for k in ratios]}
        found[shape] |= {f"tangent beyond {c:g}": [tangent(x, k, c) for k in ratios] for c in clips}
        found[shape] |= {f"batch maximum of {size}": [batch_max(x, k, size, clip) for k in ratios] for size in batches}
    return {"ratios": list(ratios), "clip": clip, "rows": rows, "found": found}


def draw(numbers: dict[str, Any]) -> Any:
    """A panel for each shape: the share of the truth that each estimator comes to, against sigma / beta."""
    drawn = figure(10.5, 3.4)
    panels = drawn.subplots(1, len(numbers["found"]), sharey=True)
    for panel, (shape, values) in zip(panels, numbers["found"].items(), strict=True):
        panel.axhline(1.0, color=INK)
        for number, (name, each) in enumerate(values.items(), start=-1):
            if name != "truth":
                share = [v / truth for v, truth in zip(each, values["truth"], strict=True)]
                panel.plot(
                    numbers["ratios"], share, color=PALETTE[number], linestyle=DASHES[number], label=name, marker="o"
                )
        panel.set_xscale("log", base=2)
        panel.set_xticks(numbers["ratios"], [f"{k:g}" for k in numbers["ratios"]])
        panel.minorticks_off()
        panel.set(title=shape, xlabel="σ / β")
    panels[0].set_ylabel("V / truth")
    panels[0].legend(loc="lower left", fontsize=8)
    return drawn
