"""What CQL pushes down: an upper statistic of Q over sampled actions [N, ...], and the weight of it."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def sampled_log_sum_exp(q: jax.Array, log_density: jax.Array) -> jax.Array:
    """[...] log (1/N) sum_i exp(Q_i) / density_i: the log of the integral of exp(Q), by importance sampling.

    Unbiased for the integral where every action comes from the density that is told, or each half of the N from its own.

    Source: [kumar2020] App. F. Symbols: q and log_density are [N, ...].
    """
    return jax.nn.logsumexp(q - log_density, axis=0) - jnp.log(float(q.shape[0]))


def exponential_mean(q: jax.Array, weight: jax.Array | None = None) -> jax.Array:
    """[...] sum_i w_i Q_i with w_i in proportion to weight_i exp(Q_i): what Q is worth under rho exp(Q) / Z.

    The w are constants, being the mu that is best against Q; so the slope in Q_i is w_i, as that of log sum_i weight_i exp(Q_i).

    Source: [kumar2020] Eq. (7). Symbols: q [N, ...]; weight [N, ...], equal ones unless given: those of rho.
    """
    tilted = q if weight is None else q + jnp.log(weight)
    return jnp.sum(jax.lax.stop_gradient(jax.nn.softmax(tilted, axis=0)) * q, axis=0)


def robust_mean(q: jax.Array, *, radius: jax.Array | float, weight: jax.Array | None = None) -> jax.Array:
    """[...] mean of Q + sqrt(radius variance of Q): the largest mean within a chi-square ball of `radius` about the weights.

    It is that largest mean as long as no weight would be negative, and above it otherwise.

    Source: [kumar2020] Eq. (8), (9). Symbols: q [N, ...]; weight [N, ...] of sum 1 = P-hat, equal ones unless given; radius =
    2 delta / N, or 1 / (d(s) |D|).
    """
    mean = lambda x: jnp.mean(x, axis=0) if weight is None else jnp.sum(weight * x, axis=0)  # noqa: E731
    centre = mean(q)
    variance = mean((q - centre[None]) ** 2)
    return centre + jnp.sqrt(radius * variance + 1e-12)  # the root of 0 has no slope


def dual_weight(
    log_weight: jax.Array, *, least: jax.Array | float = 0.0, largest: jax.Array | float = 1e6
) -> jax.Array:
    """exp(log_weight) within [least, largest]; clamped before the exponential, so never infinite."""
    return jnp.exp(jnp.clip(log_weight, jnp.log(least), jnp.log(largest)))


def dual_ascent(
    log_weight: jax.Array, slack: jax.Array, *, least: jax.Array | float = 0.0, largest: jax.Array | float = 1e6
) -> jax.Array:
    """-weight slack with the weight of `dual_weight`: under gradient descent it grows while the slack is positive.

    At a bound the slope is 0 as long as the slack pushes further out, so that the way back is not longer than the bound is far.

    Source: [kumar2020] Eq. (30); [kumar2019]. Symbols: slack = gap - tau, or divergence - epsilon.
    Differs from the paper: the weight is within bounds (published code).
    """
    stays = ((log_weight >= jnp.log(largest)) & (slack > 0.0)) | ((log_weight <= jnp.log(least)) & (slack < 0.0))
    moving = jnp.where(stays, 0.0, log_weight - jax.lax.stop_gradient(log_weight))
    return -jax.lax.stop_gradient(dual_weight(log_weight, least=least, largest=largest) * slack) * (1.0 + moving)
