"""The evaluation of a run under way: every living replica acts, and each episode becomes a row of evaluations.csv."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from extremal.core.algorithm import Algorithm
from extremal.core.policy import Policy
from extremal.engine.loop import Progress
from extremal.engine.replicas import take
from extremal.evaluation.claims import discounted_returns, predicted_values
from extremal.evaluation.scores import normalised
from extremal.runs.plan import Plan

if TYPE_CHECKING:
    import gymnasium

    from extremal.evaluation.rollout import Episodes

DRAWN = 6  # trajectories of the last evaluation of the first replica, for the picture of a maze


@dataclasses.dataclass(frozen=True)
class Judgement:
    """What an evaluation of all replicas brought."""

    rows: list[dict[str, Any]]  # of evaluations.csv
    success: float | None  # mean over replicas, or mean return; None: no replica is alive
    drawn: Mapping[str, Any] | None  # of maze.npz, at the end of training in a maze
    seconds: float


def judge(
    plan: Plan, algorithms: Sequence[Algorithm], progress: Progress, simulator: Callable[[], gymnasium.Env]
) -> Judgement:
    """Let every living replica act, on the host, `plan.episodes` times. Training may go on meanwhile."""
    from extremal.evaluation.rollout import rollout, together
    from extremal.evaluation.valuemap import maze_size, value_map

    clock, rows, drawn = time.perf_counter(), [], None
    alive, last = [int(r) for r in np.flatnonzero(progress.alive)], progress.update == plan.updates
    with jax.default_device(_host()):
        online = [jax.device_put(take(progress.states.online, r)) for r in alive]
        policies = [Policy(algorithms[r], own, plan.spec) for r, own in zip(alive, online, strict=True)]
        played = together(
            [
                rollout(
                    policy,
                    simulator,
                    episodes=plan.episodes,
                    seed=evaluation_seed(plan.seeds[r], progress.update),
                    keep=DRAWN if last and r == 0 else 0,
                    max_steps=plan.max_steps,
                )
                for r, policy in zip(alive, policies, strict=True)
            ]
        )
        if played and played[0].trajectories and (size := maze_size(plan.environment)) is not None:
            drawn = value_map(policies[0], size, played[0].trajectories)
        for r, policy, found in zip(alive, policies, played, strict=True):
            at = {"update": progress.update, "replica": r}
            rows += [at | row for row in episode_rows(found, plan.dataset["reference"], policy)]
    success = [np.mean(found.returns if found.success is None else found.success) for found in played]
    return Judgement(rows, float(np.mean(success)) if success else None, drawn, time.perf_counter() - clock)


def _host() -> Any:
    """To act on: an accelerator is at work, and for so small a batch slower. None, the default, where JAX_PLATFORMS leaves no CPU."""
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:
        return None


def evaluation_seed(seed: int, update: int) -> int:
    """Of the evaluation after `update`; another one for each replica's seed and each update."""
    return int(np.random.SeedSequence([seed, update]).generate_state(1)[0])


def episode_rows(episodes: Episodes, reference: str | None, policy: Policy) -> Iterator[dict[str, Any]]:
    """One row of evaluations.csv per episode, without its update and replica."""
    scores = normalised(episodes.returns, reference) if reference is not None else None
    predicted = discounted = None
    if policy.algorithm.discount is not None:
        predicted = predicted_values(policy.algorithm, policy.online, episodes.starts)
        discounted = discounted_returns(policy.algorithm, episodes.rewards)
    for number, (total, length) in enumerate(zip(episodes.returns, episodes.lengths, strict=True)):
        yield {
            "episode": number,
            "return": float(total),
            "length": int(length),
            "success": "" if episodes.success is None else int(episodes.success[number]),
            "success_reported": int(episodes.reports[number].reported),
            "capped": int(episodes.capped[number]),
            "steps_to_goal": float(reached)
            if episodes.success is not None and np.isfinite(reached := episodes.steps_to_goal[number])
            else "",
            "score": "" if scores is None else float(scores[number]),
            "predicted_value": "" if predicted is None else float(predicted[number]),
            "discounted_return": "" if discounted is None else float(discounted[number]),
        }
