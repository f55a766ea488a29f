"""Statistics of Q over actions a_1, ..., a_N drawn from a model of the behaviour.

Other than those of `extremal.objectives.statistic`, these need several actions of one state; logged data has one, so
they need a model of mu(a|s): the network `behaviour`.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import jax
import jax.numpy as jnp

from extremal.core.record import record, static


class SampledStatistic(Protocol):
    """Which actions of a state are looked at, and what is made of their Q."""

    def draw(self, behaviour: Any, observation: jax.Array, key: jax.Array) -> jax.Array: ...  # [N, B, A]
    def value(self, q: jax.Array) -> jax.Array: ...  # [B] from [N, B]


@record
class ExpectedMaximum:
    """The largest Q of N actions drawn from mu; its mean over the draws is the expected maximum.

    Source: [ghasemipour2021] Eq. (5), (11). Symbols: samples = N.
    """

    samples: int = static()

    def draw(self, behaviour: Any, observation: jax.Array, key: jax.Array) -> jax.Array:
        return drawn(behaviour, observation, key, self.samples)

    def value(self, q: jax.Array) -> jax.Array:
        return jnp.max(q, axis=0)


@record
class SoftExpectedMaximum:
    """The mean of N Qs, each weighted by its softmax; from the mean (0) to the largest (infinity).

    Source: [ghasemipour2021] Eq. (71), (74). Symbols: samples = N, inverse_temperature = alpha.
    """

    samples: int = static()
    inverse_temperature: float

    def draw(self, behaviour: Any, observation: jax.Array, key: jax.Array) -> jax.Array:
        return drawn(behaviour, observation, key, self.samples)

    def value(self, q: jax.Array) -> jax.Array:
        return jnp.sum(jax.nn.softmax(self.inverse_temperature * q, axis=0) * q, axis=0)


@record
class LogMeanExp:
    """beta log mean exp(Q / beta) over N actions drawn from mu: XQL's value, from samples; the largest Q for beta to 0.

    It lies below the value on average, by about (E w^2 - 1) beta / 2N for w = exp((Q - V) / beta). `jackknife` takes the part in
    1 / N off: N times it, less N - 1 times the mean of it over all but one.

    Source: [garg2023] Eq. (1); [quenouille1956]. Symbols: samples = N.
    """

    samples: int = static()
    beta: float
    jackknife: bool = static(default=False)

    def draw(self, behaviour: Any, observation: jax.Array, key: jax.Array) -> jax.Array:
        return drawn(behaviour, observation, key, self.samples)

    def value(self, q: jax.Array) -> jax.Array:
        count, z = q.shape[0], q / self.beta
        whole = jax.nn.logsumexp(z, axis=0) - math.log(count)
        if not self.jackknife or count == 1:
            return self.beta * whole
        others = jnp.where(jnp.eye(count, dtype=bool)[..., None], -jnp.inf, z[None])  # [without, N, B]
        without = jax.nn.logsumexp(others, axis=1) - math.log(count - 1)
        return self.beta * (count * whole - (count - 1) * jnp.mean(without, axis=0))


@record
class Maximum:
    """The largest Q of all discrete actions that mu takes with at least `share` of its mode's probability.

    Source: [ghasemipour2021] Theorem 3.3.
    Differs from the paper: the support is cut at `share`, since a fitted mu gives no action a probability of 0.
    """

    share: float

    def draw(self, behaviour: Any, observation: jax.Array, key: jax.Array) -> jax.Array:
        return behaviour(observation).support(self.share)

    def value(self, q: jax.Array) -> jax.Array:
        return jnp.max(q, axis=0)


def draws_of(key: jax.Array | None) -> jax.Array:
    """The key itself; without one (held-out data), one that makes the same draws each time."""
    return jax.random.key(0) if key is None else key


def drawn(behaviour: Any, observation: jax.Array, key: jax.Array, samples: int) -> jax.Array:
    """[N, B, A]: `samples` actions in each state; one out of range is clipped, as in acting."""
    return jnp.clip(behaviour(observation).samples(key, samples), -1.0, 1.0)


def constant_values(critic: Any, observation: jax.Array, action: jax.Array) -> jax.Array:
    """`ensemble_values` that nothing is differentiated through: the state's part is worked out once a state, not once an action.

    On the way back that would cost more than it saves: an update of CQL took 1.6 times its own products, without it 1.2.
    """
    return critic.over(observation, action) if hasattr(critic, "over") else ensemble_values(critic, observation, action)


def ensemble_values(critic: Any, observation: jax.Array, action: jax.Array) -> jax.Array:
    """[E, N, B]: every critic's Q of actions [N, B, A]; one pass through each critic."""
    count, rows, size = action.shape
    q = critic(jnp.tile(observation, (count, 1)), action.reshape(count * rows, size))
    return q.reshape(-1, count, rows)


def proposed(
    networks: Any, proposal: str, statistic: SampledStatistic, observation: jax.Array, key: jax.Array
) -> jax.Array:
    """[N, B, A] what a statistic draws from the network named `proposal`; of several, joined by +, as many from each.

    Source: [ghasemipour2021] App. D.1.
    """
    names = proposal.split("+")
    keys = [key] if len(names) == 1 else list(jax.random.split(key, len(names)))
    return jnp.concatenate(
        [statistic.draw(getattr(networks, name), observation, k) for name, k in zip(names, keys, strict=True)]
    )
