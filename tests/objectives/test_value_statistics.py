"""Mean, quantile and KL ball as records: the weight that belongs to each loss, and the floor of the KL ball."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toys import Networks, TwoCritics, batch

from extremal.core.algorithm import Step
from extremal.core.optimiser import Adam
from extremal.core.types import AgentState
from extremal.networks.table import StateTable
from extremal.objectives.statistic import KLBall, Mean, Quantile
from extremal.objectives.value import FitValue

Q = jnp.asarray([0.0, 1.0, -0.5, 3.0])
BALL = KLBall(kappa=0.42, clip=3.0, floor=0.01)


def pair(h, beta):
    return jnp.broadcast_to(jnp.stack([jnp.float32(h), jnp.log(jnp.float32(beta))]), (*Q.shape, 2))


def test_all_actions_weigh_the_same_in_a_mean():
    head = jnp.full(4, 0.5)
    np.testing.assert_array_equal(Mean().weight(Q, head), np.ones(4))
    np.testing.assert_allclose(Mean().loss(Q, head), (np.asarray(Q) - 0.5) ** 2, rtol=1e-6)
    np.testing.assert_array_equal(Mean().value(head), head)


def test_the_weight_of_a_quantile_is_the_share_in_its_loss():
    statistic, head = Quantile(quantile=0.8), jnp.full(4, 0.5)
    np.testing.assert_allclose(statistic.weight(Q, head), [0.2, 0.8, 0.2, 0.8], rtol=1e-6)
    np.testing.assert_allclose(statistic.loss(Q, head), statistic.weight(Q, head) * np.abs(Q - head), rtol=1e-6)
    np.testing.assert_array_equal(statistic.value(head), head)


def test_the_weight_of_a_kl_ball_is_the_slope_of_its_loss():
    head = pair(0.2, 0.5)
    weight = np.exp(np.minimum((np.asarray(Q) - 0.2) / 0.5, 3.0))
    np.testing.assert_allclose(BALL.weight(Q, head), weight, rtol=1e-5)
    slope = jax.grad(lambda head: jnp.sum(BALL.loss(Q, head)))(head)
    np.testing.assert_allclose(slope[:, 0], 1.0 - weight, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(BALL.value(head), 0.2 + 0.42 * 0.5, rtol=1e-6)


def test_at_the_floor_the_value_is_h_and_it_is_continuous():
    read = lambda beta: float(BALL.value(pair(1.0, beta))[0])  # noqa: E731
    assert read(1e-30) == read(0.01) == pytest.approx(1.0, abs=1e-6)
    assert read(0.015) == pytest.approx(1.0 + 0.42 * 0.01, abs=1e-6)  # half-way: as much as a beta of 0.01
    assert read(0.02) == pytest.approx(1.0 + 0.42 * 0.02, abs=1e-6)
    assert read(5.0) == pytest.approx(1.0 + 0.42 * 5.0, abs=1e-5)


def test_the_health_of_a_ball_is_that_of_its_density_ratio():
    beta = np.float32([0.005, 0.5, 0.5, 2.0])
    head = jnp.stack([jnp.full(4, 0.2), jnp.log(beta)], axis=1)
    weight = np.exp(np.minimum((np.asarray(Q) - 0.2) / np.maximum(beta, 0.01), 3.0))
    share = weight / weight.mean()
    expected = {"effective_share": 1 / np.mean(share**2), "clipped": 0.0, "at_floor": 0.25}
    expected |= {"kl": np.mean(share * np.log(share)), "beta_low": 0.005, "beta": 0.5, "beta_high": 2.0}
    found = {name: float(x) for name, x in BALL.health(Q, head).items()}
    assert found == pytest.approx(expected, rel=1e-4)
    far = {name: float(x) for name, x in BALL.health(Q - 1e6, head).items()}  # every weight is 0 in float32
    assert (far["clipped"], far["kl"], far["effective_share"]) == (0.0, 0.0, 0.0)
    nearer = head.at[1, 1].set(jnp.log(0.015))  # below twice the floor: h + kappa beta is not the value there
    assert float(BALL.health(Q, nearer)["at_floor"]) == 0.5
    assert Mean().health(Q, Q) == {}
    assert (float(BALL.most), Mean().most) == (pytest.approx(np.exp(3.0)), None)


def test_a_held_kl_leaves_v_at_the_soft_maximum():
    held = KLBall(kappa=0.42, clip=3.0, floor=0.01, bonus=False)
    np.testing.assert_array_equal(held.value(pair(0.7, 0.5)), np.full(4, np.float32(0.7)))
    np.testing.assert_array_equal(held.weight(Q, pair(0.7, 0.5)), BALL.weight(Q, pair(0.7, 0.5)))


def settled(q, statistic, start, updates):
    """The head after `updates` steps of Adam(0.01) on one state whose logged actions have these Qs."""
    fit = Step(trains="v", objective=FitValue(statistic=statistic), optimiser=Adam(learning_rate=0.01))
    online = Networks(v=StateTable(values=jnp.asarray([start], jnp.float32)), q=TwoCritics())
    state = AgentState(online=online, target={}, optimiser={"v": fit.optimiser.transform().init(online.v)})
    data = batch(q, observation=np.ones((len(q), 1)))

    def update(state, _):
        return fit.take(state, data, jax.random.key(0), {})[0], None

    train = jax.jit(lambda state: jax.lax.scan(update, state, None, length=updates)[0])
    return np.asarray(train(state).online.v.values[0])


def test_beta_comes_back_from_far_below_its_floor():
    q = np.linspace(-2.0, 2.0, 41)
    h, log_beta = settled(q, BALL, start=(0.0, -30.0), updates=6000)
    z = (q - h) / np.exp(log_beta)
    assert np.mean(np.exp(z)) == pytest.approx(1.0, abs=1e-3)
    assert np.mean(z * np.exp(z)) == pytest.approx(0.42, abs=1e-3)


def test_beta_rests_at_its_floor_where_every_action_is_as_good():
    head = settled(np.full(8, 1.5), BALL, start=(0.0, 0.0), updates=6000)
    assert np.exp(head[1]) == pytest.approx(0.01, rel=0.1)
    assert float(BALL.value(jnp.asarray(head))) == pytest.approx(1.5, abs=0.42 * 0.01)
