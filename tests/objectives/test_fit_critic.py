"""Fitting Q: the target, the end of the MDP, the square and Huber."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special
from toys import Networks, OneValue, TwoCritics, batch

from extremal.objectives.backup import ValueBackup
from extremal.objectives.critic import FitCritic
from extremal.objectives.statistic import Expectile, Gumbel

STATISTIC = Expectile(expectile=0.7)
DATA = batch([0.0, 1.0, -2.0], reward=[1.0, -1.0, 0.5], terminated=[0.0, 1.0, 0.0])
ONLINE = Networks(v=OneValue(x=jnp.float32(2.0)), q=TwoCritics(x=jnp.float32(0.25), above=jnp.float32(0.5)))
TARGET = np.asarray([1.0 + 0.9 * 2.0, -1.0, 0.5 + 0.9 * 2.0])
Q = np.asarray([[0.25, 1.25, -1.75], [0.75, 1.75, -1.25]])


def fit(objective, target=ONLINE, data=DATA):
    loss = lambda online: objective(online, target, data, None, {})  # noqa: E731
    (value, metrics), slope = jax.value_and_grad(loss, has_aux=True)(ONLINE)
    return float(value), metrics, slope


def test_the_square_of_each_critic_against_one_target():
    loss, metrics, slope = fit(FitCritic(backup=ValueBackup(statistic=STATISTIC), discount=0.9))
    error = Q - TARGET
    assert loss == pytest.approx(np.sum(np.mean(error**2, axis=1)), rel=1e-6)
    assert float(slope.q.x) == pytest.approx(np.sum(np.mean(2 * error, axis=1)), rel=1e-6)
    assert float(slope.q.above) == pytest.approx(np.mean(2 * error[1]), rel=1e-6)
    assert float(slope.v.x) == 0.0
    assert float(metrics["mean"]) == pytest.approx(Q.mean(), rel=1e-6)
    assert float(metrics["error"]) == pytest.approx(np.abs(error).mean(), rel=1e-6)


@pytest.mark.parametrize("delta", [0.5, 2.0, 20.0])
def test_huber_is_scipys(delta):
    loss, _, slope = fit(FitCritic(backup=ValueBackup(statistic=STATISTIC), discount=0.9, huber=delta))
    error = Q - TARGET
    assert loss == pytest.approx(np.sum(np.mean(special.huber(delta, error), axis=1)), rel=1e-6)
    assert float(slope.q.x) == pytest.approx(np.sum(np.mean(np.clip(error, -delta, delta), axis=1)), rel=1e-5)


def test_no_value_comes_through_an_end():
    ended = DATA._replace(terminated=jnp.ones(3))
    near, far = (ONLINE._replace(v=OneValue(x=jnp.float32(x))) for x in (0.0, 1e6))
    objective = FitCritic(backup=ValueBackup(statistic=STATISTIC), discount=0.9)
    assert fit(objective, near, ended)[0] == fit(objective, far, ended)[0]
    assert fit(objective, near)[0] != fit(objective, far)[0]


def test_the_next_state_is_valued_and_not_this_one():
    apart = DATA._replace(next_observation=DATA.observation + 1.0)
    objective = FitCritic(backup=ValueBackup(statistic=Gumbel(beta=1.0, clip=5.0)), discount=1.0)
    value = lambda observation: observation[:, 0]  # noqa: E731  (0 here, 1 in the next state)
    loss, _, _ = fit(objective, ONLINE._replace(v=value), apart)
    target = np.asarray(DATA.reward) + (1.0 - np.asarray(DATA.terminated))
    assert loss == pytest.approx(np.sum(np.mean((Q - target) ** 2, axis=1)), rel=1e-6)
