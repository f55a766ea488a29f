"""The value of the KL ball from mean to maximum as its radius grows, and what the loss's tangent does to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.optimize import brentq

from extremal.report.style import DASHES, INK, PALETTE, figure, ramp
from extremal.tabular import operators

SMALLEST = 1e-7  # of beta, as a share of the range of Q: where the radius cannot be reached


def robust(q: np.ndarray, weights: np.ndarray, *, kappa: float, clip: float) -> tuple[float, float]:
    """What the loss with its tangent beyond `clip` comes to: (E[w Q], h + kappa beta), w = exp(min(z, clip)), z = (Q - h) / beta.

    E w = 1 holds at every beta for one h, and E w log w falls with beta: two nested searches. E[w Q] is the largest mean of a policy
    in the ball whose density ratio is at most exp(clip); h + kappa beta is what is read as V.

    Source: [ahmadi2012] Theorem 3.3, with exp replaced by its tangent beyond `clip`.
    """
    spread = float(np.ptp(q))
    ratio = lambda beta, h: np.exp(np.minimum((q - h) / beta, clip))  # noqa: E731

    def centre(beta: float) -> float:
        return _root(lambda h: weights @ ratio(beta, h) - 1.0, q.min() - beta * clip, q.max())

    def excess(log_beta: float) -> float:
        beta = np.exp(log_beta)
        w = ratio(beta, centre(beta))
        return float(weights @ (w * np.log(np.maximum(w, 1e-300)))) - kappa

    low, high = np.log(SMALLEST * spread), np.log(1e3 * spread)
    beta = float(np.exp(low if excess(low) < 0.0 else _root(excess, low, high)))
    h = centre(beta)
    return float((weights * ratio(beta, h)) @ q), h + kappa * beta


def _root(of: Any, low: float, high: float) -> float:
    return float(brentq(of, low, high, xtol=1e-13))  # type: ignore[arg-type]


def compute(
    *,
    seed: int = 0,
    clip: float = 3.0,
    kappa: float = 0.42,
    radii: Sequence[float] = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.42, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0),
    masses: Sequence[float] = (
        0.002,
        0.003,
        0.005,
        0.008,
        0.0085,
        0.009,
        0.0095,
        0.01,
        0.012,
        0.016,
        0.03,
        0.06,
        0.12,
        0.25,
    ),
    points: int = 401,
) -> dict[str, Any]:
    """The value over the radius, on supports from one good action in two to one in a hundred, and of a normal; the value at one
    radius over the mass of the one good action.

    Nothing in it is random, so `seed` changes nothing. Q is 0 and 1, or evenly spread; values are shares of the way from mean to
    maximum; those of the normal are in deviations.

    Source: [ahmadi2012] Definition 3.1, Theorem 3.3. Symbols: radii = kappa.
    """
    ball = lambda q, weights, radius: float(operators.kl_ball(q, weights, parameter=radius))  # noqa: E731
    few = {f"1 good action in {n}": (np.array([0.0, 1.0]), np.array([1 - 1 / n, 1 / n])) for n in (2, 5, 20, 100)}
    supports = {"evenly spread": (np.linspace(0.0, 1.0, points), np.full(points, 1.0 / points)), **few}

    def share(q: np.ndarray, weights: np.ndarray, radius: float) -> float:
        mean = float(weights @ q)
        return (ball(q, weights, radius) - mean) / (q.max() - mean)

    x = np.linspace(-8.0, 8.0, points)
    density = np.exp(-(x**2) / 2)
    normal = density / density.sum()
    clipped = np.array([robust(x, normal, kappa=radius, clip=clip) for radius in radii])
    rare = [(np.array([0.0, 1.0]), np.array([1.0 - p, p])) for p in masses]
    taken = np.array([robust(*two, kappa=kappa, clip=clip) for two in rare])
    return {
        "kappa": kappa,
        "clip": clip,
        "radius": list(radii),
        "share": {name: [share(q, weights, radius) for radius in radii] for name, (q, weights) in supports.items()},
        "normal": {
            "exact": [ball(x, normal, radius) for radius in radii],
            "attained": clipped[:, 0],
            "read": clipped[:, 1],
        },
        "mass": list(masses),
        "rare": {"exact": [ball(*two, kappa) for two in rare], "attained": taken[:, 0], "read": taken[:, 1]},
    }


def draw(numbers: dict[str, Any]) -> Any:
    """Left: from mean to maximum. Middle: a normal, with and without the tangent. Right: one good action of small mass."""
    drawn = figure(13.5, 4.2)
    left, middle, right = drawn.subplots(1, 3)
    radius, default = numbers["radius"], numbers["kappa"]
    for (name, values), colour in zip(numbers["share"].items(), ramp(len(numbers["share"])), strict=True):
        left.plot(radius, values, color=colour, label=name)
    left.axvline(default, color=INK, linestyle=DASHES[3], linewidth=1.0)
    left.set(
        xscale="log",
        ylim=(0, 1.03),
        xlabel="κ, nats",
        ylabel="(V − mean) / (maximum − mean)",
        title="From mean to maximum",
    )
    left.legend(fontsize=8.5)
    _three(middle, radius, numbers["normal"], numbers["clip"])
    middle.set(xlabel="κ, nats", ylabel="V, deviations above the mean", title="Q normal", ylim=(0, None))
    middle.axvline(default, color=INK, linestyle=DASHES[3], linewidth=1.0)
    _three(right, numbers["mass"], numbers["rare"], numbers["clip"])
    right.set(
        xscale="log",
        xlabel="mass of the one good action",
        ylabel="V; good: 1, others: 0",
        title=f"Rare good actions, κ = {default:g}",
    )
    right.set_ylim(0, None)
    return drawn


def _three(axes: Any, x: Sequence[float], values: dict[str, Sequence[float]], clip: float) -> None:
    axes.plot(x, values["exact"], color=INK, label="the ball's value")
    axes.plot(
        x, values["attained"], color=PALETTE[0], linestyle=DASHES[1], label=f"no density ratio above exp {clip:g}"
    )
    axes.plot(x, values["read"], color=PALETTE[1], label="h + κβ of the loss with its tangent")
    axes.legend(fontsize=8.5)
