"""Fit Q(s, a) to the reward and the value of what follows."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from extremal.core.record import record
from extremal.core.types import Batch, Metrics
from extremal.losses.td import td_target
from extremal.objectives.statistic import Statistic


@record
class FitCritic:
    """sum over critics of mean (r + discount V(s') - Q_k(s, a))^2; V has no slow copy.

    With `huber`, the square goes on linearly beyond that error: huber_delta / 2 |error| less a constant, as the square's half.

    Source: [kostrikov2021] Eq. (6); [garg2023] Eq. (14).
    Differs from the paper: `huber` (published XQL code has 20; the paper has the square).
    """

    statistic: Statistic
    discount: float
    huber: float | None = None

    def __call__(
        self, online: Any, target: Any, batch: Batch, key: jax.Array | None, earlier: Metrics
    ) -> tuple[jax.Array, Metrics]:
        value = self.statistic.value(target.v(batch.next_observation))
        return regress(online.q, batch, value, discount=self.discount, huber=self.huber)


def regress(
    critic: Any, batch: Batch, next_value: jax.Array, *, discount: jax.Array | float, huber: jax.Array | float | None
) -> tuple[jax.Array, Metrics]:
    """sum over critics of mean (r + discount next_value - Q_k(s, a))^2, or Huber's loss; next_value is [B]."""
    y = td_target(batch.reward, batch.terminated, next_value, discount=discount)
    q = critic(batch.observation, batch.action)  # [E, B]
    error = q - jnp.broadcast_to(y, q.shape)
    loss = error**2 if huber is None else optax.huber_loss(error, delta=huber)
    return jnp.sum(jnp.mean(loss, axis=1)), {"mean": jnp.mean(q), "error": jnp.mean(jnp.abs(error))}
