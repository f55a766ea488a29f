"""IQL's Fig. 2: one optimal and 99 random trajectories in a U-shaped maze, valued by one step and by implicit Q-learning."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from extremal.report.style import DASHES, INK, MUTED, PALETTE, RULE, figure
from extremal.tabular import policies
from extremal.tabular.mazes import MOVES, Maze, u_maze
from extremal.tabular.operators import expectile, maximum, mean
from extremal.tabular.sampling import counts, empirical, sample
from extremal.tabular.solvers import returned, value_iteration

_LIGHT = 0.55  # share of the colour scale from which a mark is dark
_WRONG = PALETTE[1]
_SLIPS: tuple[Literal["state", "action"], ...] = ("state", "action")


def compute(
    *, seed: int = 0, level: float = 0.95, random_episodes: int = 99, horizon: int = 1000, seeds: int = 20
) -> dict[str, Any]:
    """Both readings of "with probability 0.25 the agent transitions to a random state": a jump, or a random step.

    Values are of the empirical MDP of one data set; the share of the optimal return that each greedy policy really
    earns is of that one, and a mean over `seeds` of them.

    Source: [kostrikov2021] Fig. 2, Sec. 5.1.
    Differs from the paper: it prints neither map nor horizon; these are this library's.
    """
    told: dict[str, Any] = {"level": level, "goal_reward": 10.0, "mazes": {}}
    told |= {"random_episodes": random_episodes, "seeds": seeds}
    for slip_to in _SLIPS:
        drawn = u_maze(slip_to)
        runs = [_run(drawn, seed + number, level, random_episodes, horizon) for number in range(seeds)]
        best = value_iteration(drawn.mdp, maximum)
        (start,), names = drawn.starts, ("one step", "IQL")
        told["text"] = drawn.text.strip().splitlines()
        told["cells"], told["start"], told["end"] = drawn.cells, int(start), int(np.argmax(drawn.mdp.terminal))
        told["mazes"][slip_to] = {
            "visits": runs[0]["visits"],
            "optimal": {"v": best.v, "action": best.q.argmax(-1), "right": np.ones(len(best.v), bool)},
            **{name: runs[0][name] for name in names},
            "earned": {name: float(np.mean([run[name]["earned"] for run in runs])) for name in names},
        }
    return told


def _run(drawn: Maze, seed: int, level: float, random_episodes: int, horizon: int) -> dict[str, Any]:
    """What is logged, learned and earned, of one data set."""
    mdp = drawn.mdp
    best = value_iteration(mdp, maximum)
    uniform = np.full((mdp.states, mdp.actions), 1.0 / mdp.actions)
    logged = sample(mdp, best.policy, episodes=1, horizon=horizon, seed=2 * seed)
    logged = logged.joined(sample(mdp, uniform, episodes=random_episodes, horizon=horizon, seed=2 * seed + 1))
    believed = empirical(logged, mdp.states, mdp.actions, discount=mdp.discount)
    found: dict[str, Any] = {"visits": counts(logged, mdp.states, mdp.actions).sum(-1)}
    for name, solution in (
        ("one step", value_iteration(believed, mean, tolerance=1e-8)),
        ("IQL", value_iteration(believed, expectile, tolerance=1e-8, parameter=level)),
    ):
        greedy = policies.maximum(solution.q, believed.behaviour)
        lost = best.q.max(-1) - (greedy * best.q).sum(-1)
        found[name] = {
            "v": solution.v,
            "action": solution.q.argmax(-1),
            "right": lost < 1e-9,
            "earned": returned(mdp, greedy) / returned(mdp, best.policy),
        }
    return found


def draw(numbers: dict[str, Any]) -> Any:
    """A row for each reading: what is logged, three value maps with greedy arrows, and values along the U."""
    drawn = figure(13.2, 5.7)
    panels = drawn.subplots(2, 5, width_ratios=[1.0, 1.0, 1.0, 1.0, 1.15])
    names = {"state": "a random state", "action": "a random action"}
    image = None
    for row, (slip_to, told) in zip(panels, numbers["mazes"].items(), strict=True):
        _logged(row[0], numbers, told["visits"], f"slips to {names[slip_to]}")
        for axes, name in zip(row[1:4], ("optimal", "one step", "IQL"), strict=True):
            image = _map(axes, numbers, told[name], _title(name, numbers, told))
        _along(row[4], numbers, told)
    bar = drawn.colorbar(
        image, ax=list(panels[:, :4].ravel()), orientation="horizontal", fraction=0.03, pad=0.02, aspect=45
    )
    bar.outline.set_visible(False)
    bar.set_label("V(s)")
    drawn.supxlabel(
        "Arrows: what is greedy in the learned Q; orange where it is not optimal. Values of one data set: 1 optimal and "
        f"{numbers['random_episodes']} random trajectories.\nEarns: the greedy policy's true share of the optimal return, mean "
        f"over {numbers['seeds']} data sets.",
        fontsize=8.5,
        color=MUTED,
    )
    return drawn


def _title(name: str, numbers: dict[str, Any], told: dict[str, Any]) -> str:
    value = f"V(S) = {told[name]['v'][numbers['start']]:.2g}"
    if name == "optimal":
        return f"optimal\n{value}"
    label = f"IQL, τ = {numbers['level']:g}" if name == "IQL" else "one step (SARSA)"
    return f"{label}\n{value}, earns {told['earned'][name]:.0%}"


def _grid(axes: Any, numbers: dict[str, Any], values: np.ndarray, **look: Any) -> Any:
    shown = np.full((len(numbers["text"]), len(numbers["text"][0])), np.nan)
    shown[tuple(np.asarray(numbers["cells"]).T)] = values
    image = axes.imshow(np.ma.masked_invalid(shown), **look)
    axes.set_facecolor(RULE)
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    for edge in axes.spines.values():
        edge.set_visible(False)
    for state, letter in ((numbers["start"], "S"), (numbers["end"], "G")):
        y, x = numbers["cells"][state]
        axes.text(x + 1.0, y, letter, color=INK, ha="center", va="center", fontsize=10)
    return image


def _logged(axes: Any, numbers: dict[str, Any], visits: list[float], title: str) -> None:
    values = np.log10(np.maximum(np.array(visits), 1.0))
    _grid(axes, numbers, values, cmap="Greys", vmin=0.0, vmax=2.0 * values.max())
    for state, (y, x) in enumerate(numbers["cells"]):
        if state != numbers["end"]:
            count = visits[state]
            text = f"{count:.0f}" if count < 1000 else f"{count / 1000:.1f}k"
            axes.text(x, y, text, color=INK, ha="center", va="center", fontsize=6.5)
    axes.set_title(f"{title}\nlogged steps, by state", fontsize=9.5)


def _map(axes: Any, numbers: dict[str, Any], found: dict[str, Any], title: str) -> Any:
    values, top = np.array(found["v"]), numbers["goal_reward"]
    values[numbers["end"]] = top  # what entering it is worth
    image = _grid(axes, numbers, values, cmap="viridis", vmin=0.0, vmax=top)
    for state, (y, x) in enumerate(numbers["cells"]):
        if state == numbers["end"]:
            continue
        dark = values[state] > _LIGHT * top
        colour = (INK if dark else "#ffffff") if found["right"][state] else _WRONG
        dy, dx = (0.32 * part for part in MOVES[found["action"][state]])
        style = {
            "arrowstyle": "-|>",
            "color": colour,
            "shrinkA": 0,
            "shrinkB": 0,
            "mutation_scale": 9,
            "linewidth": 1.4,
        }
        axes.annotate("", xy=(x + dx, y + dy), xytext=(x - dx, y - dy), arrowprops=style)
    axes.set_title(title, fontsize=9.5)
    return image


def _along(axes: Any, numbers: dict[str, Any], told: dict[str, Any]) -> None:
    """Values by steps to the goal, along the U."""
    cells, end = np.asarray(numbers["cells"]), numbers["end"]
    steps, reached = {end: 0}, [end]
    while len(steps) < len(cells):
        near = np.abs(cells - cells[reached[-1]]).sum(-1) == 1
        (following,) = (int(state) for state in np.flatnonzero(near) if state not in steps)
        steps[following] = len(reached)
        reached.append(following)
    looks = (("optimal", INK, DASHES[2], "optimal"), ("IQL", PALETTE[1], "-", f"IQL, τ = {numbers['level']:g}"))
    for name, colour, dash, label in (*looks, ("one step", PALETTE[0], DASHES[1], "one step")):
        values = [told[name]["v"][state] for state in reached[1:]]
        axes.plot(range(1, len(reached)), values, color=colour, linestyle=dash, marker="o", markersize=3, label=label)
    axes.set_yscale("log")
    axes.set(xlabel="steps to the goal", ylabel="V(s)", ylim=(0.01, 12.0), title="How far the reward reaches")
    axes.legend(fontsize=8, loc="lower left")
