"""Tables as networks: one number a state, or a state and an action, looked up by one-hot observations and actions.

Nothing is shared between states, so what a method converges to on a table is its fixed point and nothing else.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from extremal.core.errors import SpecError
from extremal.core.record import record
from extremal.distributions import OneHot


@record
class StateTable:
    """V(s): [B] from one-hot observations [B, S]; or [B, K], where a state has K numbers."""

    values: jax.Array  # [S] or [S, K]

    def __call__(self, observation: jax.Array) -> jax.Array:
        return observation @ self.values


@record
class StateActionTable:
    """An ensemble of Q(s, a): [E, B] from one-hot observations [B, S] and actions [B, A]."""

    values: jax.Array  # [E, S, A]

    def __call__(self, observation: jax.Array, action: jax.Array) -> jax.Array:
        return jnp.stack([jnp.sum((observation @ member) * action, axis=-1) for member in self.values])


@record
class PolicyTable:
    """A distribution over one-hot actions in each state: a policy, or a model of the behaviour."""

    logits: jax.Array  # [S, A]; logarithms of counts will do, and -inf is an action that never comes

    def __call__(self, observation: jax.Array, *, dropout: Any = None, key: jax.Array | None = None) -> OneHot:
        if dropout is not None:
            raise SpecError("a table has no hidden units to silence; leave the dropout out")
        chosen = jnp.argmax(observation, axis=-1)  # a product with -inf would be NaN
        return OneHot(self.logits[chosen])
