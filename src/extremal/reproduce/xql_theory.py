"""XQL's App. B as a picture: how far a soft maximum may be above the mean, and how often an estimate of it is too high."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from extremal.report.style import DASHES, INK, MUTED, PALETTE, figure, ramp
from extremal.tabular.gumbel import overestimation, overestimation_bound, partition_margin
from extremal.tabular.operators import log_mean_exp

RARE = 0.05  # the share of the larger of two points
Law = tuple[Callable[[np.random.Generator, tuple[int, int]], np.ndarray], Callable[[float], float]]

# On [-1, 1]: how a sample is drawn, and E exp(x X).
LAWS: dict[str, Law] = {
    "two points": (lambda random, size: random.choice([-1.0, 1.0], size), np.cosh),
    "uniform": (lambda random, size: random.uniform(-1.0, 1.0, size), lambda x: np.sinh(x) / x),
    f"two points, {RARE:.0%} high": (
        lambda random, size: np.where(random.random(size) < RARE, 1.0, -1.0),
        lambda x: RARE * np.exp(x) + (1.0 - RARE) * np.exp(-x),
    ),
}


def compute(
    *,
    seed: int = 0,
    laws: int = 400,
    samples: Sequence[int] = (20, 200),
    repeats: int = 20_000,
    ratio: float = 2.0,
) -> dict[str, Any]:
    """Lemma B.1: the gap to the mean of random laws on [-1, 1], the largest, and the two bounds, against Q_max / beta.

    Lemma B.2 at X_max / beta = `ratio`: how often mean exp(X / beta) is beyond its bound, against the promised delta.

    Source: [garg2023] Lemma B.1, Lemma B.2. Symbols: ratio = X_max / beta, samples = N.
    """
    random = np.random.default_rng(seed)
    x = np.geomspace(0.1, 100.0, 61)
    delta = np.geomspace(1e-3, 0.5, 25)
    return {
        "ratio": x,
        "largest": [overestimation(1.0, beta=1.0 / k) for k in x],
        "corrected": [overestimation_bound(1.0, beta=1.0 / k) for k in x],
        "printed": [overestimation_bound(1.0, beta=1.0 / k) / 2.0 for k in x],
        "laws": _random_laws(random, laws, float(x[0]), float(x[-1])),
        "delta": delta,
        "at": ratio,
        "repeats": repeats,
        "beyond": {
            name: {str(n): _beyond(random, law, n, ratio, delta, repeats) for n in samples}
            for name, law in LAWS.items()
        },
    }


def _random_laws(random: np.random.Generator, count: int, low: float, high: float) -> dict[str, np.ndarray]:
    """Laws of two to six values with both ends of [-1, 1] among them, and beta log E exp(Q / beta) - E Q of each."""
    ratios = np.exp(random.uniform(np.log(low), np.log(high), count))
    gaps = []
    for ratio in ratios:
        size = int(random.integers(2, 7))
        q = np.concatenate([[-1.0, 1.0], random.uniform(-1.0, 1.0, size - 2)])
        weights = random.dirichlet(np.full(size, 0.5)) + 1e-12
        gaps.append(float(log_mean_exp(q, weights, parameter=1.0 / ratio)) - float(weights @ q / weights.sum()))
    return {"ratio": ratios, "gap": np.array(gaps)}


def _beyond(
    random: np.random.Generator, law: Law, samples: int, ratio: float, delta: np.ndarray, repeats: int
) -> list[float]:
    """The share of samples whose partition estimate exceeds the partition function by more than the margin."""
    draw, partition = law
    excess = np.exp(ratio * draw(random, (repeats, samples))).mean(-1) - partition(ratio)
    margins = [partition_margin(1.0, beta=1.0 / ratio, samples=samples, delta=float(d)) for d in delta]
    return [float((excess > margin).mean()) for margin in margins]


def draw(numbers: dict[str, Any]) -> Any:
    """Left: the gap over Q_max against Q_max / beta. Right: how often the bound is passed, against how often it may be."""
    drawn = figure(10.8, 4.4)
    left, right = drawn.subplots(1, 2)
    _gap(left, numbers)
    _coverage(right, numbers)
    return drawn


def _gap(axes: Any, numbers: dict[str, Any]) -> None:
    x = numbers["ratio"]
    axes.fill_between(x, numbers["printed"], numbers["largest"], color=PALETTE[1], alpha=0.13, linewidth=0)
    axes.plot(
        numbers["laws"]["ratio"], numbers["laws"]["gap"], ".", color=MUTED, markersize=3, label="random laws of Q"
    )
    axes.plot(x, numbers["corrected"], color=INK, linestyle=DASHES[1], label="2β log cosh(Qmax/β): corrected")
    axes.plot(x, numbers["largest"], color=PALETTE[0], label="the largest gap there is: two points")
    axes.plot(x, numbers["printed"], color=PALETTE[1], linestyle=DASHES[3], label="β log cosh(Qmax/β): as printed")
    axes.set_xscale("log")
    axes.set(
        title="Lemma B.1: soft maximum over mean",
        xlabel="Qmax / β",
        ylabel="(V - E Q) / Qmax",
        xlim=(x[0], x[-1]),
        ylim=(0, 2.8),
        yticks=(0.0, 0.5, 1.0, 1.5, 2.0),
    )
    axes.legend(loc="upper left", fontsize=8.5)


def _coverage(axes: Any, numbers: dict[str, Any]) -> None:
    delta = numbers["delta"]
    axes.plot(delta, delta, color=INK, label="as often as it may be")
    for (name, by_samples), colour in zip(numbers["beyond"].items(), ramp(len(numbers["beyond"])), strict=True):
        for (samples, beyond), dash in zip(by_samples.items(), DASHES, strict=False):
            seen = [(d, share) for d, share in zip(delta, beyond, strict=True) if share > 0]
            axes.plot(
                *zip(*seen, strict=True),
                ".",
                color=colour,
                linestyle=dash,
                linewidth=1.0,
                label=f"{name}, N = {samples}",
            )
    axes.set(xscale="log", yscale="log")
    axes.set(
        title=f"Lemma B.2: how often the bound is passed, Xmax / β = {numbers['at']:g}",
        xlabel="δ: how often it may be passed",
        ylabel=f"share of {numbers['repeats']:,} samples",
        xlim=(delta[0], delta[-1]),
        ylim=(0.7 / numbers["repeats"], 3.0),
    )
    axes.legend(loc="upper left", fontsize=8.5)
