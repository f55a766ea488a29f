"""The actor-critic family: a critic of the policy's own actions, and a policy that follows the critic.

SAC, TD3 and what is built on them differ in what follows a transition (the backup) and in how the policy improves.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from extremal.algorithms.settings import DataSettings
from extremal.core.ranges import Count, Positive, PositiveShare, Share, Whole
from extremal.core.record import record, static
from extremal.networks.heads import Critic, DeterministicPolicy, GaussianPolicy, Scalar, TanhGaussianPolicy
from extremal.networks.layers import MLP


class Networks(NamedTuple):
    q: Critic
    pi: GaussianPolicy | TanhGaussianPolicy | DeterministicPolicy
    log_alpha: Scalar | None = None  # log of the entropy's weight, where the method has one


@record
class ActorCriticNetworks:
    """Sizes of the networks, and what kind the policy is."""

    observation: int = static()
    action: int = static()
    width: int = static()
    depth: int = static()
    critics: int = static()
    policy: Literal["gaussian", "tanh_gaussian", "deterministic"] = static()
    entropy_weight: float | None = None  # to begin with; None: the method has none
    policy_depth: int | None = static(default=None)  # None: as the critics'

    def init(self, key: jax.Array) -> Networks:
        kq, kp = jax.random.split(key)
        o, a, hidden = self.observation, self.action, (self.width,) * self.depth
        layers = hidden if self.policy_depth is None else (self.width,) * self.policy_depth
        if self.policy == "tanh_gaussian":
            pi = TanhGaussianPolicy(net=MLP.init(kp, (o, *layers, 2 * a)))
        elif self.policy == "gaussian":
            pi = GaussianPolicy(net=MLP.init(kp, (o, *layers, a)), log_std=jnp.zeros(a))
        else:
            pi = DeterministicPolicy(net=MLP.init(kp, (o, *layers, a)))
        return Networks(
            q=Critic(members=tuple(MLP.init(k, (o + a, *hidden, 1)) for k in jax.random.split(kq, self.critics))),
            pi=pi,
            log_alpha=None if self.entropy_weight is None else Scalar(x=jnp.log(jnp.asarray(self.entropy_weight))),
        )


@record
class ActorCritic(DataSettings):
    """Settings that the family shares."""

    discount: Share = 0.99
    learning_rate: Positive = 3e-4
    """Of the critics."""
    policy_learning_rate: Positive = 3e-4
    """Of the policy."""
    target_rate: PositiveShare = 0.005
    """How far the slow copies move after each update that moves them."""
    critics: Count = static(default=2)
    """Number of critics; their minimum is what follows a transition."""
    width: Count = static(default=256)
    depth: Whole = static(default=2)
    """Hidden layers of each network."""
    batch_size: Count = static(default=256)

    def networks(
        self,
        observation: int,
        action: int,
        policy: Any,
        entropy_weight: float | None = None,
        policy_depth: int | None = None,
    ) -> ActorCriticNetworks:
        return ActorCriticNetworks(
            observation=observation,
            action=action,
            width=self.width,
            depth=self.depth,
            critics=self.critics,
            policy=policy,
            entropy_weight=entropy_weight,
            policy_depth=policy_depth,
        )
