"""The operator atlas: eight answers to "how good is the best supported action", each at its own parameter, on one axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from extremal.report.style import DASHES, INK, MUTED, PALETTE, figure
from extremal.tabular import operators

# Of each operator with a parameter: how it is written; its place t in (0, 1), in words and turned round; the values to mark.
_SCALES: dict[str, tuple[str, str, Callable[[float, float], float], tuple[float, ...]]] = {
    "quantile": ("quantile, level", "t = level", lambda t, spread: t, (0.3, 0.5, 0.7, 0.9, 0.99)),
    "expectile": ("expectile, τ", "t = 2τ − 1", lambda t, spread: (1.0 + t) / 2.0, (0.5, 0.7, 0.9, 0.95, 0.99, 0.999)),
    "log_mean_exp": (
        "log-mean-exp, β",
        "t = σ / (σ + β)",
        lambda t, spread: spread * (1.0 - t) / t,
        (10.0, 2.0, 1.0, 0.5, 0.2, 0.05),
    ),
    "kl_ball": (
        "KL ball, κ",
        "t = 1 − exp(−κ)",
        lambda t, spread: -np.log1p(-t),
        (0.0, 0.05, 0.2, 0.42, 1.0, 2.0, 3.0),
    ),
    "expected_maximum": (
        "expected maximum, N",
        "t = 1 − 1/N",
        lambda t, spread: 1.0 / (1.0 - t),
        (1, 2, 3, 5, 10, 30, 100),
    ),
    "soft_expected_maximum": (
        "soft expected maximum, N",
        "t = 1 − 1/N",
        lambda t, spread: 1.0 / (1.0 - t),
        (1, 2, 3, 5, 10, 100),
    ),
}


def compute(
    *,
    seed: int = 0,
    q: Sequence[float] = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0),
    weights: Sequence[float] = (0.30, 0.25, 0.20, 0.13, 0.08, 0.04),
    inverse_temperature: float = 1.0,
    places: int = 120,
) -> dict[str, Any]:
    """Every operator on one support, over its parameter rescaled to t in (0, 1), and at values of the parameter itself.

    Nothing in it is random, so `seed` changes nothing. The limit of the soft expected maximum for ever larger N is the
    Boltzmann mean E_mu[exp(alpha q) q] / E_mu exp(alpha q), which is below the maximum.

    Source: [ghasemipour2021] Eq. (5), App. J; [kostrikov2021] Sec. 4.1, 4.4; [garg2023] Eq. (1).
    """
    values, mu = np.asarray(q, np.float64), np.asarray(weights, np.float64)
    spread = float(np.sqrt((mu * (values - mu @ values) ** 2).sum()))
    t = (np.arange(places) + 0.5) / places

    def at(name: str, parameter: float) -> float:
        more = {"inverse_temperature": inverse_temperature} if name == "soft_expected_maximum" else {}
        return float(getattr(operators, name)(values, mu, parameter=parameter, **more))

    tilted = mu * np.exp(inverse_temperature * values)
    return {
        "q": values,
        "weights": mu,
        "spread": spread,
        "inverse_temperature": inverse_temperature,
        "mean": float(operators.mean(values, mu)),
        "maximum": float(operators.maximum(values, mu)),
        "boltzmann": float(tilted @ values / tilted.sum()),
        "place": t,
        "curves": {name: [at(name, scale(s, spread)) for s in t] for name, (_, _, scale, _) in _SCALES.items()},
        "marks": {
            name: {"parameter": marked, "value": [at(name, parameter) for parameter in marked]}
            for name, (_, _, _, marked) in _SCALES.items()
        },
    }


def draw(numbers: dict[str, Any]) -> Any:
    """Left: value against the rescaled parameter. Right: one scale of each operator, in its own parameter, and the legend."""
    drawn = figure(11.5, 4.9)
    left, right = drawn.subplots(1, 2, width_ratios=(1.0, 1.15))
    _curves(left, numbers)
    _scales(right, numbers)
    support = ", ".join(f"{q:g} ({weight:.0%})" for q, weight in zip(numbers["q"], numbers["weights"], strict=True))
    drawn.supxlabel(f"q of the actions, and their shares: {support}", fontsize=9, color=MUTED)
    return drawn


def _curves(axes: Any, numbers: dict[str, Any]) -> None:
    for (name, values), colour, dash in zip(numbers["curves"].items(), PALETTE, DASHES, strict=True):
        step = "steps-mid" if name == "quantile" else "default"
        axes.plot(numbers["place"], values, color=colour, linestyle=dash, drawstyle=step)
    for name, side in (("maximum", 0.02), ("mean", 0.98)):
        axes.axhline(numbers[name], color=INK, linewidth=1.0)
        place = {"ha": "left" if side < 0.5 else "right", "va": "bottom"}
        axes.text(side, numbers[name] + 0.03, name, fontsize=9, **place)
    axes.set(title="Value against the parameter, rescaled", xlabel="t", ylabel="value", xlim=(0, 1))
    axes.set_ylim(min(numbers["q"]) - 0.1, numbers["maximum"] + 0.35)


def _scales(axes: Any, numbers: dict[str, Any]) -> None:
    rows = list(numbers["marks"])[::-1]
    top = len(rows) - 0.45
    for name in ("mean", "maximum"):
        axes.plot([numbers[name]] * 2, [-0.6, top], color=INK, linewidth=1.0)
        axes.text(numbers[name], top + 0.05, name, ha="center", fontsize=9)
    looks = dict(zip(numbers["curves"], zip(PALETTE, DASHES, strict=True), strict=True))
    for row, name in enumerate(rows):
        marks, (colour, dash) = numbers["marks"][name], looks[name]
        axes.plot(marks["value"], [row] * len(marks["value"]), linestyle=dash, color=colour)
        axes.plot(marks["value"], [row] * len(marks["value"]), "o", color=colour, markersize=5)
        _label(axes, row, marks["value"], marks["parameter"])
    _limit(axes, rows.index("soft_expected_maximum"), numbers)
    axes.set_yticks(range(len(rows)), [f"{_SCALES[name][0]}\n{_SCALES[name][1]}" for name in rows])
    for tick, name in zip(axes.get_yticklabels(), rows, strict=True):
        tick.set_color(looks[name][0])
    axes.set(title="Where values of the parameter itself lie", xlabel="value", ylim=(-0.6, len(rows) - 0.1))
    axes.grid(False)


def _limit(axes: Any, row: int, numbers: dict[str, Any]) -> None:
    """Where the soft expected maximum ends: it never comes to the maximum."""
    at, alpha = numbers["boltzmann"], numbers["inverse_temperature"]
    axes.plot([at], [row], "|", color=INK, markersize=14, markeredgewidth=1.4)
    text = f"N → ∞: the Boltzmann mean, α = {alpha:g}"
    axes.annotate(text, (at, row), xytext=(4, -17), textcoords="offset points", ha="right", fontsize=8)


def _label(axes: Any, row: int, values: Sequence[float], parameters: Sequence[float]) -> None:
    """Each parameter above its mark, or below where its neighbour's is too near."""
    low, high = -np.inf, -np.inf
    for value, parameter in zip(values, parameters, strict=True):
        above = value - high > 0.28
        if above:
            high = value
        elif value - low <= 0.28:
            continue
        else:
            low = value
        axes.annotate(
            f"{parameter:g}",
            (value, row),
            xytext=(0, 6 if above else -14),
            textcoords="offset points",
            ha="center",
            fontsize=8,
            bbox={"facecolor": "#ffffff", "edgecolor": "none", "pad": 0.6},
        )
