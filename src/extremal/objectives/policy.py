"""Extract a policy from logged actions: clone them, each with its weight."""

from __future__ import annotations

from typing import Any, Protocol

import jax
import jax.numpy as jnp

from extremal.core.record import record
from extremal.core.types import Batch, Metrics
from extremal.losses.policy import advantage_weight, cloning
from extremal.objectives.statistic import Statistic


class Weight(Protocol):
    """How much an action counts, from its Q and the value head of its state. Every statistic is one, too."""

    def weight(self, q: jax.Array, head: jax.Array) -> jax.Array: ...


@record
class ExponentialAdvantage:
    """exp(inverse_temperature (Q - V)), at most `max_weight`.

    Source: [kostrikov2021] Eq. (7).
    """

    statistic: Statistic
    inverse_temperature: float
    max_weight: float

    def weight(self, q: jax.Array, head: jax.Array) -> jax.Array:
        return advantage_weight(
            q - self.statistic.value(head), inverse_temperature=self.inverse_temperature, max_weight=self.max_weight
        )


@record
class WeightedCloning:
    """-mean weight(Q(s, a), V(s)) log pi(a|s), with the slow critic's minimum and the newest V.

    Source: [kostrikov2021] Eq. (7); [garg2023] Eq. (12).
    """

    weight: Weight
    dropout: float | None = None

    def __call__(
        self, online: Any, target: Any, batch: Batch, key: jax.Array | None, earlier: Metrics
    ) -> tuple[jax.Array, Metrics]:
        q = jnp.min(target.q(batch.observation, batch.action), axis=0)
        weight = self.weight.weight(q, target.v(batch.observation))
        log_prob = online.pi(batch.observation, dropout=self.dropout, key=key).log_prob(batch.action)
        share = jnp.sum(weight) ** 2 / (jnp.sum(weight**2) * weight.shape[0])
        return cloning(weight, log_prob), {
            "log_prob": jnp.mean(log_prob),
            "weight": jnp.mean(weight),
            "effective_share": share,  # effective sample size of the weights over the batch size
        }


@record
class Cloning:
    """-mean log pi(a|s): behaviour cloning by maximum likelihood."""

    dropout: float | None = None

    def __call__(
        self, online: Any, target: Any, batch: Batch, key: jax.Array | None, earlier: Metrics
    ) -> tuple[jax.Array, Metrics]:
        log_prob = online.pi(batch.observation, dropout=self.dropout, key=key).log_prob(batch.action)
        return cloning(jnp.ones_like(log_prob), log_prob), {"log_prob": jnp.mean(log_prob)}
