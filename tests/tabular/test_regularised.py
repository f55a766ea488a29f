"""BRAC on a table (row B3), one step of improvement (row A4) and AWR's weights (row A1)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from problems import LIVE, SEEDS, bandit, every, problem
from scipy import stats
from scipy.optimize import minimize
from test_m3 import SARSA, m3

from extremal.core.errors import ConfigError, DivergedError
from extremal.tabular import log_mean_exp, policies, policy_evaluation, random_mdp, value_iteration
from extremal.tabular.regularised import (
    advantage_weighted,
    one_step,
    regularised_control,
    regularised_evaluation,
    relative_entropy,
)

G7 = np.array([0.0, 1.0, 3.0]), np.array([0.5, 0.3, 0.2])


@every
@given(SEEDS, st.sampled_from([0.05, 1.0, 20.0]))
def test_b3_the_best_value_penalty_is_the_soft_value(seed, alpha):
    """V = alpha log E_mu exp(Q / alpha) is the value, with the penalty, of its own policy, and no policy has more."""
    mdp, other = problem(seed)
    best = regularised_control(mdp, penalty_weight=alpha)
    np.testing.assert_allclose(best.v[LIVE], log_mean_exp(best.q, mdp.behaviour, parameter=alpha)[LIVE], atol=1e-9)
    own = regularised_evaluation(mdp, best.policy, penalty_weight=alpha)
    np.testing.assert_allclose(own.v, best.v, atol=1e-8)
    np.testing.assert_allclose(own.q, best.q, atol=1e-8)
    for share in (0.01, 1.0):
        near = (1 - share) * best.policy + share * other
        assert (regularised_evaluation(mdp, near, penalty_weight=alpha).v <= best.v + 1e-8).all()


@every
@given(SEEDS)
def test_b3_the_two_penalties_differ_in_the_target_alone(seed):
    """V and Q of a policy: less alpha KL at every step to come, or not at all; the policies are the same function of Q."""
    mdp, policy = problem(seed)
    value, plain = (regularised_evaluation(mdp, policy, penalty_weight=0.7, penalises=w) for w in ("value", "policy"))
    chain, _ = mdp.under(policy)
    distance = np.where(mdp.terminal, 0.0, relative_entropy(policy, mdp.behaviour))
    lower = 0.7 * np.linalg.solve(np.eye(5) - mdp.discount * chain, distance)
    np.testing.assert_allclose(value.v, plain.v - lower, atol=1e-10)
    np.testing.assert_allclose(value.q, mdp.backup(value.v), atol=1e-12)
    np.testing.assert_allclose(plain.v, policy_evaluation(mdp, policy).v)
    for where in ("value", "policy"):
        found = regularised_control(mdp, penalty_weight=0.7, penalises=where)
        np.testing.assert_allclose(
            found.policy[LIVE], policies.log_mean_exp(found.q, mdp.behaviour, parameter=0.7)[LIVE], atol=1e-9
        )
        evaluated = regularised_evaluation(mdp, found.policy, penalty_weight=0.7, penalises=where)
        np.testing.assert_allclose(evaluated.v, found.v, atol=1e-8)


def test_b3_on_the_reference_mdp():
    assert regularised_control(m3(), penalty_weight=1.0).v == pytest.approx((10.555180, 10.962057, 12.336909), abs=1e-6)
    assert regularised_control(m3(), penalty_weight=1e7).v == pytest.approx(SARSA, abs=1e-5)


def test_a_policy_penalty_may_cycle_and_a_smaller_step_ends_it():
    """Its value is a Boltzmann mean, which may fall where Q rises: here by a slope below -1."""
    mdp = bandit([0.0, 76.0], behaviour=[1 - 1e-6, 1e-6])
    loop = np.array(mdp.transition)
    loop[0, 0] = 1.0, 0.0
    mdp = mdp.replace(transition=loop)
    with pytest.raises(DivergedError):
        regularised_control(mdp, penalty_weight=1.0, penalises="policy", max_iterations=2000)
    found = regularised_control(mdp, penalty_weight=1.0, penalises="policy", step=0.3)
    assert found.v[0] == pytest.approx((found.policy * found.q).sum(-1)[0], abs=1e-9)
    assert found.v[0] > regularised_control(mdp, penalty_weight=1.0).v[0]


def test_relative_entropy_is_scipys():
    random = np.random.default_rng(0)
    policy, behaviour = random.dirichlet(np.ones(4), (2, 3))
    assert relative_entropy(policy, behaviour) == pytest.approx(
        [stats.entropy(*pair) for pair in zip(policy, behaviour, strict=True)]
    )
    assert relative_entropy([0.0, 1.0], [0.5, 0.5]) == pytest.approx(np.log(2))
    assert relative_entropy([0.5, 0.5], [0.0, 1.0]) == np.inf


ONE_STEP = {
    "greedy": (policies.maximum, {}),
    "soft": (policies.log_mean_exp, {"parameter": 0.5}),
    "KL ball": (policies.kl_ball, {"parameter": 0.3}),
    "best of five": (policies.expected_maximum, {"parameter": 5}),
}


@every
@given(SEEDS, st.sampled_from(list(ONE_STEP)))
def test_a4_one_step_improves_on_the_behaviour_in_every_state(seed, name):
    mdp = random_mdp(5, 4, seed=seed, terminal=1, support=3)
    improved, parameter = ONE_STEP[name]
    found = one_step(mdp, improved, **parameter)
    behaved = policy_evaluation(mdp, mdp.behaviour)
    np.testing.assert_allclose(found.q, behaved.q)
    assert (found.policy[mdp.behaviour == 0] == 0).all()
    after = policy_evaluation(mdp, found.policy).v
    assert (after >= behaved.v - 1e-10).all()
    assert (after <= value_iteration(mdp).v + 1e-8).all()
    assert (after > behaved.v + 1e-6).any()


def test_a4_values_are_those_of_the_sarsa_row():
    assert one_step(m3()).v == pytest.approx(SARSA, abs=1e-6)
    assert (one_step(m3()).policy.max(-1) == 1).all()


def test_a1_weights_minimise_the_weighted_likelihood():
    """Row A1 on the bandit of row G7: the exact table, and that a general minimiser of -sum mu w log pi finds it."""
    q, behaviour = G7
    for inverse, cap in ((1.0, np.inf), (3.0, 5.0)):
        found = advantage_weighted(q, 0.9, behaviour, inverse_temperature=inverse, max_weight=cap)
        weight = behaviour * np.minimum(np.exp(inverse * (q - 0.9)), cap)
        np.testing.assert_allclose(found, weight / weight.sum(), atol=1e-14)

        def loss(logits, weight=weight):
            return -(weight * (logits - np.log(np.exp(logits).sum()))).sum()

        logits = minimize(loss, np.zeros(3), method="BFGS", options={"gtol": 1e-9}, tol=1e-12).x
        np.testing.assert_allclose(np.exp(logits) / np.exp(logits).sum(), found, atol=1e-5)
    assert advantage_weighted(q, 0.9, behaviour, inverse_temperature=1.0) == pytest.approx(
        (0.093763, 0.152925, 0.753312), abs=1e-6
    )


def test_a1_limits_are_cloning_and_the_best_of_the_support():
    q, behaviour = np.array([0.0, 1.0, 3.0, 9.0]), np.array([0.5, 0.3, 0.2, 0.0])
    assert advantage_weighted(q, 0.0, behaviour, inverse_temperature=1e-4) == pytest.approx(behaviour, abs=1e-3)
    assert advantage_weighted(q, 0.0, behaviour, inverse_temperature=1e4) == pytest.approx([0, 0, 1, 0], abs=1e-12)
    capped = advantage_weighted(q, 0.0, behaviour, inverse_temperature=1e4, max_weight=100.0)
    assert capped == pytest.approx(np.array([0.5, 30, 20, 0]) / 50.5)


def test_what_they_refuse():
    with pytest.raises(ConfigError, match="penalises is 'value' or 'policy', not 'both'"):
        regularised_control(m3(), penalty_weight=1.0, penalises="both")
    with pytest.raises(ConfigError, match="takes action 0 in state 0, where the behaviour has 0"):
        regularised_evaluation(m3().replace(behaviour=np.eye(3)[[1, 1, 1]]), np.full((3, 3), 1 / 3), penalty_weight=1.0)
    with pytest.raises(ConfigError, match="beta must be above 0"):
        regularised_control(m3(), penalty_weight=0.0)
    with pytest.raises(ConfigError, match="max_weight must be above 0"):
        advantage_weighted(*G7[:1], 0.0, G7[1], inverse_temperature=1.0, max_weight=0.0)
