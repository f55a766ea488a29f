"""What mini-batch estimators of the soft maximum come to: the V where the slope of each is zero on average over batches.

For x ~ N(0, 1) and z = k (x - v) with k = sigma / beta, the soft maximum is k / 2. All values are in units of sigma, so k is the only
parameter besides the batch size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
from scipy import integrate, optimize
from scipy.special import ndtr

from extremal.report.style import DASHES, INK, PALETTE, figure, ramp

LIMIT = 12.0  # standard deviations beyond which a normal has no mass that counts
NODES = np.polynomial.legendre.leggauss(400)


def exact(ratio: float) -> float:
    """log E exp(k x) / k = k / 2. A normaliser that does not depend on the batch at hand multiplies the average slope by a
    factor that is never zero, and so leaves this minimiser where it is.

    Source: [garg2023] Eq. (7). Symbols: k = ratio = sigma / beta.
    """
    return ratio / 2.0


def tangent(ratio: float, clip: float) -> float:
    """The loss that goes on as its tangent beyond `clip`: E exp(min(z, clip)) = 1, in closed form."""

    def slope(v: float) -> float:
        return _mean_exp(v, ratio, -np.inf, clip) + np.exp(clip) * ndtr(-clip / ratio - v) - 1.0

    return _root(slope, 0.0, exact(ratio) + 1e-9)


def clamped(ratio: float, clip: float) -> float:
    """The loss of min(z, clip), flat beyond it: E[exp(z) - 1; z < clip] = 0, in closed form.

    Clamped at both ends, z of a symmetric x would come to the exact value: the two dead zones balance.
    """

    def slope(v: float) -> float:
        return _mean_exp(v, ratio, -np.inf, clip) - ndtr(clip / ratio + v)

    return _root(slope, 0.0, exact(ratio) + 1e-9)


def batch_max(ratio: float, batch: int, *, low: float = -7.0, high: float = 7.0) -> float:
    """z clamped to [low, high], the loss divided by exp of the batch's largest z: where its average slope is zero.

    The slope of one sample is (exp(z) - 1) exp(-m) inside the clamp, with m = max(largest z, -1). Given this z, the other
    samples enter by their largest, whose distribution function is F^(batch - 1); so the average over batches is an
    integral over z and one over m, and nothing is sampled.

    Source: [garg2023] App. D.3. Symbols: low = -clip, high = clip.
    """

    def slope(v: float) -> float:
        centre = -ratio * v
        bottom, top = max(low, centre - LIMIT * ratio), min(high, centre + LIMIT * ratio)
        z = (top + bottom) / 2 + (top - bottom) / 2 * NODES[0]
        density = np.exp(-(((z - centre) / ratio) ** 2) / 2)
        m = np.linspace(-1.0, max(top, -0.5), 4001)
        below = np.exp(-m) * ndtr((m - centre) / ratio) ** (batch - 1)
        rest = integrate.cumulative_simpson(below[::-1], x=-m[::-1], initial=0.0)[::-1]
        scale = np.exp(-m[-1]) + np.interp(np.maximum(z, -1.0), m, rest)  # E exp(-m), by parts
        return float(np.sum(NODES[1] * density * np.expm1(z) * scale))

    return _root(slope, -2.0, exact(ratio) + 0.5)


def sampled_batch_max(
    ratio: float, batch: int, *, samples: int, seed: Sequence[int], low: float = -7.0, high: float = 7.0
) -> tuple[float, float]:
    """The same from `samples` draws in batches, and its standard error."""
    x = np.random.default_rng(seed).standard_normal((max(samples // batch, 2), batch))

    def slopes(v: float) -> np.ndarray:
        z = ratio * (x - v)
        inside = np.where((z > low) & (z < high), np.expm1(np.clip(z, low, high)), 0.0)
        return np.mean(inside, axis=1) * np.exp(-np.maximum(np.clip(z, low, high).max(axis=1), -1.0))

    found = _root(lambda v: float(slopes(v).mean()), -2.0, exact(ratio) + 0.5)
    steepness = (slopes(found + 0.01).mean() - slopes(found - 0.01).mean()) / 0.02
    return found, float(slopes(found).std(ddof=1) / np.sqrt(len(x)) / abs(steepness))


def _root(slope: Callable[[float], float], low: float, high: float) -> float:
    return float(cast(float, optimize.brentq(slope, low, high, xtol=1e-10)))


def _mean_exp(v: float, ratio: float, low: float, high: float) -> float:
    """E[exp(z); low < z < high] for z = ratio (x - v): the mass of the normal that the exponential tilts by `ratio`."""
    mass = ndtr(high / ratio + v - ratio) - ndtr(low / ratio + v - ratio)
    return float(np.exp(ratio**2 / 2 - ratio * v) * mass)


def compute(
    *,
    seed: int = 0,
    ratios: Sequence[float] = (1.0, 2.0, 4.0),
    batches: Sequence[int] = (8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096),
    shown_batches: Sequence[int] = (32, 256),
    clip: float = 7.0,
    tangent_clip: float = 8.0,
    samples: int = 200_000,
) -> dict[str, Any]:
    """Values against sigma / beta at two batch sizes, and against the batch size at three sigma / beta.

    Source: [garg2023] Eq. (11), App. D.3.
    """
    grid = np.linspace(0.1, 4.0, 40)
    marked = [1.0, 2.0, 3.0, 4.0]

    def checked(ratio: float, batch: int) -> dict[str, float]:
        value, error = sampled_batch_max(
            ratio, batch, samples=samples, seed=(seed, batch, round(1000 * ratio)), low=-clip, high=clip
        )
        return {"ratio": ratio, "batch": batch, "value": value, "error": error}

    return {
        "ratio": grid,
        "exact": [exact(k) for k in grid],
        "tangent": [tangent(k, tangent_clip) for k in grid],
        "clamped": [clamped(k, clip) for k in grid],
        "batch_max": {batch: [batch_max(k, batch, low=-clip, high=clip) for k in grid] for batch in shown_batches},
        "sampled": [checked(k, batch) for batch in shown_batches for k in marked],
        "clip": clip,
        "tangent_clip": tangent_clip,
        "by_batch": {
            "batch": list(batches),
            "ratios": list(ratios),
            "tangent": [tangent(k, tangent_clip) for k in ratios],
            "batch_max": [[batch_max(k, batch, low=-clip, high=clip) for batch in batches] for k in ratios],
            "sampled": [checked(k, batch) for k in ratios for batch in batches],
        },
    }


def draw(numbers: dict[str, Any]) -> Any:
    """Left: value against sigma / beta. Right: share of the exact value against the batch size."""
    drawn = figure(10.5, 4.3)
    left, right = drawn.subplots(1, 2)
    _against_ratio(left, numbers)
    _against_batch(right, numbers)
    return drawn


def _against_ratio(axes: Any, numbers: dict[str, Any]) -> None:
    ratio, clip = numbers["ratio"], f"{numbers['clip']:g}"
    axes.plot(ratio, numbers["exact"], color=INK, label="exact: no clip, no normaliser, or one of other rows")
    axes.plot(
        ratio,
        numbers["tangent"],
        color=PALETTE[0],
        linestyle=DASHES[1],
        label=f"tangent beyond {numbers['tangent_clip']:g} (default)",
    )
    axes.plot(
        ratio, numbers["clamped"], color=PALETTE[2], linestyle=DASHES[3], label=f"flat beyond {clip}, no normaliser"
    )
    for colour, (batch, values) in zip((PALETTE[5], PALETTE[1]), numbers["batch_max"].items(), strict=False):
        axes.plot(ratio, values, color=colour, label=f"batch maximum, clamp ±{clip}, batch {batch}")
        points = [point for point in numbers["sampled"] if point["batch"] == int(batch)]
        _points(axes, [p["ratio"] for p in points], points, 1.0, colour)
    axes.set(
        title="The soft maximum that is learned, x normal",
        xlabel="σ / β",
        ylabel="V / σ",
        xlim=(0, max(ratio) * 1.02),
        ylim=(0, None),
    )
    axes.legend(loc="upper left", fontsize=8.5)


def _against_batch(axes: Any, numbers: dict[str, Any]) -> None:
    told = numbers["by_batch"]
    batch = told["batch"]
    axes.axhline(1.0, color=INK)
    for ratio, colour, values, limit in zip(
        told["ratios"], ramp(len(told["ratios"])), told["batch_max"], told["tangent"], strict=True
    ):
        scale = exact(ratio)
        axes.plot(batch, [value / scale for value in values], color=colour, label=f"σ/β = {ratio:g}")
        axes.plot(batch, [limit / scale] * len(batch), color=colour, linestyle=DASHES[1], linewidth=1.1)
        points = [point for point in told["sampled"] if point["ratio"] == ratio]
        _points(axes, batch, points, scale, colour)
    axes.set_xscale("log", base=2)
    axes.set_xticks(batch[::2], [str(size) for size in batch[::2]])
    axes.minorticks_off()
    axes.set(
        title="Batch maximum (solid), tangent (dashed)",
        xlabel="batch size",
        ylabel="V / exact value",
    )
    axes.set_ylim(0.2, 1.05)
    axes.legend(loc="lower right")


def _points(axes: Any, x: Sequence[float], points: Sequence[dict[str, float]], scale: float, colour: str) -> None:
    """Sampled values with two standard errors: they check the lines, which are integrals."""
    axes.errorbar(
        x,
        [point["value"] / scale for point in points],
        yerr=[2 * point["error"] / scale for point in points],
        fmt="o",
        markersize=3.5,
        color=colour,
        elinewidth=1.0,
    )
