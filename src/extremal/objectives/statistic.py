"""Statistics of Q(s, a) over the data's actions, as a regression: how good is the best action that the data supports?

A statistic is a record with `loss(q, head)` (elementwise, minimised by the value head), `value(head)`, and
`weight(q, head)`, the policy weight that belongs to it. `head` is what the value network gives out: [B], or [B, 2] for
the KL ball.
"""

from __future__ import annotations

from typing import Literal, Protocol

import jax
import jax.numpy as jnp

from extremal.core.record import record, static
from extremal.core.types import Metrics
from extremal.losses.value import (
    batch_max_gumbel_regression,
    density_ratio,
    expectile_regression,
    gumbel_regression,
    kl_ball_regression,
    quantile_regression,
    squared,
)


class Statistic(Protocol):
    """What a value network learns of the distribution of Q over the data's actions."""

    def loss(self, q: jax.Array, head: jax.Array) -> jax.Array: ...
    def value(self, head: jax.Array) -> jax.Array: ...
    def weight(self, q: jax.Array, head: jax.Array) -> jax.Array: ...
    def health(self, q: jax.Array, head: jax.Array) -> Metrics: ...

    @property
    def most(self) -> jax.Array | float | None: ...  # the bound of its weights; none where they have none


class _NoHealth:
    """A statistic whose weights are no density ratio: nothing about them is known beforehand, and nothing cuts them off."""

    most = None

    def health(self, q: jax.Array, head: jax.Array) -> Metrics:
        return {}


def ratio_health(weight: jax.Array, clip: jax.Array | float) -> Metrics:
    """What density ratios [B] of a policy to the data's say: their KL, effective sample size, and share at the bound.

    The mean of the weights, 1 where V has its value, stands beside them in every value objective.

    Source: [ahmadi2012] Theorem 3.3.
    """
    mean = jnp.mean(weight)
    share = weight / jnp.where(mean > 0.0, mean, 1.0)  # in float32 every weight may be 0
    return {
        "kl": jnp.mean(jax.scipy.special.xlogy(share, share)),
        "effective_share": effective_share(weight),
        "clipped": share_at(weight, jnp.exp(clip)),
    }


def effective_share(weight: jax.Array) -> jax.Array:
    """[] (sum w)^2 / (B sum w^2) of the weights [B]: the effective sample size over B; 0 where every weight is.

    1 where all weigh the same, 1 / B where one row alone counts; a factor on all of them changes nothing.
    """
    largest = jnp.max(weight)
    share = weight / jnp.where(largest > 0.0, largest, 1.0)  # float32 has neither the square of 1e-25 nor that of 1e25
    square = jnp.mean(share**2)
    return jnp.mean(share) ** 2 / jnp.where(square > 0.0, square, 1.0)


def share_at(weight: jax.Array, most: jax.Array | float) -> jax.Array:
    """[] share of the weights [B] that are cut off at `most`; rounding puts one of them within 1e-5 of it."""
    return jnp.mean((weight >= most * (1.0 - 1e-5)).astype(weight.dtype))


@record
class Gumbel:
    """beta log E exp(Q / beta), the soft maximum; the weight is the density ratio of the soft-optimal policy.

    With `batch_max` the loss is the one that the published numbers were made with: clamped, from both sides or (`clamp`)
    from above alone, and divided by the batch's largest exponential.

    Source: [garg2023] Eq. (11), (12), App. D.3.
    Differs from the paper: without `batch_max`, the exponential goes on as its tangent beyond `clip`; the clamp from above
    alone is that of the published code; and a weight is at most exp(clip), where Eq. (12) has no bound.
    """

    beta: float
    clip: float
    batch_max: bool = static(default=False)
    clamp: Literal["both", "above"] = static(default="both")

    def loss(self, q: jax.Array, head: jax.Array) -> jax.Array:
        if self.batch_max:
            below = self.clamp == "both"
            return batch_max_gumbel_regression(q - head, beta=self.beta, clip=self.clip, from_below=below)
        return gumbel_regression(q - head, beta=self.beta, clip=self.clip)

    def value(self, head: jax.Array) -> jax.Array:
        return head

    def weight(self, q: jax.Array, head: jax.Array) -> jax.Array:
        return density_ratio(q - head, beta=self.beta, clip=self.clip)

    @property
    def most(self) -> jax.Array:
        return jnp.exp(self.clip)

    def health(self, q: jax.Array, head: jax.Array) -> Metrics:
        return ratio_health(self.weight(q, head), self.clip)


