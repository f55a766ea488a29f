"""Networks with a meaning: values, critics, policies."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from extremal.core.record import record, static
from extremal.distributions import Deterministic, Gaussian, TanhGaussian
from extremal.networks.conditional import Conditional, tiled
from extremal.networks.layers import MLP


@record
class StateValue:
    """V(s): [B] from observations [B, O]."""

    net: MLP

    def __call__(self, observation: jax.Array) -> jax.Array:
        return self.net(observation)[..., 0]


ALONE = 30.0  # steps of a number that is trained beside networks: Adam's are as short as those of each of many weights


@record
class BallValue:
    """h(s) and log beta(s) of a KL-ball value: [B, 2] from observations [B, O].

    With `log_beta` the network gives h alone, and one beta serves all states. What flows back into log beta is divided by
    beta: the slope of a loss in units of Q with respect to beta itself, which has no unit, as that with respect to h.
    A `level` moves h by so many beta, which divides every density ratio exp((Q - h) / beta) by exp(level).
    """

    net: MLP  # 2 outputs, or 1
    floor: float = static()  # of beta, in units of Q
    log_beta: jax.Array | None = None  # [], times ALONE

    def __call__(self, observation: jax.Array, level: jax.Array | float = 0.0) -> jax.Array:
        x = self.net(observation)
        shared = self.log_beta
        log_beta = x[..., 1] if shared is None else jnp.broadcast_to(ALONE * shared, x.shape[:-1])
        here = jax.lax.stop_gradient(log_beta)
        beta = jnp.maximum(jnp.exp(here), self.floor)
        slope = (log_beta - here) / beta  # 0, but for its derivative
        return jnp.stack([x[..., 0] + level * beta, here + slope], axis=-1)


@record
class Critic:
    """An ensemble of Q(s, a): [E, B] from observations [B, O] and actions [B, A]."""

    members: tuple[MLP, ...]

    def __call__(self, observation: jax.Array, action: jax.Array) -> jax.Array:
        x = jnp.concatenate([observation, action], axis=-1)
        return jnp.stack([member(x)[..., 0] for member in self.members])

    def over(self, observation: jax.Array, action: jax.Array) -> jax.Array:
        """[E, N, B] of actions [N, B, A] in states [B, O]; what depends on the state alone is worked out once a state."""
        known = [Conditional.of(member, observation) for member in self.members]
        return tiled(lambda some: jnp.stack([member(some)[..., 0] for member in known], axis=1), action).swapaxes(0, 1)


@record
class GaussianPolicy:
    """A normal over actions: its mean is squashed by tanh, its deviation does not depend on the state.

    Source: [kostrikov2021] App. B.
    """

    net: MLP
    log_std: jax.Array  # [A]

    def __call__(
        self, observation: jax.Array, *, dropout: jax.Array | float | None = None, key: jax.Array | None = None
    ) -> Gaussian:
        mean = jnp.tanh(self.net(observation, dropout=dropout, key=key))
        return Gaussian(mean, jnp.broadcast_to(jnp.clip(self.log_std, -5.0, 2.0), mean.shape))


@record
class TanhGaussianPolicy:
    """A normal over actions before tanh, mean and deviation both of the state.

    Source: [haarnoja2018] App. C, D.
    """

    net: MLP  # 2 A outputs

    def __call__(
        self, observation: jax.Array, *, dropout: jax.Array | float | None = None, key: jax.Array | None = None
    ) -> TanhGaussian:
        mean, log_std = jnp.split(self.net(observation, dropout=dropout, key=key), 2, axis=-1)
        return TanhGaussian(mean, jnp.clip(log_std, -20.0, 2.0))


@record
class DeterministicPolicy:
    """One action in each state, squashed by tanh.

    Source: [fujimoto2018] App. C.
    """

    net: MLP

    def __call__(
        self, observation: jax.Array, *, dropout: jax.Array | float | None = None, key: jax.Array | None = None
    ) -> Deterministic:
        return Deterministic(jnp.tanh(self.net(observation, dropout=dropout, key=key)))


@record
class Scalar:
    """One learned number: a running normaliser, or a dual weight."""

    x: jax.Array  # []

    def __call__(self) -> jax.Array:
        return self.x
