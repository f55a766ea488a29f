"""Acting by chance and by choice: an action is drawn, or some are, and the critics choose among them."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from extremal.core.record import record, static
from extremal.objectives.ensemble import EnsembleStatistic, Mixed
from extremal.objectives.perturbation import shifted
from extremal.objectives.sampled import SampledStatistic, constant_values, drawn, proposed


@record
class _ByChance:
    """A key for each episode, folded with each observation.

    What is drawn follows from `seed` and from what the episode has observed so far, and from nothing else: not from the
    episodes beside it, nor from their number. In a state that comes back the draws are new ones; episodes that begin in
    the very same state begin alike.
    """

    seed: int = static(default=0)

    def start(self, online: Any, count: int) -> jax.Array:
        """[count] a key for each episode."""
        return jnp.broadcast_to(jax.random.key(self.seed), (count,))

    def keys(self, observation: jax.Array, fresh: jax.Array, memory: jax.Array) -> jax.Array:
        """[B] a key for each observation, which is also what is remembered."""
        before = jnp.where(fresh, self.start(None, fresh.shape[0]), memory)
        return jax.vmap(jax.random.fold_in)(before, digest(observation))


@record
class Drawn(_ByChance):
    """One action of the network `behaviour`, drawn."""

    def __call__(
        self, online: Any, observation: jax.Array, reward: jax.Array, fresh: jax.Array, memory: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        keys = self.keys(observation, fresh, memory)
        draw = lambda row, key: drawn(online.behaviour, row[None], key, 1)[0, 0]  # noqa: E731
        return jax.vmap(draw)(observation, keys), keys


@record
class BestOf(_ByChance):
    """Of the actions that a statistic draws in a state, the one of which the ensemble of critics says most.

    They are the behaviour's, or other networks' (`proposal`), and moved by the network `perturbation` where there is a `shift`.

    Source: [ghasemipour2021] Algorithm 1; [fujimoto2019]; [kumar2019]. Symbols: shift = Phi.
    """

    draws: SampledStatistic
    ensemble: EnsembleStatistic = Mixed()
    proposal: str = static(default="behaviour")
    shift: float | None = None

    def __call__(
        self, online: Any, observation: jax.Array, reward: jax.Array, fresh: jax.Array, memory: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        keys = self.keys(observation, fresh, memory)

        def draw(row: jax.Array, key: jax.Array) -> jax.Array:
            return proposed(online, self.proposal, self.draws, row[None], key)[:, 0]

        action = jax.vmap(draw, out_axes=1)(observation, keys)  # [N, B, A], each row by its own key
        if self.shift is not None:
            action = shifted(online.perturbation, observation, action, largest=self.shift)
        action = jnp.clip(action, -1.0, 1.0)
        best = jnp.argmax(self.ensemble.value(constant_values(online.q, observation, action)), axis=0)
        return action[best, jnp.arange(best.shape[0])], keys


def digest(observation: jax.Array) -> jax.Array:
    """[B] uint32 of the bits of observations [B, O]: the same for the same, and for others most likely another.

    Each number's bits are stirred before they are added up: numbers like 0, 1 and 2 differ in their high bits alone.
    """
    x = jax.lax.bitcast_convert_type(observation.astype(jnp.float32), jnp.uint32)
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        x = (x ^ (x >> jnp.uint32(shift))) * jnp.uint32(factor)
    x = x ^ (x >> jnp.uint32(16))
    place = jax.random.bits(jax.random.key(0), x.shape[-1:], jnp.uint32) | jnp.uint32(1)
    return jnp.sum(x * jnp.broadcast_to(place, x.shape), axis=-1, dtype=jnp.uint32)
