"""Statistics of Q(s, a) over the data's actions, as a regression: how good is the best action that the data supports?

A statistic is a record with `loss(q, head)` (elementwise, minimised by the value head), `value(head)`, and
`weight(q, head)`, the policy weight that belongs to it. `head` is what the value network gives out.
"""

from __future__ import annotations

from typing import Protocol

import jax
import jax.numpy as jnp

from extremal.core.record import record, static
from extremal.losses.value import batch_max_gumbel_regression, expectile_regression, gumbel_regression


class Statistic(Protocol):
    """What a value network learns of the distribution of Q over the data's actions."""

    def loss(self, q: jax.Array, head: jax.Array) -> jax.Array: ...
    def value(self, head: jax.Array) -> jax.Array: ...
    def weight(self, q: jax.Array, head: jax.Array) -> jax.Array: ...


@record
class Gumbel:
    """beta log E exp(Q / beta), the soft maximum; the weight is the density ratio of the soft-optimal policy.

    With `batch_max` the loss is the one that the published numbers were made with: clamped, and divided by the batch's
    largest exponential.

    Source: [garg2023] Eq. (11), (12), App. D.3.
    Differs from the paper: without `batch_max`, the exponential goes on as its tangent beyond `clip`.
    """

    beta: float
    clip: float
    batch_max: bool = static(default=False)

    def loss(self, q: jax.Array, head: jax.Array) -> jax.Array:
        regression = batch_max_gumbel_regression if self.batch_max else gumbel_regression
        return regression(q - head, beta=self.beta, clip=self.clip)

    def value(self, head: jax.Array) -> jax.Array:
        return head

    def weight(self, q: jax.Array, head: jax.Array) -> jax.Array:
        return jnp.exp(jnp.minimum((q - head) / self.beta, self.clip))


@record
class Expectile:
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