@record
class Expectile(_NoHealth):
    """The expectile of Q; its weight is the share that the loss gives to an action.

    Source: [kostrikov2021] Eq. (5).
    """

    expectile: float

    def loss(self, q: jax.Array, head: jax.Array) -> jax.Array:
        return expectile_regression(q - head, expectile=self.expectile)

    def value(self, head: jax.Array) -> jax.Array:
        return head

    def weight(self, q: jax.Array, head: jax.Array) -> jax.Array:
        return jnp.abs(self.expectile - (q < head).astype(q.dtype))


@record
class Mean(_NoHealth):
    """The mean of Q, the value of the behaviour policy; every action weighs the same.

    Source: [ghasemipour2021] Eq. (6); [kostrikov2021] Fig. 1 (the expectile of one half).
    """

    def loss(self, q: jax.Array, head: jax.Array) -> jax.Array:
        return squared(q - head)

    def value(self, head: jax.Array) -> jax.Array:
        return head

    def weight(self, q: jax.Array, head: jax.Array) -> jax.Array:
        return jnp.ones_like(q)


@record
class Quantile(_NoHealth):
    """The quantile of Q; its weight is the share that the loss gives to an action.

    Source: [koenker1978].
    """

    quantile: float

    def loss(self, q: jax.Array, head: jax.Array) -> jax.Array:
        return quantile_regression(q - head, quantile=self.quantile)

    def value(self, head: jax.Array) -> jax.Array:
        return head

    def weight(self, q: jax.Array, head: jax.Array) -> jax.Array:
        return jnp.abs(self.quantile - (q < head).astype(q.dtype))


@record
class KLBall:
    """max of E_pi Q over policies pi within a KL of `kappa` from the data's; the weight is pi over the data's policy.

    The head is [..., 2]: h, and the logarithm of beta, which each state has for itself. A logarithm, since the scale of
    Q is not known beforehand and a step then changes beta by a share of itself, be it 0.001 or 1000. Beta goes to zero
    where `kappa` reaches log 1 / mu(best action), or where all Q are the same, and so it has a floor. At the floor
    h + kappa beta would lie above the largest Q by up to kappa beta, again at every backup: there the value is h, from
    2 floor on it is h + kappa beta, and linear between, so that it is continuous.

    Source: [ahmadi2012] Theorem 3.3.
    Differs from the paper: the exponential goes on as its tangent beyond `clip`, and beta has a floor; the value is
    exact where no z lies beyond `clip` and beta is at least 2 `floor`.
    """

    kappa: float
    clip: float
    floor: float = 1e-3  # in units of Q
    bonus: bool = static(default=True)  # false: the value is h, the soft maximum at the beta that holds the KL

    def loss(self, q: jax.Array, head: jax.Array) -> jax.Array:
        below = jnp.maximum(jnp.log(self.floor) - head[..., 1], 0.0)
        spring = self.floor * below  # below the floor nothing else moves log beta: it would stay there
        loss = kl_ball_regression(q - head[..., 0], beta=self._beta(head), kappa=self.kappa, clip=self.clip)
        return loss + spring

    def value(self, head: jax.Array) -> jax.Array:
        if not self.bonus:
            return head[..., 0]
        beta = self._beta(head)
        return head[..., 0] + self.kappa * jnp.minimum(beta, 2.0 * (beta - self.floor))

    def weight(self, q: jax.Array, head: jax.Array) -> jax.Array:
        return density_ratio(q - head[..., 0], beta=self._beta(head), clip=self.clip)

    @property
    def most(self) -> jax.Array:
        return jnp.exp(self.clip)

    def health(self, q: jax.Array, head: jax.Array) -> Metrics:
        ordered = jnp.sort(jnp.exp(head[..., 1]))
        tenth, middle = len(ordered) // 10, len(ordered) // 2
        return {
            **ratio_health(self.weight(q, head), self.clip),
            "beta_low": ordered[tenth],
            "beta": ordered[middle],
            "beta_high": ordered[-1 - tenth],
            "at_floor": jnp.mean(
                (ordered < 2.0 * self.floor).astype(ordered.dtype)
            ),  # where the value is not h + kappa beta
        }

    def _beta(self, head: jax.Array) -> jax.Array:
        return jnp.maximum(jnp.exp(head[..., 1]), self.floor)
