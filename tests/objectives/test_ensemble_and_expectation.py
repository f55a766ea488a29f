"""What an ensemble says, means over a policy's actions, and the backups that are made of both (BCQ, BEAR, BRAC, EMaQ)."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toys import OneAction, OnePolicy, SquashedPolicy, TwoCritics, batch

from extremal.core.record import record
from extremal.distributions import Gaussian, OneHot
from extremal.networks.table import PolicyTable
from extremal.objectives.backup import ExpectedBackup, SampledBackup
from extremal.objectives.ensemble import Mixed, Optimistic, Single, mixed
from extremal.objectives.expectation import log_density, policy_value, weighted_densities
from extremal.objectives.perturbation import ImprovePerturbation, shifted
from extremal.objectives.sampled import ExpectedMaximum, drawn

KEY = jax.random.key(2)
Q = jnp.asarray([[1.0, -2.0], [4.0, 0.0], [1.0, 5.0]])  # three critics, two actions


class Networks(NamedTuple):
    q: Any = TwoCritics(above=1.0)
    pi: Any = OneAction(action=jnp.full(1, 0.3))
    behaviour: Any = OnePolicy(mean=jnp.zeros(1))
    perturbation: Any = None


@record
class Towards:
    """A perturbation that asks for the whole shift in the direction of `sign`, times a number that may be moved."""

    sign: Any

    def __call__(self, observation, action):
        return jnp.tanh(self.sign) * jnp.ones_like(action)


# ---- ensembles ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statistic", "expected"),
    [
        (Mixed(), [1.0, -2.0]),
        (Mixed(weight=0.0), [4.0, 5.0]),
        (Mixed(weight=0.75), [1.75, -0.25]),
        (Optimistic(), [2.0, 1.0]),
        (Optimistic(bonus=2.0), [2.0 + 2.0 * 2.0**0.5, 1.0 + 2.0 * (26 / 3) ** 0.5]),
        (Single(), [1.0, -2.0]),
        (Single(member=1), [4.0, 0.0]),
    ],
)
def test_every_statistic_of_three_critics(statistic, expected):
    np.testing.assert_allclose(statistic.value(Q), expected, rtol=1e-6)


def test_the_mix_has_the_slopes_of_its_two_ends_and_a_spread_of_none_has_no_slope():
    slope = jax.jit(jax.grad(lambda q: mixed(q, 0.75)[1]))(Q)
    np.testing.assert_allclose(slope, [[0, 0.75], [0, 0], [0, 0.25]], atol=1e-7)
    slope = jax.jit(jax.grad(lambda q: Optimistic(bonus=1.0).value(q)[0]))(jnp.ones((3, 1)))
    np.testing.assert_allclose(slope, 1 / 3, rtol=1e-6)
    weights = jnp.asarray([0.0, 0.75, 1.0])
    swept = jax.vmap(lambda weight: Mixed(weight=weight).value(Q))(weights)
    np.testing.assert_allclose(swept[:, 0], [4.0, 1.75, 1.0])


# ---- means over actions -------------------------------------------------------------------------------------------


def test_discrete_actions_are_counted_and_their_mean_is_exact_with_its_slope():
    logits, q = jnp.asarray([[0.2, -1.0, 0.5], [0.0, 0.0, 2.0]]), jnp.asarray([1.0, -2.0, 4.0])

    def mean(logits):
        action, weight, log_prob = weighted_densities(OneHot(logits), KEY, 1)
        return jnp.sum(weight * (action @ q), axis=0), log_prob

    share = np.asarray(jax.nn.softmax(logits))
    (found, log_prob), slope = jax.jit(lambda logits: (mean(logits), jax.grad(lambda x: jnp.sum(mean(x)[0]))(logits)))(
        logits
    )
    np.testing.assert_allclose(found, share @ q, rtol=1e-6)
    np.testing.assert_allclose(log_prob, np.log(share).T, rtol=1e-6)
    np.testing.assert_allclose(slope, share * (np.asarray(q) - (share @ np.asarray(q))[:, None]), atol=1e-6)


@pytest.mark.parametrize(
    "policy", [OnePolicy(mean=jnp.full(2, 0.3)), SquashedPolicy(mean=jnp.ones(2), log_std=jnp.zeros(2))]
)
def test_draws_are_of_equal_weight_with_the_densities_that_they_have(policy):
    action, weight, log_prob = weighted_densities(policy(jnp.zeros((4, 1))), KEY, 3)
    assert action.shape == (3, 4, 2)
    np.testing.assert_allclose(weight, 1 / 3, rtol=1e-6)
    np.testing.assert_allclose(log_density(policy, jnp.zeros((4, 1)), action), log_prob, atol=1e-4)


def test_the_ensemble_is_asked_about_the_mean_over_the_actions():
    """min_k of the mean of Q_k: not the mean of min_k, where the critics disagree about the order of the actions."""
    critic = lambda observation, action: jnp.stack([action[:, 0], -action[:, 0]])  # noqa: E731
    policy = PolicyTable(logits=jnp.zeros((1, 2)))
    given = {"samples": 1, "ensemble": Mixed()}
    np.testing.assert_allclose(policy_value(critic, policy, jnp.ones((3, 1)), KEY, **given), -0.5)


def test_an_action_out_of_range_counts_as_the_nearest_in_range():
    target = Networks(pi=OneAction(action=jnp.full(1, 7.0)))
    np.testing.assert_allclose(ExpectedBackup()(target, batch(np.zeros(3)), KEY), 1.0)


# ---- backups ------------------------------------------------------------------------------------------------------


def test_the_backups_of_emaq_bear_and_bcq_differ_in_whose_actions_and_in_the_shift():
    """Q_1 = a and Q_2 = a + 1: the mix of 0.75 adds 0.25 to the best action."""
    rows, statistic = batch(np.zeros(6)), ExpectedMaximum(samples=4)
    target = Networks(perturbation=Towards(sign=jnp.float32(20.0)))
    best = jnp.max(drawn(target.behaviour, rows.next_observation, KEY, 4)[..., 0], axis=0)
    np.testing.assert_allclose(SampledBackup(statistic=statistic)(target, rows, KEY), best, rtol=1e-6)
    mix = Mixed(weight=0.75)
    emaq = SampledBackup(statistic=statistic, ensemble=mix)
    np.testing.assert_allclose(emaq(target, rows, KEY), best + 0.25, rtol=1e-6)
    bear = SampledBackup(statistic=statistic, ensemble=mix, proposal="pi")
    np.testing.assert_allclose(bear(target, rows, KEY), 0.55, rtol=1e-6)
    bcq = SampledBackup(statistic=statistic, ensemble=mix, shift=0.05)
    np.testing.assert_allclose(bcq(target, rows, KEY), jnp.minimum(best + 0.05, 1.0) + 0.25, rtol=1e-6)


# ---- BCQ's perturbation -------------------------------------------------------------------------------------------


def test_b1_a_shift_is_bounded_and_stays_in_range():
    """B1: |a - a_mu| <= Phi, whatever the network asks for, and inside of [-1, 1]."""
    action = jax.random.uniform(KEY, (5, 4, 3), minval=-1.0, maxval=1.0)
    wild = lambda observation, action: jnp.sign(jnp.sin(100.0 * jnp.sum(action, -1, keepdims=True))) + 0.0 * action  # noqa: E731
    moved = shifted(wild, jnp.zeros((4, 2)), action, largest=0.05)
    assert moved.shape == action.shape
    assert float(jnp.max(jnp.abs(moved - action))) <= 0.05 + 1e-6
    assert float(jnp.max(jnp.abs(moved))) <= 1.0
    assert float(jnp.mean(jnp.abs(moved - action))) > 0.04


def test_a_perturbation_follows_the_first_critic_up_to_its_bound():
    """Q_1 = a: the slope in the share is -Phi where nothing is clipped; the second critic does not count."""
    rows = batch(np.zeros(8))

    def loss(sign, largest, above=0.0):
        online = Networks(
            q=TwoCritics(above=above), behaviour=OneAction(action=jnp.full(1, 0.2)), perturbation=Towards(sign=sign)
        )
        return ImprovePerturbation(largest=largest)(online, online, rows, KEY, {})

    for largest in (0.05, 0.5):
        (value, told), slope = jax.jit(jax.value_and_grad(loss, has_aux=True))(jnp.float32(0.0), largest, above=-9.0)
        assert (float(value), float(slope)) == pytest.approx((-0.2, -largest))
        assert float(told["shift"]) == 0.0
    assert float(loss(jnp.float32(50.0), 0.3)[1]["shift"]) == pytest.approx(0.3)
    assert float(loss(jnp.float32(50.0), 3.0)[1]["q"]) == pytest.approx(1.0)  # no further than the edge
    draws = lambda key: float(  # noqa: E731
        ImprovePerturbation(largest=0.1)(n := Networks(perturbation=Towards(sign=jnp.float32(0.0))), n, rows, key, {})[
            0
        ]
    )
    assert draws(KEY) != draws(jax.random.key(9))
    assert draws(None) == draws(None)


def test_an_action_that_is_drawn_out_of_range_is_the_end_of_the_range():
    """Of a normal with the deviation 3, 26 % lie within [-1, 1]."""
    wide = lambda observation: Gaussian(jnp.zeros((len(observation), 1)), jnp.full((len(observation), 1), jnp.log(3.0)))  # noqa: E731
    action = np.asarray(drawn(wide, jnp.zeros((100, 1)), KEY, 40))
    assert (action.min(), action.max()) == (-1.0, 1.0)
    assert np.mean(np.abs(action) < 1.0) == pytest.approx(0.261, abs=0.03)
