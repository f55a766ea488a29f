"""XQL's Fig. 4: a winding corridor valued by the mean, by two soft maxima and by the maximum of its behaviour's actions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from extremal.report.style import DASHES, INK, MUTED, RULE, figure, ramp
from extremal.tabular.extreme import v_iteration
from extremal.tabular.mazes import MOVES, SERPENTINE, maze
from extremal.tabular.mdp import FiniteMDP
from extremal.tabular.operators import mean
from extremal.tabular.solvers import Solution, returned, value_iteration

_LIGHT = 0.55  # share of the colour scale from which a mark is dark


def compute(
    *,
    seed: int = 0,
    betas: Sequence[float] = (0.5, 0.1),
    goal: float = 10.0,
    discount: float = 0.95,
    told_apart: float = 0.01,
) -> dict[str, Any]:
    """Values, best actions and their leads in a serpentine under a uniform behaviour; nothing in it is random.

    A best action whose Q leads the next one's by less than `told_apart` of the goal's reward counts as unknown: exact
    values tell even those apart, but nothing that is learned from data would. Of each solution also the discounted
    return of its own policy from the start.

    Source: [garg2023] App. D.1, Fig. 4.
    Differs from the paper: it prints neither layout nor rewards; these are this library's, and values are exact.
    """
    drawn = maze(SERPENTINE, goal=goal, discount=discount)
    solved: dict[str, Solution] = {"mean (squared error)": value_iteration(drawn.mdp, mean)}
    solved |= {f"XQL, β = {beta:g}": v_iteration(drawn.mdp, beta=beta) for beta in betas}
    solved["maximum"] = value_iteration(drawn.mdp)
    start = int(drawn.starts[0])
    return {
        "text": drawn.text.strip().splitlines(),
        "cells": drawn.cells,
        "start": start,
        "end": int(np.argmax(drawn.mdp.terminal)),
        "steps": _steps(drawn.mdp.terminal, drawn.mdp.transition),
        "goal": goal,
        "told_apart": told_apart,
        "maps": {name: _shown(drawn.mdp, found) for name, found in solved.items()},
    }


def _shown(mdp: FiniteMDP, found: Solution) -> dict[str, Any]:
    lead = np.diff(np.sort(found.q, -1)[:, -2:], axis=-1)[:, 0]
    return {"v": found.v, "best": found.q.argmax(-1), "lead": lead, "return": returned(mdp, found.policy)}


def _steps(terminal: np.ndarray, transition: np.ndarray) -> np.ndarray:
    """[S]: the fewest steps to a terminal state."""
    steps, reached = np.zeros(len(terminal), int), np.array(terminal)
    while not reached.all():
        near = ((transition[:, :, reached] > 0).any((1, 2))) & ~reached
        steps[near] = steps[reached].max() + 1
        reached |= near
    return steps


def draw(numbers: dict[str, Any]) -> Any:
    """Four maps on one colour scale, and the values along the corridor on a logarithmic one."""
    drawn = figure(12.6, 4.3)
    panels = drawn.subplots(1, len(numbers["maps"]) + 1, width_ratios=[1.0] * len(numbers["maps"]) + [1.75])
    image = None
    for axes, (name, found) in zip(panels, numbers["maps"].items(), strict=False):
        image = _map(axes, numbers, name, found)
    bar = drawn.colorbar(image, ax=list(panels[:-1]), orientation="horizontal", fraction=0.045, pad=0.02, aspect=60)
    bar.outline.set_visible(False)
    bar.set_label("V(s)")
    _corridor(panels[-1], numbers)
    drawn.supxlabel(
        f"Arrows: the best action, where it leads by {numbers['told_apart']:.0%} of the goal's reward or more; elsewhere a "
        "dot. S start, G goal. The paper's caption has β the wrong way round: the smaller one is nearer to the maximum.",
        fontsize=8.5,
        color=MUTED,
    )
    return drawn


def _map(axes: Any, numbers: dict[str, Any], name: str, found: dict[str, Any]) -> Any:
    height, width = len(numbers["text"]), len(numbers["text"][0])
    shown = np.full((height, width), np.nan)
    cells = np.asarray(numbers["cells"])
    values = np.array(found["v"])
    values[numbers["end"]] = numbers["goal"]  # what entering it is worth
    shown[tuple(cells.T)] = values
    image = axes.imshow(np.ma.masked_invalid(shown), cmap="viridis", vmin=0.0, vmax=numbers["goal"])
    axes.set_facecolor(RULE)
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    for edge in axes.spines.values():
        edge.set_visible(False)
    for state, (y, x) in enumerate(cells):
        colour = INK if values[state] > _LIGHT * numbers["goal"] else "#ffffff"
        if state == numbers["end"]:
            axes.text(x, y, "G", color=colour, ha="center", va="center", fontsize=10)
        elif found["lead"][state] < numbers["told_apart"] * numbers["goal"]:
            axes.plot(x, y, ".", color=colour, markersize=3)
        else:
            dy, dx = (0.3 * part for part in MOVES[found["best"][state]])
            style = {"arrowstyle": "-|>", "color": colour, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 7}
            axes.annotate("", xy=(x + dx, y + dy), xytext=(x - dx, y - dy), arrowprops=style)
    y, x = cells[numbers["start"]]
    axes.text(x, y + 1.0, "S", color=INK, ha="center", va="center", fontsize=10)
    axes.set_title(f"{name}\nV(S) = {found['v'][numbers['start']]:.2g}", fontsize=9.5)
    return image


def _corridor(axes: Any, numbers: dict[str, Any]) -> None:
    order = [s for s in np.argsort(numbers["steps"]) if s != numbers["end"]]
    steps = [numbers["steps"][s] for s in order]
    colours = [MUTED, *ramp(len(numbers["maps"]) - 2), INK]
    dashes = [DASHES[1], *["-"] * (len(numbers["maps"]) - 2), DASHES[2]]
    for (name, found), colour, dash in zip(numbers["maps"].items(), colours, dashes, strict=True):
        axes.plot(steps, [found["v"][s] for s in order], color=colour, linestyle=dash, label=name)
    least = numbers["told_apart"] * numbers["goal"]
    axes.axhline(least, color=MUTED, linewidth=0.8)
    axes.text(1.3, least * 0.85, f"{numbers['told_apart']:.0%} of the goal's reward", color=MUTED, fontsize=8, va="top")
    axes.set_yscale("log")
    axes.set(title="How far the goal's reward reaches", xlabel="steps to the goal", ylabel="V(s)")
    axes.set_xlim(1, max(steps))
    axes.legend(loc="lower left", fontsize=8.5)
