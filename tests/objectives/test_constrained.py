"""Policies that follow a critic and stay near the behaviour, the price of the distance, and BRAC's exact fixed points on a table."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toys import TwoCritics, batch

from extremal.core.algorithm import Step
from extremal.core.optimiser import SGD
from extremal.core.record import record
from extremal.core.types import AgentState, Batch
from extremal.distributions import TanhGaussian
from extremal.networks.heads import Scalar
from extremal.networks.table import PolicyTable, StateActionTable
from extremal.objectives.backup import ExpectedBackup
from extremal.objectives.constrained import ConstrainedImprovement, PenalisedBackup, TuneMultiplier
from extremal.objectives.critic import FitCritic
from extremal.objectives.divergence import KL, MMD, Adaptive, Fixed
from extremal.objectives.ensemble import Mixed
from extremal.tabular.mdp import random_mdp
from extremal.tabular.regularised import regularised_control

KEY = jax.random.key(6)
ROWS = batch(np.zeros(200))
APART = MMD(samples=4, scale=0.5, kernel="gaussian", rooted=True)


class Networks(NamedTuple):
    q: Any = TwoCritics(above=0.5)
    pi: Any = None
    behaviour: Any = None
    log_multiplier: Any = Scalar(x=jnp.log(2.0))


@record
class Normal:
    """tanh of N(mean, 0.2)."""

    mean: Any  # []

    def __call__(self, observation):
        shape = (observation.shape[0], 1)
        return TanhGaussian(jnp.broadcast_to(self.mean, shape), jnp.full(shape, math.log(0.2)))


@jax.jit
def told_and_slope(objective, mean):
    """The behaviour's mean is 0; objectives of one form share the program."""
    target = Networks(behaviour=Normal(mean=jnp.float32(0.0)))

    def loss(mean):
        return objective(target._replace(pi=Normal(mean=mean)), target, ROWS, KEY, {})

    return jax.value_and_grad(loss, has_aux=True)(mean)


def improve(objective, mean):
    """Loss, metrics and slope in the policy's mean."""
    (value, told), slope = told_and_slope(objective, jnp.float32(mean))
    return float(value), {name: float(x) for name, x in told.items()}, float(slope)


def test_the_loss_is_the_price_of_the_distance_less_q_of_the_ensemble():
    value, told, _ = improve(ConstrainedImprovement(divergence=APART, weight=Fixed(weight=3.0)), 0.5)
    assert value == pytest.approx(3.0 * told["divergence"] - told["q"], rel=1e-5)
    assert told["q"] == pytest.approx(np.tanh(0.5), abs=0.05)  # min_k Q_k = a
    mix = ConstrainedImprovement(divergence=APART, weight=Adaptive(), ensemble=Mixed(weight=0.0))
    value, mixed, _ = improve(mix, 0.5)
    assert mixed["q"] == pytest.approx(told["q"] + 0.5, rel=1e-5)
    assert value == pytest.approx(2.0 * mixed["divergence"] - mixed["q"], rel=1e-5)


@pytest.mark.parametrize(("weight", "sign"), [(0.0, -1), (100.0, 1)])
def test_the_policy_goes_up_q_or_back_to_the_behaviour_as_the_price_says(weight, sign):
    """Q = a, the behaviour at 0, the policy at 0.5: gradient descent goes up without a price, and back with a high one."""
    *_, slope = improve(ConstrainedImprovement(divergence=APART, weight=Fixed(weight=weight)), 0.5)
    assert np.sign(slope) == sign


def test_a_warm_start_looks_at_the_distance_alone():
    value, told, slope = improve(ConstrainedImprovement(divergence=APART, weight=Fixed(weight=3.0), follows=False), 0.5)
    assert set(told) == {"divergence"}
    assert value == pytest.approx(3.0 * told["divergence"])
    assert slope > 0.0


def test_draws_follow_the_key_and_without_one_they_are_always_the_same():
    objective = ConstrainedImprovement(divergence=KL(), weight=Adaptive(), samples=2)
    online, few = Networks(pi=Normal(mean=jnp.float32(0.3)), behaviour=Normal(mean=jnp.float32(0.0))), batch([0.0])
    losses = jax.jit(lambda: [objective(online, online, few, key, {})[0] for key in (None, None, KEY)])()
    assert float(losses[0]) == float(losses[1]) != float(losses[2])


# ---- the dual variable --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["pi", "warm_pi"])
def test_the_price_rises_while_the_policy_is_too_far_and_falls_while_it_is_near(policy):
    objective = TuneMultiplier(threshold=0.3, weight=Adaptive(largest=5.0), policy=policy)

    def step(log_weight, apart):
        loss = lambda x: objective(  # noqa: E731
            Networks(log_multiplier=Scalar(x=x)), None, ROWS, None, {f"{policy}/divergence": apart}
        )
        (_, told), slope = jax.value_and_grad(loss, has_aux=True)(log_weight)
        return -slope, told["weight"]

    step = jax.jit(jax.vmap(step))
    logs, apart = jnp.log(jnp.asarray([2.0, 2.0, 2.0, 1e4, 1e4])), jnp.asarray([0.5, 0.3, 0.1, 0.5, 0.1])
    moved, weight = step(logs, apart)
    np.testing.assert_allclose(moved, [0.4, 0.0, -0.4, 0.0, -1.0], atol=1e-6)  # beyond its bound it comes back at most
    np.testing.assert_allclose(weight, [2.0, 2.0, 2.0, 5.0, 5.0], rtol=1e-6)


