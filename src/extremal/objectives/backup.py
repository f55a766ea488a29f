"""What follows a transition: the value of the next state, [B], as each method takes it.

It is a value network's, or the slow critic's for actions of a policy or of a model of the behaviour. The networks are
those that are constant: `target`.
"""

from __future__ import annotations

from typing import Any, Protocol

import jax
import jax.numpy as jnp

from extremal.core.record import record, static
from extremal.core.types import Batch
from extremal.objectives.ensemble import EnsembleStatistic, Mixed
from extremal.objectives.expectation import policy_value
from extremal.objectives.perturbation import shifted
from extremal.objectives.sampled import SampledStatistic, constant_values, proposed
from extremal.objectives.statistic import Statistic
from extremal.objectives.value import seen_head


class Backup(Protocol):
    """The value [B] of `batch.next_observation`."""

    def __call__(self, target: Any, batch: Batch, key: jax.Array) -> jax.Array: ...


@record
class ValueBackup:
    """V(s') of the value network, or of its slow copy where it has one.

    Source: [garg2023] Eq. (14); [kostrikov2021] Eq. (6).
    """

    statistic: Statistic

    def __call__(self, target: Any, batch: Batch, key: jax.Array) -> jax.Array:
        return self.statistic.value(seen_head(target, batch.next_observation))


@record
class SampledBackup:
    """A statistic of Q(s', a_i) over actions a_i of the behaviour, or of another network; Q is what the ensemble says.

    With `shift`, each entry of an action is moved by the network `perturbation`, by at most so much. EMaQ has neither, BEAR
    the policy's actions, BCQ the behaviour's, shifted. A batch may bring actions that were drawn ahead.

    Source: [ghasemipour2021] Eq. (3), (11); [fujimoto2019]; [kumar2019] Algorithm 1. Symbols: shift = Phi.
    """

    statistic: SampledStatistic
    ensemble: EnsembleStatistic = Mixed()
    proposal: str = static(default="behaviour")
    shift: float | None = None

    def __call__(self, target: Any, batch: Batch, key: jax.Array) -> jax.Array:
        if (action := batch.next_actions) is None:
            action = proposed(target, self.proposal, self.statistic, batch.next_observation, key)
        if self.shift is not None:
            action = shifted(target.perturbation, batch.next_observation, action, largest=self.shift)
        return self.statistic.value(self.ensemble.value(constant_values(target.q, batch.next_observation, action)))


@record
class SoftBackup:
    """min_k Q_k(s', a') - alpha log pi(a'|s') of one action a' of the policy.

    Source: [haarnoja2018b] Eq. (3), (6).
    """

    def __call__(self, target: Any, batch: Batch, key: jax.Array) -> jax.Array:
        action, log_prob = target.pi(batch.next_observation).sample_with_log_prob(key)
        q = jnp.min(target.q(batch.next_observation, action), axis=0)
        return q - jnp.exp(target.log_alpha()) * log_prob


@record
class PolicyBackup:
    """min_k Q_k(s', a') of one action of the policy, without its entropy; an action out of range is clipped, as in acting.

    Source: [kumar2020] Eq. (3), Algorithm 1; [nair2020] Eq. (9).
    """

    def __call__(self, target: Any, batch: Batch, key: jax.Array) -> jax.Array:
        action = jnp.clip(target.pi(batch.next_observation).sample(key), -1.0, 1.0)
        return jnp.min(target.q(batch.next_observation, action), axis=0)


@record
class ExpectedBackup:
    """What the ensemble says of E Q_k(s', a') over `samples` actions of the policy; over all actions where they are discrete.

    Source: [wu2019].
    """

    ensemble: EnsembleStatistic = Mixed()
    samples: int = static(default=1)

    def __call__(self, target: Any, batch: Batch, key: jax.Array) -> jax.Array:
        given = {"samples": self.samples, "ensemble": self.ensemble}
        return policy_value(target.q, target.pi, batch.next_observation, key, **given)


@record
class MaxBackup:
    """The smallest over critics of the largest Q_k(s', a_i) among `samples` actions of the policy.

    Source: [kumar2020] App. F.
    """

    samples: int = static()

    def __call__(self, target: Any, batch: Batch, key: jax.Array) -> jax.Array:
        policy, observation = target.pi(batch.next_observation), batch.next_observation
        action = jax.vmap(policy.sample)(jax.random.split(key, self.samples))  # [N, B, A]
        return jnp.min(jnp.max(constant_values(target.q, observation, action), axis=1), axis=0)


@record
class SmoothedBackup:
    """min_k Q_k(s', a') of the slow policy's action with clipped normal noise on it.

    Source: [fujimoto2018] Eq. (14), Algorithm 1.
    """

    noise: float
    clip: float

    def __call__(self, target: Any, batch: Batch, key: jax.Array) -> jax.Array:
        action = target.pi(batch.next_observation).mode()
        noise = jnp.clip(self.noise * jax.random.normal(key, action.shape), -self.clip, self.clip)
        return jnp.min(target.q(batch.next_observation, jnp.clip(action + noise, -1.0, 1.0)), axis=0)
