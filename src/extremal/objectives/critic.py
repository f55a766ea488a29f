"""Fit Q(s, a) to the reward and the value of what follows."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from extremal.core.record import record
from extremal.core.types import Batch, Metrics
from extremal.losses.td import td_target
from extremal.objectives.backup import Backup
from extremal.objectives.sampled import draws_of


@record
class FitCritic:
    """sum over critics of mean (r + discount backup(s') - Q_k(s, a))^2.

    With `huber`, the square goes on linearly beyond that error: huber_delta / 2 |error| less a constant, as the square's half.

    Source: [kostrikov2021] Eq. (6); [garg2023] Eq. (14); [ghasemipour2021] Eq. (10), (11).
    Differs from the paper: `huber` (published XQL code has 20; the paper has the square).
    """

    backup: Backup
    discount: float
    huber: float | None = None

    def __call__(
        self, online: Any, target: Any, batch: Batch, key: jax.Array | None, earlier: Metrics
    ) -> tuple[jax.Array, Metrics]:
        value = self.backup(target, batch, draws_of(key))
        q, error = bellman_error(online.q, batch, value, discount=self.discount)
        loss = error**2 if self.huber is None else optax.huber_loss(error, delta=self.huber)
        return jnp.sum(jnp.mean(loss, axis=1)), {"mean": jnp.mean(q), "error": jnp.mean(jnp.abs(error))}


def bellman_error(
    critic: Any, batch: Batch, value: jax.Array, *, discount: jax.Array | float
) -> tuple[jax.Array, jax.Array]:
    """Q_k(s, a) and Q_k(s, a) - (r + discount value), both [E, B], for the value [B] of what follows."""
    y = td_target(batch.reward, batch.terminated, value, discount=discount)
    q = critic(batch.observation, batch.action)
    return q, q - jnp.broadcast_to(y, q.shape)
