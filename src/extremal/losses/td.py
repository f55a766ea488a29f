"""Temporal differences."""

from __future__ import annotations

import jax


def td_target(
    reward: jax.Array, terminated: jax.Array, next_value: jax.Array, *, discount: jax.Array | float
) -> jax.Array:
    """[B] reward + discount next_value, with nothing to come where the MDP ended.

    Source: [kostrikov2021] Eq. (6); [garg2023] Eq. (10), (14).
    """
    return reward + discount * (1.0 - terminated) * next_value