def test_dual_descent_ends_where_the_constraint_is_just_met():
    """Q = a has its best policy far away; the root of MMD ends at the threshold, and the price where nothing has a slope."""
    price = Adaptive()
    steps = (
        Step(
            trains="pi",
            objective=ConstrainedImprovement(divergence=APART, weight=price),
            optimiser=SGD(learning_rate=0.02),
        ),
        Step(
            trains="log_multiplier",
            objective=TuneMultiplier(threshold=0.3, weight=price),
            optimiser=SGD(learning_rate=0.3),
        ),
    )
    online = Networks(
        q=(),
        pi=Normal(mean=jnp.float32(0.0)),
        behaviour=Normal(mean=jnp.float32(0.0)),
        log_multiplier=Scalar(x=jnp.float32(-1.0)),
    )
    trained = trained_by(steps, online, ROWS, 1500, q=TwoCritics())
    held = ConstrainedImprovement(divergence=APART, weight=Fixed(weight=float(jnp.exp(trained.log_multiplier()))))
    _, told, slope = improve(held, float(trained.pi.mean))
    assert told["divergence"] == pytest.approx(0.3, abs=0.03)
    assert abs(slope) < 0.1
    assert float(trained.log_multiplier()) > -0.5  # from -1


def trained_by(steps, online, rows, updates, **fixed):
    """The networks after so many passes over the steps on one batch; the slow copies are the networks themselves."""
    optimiser = {step.label: step.optimiser.transform().init(getattr(online, step.trains)) for step in steps}

    def update(number, state):
        state, earlier = state._replace(online=state.online._replace(**fixed)), {}
        for place, step in enumerate(steps):
            key = jax.random.fold_in(jax.random.fold_in(KEY, number), place)
            state, told = step.take(state, rows, key, earlier)
            earlier = earlier | told
        return state._replace(
            online=online._replace(**{step.trains: getattr(state.online, step.trains) for step in steps})
        )

    state = AgentState(online=online, target={}, optimiser=optimiser)
    state = jax.jit(lambda state: jax.lax.fori_loop(0, updates, update, state))(state)
    return state.online._replace(**fixed)


# ---- BRAC on a table ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("penalises", ["value", "policy"])
def test_b3_brac_lands_on_its_exact_fixed_point(penalises):
    """B3: with the value penalty V is the soft value of the behaviour; without it, E_pi Q of the same kind of policy."""
    states, actions, alpha, discount = 3, 3, 0.5, 0.8
    mdp = random_mdp(states, actions, seed=3, discount=discount, branching=1)
    exact = regularised_control(mdp, penalty_weight=alpha, penalises=penalises)
    state, action = np.divmod(np.arange(states * actions), actions)
    onehot = lambda number, count: jnp.asarray(np.eye(count)[number], jnp.float32)  # noqa: E731
    rows = Batch(
        onehot(state, states),
        onehot(action, actions),
        jnp.asarray(mdp.mean_reward[state, action], jnp.float32),
        jnp.asarray(mdp.transition[state, action], jnp.float32),  # every step has one outcome
        jnp.zeros(len(state)),
    )
    plain, weight = ExpectedBackup(), Fixed(weight=alpha)
    backup = PenalisedBackup(backup=plain, divergence=KL(), weight=weight) if penalises == "value" else plain
    steps = (
        Step(trains="q", objective=FitCritic(backup=backup, discount=discount), optimiser=SGD(learning_rate=3.0)),
        Step(
            trains="pi",
            objective=ConstrainedImprovement(divergence=KL(), weight=weight),
            optimiser=SGD(learning_rate=3.0),
        ),
    )
    online = Networks(
        q=StateActionTable(values=jnp.zeros((1, states, actions))),
        pi=PolicyTable(logits=jnp.zeros((states, actions))),
        behaviour=PolicyTable(logits=jnp.asarray(np.log(mdp.behaviour), jnp.float32)),
    )
    trained = trained_by(steps, online, rows, 5000)
    np.testing.assert_allclose(trained.q.values[0], exact.q, atol=2e-3)
    np.testing.assert_allclose(jax.nn.softmax(trained.pi.logits), exact.policy, atol=2e-3)


def test_the_two_penalties_differ_in_the_target_alone():
    """BRAC-v's target is BRAC-p's less the price of the distance in the next state."""
    target = Networks(pi=Normal(mean=jnp.float32(0.5)), behaviour=Normal(mean=jnp.float32(0.0)))
    policy, apart = ExpectedBackup(), MMD(samples=3)
    value = PenalisedBackup(backup=policy, divergence=apart, weight=Adaptive())
    follow, draw = jax.random.split(KEY)

    @jax.jit
    def both():
        cost = apart(target.pi, target, ROWS.next_observation, draw)
        return value(target, ROWS, KEY), policy(target, ROWS, follow) - 2.0 * cost, cost

    found, expected, cost = both()
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert float(jnp.min(cost)) > 0.0
