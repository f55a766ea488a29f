"""A trained agent as a user meets it: raw observations in, actions in the environment's units out."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from extremal.core.algorithm import Algorithm
from extremal.core.errors import SpecError


@jax.jit
def _act(algorithm: Algorithm, online: Any, observation: jax.Array) -> jax.Array:
    return algorithm.action(online, observation)


@jax.jit
def _value(algorithm: Algorithm, online: Any, observation: jax.Array) -> jax.Array:
    return online.v(algorithm.prepared(observation))


class Policy:
    """Networks with the algorithm that made them. `algorithm.prepare` is fitted, so scaling is undone here."""

    def __init__(self, algorithm: Algorithm, online: Any):
        self.algorithm, self.online = algorithm, online

    def act(self, observation: np.ndarray) -> np.ndarray:
        """Actions [B, A] (or [A]) for raw observations [B, O] (or [O])."""
        observation = np.asarray(observation, np.float32)
        single = observation.ndim == 1
        action = np.asarray(_act(self.algorithm, self.online, jnp.asarray(np.atleast_2d(observation))))
        return action[0] if single else action

    def value(self, observation: np.ndarray) -> np.ndarray:
        """State values [B] for raw observations [B, O].

        Raises:
            SpecError: the method has no value network (behaviour cloning).
        """
        if not hasattr(self.online, "v"):
            raise SpecError("this method has no value network; only methods with a `v` network give state values")
        return np.asarray(_value(self.algorithm, self.online, jnp.asarray(observation, jnp.float32)))
