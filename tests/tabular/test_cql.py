"""Conservative Q-Learning for Offline Reinforcement Learning (Kumar et al., 2020): Theorems 3.1 to 3.4, by number.

A test is named after its statement. Where the print is wrong, one test shows where it breaks and another has the right form.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from problems import ACTIONS, FAILURE, LIVE, SEEDS, STATES, bandit, every, hoeffding, problem, resolved, sampled

from extremal.tabular import FiniteMDP, policy_evaluation
from extremal.tabular.conservative import (
    conservative_evaluation,
    conservative_step,
    divergence,
    penalty,
    pointwise_evaluation,
    policy_backup,
)
from extremal.tabular.conservative_bounds import (
    gap_threshold,
    lag_margin,
    pointwise_threshold,
    reward_constant,
    transition_constant,
    value_threshold,
)
from extremal.tabular.conservative_control import softmax

# --- Theorem 3.1 -------------------------------------------------------------------------------------------------------


@every
@given(SEEDS, st.floats(0.0, 20.0))
def test_theorem_3_1_without_sampling_error_is_an_equality(seed, alpha):
    """Q-hat = Q^pi - alpha (I - discount P^pi)^-1 (mu / pi_beta), so any alpha > 0 bounds every action from below."""
    mdp, policy = problem(seed)
    lowered = np.random.default_rng([seed, 2]).dirichlet(np.ones(ACTIONS), STATES)
    found, true = (
        pointwise_evaluation(mdp, policy, penalty_weight=alpha, lowered=lowered),
        policy_evaluation(mdp, policy),
    )
    expected = true.q - alpha * resolved(mdp, policy, lowered / mdp.behaviour)
    np.testing.assert_allclose(found.q, expected, rtol=1e-10, atol=1e-10)
    assert (found.q <= true.q + 1e-12).all()


@every
@given(SEEDS, st.floats(0.0, 1000.0))
def test_theorem_3_1_with_sampling_error(seed, alpha):
    """Corrected: the resolvent is that of the empirical MDP. Then the bound holds at every alpha."""
    mdp, policy, data, taken = sampled(seed)
    found = pointwise_evaluation(data, policy, penalty_weight=alpha).q
    true, ratio = policy_evaluation(mdp, policy).q, penalty(data.behaviour, policy, 0.0)
    off = policy_backup(data, policy, true) - true  # what sampling alone does to the backup of the truth
    np.testing.assert_allclose(
        (true + resolved(data, policy, off - alpha * ratio))[LIVE], found[LIVE], rtol=1e-8, atol=1e-8
    )
    bound = true - resolved(data, policy, alpha * ratio - hoeffding(mdp, taken))
    assert (found <= bound + 1e-9)[LIVE].all()


def test_theorem_3_1_as_printed_breaks_at_a_large_alpha():
    """With (I - discount P^pi)^-1 of the true MDP, the error of the penalties to come, which grows with alpha, is missed."""
    mdp, policy, data, taken = sampled(0)
    true = policy_evaluation(mdp, policy).q

    def excess(alpha):
        ratio = penalty(data.behaviour, policy, 0.0)
        printed = true - resolved(mdp, policy, alpha * ratio - hoeffding(mdp, taken))
        return (pointwise_evaluation(data, policy, penalty_weight=alpha).q - printed)[LIVE].max()

    assert excess(1.0) < 0 < excess(1000.0)


@every
@given(SEEDS)
def test_theorem_3_1_from_its_alpha_on_every_action_is_below_the_truth(seed):
    mdp, policy, data, taken = sampled(seed)
    true, error = policy_evaluation(mdp, policy).q, hoeffding(mdp, taken)
    least = pointwise_threshold(error[LIVE], policy[LIVE], data.behaviour[LIVE])
    printed = error[LIVE].max() * (data.behaviour / policy)[LIVE].max()
    assert 0 < least <= printed * (1 + 1e-12)
    for alpha in (least, printed, 10 * printed):
        assert (pointwise_evaluation(data, policy, penalty_weight=alpha).q <= true + 1e-9)[LIVE].all()


def test_theorem_3_1_below_its_alpha_the_bound_can_fail():
    """With mu = pi_beta, alpha has to be the largest error: the one really made in each data set suffices, a tenth does not."""
    over = 0
    for seed in range(20):
        mdp, policy, data, taken = sampled(seed)
        true, lowered = policy_evaluation(mdp, policy).q, data.behaviour
        made = np.abs(policy_backup(data, policy, true) - true)
        least, enough = (
            pointwise_threshold(error[LIVE], lowered[LIVE], lowered[LIVE]) for error in (made, hoeffding(mdp, taken))
        )
        assert least == made[LIVE].max() < enough
        full, tenth = (
            pointwise_evaluation(data, policy, penalty_weight=share * least, lowered=lowered).q for share in (1, 0.1)
        )
        assert (full <= true + 1e-9)[LIVE].all()
        over += (tenth > true + 1e-9)[LIVE].any()
    assert over >= 10


def test_theorem_3_1_needs_a_proposal_that_lowers_every_action():
    """supp mu inside of supp pi_beta is not enough, as printed: where mu is 0, no alpha makes up for an error."""
    data = bandit([1.0, 0.0], behaviour=[0.5, 0.5])  # the first mean came out as 1; let it be 0.5 in truth
    found = pointwise_evaluation(data, [[0.5, 0.5], [0.5, 0.5]], penalty_weight=1e6, lowered=[[0.0, 1.0], [0.5, 0.5]])
    assert found.q[0, 0] == 1.0 > 0.5
    assert pointwise_threshold([[0.5, 0.5]], [[0.0, 1.0]], [[0.5, 0.5]]) == np.inf


# --- Theorem 3.2 -------------------------------------------------------------------------------------------------------


@every
@given(SEEDS, st.floats(0.01, 20.0))
def test_theorem_3_2_without_sampling_error_is_an_equality_and_tighter_than_theorem_3_1(seed, alpha):
    mdp, policy = problem(seed)
    found, true = conservative_evaluation(mdp, policy, penalty_weight=alpha), policy_evaluation(mdp, policy)
    apart = np.where(mdp.terminal, 0.0, divergence(policy, mdp.behaviour))
    chain, _ = mdp.under(policy)
    spread = np.linalg.inv(np.eye(STATES) - mdp.discount * chain)
    np.testing.assert_allclose(found.v, true.v - alpha * spread @ apart, rtol=1e-10, atol=1e-10)
    assert (found.v < true.v)[LIVE].all()
    tighter = found.v - pointwise_evaluation(mdp, policy, penalty_weight=alpha).v
    np.testing.assert_allclose(tighter, alpha * spread @ ~mdp.terminal, rtol=1e-9)


def test_theorem_3_2_needs_the_policy_itself_to_be_lowered():
    """With mu other than pi, a policy may act where the penalty is a bonus."""
    mdp = bandit([0.0, 0.0], behaviour=[0.5, 0.5])
    policy = np.array([[0.9, 0.1], [0.5, 0.5]])
    assert conservative_evaluation(mdp, policy, penalty_weight=1.0, lowered=policy[:, ::-1]).v[0] > 0.5
    assert conservative_evaluation(mdp, policy, penalty_weight=1.0).v[0] < -0.5


def test_theorem_3_2_is_no_bound_of_single_actions():
    """The three states and two actions that App. C only announces: a chain whose logged action is raised, for good."""
    transition = np.zeros((3, 2, 3))
    transition[0, :, 1] = transition[1, :, 2] = transition[2, :, 2] = 1.0
    mdp = FiniteMDP(
        transition=transition,
        reward=np.zeros((3, 2)),
        discount=0.9,
        terminal=np.array([False, False, True]),
        behaviour=np.array([[0.9, 0.1], [0.5, 0.5], [0.5, 0.5]]),
    )
    policy = np.full((3, 2), 0.5)
    found = conservative_evaluation(mdp, policy, penalty_weight=1.0)
    assert found.q[0, 0] == pytest.approx(4 / 9)
    assert found.v[0] == pytest.approx(-(0.25 / 0.9 + 0.25 / 0.1 - 1))
    assert (found.v <= 0).all()


@every
@given(SEEDS, st.floats(0.0, 100.0))
def test_theorem_3_2_with_sampling_error(seed, alpha):
    """Corrected: the empirical resolvent, and the error of each action averaged by pi."""
    mdp, policy, data, taken = sampled(seed)
    error = (policy * hoeffding(mdp, taken)).sum(-1)
    apart = np.where(mdp.terminal, 0.0, divergence(policy, data.behaviour))
    chain, _ = data.under(policy)
    true = policy_evaluation(mdp, policy).v
    bound = true - np.linalg.solve(np.eye(STATES) - mdp.discount * chain, alpha * apart - error * ~mdp.terminal)
    assert (conservative_evaluation(data, policy, penalty_weight=alpha).v <= bound + 1e-9)[LIVE].all()


@every
@given(SEEDS)
def test_theorem_3_2_from_its_alpha_on_every_value_is_below_the_truth(seed):
    mdp, policy, data, taken = sampled(seed)
    true = policy_evaluation(mdp, policy)
    made = np.abs(policy_backup(data, policy, true.q) - true.q)
    for error in (made, hoeffding(mdp, taken)):
        least = value_threshold(error[LIVE], policy[LIVE], data.behaviour[LIVE])
        assert 0 < least < np.inf
        for alpha in (least, 10 * least):
            assert (conservative_evaluation(data, policy, penalty_weight=alpha).v <= true.v + 1e-9).all()


def test_theorem_3_2_below_its_alpha_the_bound_can_fail():
    over = 0
    for seed in range(20):
        mdp, policy, data, taken = sampled(seed)
        least = value_threshold(hoeffding(mdp, taken)[LIVE], policy[LIVE], data.behaviour[LIVE])
        found = conservative_evaluation(data, policy, penalty_weight=1e-4 * least)
        over += (found.v > policy_evaluation(mdp, policy).v + 1e-9).any()
    assert over >= 5


def test_theorem_3_2_as_printed_counts_tries_of_states_and_is_broken_too_often():
    """One state, 1000 tries, 10 of them of the action that pi takes: its error is that of 10 tries, not of 1000.

    The alpha of the print (C_{r,T,delta} of Hoeffding for one pair, failure 0.05) leaves V-hat above V in more than a fifth of all
    data sets; that of the action's own count in at most 0.05.
    """
    random, constant = np.random.default_rng(0), np.sqrt(2 * np.log(2 / FAILURE))
    means = random.choice([-1.0, 1.0], (4000, 10)).mean(-1)  # of the rare action; in truth 0
    apart = 1 / 0.01 - 1  # D_CQL: pi takes an action of behaviour 0.01
    printed, right = (constant / np.sqrt(tries) / apart for tries in (1000, 10))
    assert (means - printed * apart > 0).mean() > 0.2
    assert (means - right * apart > 0).mean() <= FAILURE


def test_theorem_3_2_has_no_alpha_where_the_policy_is_the_behaviour():
    data = bandit([1.0, 1.0], behaviour=[0.5, 0.5])  # in truth 0
    found = conservative_evaluation(data, data.behaviour, penalty_weight=1e6)
    assert found.v[0] == 1.0
    assert value_threshold([[1.0, 1.0]], [[0.5, 0.5]], [[0.5, 0.5]]) == np.inf


# --- Theorem 3.3 -------------------------------------------------------------------------------------------------------


def behind(q, behaviour, seed, share):
    """A policy that is `share` of the way from the softmax of q to a random one."""
    other = np.random.default_rng([seed, 3]).dirichlet(np.ones(ACTIONS), len(q))
    return (1 - share) * softmax(q, behaviour) + share * other


@every
@given(SEEDS, st.floats(0.0, 0.3))
def test_theorem_3_3_a_slow_policy_is_underestimated(seed, share):
    """Each state whose condition holds: its value is not above that of the plain backup; and all along when it always holds."""
    mdp, policy = problem(seed)
    q, plain = np.zeros((2, STATES, ACTIONS))
    for _ in range(8):
        proposal = softmax(q, mdp.behaviour)
        after = behind(q, mdp.behaviour, seed, share)
        ahead = conservative_step(mdp, policy, q, penalty_weight=0.5, lowered=proposal)
        fine = (lag_margin(proposal, after, mdp.behaviour) >= 0) & ~mdp.terminal
        step = (after * (ahead - policy_backup(mdp, policy, q))).sum(-1)
        assert (step <= 1e-12)[fine].all()
        plain = policy_backup(mdp, policy, plain)
        q, policy = ahead, after
        if not fine[LIVE].all():
            return
        assert (((policy * q).sum(-1) <= (policy * plain).sum(-1) + 1e-9)[LIVE]).all()


def test_theorem_3_3_holds_for_the_softmax_policy_itself_and_fails_where_the_policy_lags():
    mdp = bandit([0.0, 0.0], behaviour=[0.5, 0.5])
    q = np.array([[3.0, 0.0], [0.0, 0.0]])
    proposal = softmax(q, mdp.behaviour)
    assert (lag_margin(proposal, proposal, mdp.behaviour)[0]) > 0
    late = np.array([[0.1, 0.9], [0.5, 0.5]])
    assert lag_margin(proposal, late, mdp.behaviour)[0] < 0
    ahead = conservative_step(mdp, late, q, penalty_weight=1.0, lowered=proposal)
    assert (late * ahead).sum(-1)[0] > 0.5  # in truth 0


# --- Theorem 3.4 -------------------------------------------------------------------------------------------------------


def gap(q, behaviour, lowered):
    return ((behaviour - lowered) * q).sum(-1)


@every
@given(SEEDS)
def test_theorem_3_4_above_its_alpha_an_iteration_widens_every_gap(seed):
    """Corrected: the threshold is the largest (mu - pi_beta) (B Q-hat - B Q) / D_CQL. At it, the gap of some state stays."""
    mdp, policy = problem(seed)
    random = np.random.default_rng([seed, 4])
    lowered, (ahead, plain) = random.dirichlet(np.ones(ACTIONS), STATES), random.normal(size=(2, STATES, ACTIONS)) * 5
    backups = policy_backup(mdp, policy, ahead), policy_backup(mdp, policy, plain)
    least = gap_threshold(lowered, mdp.behaviour, *backups)[LIVE].max()

    def widening(alpha):
        after = conservative_step(mdp, policy, ahead, penalty_weight=alpha, lowered=lowered)
        return (gap(after, mdp.behaviour, lowered) - gap(backups[1], mdp.behaviour, lowered))[LIVE].min()

    assert widening(1.001 * least + 1e-6) > 0
    if least > 0:
        assert widening(least) == pytest.approx(0.0, abs=1e-9)
        assert widening(0.9 * least) < 0


def test_theorem_3_4_as_printed_has_the_sign_of_its_threshold_turned():
    """The proof subtracts the penalty where it adds to the gap. Its alpha, too small here by any factor, narrows the gap."""
    mdp = bandit([0.0, 0.0], behaviour=[0.5, 0.5])
    lowered = np.array([[0.9, 0.1], [0.5, 0.5]])
    ahead, plain = np.array([[[2.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]])  # two backups
    printed = max(
        float(((mdp.behaviour - lowered) * (ahead - plain))[0].sum()) / divergence(lowered, mdp.behaviour)[0], 0.0
    )
    right = gap_threshold(lowered, mdp.behaviour, ahead, plain)[0]
    assert printed == 0.0
    assert right == pytest.approx(0.8 / 0.64)
    extra = penalty(mdp.behaviour, lowered)
    widened = [gap(ahead - a * extra, mdp.behaviour, lowered)[0] - 0.0 for a in (printed + 0.1, right + 0.1)]
    assert widened[0] < 0 < widened[1]


@every
@given(SEEDS)
def test_theorem_3_4_with_sampling_error(seed):
    """Corrected: the error of the sampled backup is divided by D_CQL as well, and is that of each action."""
    mdp, policy, data, taken = sampled(seed)
    ahead, plain = np.random.default_rng([seed, 5]).normal(size=(2, STATES, ACTIONS))
    ahead[mdp.terminal] = plain[mdp.terminal] = 0.0
    bounds = {"reward_bound": np.abs(mdp.reward).max(), "failure": FAILURE / 2}
    error = (
        reward_constant(taken, **bounds)
        + mdp.discount * transition_constant(taken, failure=FAILURE / 2) * np.abs(ahead).max()
    )
    error = error / np.sqrt(np.maximum(taken, 1))
    true = policy_backup(mdp, policy, ahead)
    assert (np.abs(policy_backup(data, policy, ahead) - true) <= error)[LIVE].all()
    backup = policy_backup(mdp, policy, plain)
    least = gap_threshold(policy, data.behaviour, true, backup, error=error)[LIVE].max()
    after = conservative_step(data, policy, ahead, penalty_weight=1.001 * least)
    assert (gap(after, data.behaviour, policy) > gap(backup, data.behaviour, policy))[LIVE].all()


def test_theorem_3_4_of_one_alpha_for_all_iterations_does_not_hold():
    """At the fixed points the gaps differ by alpha times a number whose sign no alpha changes: later penalties count too.

    Action 0 is logged nine times in ten and leads to where the policy strays far from the data, action 1 leads to the end.
    """
    transition = np.zeros((3, 2, 3))
    transition[0, 0, 1] = transition[0, 1, 2] = transition[1, :, 2] = transition[2, :, 2] = 1.0
    behaviour = np.array([[0.6, 0.4], [0.99, 0.01], [0.5, 0.5]])
    policy = np.array([[0.4, 0.6], [0.5, 0.5], [0.5, 0.5]])
    mdp = FiniteMDP(
        transition=transition,
        reward=np.zeros((3, 2)),
        discount=0.9,
        terminal=np.array([False, False, True]),
        behaviour=behaviour,
    )
    gaps = [gap(conservative_evaluation(mdp, policy, penalty_weight=a).q, behaviour, policy)[0] for a in (0.1, 1, 100)]
    assert gaps[1] < -1
    np.testing.assert_allclose(gaps, gaps[1] * np.array([0.1, 1, 100]), rtol=1e-9)
