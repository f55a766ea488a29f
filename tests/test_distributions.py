"""Distributions against SciPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from extremal.distributions import Gaussian, OneHot

MEAN = np.asarray([[0.1, -0.5, 2.0], [0.0, 1.0, -1.0]])
LOG_STD = np.asarray([[0.0, -2.0, 1.0], [0.5, -5.0, 2.0]])


@pytest.mark.parametrize("wide", [False, True])
def test_log_prob_is_scipys(wide):
    action = MEAN + np.exp(LOG_STD) * np.asarray([[0.3, -2.0, 5.0], [0.0, 1.0, -3.0]])
    expected = stats.norm(MEAN, np.exp(LOG_STD)).logpdf(action).sum(axis=-1)
    dtype = np.float64 if wide else np.float32
    with jax.enable_x64(wide):
        log_prob = Gaussian(jnp.asarray(MEAN, dtype), jnp.asarray(LOG_STD, dtype)).log_prob(jnp.asarray(action, dtype))
        assert log_prob.dtype == dtype
    np.testing.assert_allclose(log_prob, expected, rtol=1e-12 if wide else 2e-4)


number = st.floats(-3.0, 3.0)


@settings(max_examples=50, deadline=None)
@given(mean=number, log_std=st.floats(-5.0, 2.0), action=number)
def test_log_prob_and_its_gradient_for_all_numbers(mean, log_std, action):
    with jax.enable_x64(True):
        density = lambda m, s: Gaussian(m[None], s[None]).log_prob(jnp.asarray([action]))  # noqa: E731
        given = jnp.asarray(mean), jnp.asarray(log_std)
        value, (by_mean, by_log_std) = jax.value_and_grad(density, argnums=(0, 1))(*given)
    z = (action - mean) / np.exp(log_std)
    np.testing.assert_allclose(value, stats.norm(mean, np.exp(log_std)).logpdf(action), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(by_mean, z / np.exp(log_std), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(by_log_std, z**2 - 1.0, rtol=1e-10, atol=1e-10)


def test_samples_follow_the_distribution_and_their_key():
    mean, log_std = jnp.full((20_000, 2), 1.5), jnp.broadcast_to(jnp.asarray([-1.0, 0.5]), (20_000, 2))
    gaussian = Gaussian(mean, log_std)
    sample = np.asarray(gaussian.sample(jax.random.key(0)))
    for column, deviation in zip(sample.T, np.exp([-1.0, 0.5]), strict=True):
        assert stats.kstest(column, stats.norm(1.5, deviation).cdf).pvalue > 1e-3
    assert abs(np.corrcoef(sample.T)[0, 1]) < 0.03  # four standard errors
    np.testing.assert_array_equal(gaussian.sample(jax.random.key(0)), sample)
    assert not np.array_equal(gaussian.sample(jax.random.key(1)), sample)


def test_the_mode_is_the_most_likely_action():
    gaussian = Gaussian(jnp.asarray(MEAN, jnp.float32), jnp.asarray(LOG_STD, jnp.float32))
    np.testing.assert_array_equal(gaussian.mode(), gaussian.mean)
    slope = jax.grad(lambda action: jnp.sum(gaussian.log_prob(action)))(gaussian.mode())
    np.testing.assert_array_equal(slope, 0.0)


# ---- one-hot actions ----------------------------------------------------------------------------------------------

SHARES = np.asarray([[0.5, 0.3, 0.2], [0.0, 0.9, 0.1]])


def one_hot():
    with np.errstate(divide="ignore"):
        return OneHot(jnp.asarray(np.log(7.0 * SHARES), jnp.float32))


def test_one_hot_log_prob_is_the_log_of_the_share():
    for number in range(3):
        log_prob = one_hot().log_prob(jnp.broadcast_to(jnp.eye(3)[number], (2, 3)))
        np.testing.assert_allclose(np.exp(log_prob), SHARES[:, number], rtol=1e-6)


def test_the_mode_and_the_support_of_one_hot_actions():
    np.testing.assert_array_equal(one_hot().mode(), [[1, 0, 0], [0, 1, 0]])
    everything = [[[1, 0, 0], [0, 1, 0]], [[0, 1, 0], [0, 1, 0]], [[0, 0, 1], [0, 0, 1]]]
    np.testing.assert_array_equal(one_hot().support(1e-6), everything)
    likely = [[[1, 0, 0], [0, 1, 0]], [[0, 1, 0], [0, 1, 0]], [[1, 0, 0], [0, 1, 0]]]
    np.testing.assert_array_equal(one_hot().support(0.5), likely)  # 0.3 is at least half of 0.5, 0.2 is not


def test_one_hot_draws_have_their_shares():
    count = 4000
    draws = OneHot(jnp.broadcast_to(one_hot().logits, (count, 2, 3))).sample(jax.random.key(0))
    np.testing.assert_array_equal(draws.sum(axis=-1), np.ones((count, 2)))
    error = 4.5 * np.sqrt(SHARES * (1 - SHARES) / count)  # standard errors; a share of 0 is met exactly
    assert np.all(np.abs(np.asarray(draws).mean(axis=0) - SHARES) <= error + 1e-6)
