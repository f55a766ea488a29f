"""Behaviour cloning, of everything or of the best episodes only."""

from __future__ import annotations

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from extremal.algorithms.settings import OfPreset, continuous, transforms
from extremal.core.algorithm import Algorithm, Step, Transitions
from extremal.core.optimiser import Adam, Cosine
from extremal.core.ranges import Count, Part, Positive, PositiveShare, Whole
from extremal.core.record import record, static
from extremal.core.types import Spec, Transform
from extremal.data.transforms import BestEpisodes
from extremal.networks.heads import GaussianPolicy
from extremal.networks.layers import MLP
from extremal.objectives.policy import Cloning


class Networks(NamedTuple):
    pi: GaussianPolicy


@record
class PolicyNetworks:
    """Sizes of the policy."""

    observation: int = static()
    action: int = static()
    width: int = static()
    depth: int = static()

    def init(self, key: jax.Array) -> Networks:
        sizes = (self.observation, *(self.width,) * self.depth, self.action)
        return Networks(pi=GaussianPolicy(net=MLP.init(key, sizes), log_std=jnp.zeros(self.action)))


@record
class BC(OfPreset):
    """Behaviour cloning by maximum likelihood; with `best` = 0.1 it is 10%BC.

    Source: [kostrikov2021] Table 1.
    """

    best: PositiveShare | None = static(default=None)
    """Clone only the episodes of highest return that hold this share of the steps (0.1: 10%BC)."""
    learning_rate: Positive = 3e-4
    policy_schedule: Literal["constant", "cosine"] = static(default="cosine")
    """Rate of the policy: constant, or a cosine down to 0 at the last update."""
    policy_dropout: Part | None = None
    """Share of the policy's hidden units silenced in training."""
    width: Count = static(default=256)
    depth: Whole = static(default=2)
    """Hidden layers of the policy."""
    batch_size: Count = static(default=256)
    normalise_observation: bool = static(default=False)
    """Observations to zero mean and unit deviation."""

    def algorithm(self, spec: Spec, *, updates: int) -> Algorithm:
        observation, action = continuous(type(self).__name__, spec)
        schedule = Cosine(horizon=float(updates)) if self.policy_schedule == "cosine" else None
        chosen: tuple[Transform, ...] = () if self.best is None else (BestEpisodes(fraction=self.best),)
        return Algorithm(
            networks=PolicyNetworks(observation=observation, action=action, width=self.width, depth=self.depth),
            steps=(
                Step(
                    trains="pi",
                    objective=Cloning(dropout=self.policy_dropout),
                    optimiser=Adam(learning_rate=self.learning_rate, schedule=schedule),
                ),
            ),
            slow={},
            sampler=Transitions(size=self.batch_size),
            prepare=chosen + transforms(normalise_observation=self.normalise_observation),
        )


BC10 = BC(best=0.1)
