"""XQL's Fig. 2: the Gumbel density, the Gumbel loss, and Gumbel regression of a two-dimensional random variable."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from extremal.core.errors import require
from extremal.report.style import DASHES, INK, MUTED, figure, ramp


def density(x: np.ndarray, beta: float) -> np.ndarray:
    """exp(-(z + exp(-z))) / beta with z = x / beta: the Gumbel density of location 0 and scale beta.

    Source: [garg2023] Sec. 2.2. Symbols: beta > 0 in units of x.
    Differs from the paper: divided by beta, without which it does not integrate to one.
    """
    z = x / beta
    return np.exp(-(z + np.exp(-z))) / beta


def loss(error: np.ndarray, beta: float) -> np.ndarray:
    """exp(z) - z - 1 with z = error / beta.

    Source: [garg2023] Eq. (7).
    """
    z = error / beta
    return np.expm1(z) - z


def centre(x: np.ndarray) -> np.ndarray:
    """E[y | x] of the two-dimensional variable."""
    return np.sin(2.0 * x)


def reach(x: np.ndarray) -> np.ndarray:
    """How far y goes to either side of its mean."""
    return 0.6 + 0.35 * x**2 / (1.0 + 0.25 * x**2)


def soft_maximum(x: np.ndarray, beta: float) -> np.ndarray:
    """beta log E[exp(y / beta) | x] where y is uniform on centre +- reach: centre + beta log(sinh(r) / r), r = reach / beta."""
    r = reach(x) / beta
    return centre(x) + beta * (r + np.log(-np.expm1(-2.0 * r) / (2.0 * r)))


def sample(points: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """x [N, 1] uniform on (-2, 2), and y [N] given x uniform on centre +- reach."""
    random = np.random.default_rng(seed)
    x = random.uniform(-2.0, 2.0, points)
    return x[:, None], centre(x) + reach(x) * random.uniform(-1.0, 1.0, points)


def on_splines(regressor: str, x: np.ndarray, y: np.ndarray, grid: np.ndarray, *, knots: int, **parameter: Any) -> Any:
    """Predictions [G] at `grid` [G] of one of `extremal.regressors`, linear in splines of x [N, 1]."""
    pipeline = require("sklearn.pipeline", extra="sklearn", purpose="a regression")
    preprocessing = require("sklearn.preprocessing", extra="sklearn", purpose="a regression")
    regressors = importlib.import_module("extremal.regressors")  # late: scikit-learn and JAX are slow to load
    splines = preprocessing.SplineTransformer(n_knots=knots, include_bias=False)
    model = pipeline.make_pipeline(splines, getattr(regressors, regressor)(**parameter))
    return model.fit(x, y).predict(grid[:, None])


def compute(
    *,
    seed: int = 0,
    betas: Sequence[float] = (0.5, 1.0, 2.0),
    fitted_betas: Sequence[float] = (0.05, 0.2, 1.0),
    points: int = 4000,
    shown: int = 800,
    knots: int = 10,
) -> dict[str, Any]:
    """The three panels. The regression is linear in splines of x; beside it stand the exact soft maxima and both limits.

    Source: [garg2023] Eq. (7), Lemma 3.1.
    """
    x, y = sample(points, seed)
    grid = np.linspace(-1.95, 1.95, 157)
    fits = {}
    for beta in fitted_betas:
        fitted = on_splines("GumbelRegressor", x, y, grid, knots=knots, beta=beta)
        fits[beta] = {"fitted": fitted, "exact": soft_maximum(grid, beta)}
    wide, error = np.linspace(-4.0, 10.0, 281), np.linspace(-4.0, 3.0, 281)
    return {
        "pdf": {"x": wide, "density": {beta: density(wide, beta) for beta in betas}},
        "loss": {"error": error, "loss": {beta: loss(error, beta) for beta in betas}, "square": error**2 / 2.0},
        "points": {"x": x[:shown, 0], "y": y[:shown]},
        "regression": {"x": grid, "mean": centre(grid), "maximum": centre(grid) + reach(grid), "by_beta": fits},
    }


def draw(numbers: dict[str, Any]) -> Any:
    """Density, loss, and regression; the smaller beta, the nearer to the extrema."""
    drawn = figure(13.0, 4.2)
    left, middle, right = drawn.subplots(1, 3, width_ratios=(1.0, 1.0, 1.6))
    _families(left, numbers["pdf"]["x"], numbers["pdf"]["density"])
    left.set(title="Gumbel density, location 0", xlabel="x", ylabel="density", ylim=(0, None))
    told = numbers["loss"]
    _families(middle, told["error"], told["loss"])
    middle.plot(told["error"], told["square"], color=MUTED, linewidth=1.1, linestyle=DASHES[2], label="x² / 2")
    middle.set(title="Gumbel loss", xlabel="x = Q − V", ylabel="exp(x/β) − x/β − 1", ylim=(-0.2, 8.0))
    for axes in (left, middle):
        axes.legend()
    _regression(right, numbers)
    return drawn


def _families(axes: Any, x: Sequence[float], curves: dict[str, Sequence[float]]) -> None:
    for (beta, values), colour in zip(curves.items(), ramp(len(curves)), strict=True):
        axes.plot(x, values, color=colour, label=f"β = {float(beta):g}")


def _regression(axes: Any, numbers: dict[str, Any]) -> None:
    told, points = numbers["regression"], numbers["points"]
    axes.plot(points["x"], points["y"], ".", color=MUTED, alpha=0.4, markersize=3.5, markeredgewidth=0)
    _named(axes, told["x"], told["maximum"], "maximum: β → 0", color=INK, linewidth=1.0, linestyle=DASHES[1])
    for (beta, lines), colour in zip(told["by_beta"].items(), ramp(len(told["by_beta"])), strict=True):
        _named(axes, told["x"], lines["fitted"], f"β = {float(beta):g}", color=colour, linewidth=2.0)
        axes.plot(told["x"], lines["exact"], color=INK, linewidth=0.9, linestyle=DASHES[2])
    _named(axes, told["x"], told["mean"], "mean: β → ∞", color=INK, linewidth=1.0, linestyle=DASHES[3])
    axes.set(title="Gumbel regression, and exact values (dotted)", xlabel="x", ylabel="y")


def _named(axes: Any, x: Sequence[float], y: Sequence[float], name: str, **look: Any) -> None:
    """A curve with its name at its right end."""
    axes.plot(x, y, **look)
    axes.annotate(
        name, (x[-1], y[-1]), (5, 0), textcoords="offset points", va="center", color=look["color"], fontsize=8.5
    )
