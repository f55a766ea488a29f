"""The one evaluator of both programs: whatever acts, its episodes begin with the same seeds and are played by the same code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from extremal.bench.scores.options import Options
from extremal.evaluation.rollout import rollout
from extremal.evaluation.scores import normalised
from extremal.runs.judge import evaluation_seed
from extremal.runs.plan import Plan
from extremal.runs.simulator import maker


class Judge:
    """Plays a policy in the simulator of a plan, as the library's own runs are evaluated."""

    def __init__(self, plan: Plan, options: Options):
        self._make, self._options = maker(options.environment, plan), options
        self.reference: str | None = plan.dataset["reference"]

    def point(self, act: Any, seed: int, update: int, *, last: bool = False) -> dict[str, Any]:
        """What the episodes of seed `seed` after `update` brought, one number each; the `last` ones are more, and begin alike."""
        found = rollout(
            act,
            self._make,
            episodes=self._options.last_episodes if last else self._options.episodes,
            seed=evaluation_seed(seed, update),
        )
        return point(update, found.returns, self.reference)


def point(update: int, returns: np.ndarray, reference: str | None) -> dict[str, Any]:
    """A point of a curve: the returns of its episodes, and their mean as a score (or as it is, without a reference)."""
    scores = returns if reference is None else normalised(returns, reference)
    return {"update": update, "returns": [float(x) for x in returns], "score": float(np.mean(scores))}


def through(plan: Plan, act: Callable[[np.ndarray], Any]) -> Callable[[np.ndarray], np.ndarray]:
    """A peer's policy, which knows the prepared data only, for the simulator: the library's transforms before and after it.

    Args:
        act: actions [B, A] within [-1, 1] for prepared observations [B, O] float32.
    """
    algorithm = plan.algorithm(0)

    def acting(observation: np.ndarray) -> np.ndarray:
        actions = np.clip(np.asarray(act(algorithm.prepared(observation)), np.float32), -1.0, 1.0)
        for transform in reversed(plan.prepare):
            actions = np.asarray(transform.action(actions))
        return actions

    return acting
