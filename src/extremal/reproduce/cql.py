"""CQL's bounds and its gap on data of a maze: values that are too high, the alpha that ends it, and what the penalty does to Q.

The data are walks of a behaviour that mostly goes the best way, and one try of every action in every cell. So rare actions are
known by little more than one try, which is where a learned value goes wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from extremal.report.style import DASHES, INK, MUTED, PALETTE, figure, ramp
from extremal.tabular import FiniteMDP, maximum, policy_evaluation, value_iteration
from extremal.tabular.chi_square import divergence
from extremal.tabular.conservative import (
    conservative_evaluation,
    conservative_step,
    pointwise_evaluation,
    policy_backup,
)
from extremal.tabular.conservative_bounds import pointwise_threshold, sampling_error, value_threshold
from extremal.tabular.conservative_control import Exponential, conservative_control, softmax
from extremal.tabular.mazes import STITCHING, maze
from extremal.tabular.sampling import Logged, counts, empirical, sample

NAMES = ("Eq. (1)", "Eq. (2)", "CQL(H)")


def problem(*, expert: float, discount: float = 0.9) -> FiniteMDP:
    """Two rooms and a door, reward 10 for the goal, a step that goes astray three times in ten; the behaviour is part expert."""
    uniform = maze(STITCHING, goal=10.0, slip=0.3, discount=discount).mdp
    best = value_iteration(uniform, maximum).policy
    return uniform.replace(behaviour=expert * best + (1 - expert) * uniform.behaviour)


def logged(mdp: FiniteMDP, *, episodes: int, horizon: int, tries: int, seed: int) -> tuple[FiniteMDP, np.ndarray]:
    """The empirical MDP of walks and of `tries` of every action in every cell, from the true start; and its counts [S, A]."""
    log = sample(mdp, episodes=episodes, horizon=horizon, seed=seed)
    random = np.random.default_rng([seed, 1])
    cells = np.flatnonzero(~mdp.terminal)
    state, action = (np.tile(np.repeat(cells, mdp.actions), tries), np.tile(np.arange(mdp.actions), tries * cells.size))
    reached = (np.cumsum(mdp.transition[state, action], -1) > random.random(state.size)[:, None]).argmax(-1)
    once = Logged(
        state=state,
        action=action,
        reward=mdp.reward[state, action, reached],
        next_state=reached,
        terminated=mdp.terminal[reached],
        offsets=np.arange(state.size + 1),
    )
    log = log.joined(once)
    data = empirical(log, mdp.states, mdp.actions, discount=mdp.discount)
    return data.replace(start=mdp.start), counts(log, mdp.states, mdp.actions)


def compute_bounds(
    *,
    seed: int = 0,
    alphas: Sequence[float] = tuple(np.geomspace(1e-4, 1e3, 29)),
    shown: float = 0.1,
    data_sets: int = 8,
    episodes: int = 60,
    horizon: int = 40,
    tries: int = 3,
    failure: float = 0.05,
) -> dict[str, Any]:
    """V-hat less the true value of the policy that it is of, per cell and alpha, for Eq. (1), Eq. (2) and CQL(H).

    Eqs. (1) and (2) evaluate a policy that is nine tenths optimal and otherwise uniform; CQL(H) is compared with its own policy.

    Source: [kumar2020] Eq. (1), (2), (4), Theorem 3.1, Theorem 3.2.
    """
    mdp = problem(expert=0.3)
    live = ~mdp.terminal
    policy = 0.9 * value_iteration(mdp, maximum).policy + 0.1 / mdp.actions
    true = policy_evaluation(mdp, policy)
    excess, first = {name: [] for name in NAMES}, {}
    made, assured = {name: [] for name in NAMES[:2]}, {name: [] for name in NAMES[:2]}
    for each in range(data_sets):
        data, taken = logged(mdp, episodes=episodes, horizon=horizon, tries=tries, seed=seed + each)
        own = [_own_value(mdp, data, alpha) for alpha in alphas]
        excess["CQL(H)"].append([(guess - value)[live] for guess, value in own])
        for name, evaluated in zip(NAMES, (pointwise_evaluation, conservative_evaluation), strict=False):
            found = [evaluated(data, policy, penalty_weight=alpha).v - true.v for alpha in alphas]
            excess[name].append([each[live] for each in found])
        error = sampling_error(taken, reward_bound=10.0, discount=mdp.discount, failure=failure)
        realised = np.abs(policy_backup(data, policy, true.q) - true.q)
        for told, off in ((made, realised), (assured, error)):
            told["Eq. (1)"].append(pointwise_threshold(off[live], policy[live], data.behaviour[live]))
            told["Eq. (2)"].append(value_threshold(off[live], policy[live], data.behaviour[live]))
        first = first or _values(mdp, data, policy, shown)
    return {
        "alpha": list(alphas),
        "shown": shown,
        "failure": failure,
        "data_sets": data_sets,
        "excess": {name: np.mean(found, (0, 2)) for name, found in excess.items()},
        "too_high": {name: np.mean(np.array(found) > 1e-9, (0, 2)) for name, found in excess.items()},
        "made": {name: float(np.max(found)) for name, found in made.items()},
        "assured": {name: float(np.max(found)) for name, found in assured.items()},
        "values": first,
    }


def _own_value(mdp: FiniteMDP, data: FiniteMDP, alpha: float) -> tuple[np.ndarray, np.ndarray]:
    """V-hat of CQL(H) with its softmax policy, and what this policy is worth in truth."""
    found = conservative_control(data, Exponential(penalty_weight=alpha), acting=softmax, tolerance=1e-6)
    return found.v, policy_evaluation(mdp, found.policy).v


def _values(mdp: FiniteMDP, data: FiniteMDP, policy: np.ndarray, alpha: float) -> dict[str, Any]:
    """Pairs of true and learned values of each cell."""
    live = ~mdp.terminal
    true, own = policy_evaluation(mdp, policy).v, _own_value(mdp, data, alpha)
    guesses = {
        "no penalty": (true, policy_evaluation(data, policy).v),
        "Eq. (1)": (true, pointwise_evaluation(data, policy, penalty_weight=alpha).v),
        "Eq. (2)": (true, conservative_evaluation(data, policy, penalty_weight=alpha).v),
        "CQL(H)": own[::-1],
    }
    return {name: {"true": value[live], "learned": guess[live]} for name, (value, guess) in guesses.items()}


def draw_bounds(numbers: dict[str, Any]) -> Any:
    """Left: learned against true values at one alpha. Middle: the average bias. Right: how many cells are too high."""
    drawn = figure(12.5, 4.1)
    left, middle, right = drawn.subplots(1, 3)
    _scatter(left, numbers)
    alpha = numbers["alpha"]
    for name, colour, dash in zip(NAMES, PALETTE, DASHES, strict=False):
        middle.plot(alpha, numbers["excess"][name], color=colour, linestyle=dash, label=name)
        right.plot(
            alpha, [100 * share for share in numbers["too_high"][name]], color=colour, linestyle=dash, label=name
        )
    middle.axhline(0.0, color=INK, linewidth=1.0)
    middle.set_xscale("log")
    middle.set_yscale("symlog", linthresh=0.1, linscale=0.6)
    ticks = (0.1, 0, -0.1, -1, -10, -100, -1000)
    middle.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    middle.set(title="How far below, on average over cells", xlabel="α", ylabel="learned − true value")
    middle.set_ylim(2.0 * min(map(min, numbers["excess"].values())), 0.4)
    middle.legend(loc="lower left")
    right.set_xscale("log")
    right.set(title=f"Cells whose value is too high, {numbers['data_sets']} data sets", xlabel="α", ylabel="% of cells")
    right.set_ylim(0, None)
    _thresholds(right, numbers)
    return drawn


def _scatter(axes: Any, numbers: dict[str, Any]) -> None:
    values = numbers["values"]
    looks = {"no penalty": (MUTED, "x")} | dict(zip(NAMES, zip(PALETTE, ("o", "s", "^"), strict=False), strict=True))
    for name, (colour, marker) in looks.items():
        pairs = values[name]
        axes.plot(pairs["true"], pairs["learned"], marker, color=colour, markersize=4, label=name)
    every = [x for pairs in values.values() for x in pairs["true"]]
    ends = [min(every), max(every)]
    axes.plot(ends, ends, color=INK, linewidth=1.0)
    axes.set(title=f"Each cell at α = {numbers['shown']:g}", xlabel="true value of the policy", ylabel="learned value")
    axes.legend(loc="upper left")


def _thresholds(axes: Any, numbers: dict[str, Any]) -> None:
    """The alphas of Theorems 3.1 and 3.2, by the errors that were made and by those that are assured."""
    top = axes.get_ylim()[1]
    for name, theorem, colour in zip(NAMES, ("3.1", "3.2"), PALETTE, strict=False):
        for told, style, words, height in (
            ("made", "-", "by the errors made", "top"),
            ("assured", ":", "assured", "bottom"),
        ):
            at = numbers[told][name]
            axes.axvline(at, color=colour, linestyle=style, linewidth=1.1)
            axes.annotate(
                f"Theorem {theorem}: {words}",
                (at, (0.98 if height == "top" else 0.03) * top),
                xytext=(-2, 0),
                textcoords="offset points",
                ha="right",
                va=height,
                rotation=90,
                fontsize=8,
                color=colour,
            )


def compute_gap(
    *,
    seed: int = 0,
    alphas: Sequence[float] = (0.1, 0.5, 2.0),
    many: Sequence[float] = tuple(np.geomspace(1e-3, 1e3, 25)),
    iterations: int = 30,
    episodes: int = 60,
    horizon: int = 40,
    tries: int = 1,
) -> dict[str, Any]:
    """Gaps between the data's actions and a proposal's, with the penalty and without it.

    The proposal is the softmax of the Q that is learned without penalty: it prefers what a lucky try made look good.

    Source: [kumar2020] Theorem 3.4, Eq. (2), (4), (10).
    """
    mdp = problem(expert=0.9)
    data, _ = logged(mdp, episodes=episodes, horizon=horizon, tries=tries, seed=seed)
    live = ~mdp.terminal
    proposal, logged_share = np.array(data.behaviour), data.behaviour
    proposal[live] = softmax(value_iteration(data, maximum).q[live], logged_share[live])

    def gap(q: np.ndarray, other: np.ndarray) -> np.ndarray:
        return ((logged_share - other) * q).sum(-1)[live]

    paths = {}
    for alpha in (0.0, *alphas):
        q, path = np.zeros((mdp.states, mdp.actions)), []
        for _ in range(iterations):
            q = conservative_step(data, proposal, q, penalty_weight=alpha)
            path.append(gap(q, proposal).mean())
        paths[f"{alpha:g}"] = path
    plain = policy_evaluation(data, proposal).q
    once = conservative_step(data, proposal, plain, penalty_weight=1.0) - plain
    at_last = conservative_evaluation(data, proposal, penalty_weight=1.0).q - plain
    uniform = np.full_like(proposal, 1.0 / mdp.actions)
    limit = np.log(np.where(logged_share > 0, logged_share, 1.0))
    found = [conservative_control(data, Exponential(penalty_weight=alpha), tolerance=1e-6).q for alpha in many]
    return {
        "paths": paths,
        "divergence": divergence(proposal, logged_share)[live],
        "first": gap(once, proposal),
        "last": gap(at_last, proposal),
        "alpha": list(many),
        "control": [gap(q, uniform).mean() for q in found],
        "plain": float(gap(value_iteration(data, maximum).q, uniform).mean()),
        "limit": float(gap(limit, uniform).mean()),
    }


def draw_gap(numbers: dict[str, Any]) -> Any:
    """Left: gaps along iterations. Middle: what a unit of alpha adds in each cell. Right: CQL(H) against alpha."""
    drawn = figure(12.5, 4.1)
    left, middle, right = drawn.subplots(1, 3)
    plain, *penalised = numbers["paths"].items()
    steps = range(1, len(plain[1]) + 1)
    left.plot(steps, plain[1], color=INK, linestyle=DASHES[1], label="no penalty")
    for (alpha, path), colour in zip(penalised, ramp(len(penalised)), strict=True):
        left.plot(steps, path, color=colour, label=f"α = {alpha}")
    left.set(
        title="Gap to a proposal, average over cells",
        xlabel="iteration",
        ylabel="E Q of the data − E Q of the proposal",
    )
    left.legend(loc="center right", bbox_to_anchor=(1.0, 0.52))
    _widening(middle, numbers)
    _limits(right, numbers)
    return drawn


def _limits(axes: Any, numbers: dict[str, Any]) -> None:
    alpha = numbers["alpha"]
    axes.plot(alpha, numbers["control"], color=PALETTE[2])
    axes.axhline(numbers["plain"], color=INK, linestyle=DASHES[1])
    axes.axhline(numbers["limit"], color=MUTED, linestyle=DASHES[2])
    axes.set_xscale("log")
    axes.set(title="Gap to uniform actions, CQL(H)", xlabel="α", ylabel="E Q of the data − E Q of uniform actions")
    middle, near = len(alpha) // 2, {"textcoords": "offset points", "fontsize": 9}
    at = (alpha[middle], numbers["control"][middle])
    axes.annotate("CQL(H)", at, xytext=(8, -4), color=PALETTE[2], **near)
    axes.annotate("no penalty", (alpha[-1], numbers["plain"]), xytext=(0, 5), ha="right", **near)
    words = "Q = log of the data's shares"
    axes.annotate(words, (alpha[0], numbers["limit"]), xytext=(0, -14), va="top", color=MUTED, **near)


def _widening(axes: Any, numbers: dict[str, Any]) -> None:
    apart = numbers["divergence"]
    axes.axhline(0.0, color=INK, linewidth=1.0)
    axes.plot(apart, numbers["first"], "o", color=PALETTE[0], markersize=4.5, label="after one iteration")
    axes.plot(apart, numbers["last"], "^", color=PALETTE[1], markersize=4.5, label="at the fixed points")
    axes.set_xscale("log")
    axes.set_yscale("symlog", linthresh=1.0)
    axes.set(
        title="What α = 1 adds to the gap, each cell",
        xlabel="D_CQL of the proposal",
        ylabel="gap − gap without penalty",
    )
    axes.legend(loc="upper left")
