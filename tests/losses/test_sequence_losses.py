"""Padding counts for nothing: neither in the sum nor in the number that it is divided by."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from extremal.losses.sequence import mean_where, squared_error

VALID = np.array([[False, False, True], [True, True, True]])


def test_the_mean_is_over_what_is_valid():
    x = np.array([[100.0, -7.0, 1.0], [2.0, 3.0, 6.0]], np.float32)
    assert float(mean_where(jnp.asarray(x), VALID)) == 3.0
    assert float(mean_where(jnp.asarray(x), np.ones_like(VALID))) == pytest.approx(x.mean())


def test_the_squared_error_and_its_gradient_are_those_of_the_valid_steps_alone():
    random = np.random.default_rng(0)
    action, logged = (random.normal(size=(2, 3, 4)).astype(np.float32) for _ in range(2))
    loss, gradient = jax.value_and_grad(squared_error)(jnp.asarray(action), logged, VALID)
    chosen = (action - logged)[VALID]
    assert float(loss) == pytest.approx(np.mean(chosen**2), rel=1e-6)
    expected = np.zeros_like(action)
    expected[VALID] = 2 * chosen / chosen.size
    np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-8)


def test_padding_dilutes_nothing():
    action, logged = np.ones((1, 2, 3), np.float32), np.zeros((1, 2, 3), np.float32)
    longer = lambda x: np.concatenate([np.zeros((1, 6, 3), np.float32), x], axis=1)  # noqa: E731
    valid = np.arange(8)[None] >= 6
    assert float(squared_error(longer(action), longer(logged), valid)) == 1.0
