"""Improve a policy along a critic: it moves where the critic says that actions are better."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from extremal.core.record import record, static
from extremal.core.types import Batch, Metrics
from extremal.objectives.sampled import draws_of


@record
class SoftImprovement:
    """mean alpha log pi(a|s) - min_k Q_k(s, a), a drawn from the policy and differentiated through.

    Source: [haarnoja2018b] Eq. (7), (9).
    """

    def __call__(
        self, online: Any, target: Any, batch: Batch, key: jax.Array | None, earlier: Metrics
    ) -> tuple[jax.Array, Metrics]:
        action, log_prob = online.pi(batch.observation).sample_with_log_prob(draws_of(key))
        q = jnp.min(online.q(batch.observation, action), axis=0)
        loss = jnp.mean(jnp.exp(online.log_alpha()) * log_prob - q)
        return loss, {"log_prob": jnp.mean(log_prob), "q": jnp.mean(q)}


@record
class SoftCloning:
    """mean alpha log pi(a'|s) - log pi(a|s): the logged actions take the critic's place, a' is drawn from the policy.

    Source: [kumar2020] Sec. 4.
    Differs from the paper: it does not tell of this warm start; published code does.
    """

    def __call__(
        self, online: Any, target: Any, batch: Batch, key: jax.Array | None, earlier: Metrics
    ) -> tuple[jax.Array, Metrics]:
        policy = online.pi(batch.observation)
        _, log_prob = policy.sample_with_log_prob(draws_of(key))
        cloned = jnp.mean(policy.log_prob(batch.action))
        return jnp.mean(jnp.exp(online.log_alpha()) * log_prob) - cloned, {
            "log_prob": jnp.mean(log_prob),
            "cloned": cloned,
        }


@record
class RegularisedImprovement:
    """mean log pi(a|s) - log behaviour(a|s) - inverse_temperature min_k Q_k(s, a), a drawn from the policy.

    Its minimiser is behaviour exp(inverse_temperature Q), normalised: the policy that exponential weights clone.

    Source: [brandfonbrener2021].
    Differs from the paper: divided by the divergence's weight, 1 / inverse_temperature; Q is taken at the nearest action
    in range.
    """

    inverse_temperature: float

    def __call__(
        self, online: Any, target: Any, batch: Batch, key: jax.Array | None, earlier: Metrics
    ) -> tuple[jax.Array, Metrics]:
        policy, behaviour = online.pi(batch.observation), target.behaviour(batch.observation)
        action = policy.sample(draws_of(key))
        divergence = jnp.mean(policy.log_prob(action) - behaviour.log_prob(action))
        q = jnp.mean(jnp.min(target.q(batch.observation, jnp.clip(action, -1.0, 1.0)), axis=0))
        return divergence - self.inverse_temperature * q, {"divergence": divergence, "q": q}


@record
class TuneEntropy:
    """-alpha (mean log pi + target), alpha = exp(log_alpha): alpha grows where the policy's entropy is below the target.

    Source: [haarnoja2018b] Eq. (18). Symbols: target = the entropy H that is asked for.
    """

    target: float
    policy: str = static(default="pi")  # name of the step that told of log pi

    def __call__(
        self, online: Any, target: Any, batch: Batch, key: jax.Array | None, earlier: Metrics
    ) -> tuple[jax.Array, Metrics]:
        alpha = jnp.exp(online.log_alpha())
        missing = jax.lax.stop_gradient(earlier[f"{self.policy}/log_prob"]) + self.target
        return -alpha * missing, {"entropy_weight": alpha}


@record
class DeterministicImprovement:
    """-mean Q_1(s, pi(s)); with `cloning`, -cloning mean Q_1 / mean |Q_1| + mean (pi(s) - a)^2.

    Source: [fujimoto2018] Algorithm 1; [fujimoto2021] Eq. (3), (5). Symbols: cloning = alpha of TD3+BC.
    Differs from the paper: as in its published code, |Q_1| is averaged over the policy's actions, and the square over
    dimensions.
    """

    cloning: float | None = None

    def __call__(
        self, online: Any, target: Any, batch: Batch, key: jax.Array | None, earlier: Metrics
    ) -> tuple[jax.Array, Metrics]:
        action = online.pi(batch.observation).mode()
        q = online.q(batch.observation, action)[0]
        distance = jnp.mean((action - batch.action) ** 2)
        metrics = {"q": jnp.mean(q), "distance": distance}
        if self.cloning is None:
            return -jnp.mean(q), metrics
        scale = self.cloning / jnp.mean(jnp.abs(jax.lax.stop_gradient(q)))
        return -scale * jnp.mean(q) + distance, metrics
