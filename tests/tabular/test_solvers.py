"""The exact solvers against simulation, against each other, and where they must give up."""

import numpy as np
import pytest

from extremal.core.errors import ConfigError, DivergedError
from extremal.tabular import (
    expectile,
    log_mean_exp,
    maximum,
    mean,
    occupancy,
    policies,
    policy_evaluation,
    random_mdp,
    returned,
    soft_expected_maximum,
    value_iteration,
)
from extremal.tabular.sampling import sample
from extremal.tabular.solvers import iterate


@pytest.fixture(scope="module")
def mdp():
    return random_mdp(6, 3, seed=8, support=2, terminal=1)


@pytest.fixture(scope="module")
def policy():
    return np.random.default_rng(1).dirichlet(np.ones(3), 6)


def test_policy_evaluation_agrees_with_simulated_returns(mdp, policy):
    logged = sample(mdp, policy, episodes=4000, horizon=120, seed=3)  # 0.9^120 is 3e-6
    step = np.arange(logged.rows) - np.repeat(logged.offsets[:-1], np.diff(logged.offsets))
    returns = np.add.reduceat(0.9**step * logged.reward, logged.offsets[:-1])
    error = returns.std(ddof=1) / np.sqrt(len(returns))
    assert error < 0.05
    assert abs(returns.mean() - returned(mdp, policy)) < 4 * error + 1e-3


def test_policy_evaluation_agrees_with_iteration(mdp, policy):
    direct, iterated = policy_evaluation(mdp, policy), value_iteration(mdp, mean, weights=policy, tolerance=1e-12)
    assert direct.v == pytest.approx(iterated.v, abs=1e-11)
    assert direct.q == pytest.approx(iterated.q, abs=1e-11)
    assert direct.v == pytest.approx((policy * direct.q).sum(-1), abs=1e-11)
    assert direct.q == pytest.approx(mdp.backup(direct.v))
    assert direct.residuals.size == 0


def test_a_bonus_is_part_of_the_reward(mdp, policy):
    bonus = np.random.default_rng(2).standard_normal((6, 3))
    told = policy_evaluation(mdp, policy, bonus=bonus)
    paid = policy_evaluation(mdp.replace(reward=mdp.mean_reward + bonus), policy)
    assert told.v == pytest.approx(paid.v, abs=1e-11)
    assert told.q == pytest.approx(paid.q, abs=1e-11)


@pytest.mark.parametrize(("operator", "at"), [(mean, {}), (maximum, {}), (expectile, {"parameter": 0.8})])
def test_terminal_states_are_worth_nothing_and_keep_the_behaviour(mdp, operator, at):
    found = value_iteration(mdp, operator, **at)
    assert found.v[-1] == 0.0
    assert (found.q[-1] == 0.0).all()
    assert (found.policy[-1] == mdp.behaviour[-1]).all()
    assert policy_evaluation(mdp, mdp.behaviour).v[-1] == pytest.approx(0.0, abs=1e-15)


def test_the_values_are_those_of_the_policy(mdp):
    """The fixed point of an operator is the value of its own policy; of log_mean_exp, less its KL."""
    for operator, at in ((mean, {}), (maximum, {}), (expectile, {"parameter": 0.8})):
        found = value_iteration(mdp, operator, **at)
        assert policy_evaluation(mdp, found.policy).v == pytest.approx(found.v, abs=1e-9)
    soft = value_iteration(mdp, log_mean_exp, parameter=0.4)
    inside = mdp.behaviour > 0
    cost = np.zeros((6, 3))
    cost[inside] = -0.4 * np.log(soft.policy[inside] / mdp.behaviour[inside])
    assert policy_evaluation(mdp, soft.policy, bonus=cost).v == pytest.approx(soft.v, abs=1e-9)


def test_residuals_bound_the_error_and_a_start_saves_iterations(mdp):
    exact = value_iteration(mdp, maximum, tolerance=1e-13).v
    rough = value_iteration(mdp, maximum, tolerance=0.05)
    error = np.abs(rough.v - exact).max()
    assert 0 < error < 0.05
    assert error <= rough.residuals[-1] * 0.9 / 0.1
    assert rough.residuals[-2] * 0.9 / 0.1 > 0.05  # and it did not go on for nothing
    near = value_iteration(mdp, maximum, start=exact)
    assert len(near.residuals) < 5 < len(rough.residuals)
    assert near.v == pytest.approx(exact, abs=1e-10)


def test_other_weights_than_the_behaviour_s(mdp):
    everywhere = value_iteration(mdp, maximum, weights=np.ones((6, 3)))
    assert (everywhere.v >= value_iteration(mdp, maximum).v - 1e-9).all()
    assert everywhere.v.sum() > value_iteration(mdp, maximum).v.sum() + 0.1
    assert everywhere.v[:-1] == pytest.approx(everywhere.q.max(-1)[:-1], abs=1e-9)


def test_an_operator_of_one_s_own_comes_with_its_policy_or_the_greedy_one(mdp):
    def halfway(q, weights, *, share):
        return share * maximum(q, weights) + (1 - share) * mean(q, weights)

    def mixed(q, weights, *, share):
        return share * policies.maximum(q, weights) + (1 - share) * policies.mean(q, weights)

    own, greedy = value_iteration(mdp, halfway, policy=mixed, share=0.5), value_iteration(mdp, halfway, share=0.5)
    assert policy_evaluation(mdp, own.policy).v == pytest.approx(own.v, abs=1e-9)
    assert (greedy.v == own.v).all()
    assert set(np.unique(greedy.policy[:-1])) == {0.0, 1.0}


def test_occupancy_sums_to_one_less_what_has_ended(mdp, policy):
    whole = random_mdp(6, 3, seed=8)
    assert occupancy(whole, policy).sum() == pytest.approx(1.0, abs=1e-12)
    share = occupancy(mdp, policy)
    assert 0 < share.sum() < 0.95
    assert (share[-1] == 0).all()
    assert (share * mdp.mean_reward).sum() / (1 - mdp.discount) == pytest.approx(returned(mdp, policy), abs=1e-11)
    visits = occupancy(whole, policy)
    into = np.einsum("ij,ijk->k", visits, whole.transition)  # what flows into a state is what is there
    assert visits.sum(-1) == pytest.approx(0.1 * whole.start + 0.9 * into, abs=1e-12)


def test_iteration_gives_up_where_it_does_not_converge(mdp):
    with pytest.raises(DivergedError, match=r"7 iterations left a change of .*; raise max_iterations or tolerance"):
        value_iteration(mdp, maximum, max_iterations=7)
    with (
        np.errstate(over="ignore"),
        pytest.raises(DivergedError, match=r"iteration \d+ left the finite numbers; is the step a contraction\?"),
    ):
        iterate(lambda x: 1e100 * (x + 1.0), np.ones(2), 0.9)
    with pytest.raises(DivergedError, match="left a change of 2,"):
        iterate(lambda x: -x, np.ones(1), 0.9, max_iterations=50)


def test_a_tolerance_that_is_none_is_refused(mdp):
    for tolerance in (0.0, -1.0, np.nan):
        with pytest.raises(ConfigError, match="tolerance must be above 0, not "):
            value_iteration(mdp, maximum, tolerance=tolerance)


def test_a_tolerance_below_rounding_ends_at_rounding(mdp):
    found = value_iteration(mdp, soft_expected_maximum, parameter=2, tolerance=1e-300)
    assert found.residuals[-1] <= 4 * np.finfo(float).eps * np.abs(found.v).max()
