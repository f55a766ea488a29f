"""CQL's evaluation on the reference MDP, in six decimals (rows C1 to C4), and what its functions refuse."""

import numpy as np
import pytest
from problems import bandit, problem
from scipy import stats
from test_m3 import m3

from extremal.core.errors import ConfigError, DataError
from extremal.tabular import policy_evaluation, random_mdp, returned
from extremal.tabular.conservative import (
    conservative_evaluation,
    conservative_step,
    counted_evaluation,
    counted_step,
    divergence,
    penalised_control,
    penalised_return,
    penalty,
    pointwise_evaluation,
    pointwise_step,
    policy_backup,
)

POLICY = np.array([[0.1, 0.7, 0.2], [0.1, 0.2, 0.7], [0.8, 0.1, 0.1]])
CHI_SQUARE = (0.853333, 0.763333, 0.2)


def test_c1_values_of_equation_2():
    rows = {
        0.0: (10.743597, 10.896982, 12.060097),
        0.1: (10.154888, 10.328776, 11.571722),
        0.5: (7.800049, 8.055951, 9.618222),
        1.0: (4.856501, 5.214920, 7.176348),
    }
    true = policy_evaluation(m3(), POLICY).v
    chain, _ = m3().under(POLICY)
    for alpha, expected in rows.items():
        found = conservative_evaluation(m3(), POLICY, penalty_weight=alpha)
        np.testing.assert_allclose(found.v, expected, atol=1e-6)
        lower = true - alpha * np.linalg.solve(np.eye(3) - 0.9 * chain, divergence(POLICY, m3().behaviour))
        np.testing.assert_allclose(found.v, lower, atol=1e-12)
        assert (found.v <= true + 1e-12).all()


def test_c2_d_cql_is_a_chi_square():
    behaviour = m3().behaviour
    np.testing.assert_allclose(divergence(POLICY, behaviour), CHI_SQUARE, atol=1e-6)
    np.testing.assert_allclose((POLICY * (POLICY / behaviour - 1)).sum(-1), divergence(POLICY, behaviour), atol=1e-12)
    pearson = [stats.chisquare(p, b).statistic for p, b in zip(POLICY, behaviour, strict=True)]
    np.testing.assert_allclose(pearson, divergence(POLICY, behaviour), atol=1e-12)
    assert divergence([0.5, 0.5], [1.0, 0.0]) == np.inf
    assert divergence([1.0, 0.0], [1.0, 0.0]) == 0.0


def test_c3_equation_1_is_below_at_every_action_and_equation_2_is_not():
    true = policy_evaluation(m3(), POLICY).q
    assert (pointwise_evaluation(m3(), POLICY, penalty_weight=0.5).q < true).all()
    raised = conservative_step(m3(), POLICY, true, penalty_weight=0.5) > true
    assert (raised == (m3().behaviour > POLICY)).all()
    assert raised.any()


def test_c4_an_iteration_widens_the_gap_by_alpha_times_chi_square():
    q = np.random.default_rng(0).normal(size=(3, 3))
    gaps = [
        ((m3().behaviour - POLICY) * after).sum(-1)
        for after in (conservative_step(m3(), POLICY, q, penalty_weight=0.5), policy_backup(m3(), POLICY, q))
    ]
    np.testing.assert_allclose(gaps[0] - gaps[1], (0.426667, 0.381667, 0.1), atol=1e-6)


@pytest.mark.parametrize(
    ("step", "evaluation"),
    [(pointwise_step, pointwise_evaluation), (conservative_step, conservative_evaluation)],
)
def test_the_fixed_points_are_those_of_the_steps(step, evaluation):
    mdp, policy = problem(3)
    lowered = np.random.default_rng(1).dirichlet(np.ones(mdp.actions), mdp.states)
    for given in ({}, {"lowered": lowered}):
        q = evaluation(mdp, policy, penalty_weight=0.7, **given).q
        np.testing.assert_allclose(step(mdp, policy, q, penalty_weight=0.7, **given), q, atol=1e-12)
        assert (q[mdp.terminal] == 0).all()
        iterated = np.zeros_like(q)
        for _ in range(400):
            iterated = step(mdp, policy, iterated, penalty_weight=0.7, **given)
        np.testing.assert_allclose(iterated, q, atol=1e-10)


def test_the_step_is_the_minimiser_of_its_objective():
    """A numerical gradient of Eq. (1) and (2) with the factor 1/2, weighted by states, vanishes there."""
    mdp, policy = m3(), POLICY
    q = np.random.default_rng(0).normal(size=(3, 3))
    density = np.array([0.2, 0.5, 0.3])[:, None]
    target = policy_backup(mdp, policy, q)
    for step, raised in ((pointwise_step, 0.0), (conservative_step, mdp.behaviour)):
        after = step(mdp, policy, q, penalty_weight=0.7)
        slope = 0.7 * density * (policy - raised) + density * mdp.behaviour * (after - target)
        np.testing.assert_allclose(slope, 0.0, atol=1e-14)


def test_counts_weight_the_error():
    mdp, policy = problem(4)
    taken = np.random.default_rng(0).integers(1, 9, (mdp.states, mdp.actions))
    found = counted_evaluation(mdp, policy, taken, penalty_weight=0.7).q
    np.testing.assert_allclose(counted_step(mdp, policy, found, taken, penalty_weight=0.7), found, atol=1e-12)
    lowered = np.roll(policy, 1, -1)
    once = counted_step(mdp, policy, found, taken, penalty_weight=0.7, lowered=lowered)
    live = ~mdp.terminal
    expected = (policy_backup(mdp, policy, found) - 0.7 * (lowered - mdp.behaviour) / taken)[live]
    np.testing.assert_allclose(once[live], expected, atol=1e-12)


def test_outside_of_the_support_nothing_is_lowered_or_refused():
    behaviour = np.array([[0.5, 0.5, 0.0]])
    assert penalty(behaviour, [[0.2, 0.8, 0.0]]).tolist() == [[-0.6, 0.6000000000000001, 0.0]]
    with pytest.raises(DataError, match=r"'behaviour': is 0 at \[0, 2\].*move that share inside"):
        penalty(behaviour, [[0.2, 0.7, 0.1]])
    with pytest.raises(ConfigError, match="penalty_weight must be at least 0, not -1"):
        conservative_evaluation(m3(), POLICY, penalty_weight=-1.0)
    with pytest.raises(ConfigError, match="penalty_weight must be above 0"):
        penalised_control(m3(), penalty_weight=0.0)


def test_the_best_penalised_policy_goes_from_the_best_to_the_behaviour():
    mdp = random_mdp(6, 4, seed=1, terminal=1, support=3)
    light, heavy = (penalised_control(mdp, penalty_weight=alpha) for alpha in (1e-6, 1e6))
    np.testing.assert_allclose(heavy.policy, mdp.behaviour, atol=1e-4)
    assert (light.policy[mdp.behaviour == 0] == 0).all()
    assert returned(mdp, light.policy) > returned(mdp, mdp.behaviour)
    assert penalised_return(mdp, light.policy, penalty_weight=0.0) == pytest.approx(returned(mdp, light.policy))


def test_the_best_penalised_policy_of_a_bandit_in_closed_form():
    """Two actions: pi = mu + (q - mean) mu / (2 alpha) while that is positive."""
    mdp = bandit([0.0, 1.0], behaviour=[0.5, 0.5])
    assert penalised_control(mdp, penalty_weight=1.0).policy[0] == pytest.approx([0.375, 0.625])
    assert penalised_control(mdp, penalty_weight=0.25).policy[0] == pytest.approx([0.0, 1.0])
