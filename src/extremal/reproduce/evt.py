"""XQL's Theorem 1 and App. A.2.1 in numbers: how slowly maxima become Gumbel, and how a Gumbel error dies out.

The maximum of n draws has the distribution function F^n, so its moments and the best fits to it are integrals: the lines are
exact, and the points, which are sampled, check them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import integrate, optimize, special, stats

from extremal.report.style import DASHES, INK, MUTED, PALETTE, figure, ramp

SKEWNESS = float(12.0 * np.sqrt(6.0) * special.zeta(3.0, 1.0) / np.pi**3)  # of every Gumbel distribution: 1.1395
GUMBEL: Any = stats.gumbel_r  # scipy's distributions are typed too loosely to check
NORMAL: Any = stats.norm
SOURCES: dict[str, Any] = {"normal": NORMAL, "exponential": stats.expon}
EDGE = 1e-13  # mass of the maximum that is left out at either end


class Maximum(NamedTuple):
    """The density of the largest of n draws, on a grid."""

    x: np.ndarray
    density: np.ndarray

    @classmethod
    def of(cls, source: Any, n: float, points: int = 6001) -> Maximum:
        low, high = source.ppf(EDGE ** (1.0 / n)), source.isf(-np.expm1(np.log1p(-EDGE) / n))
        x = np.linspace(low, high, points)
        return cls(x, n * np.exp(source.logpdf(x) + (n - 1.0) * source.logcdf(x)))

    def mean(self, values: np.ndarray) -> float:
        """E values(x)."""
        mass = integrate.simpson(self.density, x=self.x)
        return float(integrate.simpson(self.density * values, x=self.x) / mass)

    def moments(self) -> tuple[float, float, float]:
        """Mean, deviation and skewness."""
        mean = self.mean(self.x)
        deviation = np.sqrt(self.mean((self.x - mean) ** 2))
        return mean, float(deviation), self.mean(((self.x - mean) / deviation) ** 3)

    def gumbel_advantage(self) -> float:
        """How much greater the mean log-likelihood of the best Gumbel distribution is than that of the best normal one.

        Given the scale s, the best location is -s log E exp(-x / s), and what is left depends on s alone.
        """
        mean, deviation, _ = self.moments()

        def surprise(log_scale: float) -> float:
            scale = np.exp(log_scale)
            return float(np.log(scale) + 1.0 + np.log(self.mean(np.exp(-(self.x - mean) / scale))))

        start = np.log(deviation * np.sqrt(6.0) / np.pi)
        best: Any = optimize.minimize_scalar(surprise, bounds=(start - 2.0, start + 2.0), method="bounded")
        return float(0.5 * np.log(2.0 * np.pi * np.e * deviation**2) - best.fun)


def sampled_advantage(source: Any, n: float, *, samples: int, seed: Sequence[int]) -> tuple[float, float]:
    """The same from draws of the maximum, and its standard error."""
    x = source.ppf(np.random.default_rng(seed).uniform(size=samples) ** (1.0 / n))
    ratio = GUMBEL.logpdf(x, *GUMBEL.fit(x)) - NORMAL.logpdf(x, *NORMAL.fit(x))
    return float(ratio.mean()), float(ratio.std(ddof=1) / np.sqrt(samples))


def backups(noise: np.ndarray, rewards: Sequence[np.ndarray], *, discount: float) -> tuple[list[float], list[float]]:
    """Spread of Z, and its standard error, after 0, 1, ... backups Z' = r + discount max Z up a binary tree.

    `noise` [samples, pairs] is Z at the leaves; each state is entered from one pair (s, a), so that the Z that are
    compared are independent. The spread is the deviation times sqrt(6) / pi: of a Gumbel distribution, its scale.

    Source: [garg2023] Eq. (25), (26).
    """
    z, spread, error = noise, [], []
    for reward in (None, *rewards):
        if reward is not None:
            z = reward + discount * z.reshape(len(z), -1, 2).max(axis=-1)
        residual = z - z.mean(axis=0)
        variance, fourth = float(np.mean(residual**2)), float(np.mean(residual**4))
        spread.append(float(np.sqrt(6.0 * variance) / np.pi))
        error.append(spread[-1] * float(np.sqrt((fourth / variance**2 - 1.0) / residual.size)) / 2.0)
    return spread, error


def _process(*, seed: int, depth: int, samples: int, discount: float) -> dict[str, Any]:
    """The spread of the errors up a tree, begun with Gumbel and with normal errors of one deviation."""
    random = np.random.default_rng((seed, 1))
    rewards = [random.uniform(size=2 ** (depth - level)) for level in range(1, depth + 1)]
    leaves = (samples, 2**depth)
    starts = {"Gumbel": random.gumbel(size=leaves), "normal": random.normal(0.0, np.pi / np.sqrt(6.0), size=leaves)}
    found = {name: backups(noise, rewards, discount=discount) for name, noise in starts.items()}
    return {
        "discount": discount,
        "backup": list(range(depth + 1)),
        "predicted": [discount**step for step in range(depth + 1)],
        "spread": {name: {"value": value, "error": error} for name, (value, error) in found.items()},
    }


def compute(
    *,
    seed: int = 0,
    sizes: Sequence[int] = (1, 2, 4, 10, 30, 100, 1_000, 10_000, 100_000, 1_000_000),
    shown: Sequence[int] = (2, 10, 1_000),
    samples: int = 20_000,
    depth: int = 9,
    discount: float = 0.9,
) -> dict[str, Any]:
    """Density, skewness and fit of the maximum of n draws, and the spread of errors in the Gumbel process.

    Source: [garg2023] Theorem 1, App. A.2.1.
    """
    standard = np.linspace(-3.0, 5.0, 321)
    scale = np.sqrt(6.0) / np.pi
    densities = {}
    for n in shown:
        maximum = Maximum.of(NORMAL, n)
        mean, deviation, _ = maximum.moments()
        x = mean + deviation * standard
        densities[n] = deviation * n * np.exp(NORMAL.logpdf(x) + (n - 1) * NORMAL.logcdf(x))
    sources = {}
    for code, (name, source) in enumerate(SOURCES.items()):
        maxima = [Maximum.of(source, n) for n in sizes]
        drawn = [sampled_advantage(source, n, samples=samples, seed=(seed, 0, code, n)) for n in sizes]
        sources[name] = {
            "skewness": [maximum.moments()[2] for maximum in maxima],
            "advantage": [maximum.gumbel_advantage() for maximum in maxima],
            "sampled": [value for value, _ in drawn],
            "error": [error for _, error in drawn],
        }
    return {
        "density": {
            "x": standard,
            "by_size": densities,
            "gumbel": GUMBEL.pdf(standard, -np.euler_gamma * scale, scale),
        },
        "size": list(sizes),
        "by_source": sources,
        "gumbel_skewness": SKEWNESS,
        "process": _process(seed=seed, depth=depth, samples=samples // 10, discount=discount),
    }


def draw(numbers: dict[str, Any]) -> Any:
    """Standardised densities, skewness, advantage of the Gumbel fit, and the decay of errors."""
    drawn = figure(10.5, 7.4)
    (densities, skewness), (advantage, process) = drawn.subplots(2, 2)
    _densities(densities, numbers["density"])
    _by_size(skewness, advantage, numbers)
    _decay(process, numbers["process"])
    return drawn


def _densities(axes: Any, told: dict[str, Any]) -> None:
    axes.plot(told["x"], told["gumbel"], color=INK, linestyle=DASHES[1], label="Gumbel, the limit")
    for (n, values), colour in zip(told["by_size"].items(), ramp(len(told["by_size"])), strict=True):
        axes.plot(told["x"], values, color=colour, label=f"largest of {int(n):,}")
    axes.set(title="Maxima of normals, standardised", xlabel="standard deviations from the mean", ylabel="density")
    axes.set_ylim(0, None)
    axes.legend()


def _by_size(skewness: Any, advantage: Any, numbers: dict[str, Any]) -> None:
    size = numbers["size"]
    skewness.axhline(numbers["gumbel_skewness"], color=INK, linestyle=DASHES[1], label="Gumbel: 1.14")
    advantage.axhline(0.0, color=INK, linewidth=1.0)
    for (name, told), colour in zip(numbers["by_source"].items(), PALETTE, strict=False):
        skewness.plot(size, told["skewness"], "o-", color=colour, markersize=4, label=f"maxima of {name} draws")
        advantage.plot(size, told["advantage"], color=colour, label=f"maxima of {name} draws")
        error = [2 * value for value in told["error"]]
        advantage.errorbar(size, told["sampled"], yerr=error, fmt="o", markersize=4, color=colour, elinewidth=1.0)
    for axes in (skewness, advantage):
        axes.set_xscale("log")
        axes.set_xlabel("n, draws of which the largest is taken")
        axes.legend(loc="lower right")
    skewness.set(title="Skewness goes to the Gumbel's, slowly", ylabel="skewness")
    advantage.set(title="Does a Gumbel fit better than a normal?", ylabel="log-likelihood per draw, Gumbel − normal")


def _decay(axes: Any, told: dict[str, Any]) -> None:
    axes.plot(told["backup"], told["predicted"], color=MUTED, label=f"β γᵗ, γ = {told['discount']:g}")
    for (name, spread), colour in zip(told["spread"].items(), (PALETTE[1], PALETTE[0]), strict=True):
        error = [2 * value for value in spread["error"]]
        label = f"{name} errors at the leaves"
        axes.errorbar(told["backup"], spread["value"], yerr=error, fmt="o", markersize=4, color=colour, label=label)
    axes.set_yscale("log")
    ticks = [1.0, 0.8, 0.6, 0.4, 0.3, 0.2]
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set(title="Errors die out with each backup", xlabel="t, backups", ylabel="deviation · √6 / π")
    axes.legend(loc="lower left")
