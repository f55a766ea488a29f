"""Extract a policy from logged actions: clone them, each with its weight."""

from __future__ import annotations

from typing import Any, Protocol

import jax
import jax.numpy as jnp

from extremal.core.record import record, static
from extremal.core.types import Batch, Metrics
from extremal.losses.policy import advantage_weight, batch_softmax_weight, cloning
from extremal.objectives.statistic import Statistic, effective_share, share_at
from extremal.objectives.value import seen_head


class Weight(Protocol):
    """How much an action counts, from its Q and the value head of its state. Every statistic is one, too."""

    def weight(self, q: jax.Array, head: jax.Array) -> jax.Array: ...

    @property
    def most(self) -> jax.Array | float | None: ...  # the largest that it can be, if there is such a number


@record
class ExponentialAdvantage:
    """exp(inverse_temperature (Q - V)), at most `max_weight`.

    Source: [kostrikov2021] Eq. (7), App. B; [garg2023] Eq. (12).
    Differs from the paper: [garg2023] has V's own beta for the temperature, and no bound.
    """

    statistic: Statistic
    inverse_temperature: float
    max_weight: float

    def weight(self, q: jax.Array, head: jax.Array) -> jax.Array:
        return advantage_weight(
            q - self.statistic.value(head), inverse_temperature=self.inverse_temperature, max_weight=self.max_weight
        )

    @property
    def most(self) -> float:
        return self.max_weight


@record
class WeightedCloning:
    """-mean weight(Q(s, a), V(s)) log pi(a|s), with the slow critic's minimum, and the newest V or its slow copy.

    Source: [kostrikov2021] Eq. (7); [garg2023] Eq. (12).
    """

    weight: Weight
    dropout: float | None = None

    def __call__(
        self, online: Any, target: Any, batch: Batch, key: jax.Array | None, earlier: Metrics
    ) -> tuple[jax.Array, Metrics]:
        q = jnp.min(target.q(batch.observation, batch.action), axis=0)
        weight = self.weight.weight(q, seen_head(target, batch.observation))
        log_prob = online.pi(batch.observation, dropout=self.dropout, key=key).log_prob(batch.action)
        return _weighted(weight, log_prob, most=self.weight.most)


@record
class OwnAdvantageCloning:
    """-mean weight(A) log pi(a|s), A = min_k Q_k(s, a) - min_k Q_k(s, a') with one action a' of the policy itself.

    The weight is exp(inverse_temperature A), at most `max_weight`; with `batch_softmax`, divided by its mean over the batch
    instead. An error of the critic that a state's actions share drops out of A, and so does nothing to the policy.

    Source: [nair2020] Eq. (13), Algorithm 1. Symbols: inverse_temperature = 1 / lambda.
    Differs from the paper: `max_weight`, and `batch_softmax` as in published code.
    """

    inverse_temperature: float
    max_weight: float
    batch_softmax: bool = static(default=False)

    def __call__(
        self, online: Any, target: Any, batch: Batch, key: jax.Array | None, earlier: Metrics
    ) -> tuple[jax.Array, Metrics]:
        policy = online.pi(batch.observation)
        own = jnp.clip(target.pi(batch.observation).sample(jax.random.key(0) if key is None else key), -1.0, 1.0)
        q, v = (jnp.min(online.q(batch.observation, action), axis=0) for action in (batch.action, own))
        if self.batch_softmax:
            weight, most = batch_softmax_weight(q - v, inverse_temperature=self.inverse_temperature), None
        else:
            weight = advantage_weight(q - v, inverse_temperature=self.inverse_temperature, max_weight=self.max_weight)
            most = self.max_weight
        loss, metrics = _weighted(weight, policy.log_prob(batch.action), most=most)
        return loss, metrics | {"advantage": jnp.mean(q - v)}


def _weighted(weight: jax.Array, log_prob: jax.Array, *, most: jax.Array | float | None) -> tuple[jax.Array, Metrics]:
    """The loss of rows [B] that count by their weights [B], and how even these are; `most`: their bound, if they have one."""
    metrics = {
        "log_prob": jnp.mean(log_prob),
        "weight": jnp.mean(weight),
        "effective_share": effective_share(weight),
    }
    return cloning(weight, log_prob), metrics if most is None else metrics | {"at_bound": share_at(weight, most)}


@record
class Cloning:
    """-mean log pi(a|s): behaviour cloning by maximum likelihood, of the policy or of another network."""

    dropout: float | None = None
    network: str = static(default="pi")

    def __call__(
        self, online: Any, target: Any, batch: Batch, key: jax.Array | None, earlier: Metrics
    ) -> tuple[jax.Array, Metrics]:
        policy = getattr(online, self.network)
        log_prob = policy(batch.observation, dropout=self.dropout, key=key).log_prob(batch.action)
        return cloning(jnp.ones_like(log_prob), log_prob), {"log_prob": jnp.mean(log_prob)}
