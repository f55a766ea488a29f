"""Weights and losses that turn values into a policy."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def advantage_weight(
    advantage: jax.Array, *, inverse_temperature: jax.Array | float, max_weight: jax.Array | float
) -> jax.Array:
    """exp(inverse_temperature * advantage), at most `max_weight`; clamped before the exponential, so never infinite.

    Source: [kostrikov2021] Eq. (7), App. B; [peng2019] Eq. (14).
    """
    return jnp.exp(jnp.minimum(inverse_temperature * advantage, jnp.log(max_weight)))


def batch_softmax_weight(advantage: jax.Array, *, inverse_temperature: jax.Array | float) -> jax.Array:
    """[B] exp(inverse_temperature * advantage) over its mean in the batch: positive, and of mean 1.

    What all rows share drops out, and no weight exceeds the batch size. It is biased towards equal weights: a batch that
    holds no good action has the same sum of weights as one that does.

    Source: [nair2020] Eq. (13).
    Differs from the paper: the mean is divided out, as in published code; Eq. (13) leaves the normaliser out.
    """
    return advantage.shape[0] * jax.nn.softmax(inverse_temperature * advantage)


def cloning(weight: jax.Array, log_prob: jax.Array) -> jax.Array:
    """Scalar -mean(weight log pi(a|s)); a weight is a constant, whatever it was computed from.

    Source: [kostrikov2021] Eq. (7); [garg2023] Eq. (12).
    """
    return -jnp.mean(jax.lax.stop_gradient(weight) * log_prob)
