"""Losses on windows of an episode: padding counts for nothing."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def mean_where(x: jax.Array, valid: jax.Array) -> jax.Array:
    """The mean of those `x` [...] at which `valid` [...] is true; at least one is. The others may be anything."""
    return jnp.sum(jnp.where(valid, x, 0.0)) / jnp.sum(valid, dtype=x.dtype)


def squared_error(action: jax.Array, logged: jax.Array, valid: jax.Array) -> jax.Array:
    """The mean over valid steps [B, L] and over the entries of an action [B, L, A] of (action - logged)^2.

    Source: [chen2021] Sec. 3, Algorithm 1.
    """
    return mean_where(jnp.mean((action - logged) ** 2, axis=-1), valid)
