"""Fit V(s) to a statistic of Q(s, a) over the data's actions."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from extremal.core.record import record, static
from extremal.core.types import Batch, Metrics
from extremal.objectives.statistic import Statistic

FOLDS = 8  # of a batch, where each is divided by the mean weight of the others
LEAST_WEIGHT = 1.0  # that a loss is divided by, and its mean where V is right: no slope is made larger


def seen_head(target: Any, observation: jax.Array) -> jax.Array:
    """The value head as Q and the policy see it: of V or its slow copy, at its level where one is kept (`TrackLevel`)."""
    level = getattr(target, "log_level", None)
    return target.v(observation) if level is None else target.v(observation, level())


def of_the_others(weight: jax.Array) -> jax.Array:
    """[B] for weights [..., B]: for each eighth of the batch the mean weight of the other seven, at least `LEAST_WEIGHT`.

    It is independent of the rows that it belongs to, and of nearly all of the others, so that one good row in a hundred is seldom missed.
    """
    rows = weight.shape[-1]
    folds = min(FOLDS, rows)
    if folds == 1:
        return jnp.ones(rows, weight.dtype)  # a single row has no others
    member = np.arange(rows) * folds // rows
    apart = (member != np.arange(folds)[:, None]).astype(weight.dtype)  # [folds, B]
    each = jnp.mean(weight, axis=tuple(range(weight.ndim - 1)))
    means = jnp.sum(jnp.asarray(apart / apart.sum(axis=1, keepdims=True)) * each[None], axis=1)
    return jnp.maximum(means, LEAST_WEIGHT)[member]


@record
class FitValue:
    """mean of statistic.loss(min_k Q_k(s, a), V(s)), Q from the slow copy.

    The loss may be divided by something that is independent of the rows that it is taken over: that rescales the step, and leaves
    the minimiser where it is. With `others`, each eighth of the batch is divided by the mean weight of the others; with
    `normalised`, all of it by a running average of the mean weight (`TrackWeight`), known before the batch is drawn. `random_actions` adds as many
    uniform actions a state to the data's: mu becomes a mixture of both. With `slow`, what is told is of V's slow copy,
    which is what others see of it.

    Source: [garg2023] Eq. (11); [kostrikov2021] Eq. (5).
    """

    statistic: Statistic
    normalised: bool = static(default=False)
    others: bool = static(default=False)
    random_actions: int = static(default=0)
    slow: bool = static(default=False)

    def __call__(
        self, online: Any, target: Any, batch: Batch, key: jax.Array | None, earlier: Metrics
    ) -> tuple[jax.Array, Metrics]:
        q = jnp.min(target.q(batch.observation, batch.action), axis=0)
        v = online.v(batch.observation)
        seen = seen_head(target, batch.observation) if self.slow else v
        value = self.statistic.value(seen)
        metrics = {
            "mean": jnp.mean(value),
            "advantage": jnp.mean(q - value),
            "weight": jnp.mean(self.statistic.weight(q, seen)),
            **self.statistic.health(q, seen),
        }
        if self.random_actions and key is not None:
            extra = self._random(target, batch, key)  # [R, B]
            q, v = jnp.concatenate([q[None], extra]), jnp.broadcast_to(v[None], (1 + self.random_actions, *v.shape))
        losses = self.statistic.loss(q, v)
        if self.others:
            scale = jax.lax.stop_gradient(of_the_others(self.statistic.weight(q, v)))
            losses = losses / jnp.broadcast_to(scale, losses.shape)
        loss = jnp.mean(losses)
        if self.normalised:
            loss = loss * jnp.exp(-jax.lax.stop_gradient(target.log_weight()))
        return loss, metrics

    def weight(self, target: Any, batch: Batch) -> jax.Array:
        """[B] the policy weight of each logged action, by V as others see it."""
        q = jnp.min(target.q(batch.observation, batch.action), axis=0)
        return self.statistic.weight(q, seen_head(target, batch.observation))

    def _random(self, target: Any, batch: Batch, key: jax.Array) -> jax.Array:
        """[R, B] pessimistic Q of uniform actions in [-1, 1]; one product of rank 2."""
        count, (rows, size) = self.random_actions, batch.action.shape
        action = jax.random.uniform(key, (count * rows, size), minval=-1.0, maxval=1.0)
        observation = jnp.tile(batch.observation, (count, 1))
        return jnp.min(target.q(observation, action), axis=0).reshape(count, rows)


@record
class TrackWeight:
    """(x - log mean weight)^2 / 2 of a scalar x: under SGD, the running average of the log of the batch's mean weight.

    A mean below `LEAST_WEIGHT`, be it 0 for float32, counts as that. Where V is far above every Q its slope is -1 / beta for all rows,
    and has no size to be rid of.
    """

    def __call__(
        self, online: Any, target: Any, batch: Batch, key: jax.Array | None, earlier: Metrics
    ) -> tuple[jax.Array, Metrics]:
        level = jnp.log(jnp.maximum(earlier["v/weight"], LEAST_WEIGHT))
        return 0.5 * (online.log_weight() - level) ** 2, {}


@record
class TrackLevel:
    """-x (mean weight - 1) of a scalar x: SGD moves x until the density ratios of V's slow copy have the mean 1.

    V itself has that mean over time, E exp((Q - h) / beta) = 1, while h sways. The slow copy is the average of h, and an exponential of
    an average is below the average of the exponential: by exp(-s^2 / 2) where h sways by s beta. Moved by x beta (x is mostly
    negative), the copy's ratios are again those of a density.

    Source: [ahmadi2012] Theorem 3.3 (the mean of the ratio).
    """

    def __call__(
        self, online: Any, target: Any, batch: Batch, key: jax.Array | None, earlier: Metrics
    ) -> tuple[jax.Array, Metrics]:
        return -online.log_level() * (earlier["v/weight"] - 1.0), {"level": online.log_level()}
