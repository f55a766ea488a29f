"""Networks so small that their answers are known: one V for every state, a Q that is a given function."""

from typing import Any, NamedTuple

import jax.numpy as jnp

from extremal.core.record import record, static
from extremal.core.types import Batch
from extremal.distributions import Deterministic, Gaussian, TanhGaussian
from extremal.networks.heads import Scalar


@record
class OneValue:
    """V(s) = x."""

    x: Any

    def __call__(self, observation):
        return jnp.broadcast_to(self.x, observation.shape[:1])


def first_action(observation, action):
    return action[:, 0]


@record
class TwoCritics:
    """Q_1(s, a) = x + function(s, a), and Q_2 = Q_1 + above."""

    x: Any = 0.0
    above: Any = 0.0
    function: Any = static(default=first_action)

    def __call__(self, observation, action):
        q = self.function(observation, action) + self.x
        return jnp.stack([q, q + self.above])


@record
class OnePolicy:
    """N(mean, deviation 1) in every state."""

    mean: Any  # [A]

    def __call__(self, observation, *, dropout=None, key=None):
        mean = jnp.broadcast_to(self.mean, (observation.shape[0], *self.mean.shape))
        return Gaussian(mean, jnp.zeros_like(mean))


@record
class SquashedPolicy:
    """tanh of N(mean, exp(log_std)) in every state."""

    mean: Any  # [A]
    log_std: Any  # [A]

    def __call__(self, observation, *, dropout=None, key=None):
        shape = (observation.shape[0], *self.mean.shape)
        return TanhGaussian(jnp.broadcast_to(self.mean, shape), jnp.broadcast_to(self.log_std, shape))


@record
class OneAction:
    """The same action in every state."""

    action: Any  # [A]

    def __call__(self, observation, *, dropout=None, key=None):
        return Deterministic(jnp.broadcast_to(self.action, (observation.shape[0], *self.action.shape)))


class Networks(NamedTuple):
    v: Any = OneValue(x=jnp.zeros(()))
    q: Any = TwoCritics()
    pi: Any = OnePolicy(mean=jnp.zeros(1))
    log_weight: Any = Scalar(x=jnp.zeros(()))


def batch(action, *, observation=None, reward=None, terminated=None):
    """Rows with these actions [B]; whatever else is not given is zero."""
    action = jnp.asarray(action, jnp.float32).reshape(-1, 1)
    rows = action.shape[0]
    column = lambda x: jnp.zeros(rows) if x is None else jnp.asarray(x, jnp.float32)  # noqa: E731
    here = jnp.zeros((rows, 1)) if observation is None else jnp.asarray(observation, jnp.float32)
    return Batch(here, action, column(reward), here, column(terminated))
