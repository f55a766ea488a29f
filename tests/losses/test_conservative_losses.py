"""CQL's statistics of sampled Q: closed forms, golden slopes, and what the published estimator adds."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, optimize

from extremal.losses.conservative import dual_ascent, exponential_mean, robust_mean, sampled_log_sum_exp

Q = jnp.asarray([[0.0], [1.0], [3.0]])


def test_c6_importance_sampling_gives_the_log_of_the_integral():
    """C6: Q = -a^2 on [-1, 1]. The estimate is low by about var / (2 n), since the logarithm is concave."""
    exact = np.log(integrate.quad(lambda a: np.exp(-(a**2)), -1.0, 1.0)[0])
    assert exact == pytest.approx(0.4012216, abs=1e-7)
    ratio = integrate.quad(lambda a: np.exp(-2.0 * a**2), -1.0, 1.0)[0] * 2.0 / np.exp(2.0 * exact) - 1.0
    draws = 200_000
    for samples, printed in ((10, 0.3972), (100, 0.4008)):
        action = jax.random.uniform(jax.random.key(samples), (samples, draws), minval=-1.0, maxval=1.0)
        found = np.asarray(sampled_log_sum_exp(-(action**2), jnp.full(action.shape, -np.log(2.0))), np.float64)
        error = found.std() / np.sqrt(draws)
        assert found.mean() == pytest.approx(exact - ratio / (2 * samples), abs=4 * error + 2e-4)  # next order: 1 / n^2
        assert found.mean() == pytest.approx(printed, abs=4 * error + 1e-4)
        if samples == 10:
            assert found.mean() + np.log(10.0) == pytest.approx(2.700, abs=2e-3)  # without - log n


def test_where_each_half_has_its_own_density_the_integral_is_still_met():
    """App. F: half uniform, half of the policy; with Q a constant, the mean of 1 / density is the volume only."""
    samples, draws = 10, 20_000
    keys = jax.random.split(jax.random.key(0))
    even = jax.random.uniform(keys[0], (samples, draws), minval=-1.0, maxval=1.0)
    rising = 2.0 * jnp.sqrt(jax.random.uniform(keys[1], (samples, draws))) - 1.0  # density (1 + a) / 2
    action = jnp.concatenate([even, rising])
    density = jnp.concatenate([jnp.full(even.shape, 0.5), (1.0 + rising) / 2.0])
    integral = np.exp(np.asarray(sampled_log_sum_exp(jnp.log1p(action), jnp.log(density)), np.float64))  # of 1 + a: 2
    assert integral.mean() == pytest.approx(2.0, abs=4 * integral.std() / np.sqrt(draws))


def test_c7_the_robust_mean_is_the_largest_within_the_ball():
    """C7: uniform weights on Q = (0, 1, 3), chi-square radius 0.1."""
    found = float(robust_mean(Q, radius=0.1)[0])
    assert found == pytest.approx(1.727739, abs=1e-6)
    q, rho = np.asarray(Q[:, 0], np.float64), np.full(3, 1 / 3)
    ball = {"type": "ineq", "fun": lambda w: 0.1 - np.sum((w - rho) ** 2 / rho)}
    whole = {"type": "eq", "fun": lambda w: w.sum() - 1.0}
    best = optimize.minimize(lambda w: -w @ q, rho, constraints=[ball, whole], bounds=[(0, 1)] * 3, tol=1e-12)
    assert -best.fun == pytest.approx(found, abs=1e-6)


def test_a_wide_ball_is_bounded_by_the_robust_mean_from_above():
    assert float(robust_mean(Q, radius=9.0)[0]) > 3.0  # weights would be negative: no longer attained


def test_equal_qs_have_a_finite_slope():
    slope = jax.grad(lambda q: robust_mean(q, radius=1.0).sum())(jnp.ones((3, 1)))
    np.testing.assert_allclose(slope, 1 / 3, rtol=1e-6)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(q=st.lists(st.floats(-20.0, 20.0, width=32), min_size=2, max_size=6))
def test_c8_the_exponential_mean_is_eq_7_and_its_slope_that_of_log_mean_exp(q):
    """C8: Eq. (7) as printed, E_rho Q exp(Q) / Z, of which the samples are the rho; the mu that is best against Q stays."""
    q = jnp.asarray(q, jnp.float32)[:, None]
    rho = jnp.arange(1.0, len(q) + 1.0)[:, None] / (len(q) * (len(q) + 1) / 2)
    wide, prior = np.asarray(q, np.float64), np.asarray(rho, np.float64)
    for weight, share in ((None, np.ones_like(wide)), (rho, prior)):
        tilted = share * np.exp(wide - wide.max())
        tilted /= tilted.sum(0)  # the slope of log E_rho exp(Q)
        np.testing.assert_allclose(exponential_mean(q, weight), (tilted * wide).sum(0), rtol=1e-5, atol=1e-5)
    slope = jax.grad(lambda q: exponential_mean(q, rho).sum())(q)
    np.testing.assert_allclose(slope, tilted, atol=1e-6)


def test_eq_9_with_a_prior_that_is_the_inverse_of_the_data():
    """P-hat in proportion to 1 / D-hat, for Q = (0, 1, 3) that are logged as (1/2, 1/3, 1/6)."""
    logged = np.array([1 / 2, 1 / 3, 1 / 6])
    share = (1 / logged) / (1 / logged).sum()  # (2, 3, 6) / 11
    np.testing.assert_allclose(share, np.array([2, 3, 6]) / 11)
    found = robust_mean(Q, radius=0.25, weight=jnp.asarray(share, jnp.float32)[:, None])
    mean, square = 21 / 11, 57 / 11  # (3 + 18) / 11 and (3 + 54) / 11
    assert float(found[0]) == pytest.approx(mean + 0.5 * math.sqrt(square - mean**2), rel=1e-6)
    even = robust_mean(Q, radius=0.25, weight=jnp.full((3, 1), 1 / 3))
    np.testing.assert_allclose(even, robust_mean(Q, radius=0.25), rtol=1e-6)


@pytest.mark.parametrize("slack", [-2.0, 0.0, 3.0])
def test_c9_the_dual_weight_moves_with_the_sign_of_the_slack(slack):
    """C9: fixed where the gap is the threshold, up where it is larger, down where it is smaller."""
    loss = lambda log_weight: dual_ascent(log_weight, jnp.float32(slack))  # noqa: E731
    step = -float(jax.grad(loss)(jnp.float32(0.7)))
    assert step == pytest.approx(slack * np.exp(0.7), rel=1e-6)
    assert float(loss(jnp.float32(100.0))) == pytest.approx(-1e6 * slack, rel=1e-5)
    at_the_bound = -float(jax.grad(loss)(jnp.float32(100.0)))  # it comes down again, and goes no further up
    assert at_the_bound == pytest.approx(1e6 * min(slack, 0.0), rel=1e-5)


def test_the_dual_weight_is_at_its_bound_and_not_beyond():
    """A hundred steps outwards, as long as Adam's, and then ten inwards: it leaves either bound at once."""
    slope = jax.jit(jax.grad(lambda x, slack: dual_ascent(x, slack, least=math.exp(-2.0), largest=math.exp(2.0))))
    for sign in (1.0, -1.0):
        log_weight, course = jnp.float32(0.0), []
        for slack in [sign] * 100 + [-sign] * 10:
            log_weight -= 0.1 * jnp.sign(slope(log_weight, jnp.float32(slack)))
            course.append(sign * float(log_weight))
        assert course[99] == pytest.approx(2.0, abs=0.11)
        assert course[-1] == pytest.approx(course[99] - 1.0, abs=0.01)
