"""The pinball and the KL-ball loss: golden values and gradients, scale, convexity, and float32 far out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from extremal.losses.value import kl_ball_regression, quantile_regression, squared


def test_the_square():
    error = jnp.asarray([-2.0, 0.0, 0.5])
    np.testing.assert_allclose(squared(error), [4.0, 0.0, 0.25], rtol=1e-7)
    np.testing.assert_allclose(jax.vmap(jax.grad(squared))(error), [-4.0, 0.0, 1.0], rtol=1e-7)


def test_quantile_golden_values_and_gradients():
    error = jnp.asarray([-2.0, -0.5, 0.0, 0.5, 3.0])
    loss = lambda e: quantile_regression(e, quantile=0.7)  # noqa: E731
    np.testing.assert_allclose(loss(error), [0.6, 0.15, 0.0, 0.35, 2.1], rtol=1e-6)
    slope = jax.vmap(jax.grad(loss))(error)
    np.testing.assert_allclose(slope[np.asarray([0, 1, 3, 4])], [-0.3, -0.3, 0.7, 0.7], rtol=1e-6)
    assert -0.3 <= float(slope[2]) <= 0.7  # any slope between them is one of the corner


def test_kl_ball_golden_values_and_gradients():
    error = jnp.asarray([-2.0, 0.0, 1.5, 12.0])  # z = -1, 0, 0.75, 6 and a clip of 1.5
    loss = lambda e, beta: kl_ball_regression(e, beta=beta, kappa=0.42, clip=1.5)  # noqa: E731
    np.testing.assert_allclose(loss(error, 2.0), [1.57575888, 0.84, 1.57400003, 36.13857977], rtol=2e-6)
    by_error, by_beta = jax.vmap(jax.grad(loss, argnums=(0, 1)))(error, jnp.full(4, 2.0))
    np.testing.assert_allclose(by_error, [-0.63212056, 0.0, 1.11700002, 3.48168907], rtol=2e-6, atol=1e-7)
    np.testing.assert_allclose(by_beta, [0.15575888, 0.42, -0.05075, -2.82084454], rtol=1e-5)


number, positive = st.floats(-5.0, 5.0), st.floats(0.05, 5.0)


@settings(max_examples=60, deadline=None)
@given(q=number, h=st.tuples(number, number), beta=st.tuples(positive, positive), clip=st.floats(0.5, 6.0))
def test_the_kl_ball_loss_is_convex_in_h_and_beta_together_and_never_negative(q, h, beta, clip):
    with jax.enable_x64(True):
        loss = lambda h, beta: float(kl_ball_regression(jnp.asarray(q - h), beta=beta, kappa=0.3, clip=clip))  # noqa: E731
        one, two = loss(h[0], beta[0]), loss(h[1], beta[1])
        middle = loss(sum(h) / 2, sum(beta) / 2)
    assert middle >= 0.0
    assert middle <= (one + two) / 2 + 1e-9 * (1.0 + abs(one) + abs(two))


@settings(max_examples=40, deadline=None)
@given(error=number, beta=positive, scale=st.floats(0.01, 100.0))
def test_the_kl_ball_loss_has_the_unit_of_q(error, beta, scale):
    with jax.enable_x64(True):
        loss = kl_ball_regression(jnp.asarray(error), beta=beta, kappa=0.3, clip=3.0)
        scaled = kl_ball_regression(jnp.asarray(scale * error), beta=scale * beta, kappa=0.3, clip=3.0)
    assert float(scaled) == pytest.approx(scale * float(loss), rel=1e-9)


@pytest.mark.parametrize("kappa", [0.2, 0.42, 1.0])
def test_the_normal_s_minimiser_is_its_closed_form(kappa):
    """Q ~ N(mean, deviation^2): beta = deviation / sqrt(2 kappa), h + kappa beta = mean + sqrt(2 kappa) deviation."""
    mean, deviation = 0.3, 1.2
    x, weight = special.roots_hermitenorm(60)
    beta = deviation / np.sqrt(2 * kappa)
    h = mean + np.sqrt(2 * kappa) * deviation - kappa * beta
    with jax.enable_x64(True):
        q, weight = jnp.asarray(mean + deviation * x), jnp.asarray(weight / weight.sum())
        expected = lambda h, beta: jnp.sum(weight * kl_ball_regression(q - h, beta=beta, kappa=kappa))  # noqa: E731
        slope = jax.grad(expected, argnums=(0, 1))(h, beta)
    np.testing.assert_allclose(slope, 0.0, atol=1e-9)
    density = np.exp((mean + deviation * x - h) / beta)
    assert np.sum(np.asarray(weight) * density) == pytest.approx(1.0, abs=1e-9)
    assert np.sum(np.asarray(weight) * density * np.log(density)) == pytest.approx(
        kappa, abs=1e-9
    )  # the KL is the radius


@pytest.mark.parametrize("sign", [-1.0, 1.0])
@pytest.mark.parametrize("beta", [1e-3, 1.0])
def test_float32_stays_finite_far_out(beta, sign):
    error = jnp.asarray([sign * 1e4], jnp.float32)
    loss = lambda e, b: kl_ball_regression(e, beta=b, kappa=0.42, clip=3.0).sum()  # noqa: E731
    value, slope = jax.value_and_grad(loss, argnums=(0, 1))(error, jnp.float32(beta))
    assert np.isfinite(value)
    assert all(np.isfinite(x).all() for x in slope)
