"""Distributions over actions: sample, log_prob, mode."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp


class Gaussian(NamedTuple):
    """Independent normals over the last axis."""

    mean: jax.Array  # [..., A]
    log_std: jax.Array  # [..., A]

    def log_prob(self, action: jax.Array) -> jax.Array:
        """[...] log density of `action` [..., A]."""
        z = (action - self.mean) * jnp.exp(-self.log_std)
        return jnp.sum(-0.5 * z**2 - self.log_std - 0.5 * math.log(2.0 * math.pi), axis=-1)

    def mode(self) -> jax.Array:
        return self.mean

    def sample(self, key: jax.Array) -> jax.Array:
        return self.mean + jnp.exp(self.log_std) * jax.random.normal(key, self.mean.shape, self.mean.dtype)
