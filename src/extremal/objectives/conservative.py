"""Conservative critics: Q is pushed down where a policy would go, and up at the logged actions.

A penalty gives, for each critic and state, the statistic of Q that is pushed down, [E, B]; the actions are constants.
"""

from __future__ import annotations

import math
from typing import Any, Literal, Protocol

import jax
import jax.numpy as jnp

from extremal.core.record import record, static
from extremal.core.types import Batch, Metrics
from extremal.losses.conservative import dual_ascent, dual_weight, exponential_mean, robust_mean, sampled_log_sum_exp
from extremal.objectives.backup import Backup
from extremal.objectives.critic import bellman_error
from extremal.objectives.expectation import log_density, weighted_actions
from extremal.objectives.sampled import draws_of, ensemble_values


class Penalty(Protocol):
    """What is pushed down: [E, B]."""

    def __call__(self, online: Any, target: Any, batch: Batch, key: jax.Array) -> jax.Array: ...


def uniform(key: jax.Array, samples: int, batch: Batch) -> tuple[jax.Array, jax.Array]:
    """[N, B, A] uniform actions in [-1, 1], and their log density [N, B]."""
    shape = (samples, *batch.action.shape)
    action = jax.random.uniform(key, shape, minval=-1.0, maxval=1.0)
    return action, jnp.full(shape[:2], -batch.action.shape[-1] * math.log(2.0))


def policy_actions(policy: Any, key: jax.Array, samples: int) -> tuple[jax.Array, jax.Array]:
    """[N, B, A] actions of a policy, and their log density [N, B]."""
    return jax.vmap(policy.sample_with_log_prob)(jax.random.split(key, samples))


@record
class LogSumExp:
    """log of the integral of exp Q_k(s, a) over actions, from `samples` uniform actions and as many of the policy.

    With `published` as the published code has it: actions of the policy in the *next* state are looked at in this one,
    too, and the sum is not divided by its number of terms. That is log(3 samples) more, which moves no slope, but does
    move the gap that a threshold is compared with.

    Source: [kumar2020] Eq. (4), App. F.
    Differs from the paper: with `published`, as said.
    """

    samples: int = static()
    published: bool = static(default=False)

    def __call__(self, online: Any, target: Any, batch: Batch, key: jax.Array) -> jax.Array:
        keys = jax.random.split(key, 3)
        found = [uniform(keys[0], self.samples, batch)]
        found.append(policy_actions(target.pi(batch.observation), keys[1], self.samples))
        if self.published:
            found.append(policy_actions(target.pi(batch.next_observation), keys[2], self.samples))
        action, log_density = (jnp.concatenate(parts) for parts in zip(*found, strict=True))
        q = jnp.moveaxis(ensemble_values(online.q, batch.observation, action), 0, 1)  # [N, E, B]
        total = sampled_log_sum_exp(q, jnp.broadcast_to(log_density[:, None], q.shape))
        return total + math.log(len(action)) if self.published else total


@record
class ExactLogSumExp:
    """log sum_a exp Q_k(s, a) over all discrete actions, which are one-hot vectors.

    Source: [kumar2020] Eq. (4), App. F.
    """

    def __call__(self, online: Any, target: Any, batch: Batch, key: jax.Array) -> jax.Array:
        rows, actions = batch.action.shape
        every = jnp.broadcast_to(jnp.eye(actions)[:, None], (actions, rows, actions))
        return jax.nn.logsumexp(ensemble_values(online.q, batch.observation, every), axis=1)


@record
class PreviousPolicy:
    """E Q_k(s, a) exp(Q_k(s, a)) / Z over actions a of the previous policy: CQL(rho).

    That policy is `target.pi`, a copy which is one update behind (`Polyak(rate=1, behind=True)`); the present one is `online.pi`.

    Source: [kumar2020] Eq. (7). Symbols: the previous policy = rho.
    """

    samples: int = static()

    def __call__(self, online: Any, target: Any, batch: Batch, key: jax.Array) -> jax.Array:
        action, weight = weighted_actions(target.pi(batch.observation), key, self.samples)
        q = jnp.moveaxis(ensemble_values(online.q, batch.observation, action), 0, 1)  # [N, E, B]
        return exponential_mean(q, jnp.broadcast_to(weight[:, None], q.shape))


