"""Divergences against their closed forms (rows B2 and B3), their slopes, and what is known of their bias."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from extremal.core.errors import ConfigError
from extremal.losses.divergence import (
    dual_kl,
    dual_wasserstein,
    gaussian_kernel,
    laplacian_kernel,
    log_softplus,
    root,
    sampled_kl,
    slope_penalty,
    squared_mmd,
)

KEY = jax.random.key(3)
SCALE = 20.0
WITHIN, BETWEEN = (math.sqrt(SCALE / (SCALE + 2)) * math.exp(-(d**2) / (2 * (SCALE + 2))) for d in (0.0, 1.0))
B2 = 2 * WITHIN - 2 * BETWEEN


@partial(jax.jit, static_argnames=("kernel", "unbiased"))
def mmd(x, y, kernel=gaussian_kernel, scale=SCALE, unbiased=False):
    parts = (kernel(a, b, scale=scale) for a, b in ((x, x), (x, y), (y, y)))
    return squared_mmd(*parts, unbiased=unbiased)


def normals(rows, samples, key=KEY):
    """[N, B, 1] of N(0, 1), and of N(1, 1)."""
    x, y = jax.random.normal(key, (2, samples, rows, 1))
    return x, y + 1.0


# ---- MMD ----------------------------------------------------------------------------------------------------------


def test_b2_mmd_of_two_normals():
    """B2, to the letter: .0428504 and its root .2070059, for sigma = 20; the samples are the quantiles."""
    assert pytest.approx(0.0428504, abs=5e-8) == B2
    assert float(root(jnp.float32(B2))) == pytest.approx(0.2070059, abs=2e-6)
    grid = jnp.asarray(stats.norm.ppf((np.arange(1000) + 0.5) / 1000), jnp.float32)[:, None, None]
    assert float(mmd(grid, grid + 1.0)[0]) == pytest.approx(B2, rel=0.005)


def test_an_estimate_below_nothing_counts_as_nothing():
    np.testing.assert_allclose(root(jnp.asarray([-0.5, -1e-9, 0.0, 0.25])), [1e-3, 1e-3, 1e-3, 0.500001], rtol=1e-6)


@pytest.mark.parametrize("unbiased", [False, True])
def test_b2_the_mean_of_few_samples_has_the_bias_that_is_told(unbiased):
    """5 samples of each, many times: within 4 standard errors; the bias of all pairs is 0.4 of the MMD here."""
    n = 5
    found = np.asarray(mmd(*normals(40_000, n), unbiased=unbiased), np.float64)
    expected = B2 if unbiased else B2 + 2 * (1 - WITHIN) / n
    assert abs(found.mean() - expected) < 4 * found.std() / math.sqrt(len(found))
    assert (found.min() < -0.01) == unbiased  # of the mean over all pairs none is negative
    assert unbiased or found.min() > -1e-6


@pytest.mark.parametrize(("kernel", "expected"), [(gaussian_kernel, 0.067), (laplacian_kernel, 0.137)])
def test_the_root_of_few_samples_of_one_distribution_is_above_bears_threshold(kernel, expected):
    """Two times 5 actions of 3 entries of deviation 0.3, from the same normal, at a scale of 20: no policy is at 0.05."""
    x, y = 0.3 * jax.random.normal(KEY, (2, 5, 20_000, 3))
    found = np.asarray(root(mmd(x, y, kernel)))
    assert found.mean() == pytest.approx(expected, abs=0.001)


@pytest.mark.parametrize("kernel", [gaussian_kernel, laplacian_kernel])
@pytest.mark.parametrize("unbiased", [False, True])
def test_samples_that_coincide_have_no_distance_and_finite_slopes(kernel, unbiased):
    x = jnp.repeat(jax.random.normal(KEY, (3, 2, 4)), 2, axis=0)  # each sample twice
    np.testing.assert_allclose(mmd(x, x, kernel, 1.0, unbiased), 0.0, atol=1e-6)
    slopes = jax.jit(jax.grad(lambda x, y: jnp.sum(root(mmd(x, y, kernel, 1.0, unbiased)))))
    for y in (x, jnp.zeros_like(x)):
        slope = slopes(x, y)
        assert np.isfinite(np.asarray(slope)).all()


def test_the_kernels_are_what_they_are_called():
    x, y = jnp.asarray([[[0.0, 1.0]]]), jnp.asarray([[[3.0, -3.0]], [[0.0, 1.0]]])
    np.testing.assert_allclose(gaussian_kernel(x, y, scale=5.0)[0, :, 0], [math.exp(-25 / 10), 1.0], rtol=1e-6)
    np.testing.assert_allclose(laplacian_kernel(x, y, scale=5.0)[0, :, 0], [math.exp(-7 / 5), 1.0], rtol=1e-6)
    assert gaussian_kernel(x, y, scale=5.0).shape == (1, 2, 1)


@pytest.mark.parametrize("kernel", [gaussian_kernel, laplacian_kernel])
@pytest.mark.parametrize("unbiased", [False, True])
def test_mmd_is_the_sum_over_pairs_and_its_slope_the_difference_of_values(kernel, unbiased):
    """Against a double loop in float64, row by row; the slope against central differences."""
    x, y = normals(2, 4)
    one = {"gaussian_kernel": lambda d: math.exp(-(d**2) / 2.4), "laplacian_kernel": lambda d: math.exp(-abs(d) / 1.2)}
    k = one[kernel.__name__]

    def by_hand(x, y):
        n, total = len(x), np.zeros(x.shape[1])
        for row, i, j in np.ndindex(x.shape[1], n, n):
            a, b = x[:, row, 0], y[:, row, 0]
            if not unbiased or i != j:
                total[row] += k(a[i] - a[j]) + k(b[i] - b[j]) - k(a[i] - b[j]) - k(b[i] - a[j])
        return total / (n * (n - 1) if unbiased else n * n)

    found = lambda x, y: mmd(x, y, kernel, 1.2, unbiased)  # noqa: E731
    x64, y64 = np.asarray(x, np.float64), np.asarray(y, np.float64)
    np.testing.assert_allclose(found(x, y), by_hand(x64, y64), atol=1e-6)
    slope = jax.jit(jax.grad(lambda x: jnp.sum(found(x, y))))(x)
    for at in [(0, 0, 0), (3, 1, 0)]:
        step = np.zeros_like(x64)
        step[at] = 1e-5
        expected = (by_hand(x64 + step, y64).sum() - by_hand(x64 - step, y64).sum()) / 2e-5
        assert float(slope[at]) == pytest.approx(expected, abs=2e-6)


def test_mmd_falls_as_the_samples_move_to_the_others():
    x, y = normals(50, 10)
    slope = jax.jit(jax.grad(lambda shift: jnp.mean(mmd(x + shift, y))))
    assert float(slope(jnp.float32(0.0))) < 0.0 < float(slope(jnp.float32(3.0)))


def test_one_sample_has_no_unbiased_mmd():
    with pytest.raises(ConfigError, match="at least 2"):
        mmd(*normals(3, 1), unbiased=True)


# ---- KL -----------------------------------------------------------------------------------------------------------


def test_kl_by_samples_is_within_its_error_and_ignores_what_has_no_weight():
    """KL(N(0, 1), N(1, 1)) = 1/2; the log ratio 1/2 - x has deviation 1."""
    n = 40_000
    x = jax.random.normal(KEY, (n,))
    found = sampled_kl(-0.5 * x**2, -0.5 * (x - 1.0) ** 2, jnp.full(n, 1.0 / n))
    assert float(found) == pytest.approx(0.5, abs=4 / math.sqrt(n))
    share, other = jnp.asarray([0.25, 0.75, 0.0]), jnp.asarray([0.5, 0.3, 0.2])
    kl = lambda share: sampled_kl(jnp.log(share), jnp.log(other), share)  # noqa: E731
    assert float(kl(share)) == pytest.approx(0.25 * math.log(0.5) + 0.75 * math.log(2.5), rel=1e-6)


def ratio_critic(x):
    """softplus of it is exp(1/2 - x), the ratio of the densities of N(0, 1) and N(1, 1)."""
    ratio = jnp.exp(0.5 - x)
    return ratio + jnp.log1p(-jnp.exp(-ratio))


def quantiles(mean, n=4000):
    return jnp.asarray(mean + stats.norm.ppf((np.arange(n) + 0.5) / n), jnp.float32)


def test_b3_the_dual_of_kl_at_the_ratio_of_the_densities():
    """B3: .5 +- .03 for N(0, 1) and N(1, 1); another critic gives less."""
    x, y = quantiles(0.0), quantiles(1.0)
    best = float(dual_kl(ratio_critic(x), ratio_critic(y)))
    assert best == pytest.approx(0.5, abs=0.03)
    for other in (lambda x: ratio_critic(x) + 0.2, lambda x: ratio_critic(1.3 * x), jnp.zeros_like):
        assert float(dual_kl(other(x), other(y))) < best - 0.005


def test_b3_a_critic_that_is_trained_comes_to_kl():
    """B3, by ascent: softplus(cubic) is fitted by 300 steps of gradient ascent from a critic that says nothing."""
    x, y = quantiles(0.0), quantiles(1.0)
    powers = lambda x: jnp.stack([jnp.ones_like(x), x, x**2 / 4.0, x**3 / 16.0], axis=-1)  # noqa: E731
    features = powers(x), powers(y)
    value = lambda w: dual_kl(features[0] @ w, features[1] @ w)  # noqa: E731
    start = jnp.asarray([math.log(math.e - 1.0), 0.0, 0.0, 0.0])  # g = 1 everywhere: a KL of 0
    assert float(value(start)) == pytest.approx(0.0, abs=1e-6)
    ascend = jax.jit(lambda w: jax.lax.fori_loop(0, 300, lambda _, w: w + 0.3 * jax.grad(value)(w), w))
    assert float(value(ascend(start))) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("x", [-300.0, -15.1, -14.9, 0.0, 40.0])
def test_log_softplus_keeps_its_digits_and_its_slope(x):
    wide = np.log1p(np.exp(x)) if x > -30 else np.exp(x)
    assert float(log_softplus(jnp.float32(x))) == pytest.approx(np.log(wide), rel=1e-5)
    expected = 1.0 / (1.0 + np.exp(-x)) / wide
    assert float(jax.grad(log_softplus)(jnp.float32(x))) == pytest.approx(expected, rel=1e-4)


# ---- Wasserstein --------------------------------------------------------------------------------------------------


def test_the_dual_of_wasserstein_at_the_best_critic_is_the_distance():
    """Of two normals of the same deviation it is the distance between the means, and f(x) = -x is the best critic."""
    x, y = quantiles(0.0), quantiles(1.0)
    assert float(dual_wasserstein(-x, -y)) == pytest.approx(1.0, abs=1e-4)
    assert stats.wasserstein_distance(np.asarray(x), np.asarray(y)) == pytest.approx(1.0, abs=1e-4)
    for other in (jnp.sin, lambda x: -jnp.abs(x), jnp.tanh):  # slopes of at most 1
        assert abs(float(dual_wasserstein(other(x), other(y)))) < 1.0


@pytest.mark.parametrize("weight", [5.0, 10.0])
def test_the_best_linear_critic_under_the_penalty_is_too_steep_by_what_is_told(weight):
    distance = 0.8
    loss = lambda w: -w * distance + weight * slope_penalty(jnp.full((7, 1), w))  # noqa: E731
    best = jnp.float32(1.0 + distance / (2.0 * weight))
    assert float(jax.grad(loss)(best)) == pytest.approx(0.0, abs=1e-5)
    assert float(jax.grad(loss)(best - 0.05)) < 0.0 < float(jax.grad(loss)(best + 0.05))


def test_slopes_below_one_cost_nothing_and_a_slope_of_zero_has_a_slope():
    slope = jnp.asarray([[3.0, 4.0], [0.6, 0.7], [0.0, 0.0]])
    assert float(slope_penalty(slope)) == pytest.approx(16.0 / 3.0, rel=1e-6)
    found = jax.grad(slope_penalty)(slope)
    np.testing.assert_allclose(found, np.asarray([[3 * 8 / 5, 4 * 8 / 5], [0, 0], [0, 0]]) / 3, rtol=1e-5)
