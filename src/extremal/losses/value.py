"""Regressions whose minimiser in V says how good the best supported action is. `error` is Q - V, elementwise."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np


def density_ratio(error: jax.Array, *, beta: jax.Array | float, clip: jax.Array | float) -> jax.Array:
    """exp(z), z = error / beta, at most exp(`clip`) and finite whatever `clip` is: phi' of `gumbel_regression`.

    Where V is right it is the density of the soft-optimal policy relative to the data's, and its mean is 1.

    Source: [garg2023] Eq. (12). Symbols: error = Q - V, beta > 0 in units of Q.
    """
    z = error / beta
    return jnp.exp(jnp.minimum(z, _bound(clip, z.dtype)))


def gumbel_regression(error: jax.Array, *, beta: jax.Array | float, clip: jax.Array | float = jnp.inf) -> jax.Array:
    """phi(z) - z - 1 with z = error / beta; phi is exp up to `clip` and its tangent beyond. Same shape as `error`.

    With clip = inf the minimiser in V of its mean is exactly beta log E exp(Q / beta). The tangent bounds the influence
    of an outlier by exp(clip) without a dead zone: the slope never vanishes. No `clip`, not even inf, lets it overflow.

    Source: [garg2023] Eq. (7), (11). Symbols: error = Q - V, beta > 0 in units of Q.
    Differs from the paper: beyond `clip` the exponential goes on as its tangent (clip = inf is the paper's loss).
    """
    z = error / beta
    below = jnp.minimum(z, _bound(clip, z.dtype))
    return jnp.exp(below) * (1.0 + (z - below)) - z - 1.0


def _bound(clip: jax.Array | float, dtype: np.dtype) -> jax.Array:
    """`clip`, or 0.85 of the largest exponent that there is (75 in float32): a tangent from there has numbers left to rise in."""
    return jnp.minimum(clip, 0.85 * float(np.log(np.finfo(dtype).max)))


def batch_max_gumbel_regression(
    error: jax.Array, *, beta: jax.Array | float, clip: jax.Array | float, from_below: bool = True
) -> jax.Array:
    """exp(z - m) - z exp(-m) - exp(-m), z = error / beta clamped to +-`clip`, m = max(batch max of z, -1), constant.

    Dividing by the batch's own maximum makes the minimiser depend on the batch size (it is too low), and the clamp has
    a dead zone: beyond it the slope is zero. It is here because it is what the published numbers were made with.
    Without `from_below`, z is clamped from above alone, and V comes down at a constant slope where it is far above Q.

    Source: [garg2023] App. D.3. Symbols: error = Q - V.
    Differs from the paper: the clamp from above alone is that of the published code.
    """
    z = jnp.clip(error / beta, -clip if from_below else None, clip)
    peak = jax.lax.stop_gradient(jnp.maximum(jnp.max(z), -1.0))
    return jnp.exp(z - peak) - (z + 1.0) * jnp.exp(-peak)


def expectile_regression(error: jax.Array, *, expectile: jax.Array | float) -> jax.Array:
    """|expectile - 1(error < 0)| error^2; the minimiser in V of its mean is the expectile of Q.

    Source: [kostrikov2021] Eq. (5). Symbols: error = Q - V, 0 < expectile < 1.
    """
    return jnp.abs(expectile - (error < 0.0).astype(error.dtype)) * error**2


def squared(error: jax.Array) -> jax.Array:
    """error^2; the minimiser in V of its mean is the mean of Q: the value of the behaviour policy.

    Source: [kostrikov2021] Eq. (5), Fig. 1 (left). Symbols: error = Q - V, tau = 1/2.
    Differs from the paper: without the factor 1/2 that the level has there.
    """
    return error**2


def quantile_regression(error: jax.Array, *, quantile: jax.Array | float) -> jax.Array:
    """|quantile - 1(error < 0)| |error|; the minimiser in V of its mean is the quantile of Q.

    Where the level falls between two values of Q, every number between them is a minimiser.

    Source: [koenker1978]. Symbols: error = Q - V, 0 < quantile < 1.
    """
    return jnp.abs(quantile - (error < 0.0).astype(error.dtype)) * jnp.abs(error)


def kl_ball_regression(
    error: jax.Array, *, beta: jax.Array | float, kappa: jax.Array | float, clip: jax.Array | float = jnp.inf
) -> jax.Array:
    """beta (phi(z) - z - 1 + kappa), z = error / beta: jointly convex in h and beta, and both are minimised.

    With clip = inf the least mean is at E exp(z) = 1 and E z exp(z) = kappa. There exp(z) is the density, relative to
    the behaviour policy, of the best policy within a KL of `kappa` from it, and h + kappa beta is that policy's mean of
    Q, the entropic value at risk. Of J = h + beta (exp(z) - 1) + kappa beta this is J - Q: nothing else than J to h and
    beta, but never negative. `clip` is that of `gumbel_regression`; with it h + kappa beta is an approximation.

    Source: [ahmadi2012] Theorem 3.3. Symbols: error = Q - h, beta > 0 in units of Q, kappa = -log alpha.
    """
    return beta * (gumbel_regression(error, beta=beta, clip=clip) + kappa)