@record
class Variance:
    """The mean of Q_k(s, a) under a prior, plus the root of `radius` times its variance: CQL(var).

    The prior is uniform, or the inverse of the logged actions' density, by the network `behaviour`: uniform actions then count by
    1 / density, so that what is seldom logged counts most.

    Source: [kumar2020] Eq. (9), App. A. Symbols: prior = P-hat, density = D-hat(a|s), radius = 1 / (d(s) |D|).
    Differs from the paper: one radius for all states. d(s) |D| is how often a state was logged, which is once where states are
    continuous, and the density is a model's.
    """

    samples: int = static()
    radius: float
    prior: Literal["uniform", "inverse"] = static(default="uniform")

    def __call__(self, online: Any, target: Any, batch: Batch, key: jax.Array) -> jax.Array:
        action, _ = uniform(key, self.samples, batch)
        q = jnp.moveaxis(ensemble_values(online.q, batch.observation, action), 0, 1)  # [N, E, B]
        if self.prior == "uniform":
            return robust_mean(q, radius=self.radius)
        weight = jax.nn.softmax(-log_density(target.behaviour, batch.observation, action), axis=0)
        return robust_mean(q, radius=self.radius, weight=jnp.broadcast_to(weight[:, None], q.shape))


@record
class PolicyMean:
    """E Q_k(s, a) over actions of the policy: mu = pi. It is exact where they are discrete.

    Source: [kumar2020] Eq. (1), (2), Theorem 3.2.
    """

    samples: int = static()

    def __call__(self, online: Any, target: Any, batch: Batch, key: jax.Array) -> jax.Array:
        action, weight = weighted_actions(target.pi(batch.observation), key, self.samples)
        return jnp.sum(weight[None] * ensemble_values(online.q, batch.observation, action), axis=1)


@record
class FitConservativeCritic:
    """sum over critics of weight mean (penalty_k(s) - Q_k(s, a)) + square mean (r + discount backup(s') - Q_k(s, a))^2.

    `data_term` false leaves out the -Q_k(s, a), which pushes logged actions up; the gap of the metrics, by which a weight may be
    tuned, has it still, since without it a threshold would be one on Q itself. With the network `log_penalty` the weight is
    multiplied by its exponential. `floor` is the least that a row counts. What follows a transition is of the present policy.

    Source: [kumar2020] Eq. (1), (2), (3), (4), (30). Symbols: weight = alpha, square = 1/2.
    Differs from the paper: `square` 1 and `floor` are the published code's.
    """

    penalty: Penalty
    backup: Backup
    discount: float
    weight: float
    square: float = 0.5
    data_term: bool = static(default=True)
    floor: float | None = None

    def __call__(
        self, online: Any, target: Any, batch: Batch, key: jax.Array | None, earlier: Metrics
    ) -> tuple[jax.Array, Metrics]:
        draw, follow = jax.random.split(draws_of(key))
        present = target._replace(pi=online.pi)
        q, error = bellman_error(online.q, batch, self.backup(present, batch, follow), discount=self.discount)
        lowered = self.penalty(online, target, batch, draw)
        counted = lambda x: jnp.mean(x if self.floor is None else jnp.maximum(x, self.floor), axis=1)  # noqa: E731
        gap = counted(lowered - q)  # [E]
        weight = self.weight
        if getattr(target, "log_penalty", None) is not None:
            weight = weight * dual_weight(target.log_penalty())
        pushed = gap if self.data_term else counted(lowered)
        loss = jnp.sum(weight * pushed) + self.square * jnp.sum(jnp.mean(error**2, axis=1))
        return loss, {"mean": jnp.mean(q), "error": jnp.mean(jnp.abs(error)), "gap": jnp.mean(gap)}


@record
class TunePenalty:
    """Gradient ascent of the penalty's weight on the mean gap less the threshold.

    `scale` multiplies the gap before the threshold is taken off: 1 is the paper's.

    Source: [kumar2020] Eq. (30). Symbols: threshold = tau.
    Differs from the paper: with scale other than 1 as published code has it, whose threshold is one on the weighted gap.
    """

    threshold: float
    scale: float = 1.0

    def __call__(
        self, online: Any, target: Any, batch: Batch, key: jax.Array | None, earlier: Metrics
    ) -> tuple[jax.Array, Metrics]:
        loss = dual_ascent(online.log_penalty(), self.scale * earlier["q/gap"] - self.threshold)
        return loss, {"weight": dual_weight(online.log_penalty())}
