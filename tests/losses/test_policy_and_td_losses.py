"""Policy weights against a bandit solved by hand, cloning against least squares, and targets that end with the MDP."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from extremal.distributions import Gaussian
from extremal.losses.policy import advantage_weight, batch_softmax_weight, cloning
from extremal.losses.td import td_target
from extremal.losses.value import gumbel_regression

REWARD = np.asarray([0.0, 1.0, 3.0])  # a bandit with three actions
BEHAVIOUR = np.asarray([0.5, 0.3, 0.2])
SOFT_POLICY = np.asarray([0.093763, 0.152925, 0.753312])  # behaviour exp(reward - V) at beta 1


def cloned(weight):
    """The policy over three actions that minimises the weighted cloning loss of as many rows as behaviour has shares."""
    rows = np.repeat(np.arange(3), (10 * BEHAVIOUR).astype(int))
    loss = jax.jit(jax.value_and_grad(lambda x: cloning(jnp.asarray(weight[rows]), jax.nn.log_softmax(x)[rows])))
    found = optimize.minimize(lambda x: tuple(map(np.asarray, loss(x))), np.zeros(3), jac=True, options={"gtol": 1e-9})
    return np.asarray(jax.nn.softmax(found.x))


# ---- weights ------------------------------------------------------------------------------------------------------


def test_advantage_weight_golden_values_and_bound():
    weight = advantage_weight(jnp.asarray([-1.0, 0.0, 0.5, 2.0, 1e6]), inverse_temperature=3.0, max_weight=100.0)
    np.testing.assert_allclose(weight, [0.04978707, 1.0, 4.48168907, 100.0, 100.0], rtol=1e-5)


@settings(max_examples=50, deadline=None)
@given(advantage=st.floats(-1e4, 1e4, width=32), temperature=st.floats(0.0, 20.0), bound=st.floats(1.0, 1e3))
def test_advantage_weight_is_the_bounded_exponential(advantage, temperature, bound):
    weight = advantage_weight(jnp.float32(advantage), inverse_temperature=temperature, max_weight=bound)
    expected = np.exp(min(temperature * advantage, np.log(bound)))
    np.testing.assert_allclose(weight, expected, rtol=2e-4, atol=1e-30)


def test_the_batch_softmax_is_the_exponential_over_its_mean():
    """At 2 and advantages of 0, log 2 and log 3 over two: 1, 2 and 3, over 2; whatever all rows share drops out."""
    advantage = jnp.log(jnp.asarray([1.0, 2.0, 3.0])) / 2
    for shared in (0.0, -70.0, 70.0):
        weight = batch_softmax_weight(advantage + shared, inverse_temperature=2.0)
        np.testing.assert_allclose(weight, [0.5, 1.0, 1.5], rtol=1e-4)


def test_the_weight_of_advantages_is_the_soft_policy_of_the_bandit():
    v = np.log(BEHAVIOUR @ np.exp(REWARD))
    weight = np.asarray(advantage_weight(jnp.asarray(REWARD - v), inverse_temperature=1.0, max_weight=100.0), float)
    policy = BEHAVIOUR * weight
    np.testing.assert_allclose(policy, SOFT_POLICY, atol=1e-6)
    assert policy @ np.log(policy / BEHAVIOUR) == pytest.approx(0.739024, abs=1e-6)
    assert 1.0 / (BEHAVIOUR @ weight**2) == pytest.approx(0.340956, abs=1e-6)  # effective sample size over the size
    with jax.enable_x64(True):
        np.testing.assert_allclose(cloned(np.exp(REWARD - v)), SOFT_POLICY, atol=1e-6)


@pytest.mark.parametrize(("beta", "known"), [(0.1, 28.390562), (1.0, 16.738374), (10.0, 9.669380)])
def test_the_value_of_a_state_that_repeats_for_ever(beta, known):
    with jax.enable_x64(True):
        target = lambda v: td_target(jnp.asarray(REWARD), jnp.zeros(3), jnp.full(3, v), discount=0.9)  # noqa: E731
        loss = lambda x, y: jnp.sum(BEHAVIOUR * gumbel_regression(target(y) - x, beta=beta))  # noqa: E731
        slope = jax.jit(jax.grad(loss))  # in the first argument only: the target is a constant
        v = optimize.brentq(lambda v: float(slope(v, v)), 0.0, 30.0, xtol=1e-12)
    assert v == pytest.approx(known, abs=1e-6)


def test_the_inverse_temperature_goes_from_cloning_to_the_best_supported_action():
    best = np.where(REWARD == 3.0, 1.0, 0.0)
    with jax.enable_x64(True):
        weigh = lambda x: np.asarray(  # noqa: E731
            advantage_weight(jnp.asarray(REWARD - 3.0), inverse_temperature=x, max_weight=100.0)
        )
        np.testing.assert_allclose(cloned(weigh(1e-4)), BEHAVIOUR, atol=1e-3)
        np.testing.assert_allclose(cloned(weigh(100.0)), best, atol=1e-3)


# ---- cloning ------------------------------------------------------------------------------------------------------


def test_cloning_golden_value_and_constant_weights():
    weight, log_prob = jnp.asarray([1.0, 2.0, 0.5]), jnp.asarray([-1.0, -0.5, -4.0])
    assert float(cloning(weight, log_prob)) == pytest.approx(4.0 / 3.0, rel=1e-6)
    by_weight, by_log_prob = jax.grad(cloning, argnums=(0, 1))(weight, log_prob)
    np.testing.assert_array_equal(by_weight, 0.0)
    np.testing.assert_allclose(by_log_prob, [-1 / 3, -2 / 3, -1 / 6], rtol=1e-6)


def test_cloning_a_linear_gaussian_is_least_squares():
    rng = np.random.default_rng(0)
    x = np.column_stack([np.ones(60), rng.normal(size=(60, 3))])
    action = x @ rng.normal(size=(4, 2)) + np.asarray([0.3, 0.7]) * rng.normal(size=(60, 2))
    expected, *_ = np.linalg.lstsq(x, action, rcond=None)
    deviation = np.sqrt(np.mean((action - x @ expected) ** 2, axis=0))

    with jax.enable_x64(True):

        def loss(flat):
            mean = jnp.asarray(x) @ flat[:8].reshape(4, 2)
            log_std = jnp.broadcast_to(flat[8:], mean.shape)
            return cloning(jnp.ones(60), Gaussian(mean, log_std).log_prob(jnp.asarray(action)))

        both = jax.jit(jax.value_and_grad(loss))
        found = optimize.minimize(
            lambda p: tuple(map(np.asarray, both(p))), np.zeros(10), jac=True, options={"gtol": 1e-9}
        )
    np.testing.assert_allclose(found.x[:8].reshape(4, 2), expected, atol=1e-6)
    np.testing.assert_allclose(np.exp(found.x[8:]), deviation, atol=1e-6)


# ---- temporal differences -----------------------------------------------------------------------------------------


def test_td_target_ends_with_the_mdp():
    reward, terminated = jnp.asarray([1.0, 1.0, -2.0]), jnp.asarray([0.0, 1.0, 1.0])
    target = td_target(reward, terminated, jnp.asarray([10.0, 10.0, -7.0]), discount=0.9)
    np.testing.assert_allclose(target, [10.0, 1.0, -2.0], rtol=1e-6)


@settings(max_examples=40, deadline=None)
@given(
    reward=st.floats(-1e3, 1e3, width=32),
    value=st.floats(-1e3, 1e3, width=32),
    discount=st.floats(0.0, 1.0),
)
def test_td_target_is_reward_plus_discounted_value(reward, value, discount):
    given = jnp.asarray([reward, reward]), jnp.asarray([0.0, 1.0]), jnp.asarray([value, value])
    target = td_target(*given, discount=discount)
    np.testing.assert_allclose(target, [reward + discount * value, reward], rtol=1e-5, atol=2e-4)
