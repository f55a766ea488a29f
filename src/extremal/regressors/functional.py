"""What is estimated: a statistic of y given x, as the loss that it minimises. Weights sum to one."""

from __future__ import annotations

import math
from typing import Protocol, Self

import jax
import jax.numpy as jnp

from extremal.core.record import record
from extremal.losses.value import expectile_regression, gumbel_regression

LIGHT = 1e-100  # no row that counts has a smaller share of the weight; exp(-log LIGHT) is far from overflow


class Functional(Protocol):
    """A statistic of a distribution that a loss of the error y - f finds."""

    @property
    def unit(self) -> float:
        """What the loss is multiplied by, so that rounding does not swamp it where y has a deviation of one."""
        ...

    def scaled(self, scale: float) -> Self:
        """The same statistic for y divided by `scale`."""
        ...

    def path(self) -> tuple[Self, ...]:
        """Ever harder functionals for y of a deviation of one, each a good start for the next; the last is this one."""
        ...

    def loss(self, error: jax.Array) -> jax.Array:
        """[N] from [N]; convex, zero at zero, and its mean is minimised in f by the statistic."""
        ...

    def bounded_loss(self, error: jax.Array, weight: jax.Array) -> jax.Array:
        """A loss of the same minimiser over rows of these weights, whose slope is bounded; [N] from [N] and [N]."""
        ...

    def constant(self, y: jax.Array, weight: jax.Array) -> jax.Array:
        """[] the statistic of the rows of `y` [N] under `weight` [N]: the best constant."""
        ...


@record
class LogPartition:
    """beta log E[exp(y / beta)], which Gumbel regression finds.

    Source: [garg2023] Eq. (7), Lemma 3.1. Symbols: beta > 0 in units of y.
    """

    beta: float

    @property
    def unit(self) -> float:
        return max(1.0, self.beta**2)  # for large beta the loss is (error / beta)^2 / 2

    def scaled(self, scale: float) -> LogPartition:
        return LogPartition(beta=self.beta / scale)

    def path(self) -> tuple[LogPartition, ...]:
        steps = max(0, math.ceil(-math.log(self.beta, 4.0)))
        return tuple(LogPartition(beta=math.ldexp(self.beta, 2 * k)) for k in range(steps, -1, -1))

    def loss(self, error: jax.Array) -> jax.Array:
        return gumbel_regression(error, beta=self.beta)

    def bounded_loss(self, error: jax.Array, weight: jax.Array) -> jax.Array:
        """The exponential goes on as its tangent only where no error of a fit with an intercept lies.

        At a minimum the weights times exp(error / beta) sum to one, so that no row has exp(error / beta) > 1 / weight:
        this clip, unlike one chosen by hand, moves no minimum.
        """
        clip = 1.0 - jnp.log(jnp.maximum(weight, LIGHT))
        return gumbel_regression(error, beta=self.beta, clip=clip)

    def constant(self, y: jax.Array, weight: jax.Array) -> jax.Array:
        z = y / self.beta
        centre = jnp.sum(weight * z)
        z = z - centre
        near = jnp.log1p(jnp.sum(weight * jnp.expm1(jnp.minimum(z, 1.0))))  # keeps its digits where every z is small
        far = jax.scipy.special.logsumexp(z, b=weight)
        return self.beta * (centre + jnp.where(jnp.max(jnp.abs(z)) < 1.0, near, far))


@record
class AsymmetricMean:
    """The expectile of y, which asymmetric least squares finds; level one half is the mean.

    Source: [kostrikov2021] Sec. 4.1. Symbols: 0 < expectile < 1.
    """

    expectile: float

    @property
    def unit(self) -> float:
        return 1.0

    def scaled(self, scale: float) -> AsymmetricMean:
        return self

    def path(self) -> tuple[AsymmetricMean, ...]:
        return (self,)

    def loss(self, error: jax.Array) -> jax.Array:
        return expectile_regression(error, expectile=self.expectile)

    def bounded_loss(self, error: jax.Array, weight: jax.Array) -> jax.Array:
        return self.loss(error)

    def constant(self, y: jax.Array, weight: jax.Array) -> jax.Array:
        """Reweighted means, which settle after finitely many turns: each is a step of Newton on a piecewise line."""

        def turn(state: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array, jax.Array]:
            _, now, count = state
            share = weight * jnp.where(y < now, 1.0 - self.expectile, self.expectile)
            return now, jnp.sum(share * y) / jnp.sum(share), count + 1

        def moves(state: tuple[jax.Array, jax.Array, jax.Array]) -> jax.Array:
            before, now, count = state
            return (before != now) & (count < 100)  # rounding may swap two neighbouring floats for ever

        mean = jnp.sum(weight * y)
        start = (jnp.full_like(mean, jnp.inf), mean, jnp.zeros((), jnp.int32))
        return jax.lax.while_loop(moves, turn, start)[1]
