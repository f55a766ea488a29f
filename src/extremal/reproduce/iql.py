"""IQL's Fig. 1: the asymmetric square, expectiles of a normal, and expectile regression of a two-dimensional variable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats

from extremal.report.style import DASHES, INK, MUTED, RULE, figure, ramp
from extremal.reproduce.xql import centre, on_splines, reach, sample
from extremal.tabular.operators import expectile


def loss(error: np.ndarray, level: float) -> np.ndarray:
    """|level - 1(error < 0)| error^2.

    Source: [kostrikov2021] Sec. 4.1. Symbols: level = tau, error = u.
    """
    return np.abs(level - (error < 0)) * error**2


def of_uniform(level: float) -> float:
    """The expectile of a variable that is uniform on (-1, 1): its two partial means are squares."""
    root = np.sqrt(level), np.sqrt(1.0 - level)
    return float((root[0] - root[1]) / (root[0] + root[1]))


def compute(
    *,
    seed: int = 0,
    levels: Sequence[float] = (0.5, 0.7, 0.9, 0.97),
    fitted_levels: Sequence[float] = (0.5, 0.9, 0.99),
    points: int = 4000,
    shown: int = 800,
    knots: int = 10,
) -> dict[str, Any]:
    """The three panels. The regression is linear in splines of x; beside it stand the exact expectiles and the maximum.

    Source: [kostrikov2021] Fig. 1, Sec. 4.1.
    Differs from the paper: it does not say which two-dimensional variable it shows; this one is uniform about a sine.
    """
    x, y = sample(points, seed)
    grid = np.linspace(-1.95, 1.95, 157)
    fits = {}
    for level in fitted_levels:
        fitted = on_splines("ExpectileRegressor", x, y, grid, knots=knots, expectile=level)
        exact = centre(grid) + reach(grid) * of_uniform(level)
        fits[level] = {"fitted": fitted, "exact": exact}
    error, wide, fine = np.linspace(-2.0, 2.0, 161), np.linspace(-3.5, 3.5, 281), np.linspace(-8.0, 8.0, 8001)
    return {
        "loss": {"error": error, "by_level": {level: loss(error, level) for level in levels}},
        "normal": {
            "x": wide,
            "density": stats.norm.pdf(wide),
            "expectiles": {level: float(expectile(fine, stats.norm.pdf(fine), parameter=level)) for level in levels},
        },
        "points": {"x": x[:shown, 0], "y": y[:shown]},
        "regression": {"x": grid, "maximum": centre(grid) + reach(grid), "by_level": fits},
    }


def draw(numbers: dict[str, Any]) -> Any:
    """Loss, expectiles of a normal, and regression; the nearer the level is to one, the nearer to the maximum."""
    drawn = figure(13.0, 4.2)
    left, middle, right = drawn.subplots(1, 3, width_ratios=(1.0, 1.0, 1.6))
    _loss(left, numbers["loss"])
    _normal(middle, numbers["normal"])
    _regression(right, numbers)
    return drawn


def _loss(axes: Any, told: dict[str, Any]) -> None:
    for (level, values), colour in zip(told["by_level"].items(), ramp(len(told["by_level"])), strict=True):
        axes.plot(told["error"], values, color=colour, label=f"τ = {float(level):g}")
    axes.set(title="Expectile loss", xlabel="u = x − m", ylabel="|τ − 1(u < 0)| u²", ylim=(0, None))
    axes.legend(loc="upper center")


def _normal(axes: Any, told: dict[str, Any]) -> None:
    x, density = np.asarray(told["x"]), np.asarray(told["density"])
    axes.plot(x, density, color=INK, linewidth=1.1)
    axes.fill_between(x, density, color=RULE, alpha=0.6, linewidth=0)
    expectiles = told["expectiles"]
    for number, ((level, at), colour) in enumerate(zip(expectiles.items(), ramp(len(expectiles)), strict=True)):
        height = 0.55 - 0.035 * number  # lower to the right: no label lies across a line
        axes.plot([at, at], [0.0, height], color=colour)
        label = f"τ = {float(level):g}: m = {at:.2f}"
        axes.annotate(label, (at, height), (5, -6), textcoords="offset points", color=colour, fontsize=8.5)
    axes.set(title="Expectiles of a normal", xlabel="x", ylabel="density", ylim=(0, 0.6))


def _regression(axes: Any, numbers: dict[str, Any]) -> None:
    told, points = numbers["regression"], numbers["points"]
    axes.plot(points["x"], points["y"], ".", color=MUTED, alpha=0.4, markersize=3.5, markeredgewidth=0)
    axes.plot(told["x"], told["maximum"], color=INK, linewidth=1.0, linestyle=DASHES[1])
    _name(axes, told["x"], told["maximum"], "maximum: τ → 1", INK)
    for (level, lines), colour in zip(told["by_level"].items(), ramp(len(told["by_level"])), strict=True):
        axes.plot(told["x"], lines["fitted"], color=colour, linewidth=2.0)
        axes.plot(told["x"], lines["exact"], color=INK, linewidth=0.9, linestyle=DASHES[2])
        _name(axes, told["x"], lines["fitted"], f"τ = {float(level):g}" + (": mean" if level == "0.5" else ""), colour)
    axes.set(title="Expectile regression, and exact values (dotted)", xlabel="x", ylabel="y")


def _name(axes: Any, x: Sequence[float], y: Sequence[float], name: str, colour: str) -> None:
    at = {"textcoords": "offset points", "va": "center", "color": colour, "fontsize": 8.5}
    axes.annotate(name, (x[-1], y[-1]), (5, 0), **at)
