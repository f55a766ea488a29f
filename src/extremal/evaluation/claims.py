"""What a critic claims, beside what is true: predicted values against discounted returns, and the gap between actions.

Q is the smallest of the ensemble's, as the methods take it. Any method with a critic `q` is measured alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from extremal.core.algorithm import Algorithm
from extremal.core.types import Batch

SAMPLES = 10  # uniform actions a state


@jax.jit
def gap_expansion(online: Any, batch: Batch) -> jax.Array:
    """Mean over a batch of logged data of max_i Q(s, a_i) - Q(s, a), the a_i uniform; the same draws at every call.

    Below 0 the critic holds what was done for better than any of some arbitrary actions, above 0 it was drawn away.

    Source: [kumar2020] Eq. (10), Fig. 2. Symbols: SAMPLES = N.
    """
    uniform = jax.random.uniform(jax.random.key(0), (SAMPLES, *batch.action.shape), minval=-1.0, maxval=1.0)
    q = lambda action: jnp.min(online.q(batch.observation, action), axis=0)  # noqa: E731
    return jnp.mean(jnp.max(jax.lax.map(q, uniform), axis=0) - q(batch.action))


@jax.jit
def policy_value(algorithm: Algorithm, online: Any, observation: jax.Array) -> jax.Array:
    """[B] Q(s, a) of the action that is taken in prepared observations [B, O]."""
    return algorithm.own_value(online, observation)


def predicted_values(algorithm: Algorithm, online: Any, starts: np.ndarray) -> np.ndarray:
    """[E] what the critic promises at the raw first observations [E, O] of episodes, in its own units.

    Source: [kumar2020] Table 4.
    Differs from the paper: at the episodes' first states and not over the data's, so that it is the very number
    that `discounted_returns` of these episodes estimates.
    """
    return np.asarray(policy_value(algorithm, online, jnp.asarray(algorithm.prepared(starts))))


def discounted_returns(algorithm: Algorithm, rewards: Sequence[np.ndarray]) -> np.ndarray:
    """[E] sum_t discount^t r_t of episodes' rewards [T], in the units of the critic (scaled and shifted as the data was)."""
    discount = float(algorithm.discount)
    return np.array([np.sum(np.asarray(algorithm.counted(r)) * discount ** np.arange(len(r))) for r in rewards])
