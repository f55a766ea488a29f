"""EMaQ's Delta(s, N): how many draws the best action needs, and what its bounds say of the loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from extremal.report.style import DASHES, INK, MUTED, PALETTE, RULE, figure, ramp
from extremal.tabular import policies
from extremal.tabular.mazes import STITCHING, maze
from extremal.tabular.operators import expected_maximum, maximum
from extremal.tabular.solvers import Solution, value_iteration
from extremal.tabular.support import best_of_draws_gap, emaq_bounds


def behaviours(best: Solution, chance: float) -> np.ndarray:
    """[S, A]: the best actions with probability `chance` together, all others with the rest."""
    right = policies.maximum(best.q, np.ones_like(best.q)) > 0
    wrong = ~right
    others = np.maximum(wrong.sum(-1, keepdims=True), 1)
    mixed = chance * right / right.sum(-1, keepdims=True) + (1.0 - chance) * wrong / others
    return mixed / mixed.sum(-1, keepdims=True)  # where every action is best, nothing is left for others


def compute(
    *,
    seed: int = 0,
    chances: Sequence[float] = (0.5, 0.2, 0.05, 0.01),
    samples: Sequence[int] = (1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377),
    shown_chance: float = 0.05,
    shown_samples: int = 5,
    slip: float = 0.2,
    discount: float = 0.9,
) -> dict[str, Any]:
    """Two rooms and a door, with data that takes the best action more or less often; exact, so nothing in it is random.

    Left: Delta over its value at N = 1, in the state where it is largest. Middle: Delta by state. Right: what is lost,
    and its bounds.

    Source: [ghasemipour2021] Theorem 3.5, Sec. 3.3.
    """
    drawn = maze(STITCHING, slip=slip, discount=discount)
    best = value_iteration(drawn.mdp, maximum)

    def gaps(chance: float, count: float) -> np.ndarray:
        return best_of_draws_gap(best.q, behaviours(best, chance), samples=count)

    data = drawn.mdp.replace(behaviour=behaviours(best, shown_chance))
    lost, bounds = [], {name: [] for name in ("optimum, (8)", "optimum, (9)", "own, (8)", "own, (9)")}
    for count in samples:
        found = value_iteration(data, expected_maximum, parameter=count)
        lost.append(float(np.abs(found.q - best.q).max()))
        for name, q in (("optimum", best.q), ("own", found.q)):
            for number, bound in zip((8, 9), emaq_bounds(data, q, samples=count), strict=True):
                bounds[f"{name}, ({number})"].append(bound)
    hardest = int(np.argmax(np.where(drawn.mdp.terminal, 0.0, gaps(shown_chance, shown_samples))))
    return {
        "samples": list(samples),
        "left": {
            chance: [float(gaps(chance, count)[hardest] / gaps(chance, 1)[hardest]) for count in samples]
            for chance in chances
        },
        "map": {
            "text": drawn.text.strip().splitlines(),
            "cells": drawn.cells,
            "terminal": drawn.mdp.terminal,
            "starts": drawn.starts,
            "hardest": hardest,
            "gap": gaps(shown_chance, shown_samples),
        },
        "shown_chance": shown_chance,
        "shown_samples": shown_samples,
        "lost": lost,
        "bounds": bounds,
        "largest": float(best.q.max()),
    }


def draw(numbers: dict[str, Any]) -> Any:
    """Delta against N, Delta on the map, and the loss under its bounds."""
    drawn = figure(13.0, 4.1)
    left, middle, right = drawn.subplots(1, 3, width_ratios=(1.0, 1.1, 1.15))
    _curves(left, numbers)
    _map(drawn, middle, numbers)
    _bounds(right, numbers)
    return drawn


def _curves(axes: Any, numbers: dict[str, Any]) -> None:
    told, samples = numbers["left"], np.array(numbers["samples"])
    for (chance, values), colour in zip(told.items(), ramp(len(told)), strict=True):
        axes.plot(samples, values, color=colour, label=f"p = {float(chance):.0%}")
        axes.plot(samples, (1.0 - float(chance)) ** (samples - 1.0), color=INK, linewidth=0.9, linestyle=DASHES[2])
    axes.plot([], [], color=INK, linewidth=0.9, linestyle=DASHES[2], label="bound: (1 − p)ᴺ⁻¹")
    axes.set_xscale("log")
    axes.set(
        title="Δ(s, N) / Δ(s, 1), in the ringed state",
        xlabel="N, samples",
        ylabel="share of the gap that is left",
        ylim=(0, 1.02),
    )
    axes.legend(fontsize=8.5, title="best action", title_fontsize=8.5)


def _map(drawn: Any, axes: Any, numbers: dict[str, Any]) -> None:
    told = numbers["map"]
    shown = np.full((len(told["text"]), len(told["text"][0])), np.nan)
    gap = np.where(told["terminal"], np.nan, told["gap"])
    shown[tuple(np.asarray(told["cells"]).T)] = gap
    image = axes.imshow(np.ma.masked_invalid(shown), cmap="viridis", vmin=0.0)
    for state, (y, x) in enumerate(told["cells"]):
        letter = "G" if told["terminal"][state] else "S" if state in told["starts"] else ""
        colour = INK if told["terminal"][state] or gap[state] > 0.6 * np.nanmax(gap) else "#ffffff"
        axes.text(x, y, letter, color=colour, ha="center", va="center", fontsize=10)
    y, x = told["cells"][told["hardest"]]
    axes.plot([x], [y], "o", markersize=17, markerfacecolor="none", markeredgecolor=PALETTE[1], markeredgewidth=2.0)
    axes.set_facecolor(RULE)
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    for edge in axes.spines.values():
        edge.set_visible(False)
    axes.set_title(f"Δ(s, {numbers['shown_samples']}), p = {numbers['shown_chance']:.0%}")
    bar = drawn.colorbar(image, ax=axes, orientation="horizontal", fraction=0.05, pad=0.03)
    bar.outline.set_visible(False)


def _bounds(axes: Any, numbers: dict[str, Any]) -> None:
    samples = numbers["samples"]
    looks = {"optimum": (PALETTE[0], "Δ of Q*"), "own": (PALETTE[1], "Δ of its own Q")}
    for name, values in numbers["bounds"].items():
        of, equation = name.split(", ")
        colour, label = looks[of]
        dash = DASHES[0] if equation == "(8)" else DASHES[1]
        axes.plot(samples, values, color=colour, linestyle=dash, label=f"{label}, Eq. {equation}", linewidth=1.3)
    axes.plot(samples, numbers["lost"], color=INK, linewidth=2.2, label="what is lost: max |Q_N − Q*|")
    axes.axhline(numbers["largest"], color=MUTED, linewidth=0.8)
    axes.text(samples[-1], numbers["largest"] * 1.1, "the largest Q*", color=MUTED, fontsize=8, va="bottom", ha="right")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set(title=f"Loss and bounds, p = {numbers['shown_chance']:.0%}", xlabel="N, samples")
    axes.set_ylim(1e-4, None)
    axes.legend(fontsize=8, loc="lower left")
