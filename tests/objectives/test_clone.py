"""Extracting a policy: whose weights count, and that they are constants."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from toys import Networks, OnePolicy, OneValue, TwoCritics, batch

from extremal.losses.policy import advantage_weight
from extremal.objectives.policy import Cloning, ExponentialAdvantage, WeightedCloning
from extremal.objectives.statistic import Expectile, Gumbel, effective_share, share_at

ACTION = np.asarray([0.0, 1.0, -0.5, 3.0])
MEAN = 0.3
ONLINE = Networks(
    v=OneValue(x=jnp.float32(0.25)), q=TwoCritics(x=jnp.float32(50.0)), pi=OnePolicy(mean=jnp.full(1, MEAN))
)
TARGET = ONLINE._replace(q=TwoCritics(x=jnp.float32(0.0), above=jnp.float32(-0.5)))  # the slow critics, min = a - 0.5
ADVANTAGE = ACTION - 0.5 - 0.25
LOG_PROB = stats.norm(MEAN, 1.0).logpdf(ACTION)


def fit(objective, data=None):
    loss = lambda online: objective(online, TARGET, data or batch(ACTION), None, {})  # noqa: E731
    (value, metrics), slope = jax.value_and_grad(loss, has_aux=True)(ONLINE)
    return float(value), {name: float(x) for name, x in metrics.items()}, slope


@pytest.mark.parametrize(
    ("kind", "weight", "at_bound"),
    [
        (
            ExponentialAdvantage(statistic=Expectile(expectile=0.7), inverse_temperature=2.0, max_weight=10.0),
            np.minimum(np.exp(2.0 * ADVANTAGE), 10.0),
            {"at_bound": 0.25},
        ),
        (
            ExponentialAdvantage(statistic=Expectile(expectile=0.7), inverse_temperature=2.0, max_weight=1.2),
            np.minimum(np.exp(2.0 * ADVANTAGE), 1.2),
            {"at_bound": 0.5},
        ),
        (Gumbel(beta=2.0, clip=1.0), np.exp(np.minimum(ADVANTAGE / 2.0, 1.0)), {"at_bound": 0.25}),
        (Gumbel(beta=2.0, clip=2.0), np.exp(ADVANTAGE / 2.0), {"at_bound": 0.0}),
        (Expectile(expectile=0.7), np.where(ADVANTAGE < 0.0, 0.3, 0.7), {}),
    ],
    ids=["advantage", "advantage, lower bound", "gumbel", "gumbel within its clip", "expectile"],
)
def test_rows_are_cloned_by_the_weight_of_the_slow_critics(kind, weight, at_bound):
    loss, metrics, slope = fit(WeightedCloning(weight=kind))
    assert loss == pytest.approx(-np.mean(weight * LOG_PROB), rel=1e-5)
    assert float(slope.pi.mean[0]) == pytest.approx(-np.mean(weight * (ACTION - MEAN)), rel=1e-4)
    both = jax.grad(lambda networks: WeightedCloning(weight=kind)(networks, networks, batch(ACTION), None, {})[0])(
        ONLINE
    )
    assert float(both.pi.mean[0]) != 0.0
    assert (float(both.q.x), float(both.q.above), float(both.v.x)) == (0.0, 0.0, 0.0)  # a weight is a constant
    share = weight.sum() ** 2 / (weight**2).sum() / 4
    expected = {"log_prob": LOG_PROB.mean(), "weight": weight.mean(), "effective_share": share}
    assert metrics == pytest.approx(expected | at_bound, rel=1e-5)


@pytest.mark.parametrize("scale", [1e-35, 1e-20, 1.0, 1e20, 1e35])
def test_the_effective_share_by_hand_whatever_the_scale(scale):
    """(1 + 2 + 3)^2 / (4 (1 + 4 + 9)); the same for all is 1, one alone of four is 1/4, none is 0. float32 has no 1e40."""
    weights = jnp.asarray([[1.0, 2.0, 3.0, 0.0], [5.0] * 4, [0.0, 0.0, 7.0, 0.0], [0.0] * 4]) * scale
    np.testing.assert_allclose(jax.vmap(effective_share)(weights), [36 / 56, 1.0, 0.25, 0.0], rtol=1e-5)


@pytest.mark.parametrize("bound", [1.2, 5.0, 20.0, 100.0, 1e6, 1e30])
def test_a_weight_that_is_cut_off_is_at_its_bound_to_the_last_digit(bound):
    """exp(log(bound)) is not the bound in float32; nor is a weight of 0.999 times the bound at it."""
    near = np.log(bound) + np.log([0.999, 1.0, 1.001, 5.0])
    weight = jax.jit(partial(advantage_weight, inverse_temperature=1.0, max_weight=bound))(jnp.float32(near))
    assert float(share_at(weight, bound)) == 0.75


def test_the_effective_share_of_the_soft_policy_of_a_bandit():
    reward = np.repeat([0.0, 1.0, 3.0], [5, 3, 2])
    objective = WeightedCloning(weight=Gumbel(beta=1.0, clip=50.0))
    v = np.log(np.mean(np.exp(reward)))
    bandit = ONLINE._replace(v=OneValue(x=jnp.float32(v)), q=TwoCritics())
    metrics = objective(bandit, bandit, batch(reward), None, {})[1]
    assert float(metrics["effective_share"]) == pytest.approx(0.340956, abs=1e-5)
    assert float(metrics["weight"]) == pytest.approx(1.0, rel=1e-5)


def test_plain_cloning_weighs_every_row_the_same():
    loss, metrics, slope = fit(Cloning())
    assert loss == pytest.approx(-LOG_PROB.mean(), rel=1e-5)
    assert metrics == pytest.approx({"log_prob": LOG_PROB.mean()}, rel=1e-5)
    assert float(slope.pi.mean[0]) == pytest.approx(MEAN - ACTION.mean(), rel=1e-4)


def test_an_inverse_temperature_of_zero_is_plain_cloning():
    flat = ExponentialAdvantage(statistic=Expectile(expectile=0.7), inverse_temperature=0.0, max_weight=100.0)
    weighted, plain = fit(WeightedCloning(weight=flat)), fit(Cloning())
    assert weighted[0] == plain[0]
    np.testing.assert_array_equal(weighted[2].pi.mean, plain[2].pi.mean)
