"""Optimisers against their formulas."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extremal.core.optimiser import SGD, Adam, AdamW, Cosine, Polyak, WarmUp, descend

GRADIENTS = np.asarray([[1.0, -2.0, 0.0], [0.5, 3.0, 1e-4], [-1.0, 1.0, 1e-4], [4.0, 0.0, 0.0]])


def followed(optimiser, gradients=GRADIENTS, start=(1.0, 1.0, 1.0)):
    params = jnp.asarray(start, jnp.float32)
    state = optimiser.transform().init(params)
    for gradient in gradients:
        params, state = descend(optimiser, jnp.asarray(gradient, jnp.float32), state, params)
    return np.asarray(params)


def adam(gradients, rates, start=1.0):
    """Kingma & Ba, Algorithm 1, with their constants."""
    x, first, second = np.full(3, start), np.zeros(3), np.zeros(3)
    for t, (g, rate) in enumerate(zip(gradients, rates, strict=True), start=1):
        first, second = 0.9 * first + 0.1 * g, 0.999 * second + 0.001 * g**2
        x = x - rate * (first / (1 - 0.9**t)) / (np.sqrt(second / (1 - 0.999**t)) + 1e-8)
    return x


def test_adam_is_algorithm_1():
    expected = adam(GRADIENTS, [0.01] * 4)
    np.testing.assert_allclose(followed(Adam(learning_rate=0.01)), expected, rtol=1e-5)
    default = adam(GRADIENTS, [3e-4] * 4)
    np.testing.assert_allclose(followed(Adam()), default, rtol=1e-6)


def test_a_schedule_multiplies_the_rate_of_each_update():
    rates = 0.01 * np.asarray([1.0, 0.75, 0.25, 0.0])  # cosine from 1 to 0 in three updates
    optimiser = Adam(learning_rate=0.01, schedule=Cosine(horizon=3.0))
    np.testing.assert_allclose(followed(optimiser), adam(GRADIENTS, rates), rtol=1e-5)


def test_a_bound_shortens_the_gradient_and_keeps_its_direction():
    length = np.linalg.norm(GRADIENTS, axis=1, keepdims=True)
    shortened = GRADIENTS * np.minimum(1.0, 2.0 / length)
    assert (length > 2.0).any()
    assert (length < 2.0).any()
    optimiser = Adam(learning_rate=0.01, max_norm=2.0)
    np.testing.assert_allclose(followed(optimiser), adam(shortened, [0.01] * 4), rtol=1e-5)


@settings(max_examples=50, deadline=None)
@given(horizon=st.floats(1.0, 1e6), share=st.floats(0.0, 3.0))
def test_the_cosine_goes_from_one_to_nought_and_stays_there(horizon, share):
    factor = Cosine(horizon=horizon)
    assert float(factor(0)) == 1.0
    assert float(factor(horizon * share)) == pytest.approx((1 + np.cos(np.pi * min(share, 1.0))) / 2, abs=1e-6)


def test_sgd_on_half_a_square_is_a_moving_average():
    seen = np.random.default_rng(0).normal(size=20)
    x, average = jnp.zeros(()), 0.0
    optimiser = SGD(learning_rate=0.1)
    state = optimiser.transform().init(x)
    for y in seen:
        x, state = descend(optimiser, jax.grad(lambda x, y: (x - y) ** 2 / 2)(x, jnp.float32(y)), state, x)
        average = 0.9 * average + 0.1 * y
    assert float(x) == pytest.approx(average, rel=1e-5)


@settings(max_examples=50, deadline=None)
@given(rate=st.floats(0.0, 1.0), slow=st.floats(-10.0, 10.0, width=32), online=st.floats(-10.0, 10.0, width=32))
def test_a_slow_copy_moves_its_share_of_the_way(rate, slow, online):
    moved = Polyak(rate=rate).follow({"x": jnp.float32(slow)}, {"x": jnp.float32(online)})["x"]
    assert float(moved) == pytest.approx(slow + rate * (online - slow), abs=1e-5)


def test_a_rate_of_one_is_a_hard_copy():
    np.testing.assert_array_equal(Polyak(rate=1.0).follow(jnp.ones(2), jnp.asarray([3.0, -4.0])), [3.0, -4.0])


def test_optimisers_and_slow_copies_are_leaves_and_never_recompile():
    traces = []

    @jax.jit
    def update(optimiser, polyak, params):
        traces.append(1)
        state = optimiser.transform().init(params)
        return polyak.follow(params, descend(optimiser, params, state, params)[0])

    for rate in (1e-3, 1e-2):
        optimiser = Adam(learning_rate=rate, schedule=Cosine(horizon=1 / rate), max_norm=rate)
        update(optimiser, Polyak(rate=rate), jnp.ones(2))
    assert len(traces) == 1


def adam_w(gradients, rates, decay, start=1.0):
    """Adam on the gradient, and beside it the rate times `decay` of each parameter."""
    x, first, second = np.full(3, start), np.zeros(3), np.zeros(3)
    for t, (g, rate) in enumerate(zip(gradients, rates, strict=True), start=1):
        first, second = 0.9 * first + 0.1 * g, 0.999 * second + 0.001 * g**2
        x = x - rate * ((first / (1 - 0.9**t)) / (np.sqrt(second / (1 - 0.999**t)) + 1e-8) + decay * x)
    return x


def test_adam_w_shrinks_parameters_beside_the_gradients_step():
    expected = adam_w(GRADIENTS, [0.01] * 4, 0.3)
    np.testing.assert_allclose(followed(AdamW(learning_rate=0.01, weight_decay=0.3)), expected, rtol=1e-5)
    np.testing.assert_allclose(followed(AdamW(weight_decay=0.0)), adam(GRADIENTS, [1e-4] * 4), rtol=1e-6)


def test_adam_w_takes_a_schedule_and_a_bound():
    length = np.linalg.norm(GRADIENTS, axis=1, keepdims=True)
    rates = 0.01 * np.asarray([1 / 3, 2 / 3, 1.0, 1.0])
    expected = adam_w(GRADIENTS * np.minimum(1.0, 2.0 / length), rates, 0.3)
    optimiser = AdamW(learning_rate=0.01, weight_decay=0.3, schedule=WarmUp(updates=3.0), max_norm=2.0)
    np.testing.assert_allclose(followed(optimiser), expected, rtol=1e-5)


def test_the_warm_up_rises_in_equal_steps_to_one_and_stays_there():
    factor = WarmUp(updates=4.0)
    assert [float(factor(count)) for count in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    assert float(WarmUp(updates=1.0)(0)) == 1.0


def test_a_hard_copy_of_every_third_update_is_taken_after_the_third_and_the_sixth():
    copy, seen = jnp.zeros(()), []
    for index in range(6):
        copy = Polyak(rate=1.0, every=3).follow(copy, jnp.float32(index + 1), index)
        seen.append(float(copy))
    assert seen == [0.0, 0.0, 3.0, 3.0, 3.0, 6.0]
