"""Conservative Q-Learning for Offline Reinforcement Learning (Kumar et al., 2020): Theorems 3.5, 3.6 and those of the appendices.

A test is named after its statement. Where the print is wrong, one test shows where it breaks and another has the right form.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from problems import ACTIONS, FAILURE, LIVE, SEEDS, STATES, bandit, every, problem, sampled

from extremal.tabular import FiniteMDP, occupancy, policy_evaluation, returned
from extremal.tabular.conservative import (
    conservative_evaluation,
    conservative_step,
    counted_evaluation,
    divergence,
    penalised_control,
    penalised_return,
    penalty,
    policy_backup,
)
from extremal.tabular.conservative_bounds import (
    return_error,
    reward_constant,
    shortfall,
    transition_constant,
    value_threshold,
)
from extremal.tabular.conservative_features import gradient_step, least_squares

# --- Theorem 3.5, Lemma D.3.1 ------------------------------------------------------------------------------------------


@every
@given(SEEDS, st.floats(0.05, 5.0))
def test_theorem_3_5_the_value_of_equation_2_is_a_penalised_return(seed, alpha):
    _, policy, data, _ = sampled(seed)
    start = np.random.default_rng(seed).dirichlet(np.ones(STATES - 1))
    data = data.replace(start=np.append(start, 0.0))
    value = data.start @ conservative_evaluation(data, policy, penalty_weight=alpha).v
    assert penalised_return(data, policy, penalty_weight=alpha) == pytest.approx(value, rel=1e-10, abs=1e-10)
    best = penalised_control(data, penalty_weight=alpha)
    assert data.start @ best.v == pytest.approx(penalised_return(data, best.policy, penalty_weight=alpha), abs=1e-8)
    for share in (1e-3, 0.1, 1.0):  # pi*, against the policies around it
        near = (1 - share) * best.policy + share * policy
        assert (conservative_evaluation(data, near, penalty_weight=alpha).v <= best.v + 1e-8).all()


# --- Theorem 3.6, Theorem D.4 ------------------------------------------------------------------------------------------


def realised(mdp, data, taken):
    """The least C_r and C_T with which Assumption D.1 is true of this data."""
    root = np.sqrt(taken)[LIVE]
    return {
        "reward_constant": (root * np.abs(data.mean_reward - mdp.mean_reward)[LIVE]).max(),
        "transition_constant": (root * np.abs(data.transition - mdp.transition).sum(-1)[LIVE]).max(),
        "reward_bound": np.abs(mdp.reward).max(),
    }


@every
@given(SEEDS)
def test_lemma_d_4_1_returns_in_the_empirical_mdp(seed):
    mdp, policy, data, taken = sampled(seed)
    off = abs(returned(data, policy) - returned(mdp, policy))
    known = realised(mdp, data, taken)
    assert off <= return_error(data, policy, taken, **known)
    largest = known["reward_bound"]
    assured = {
        "reward_constant": reward_constant(taken, reward_bound=largest, failure=FAILURE / 2),
        "transition_constant": transition_constant(taken, failure=FAILURE / 2),
        "reward_bound": largest,
    }
    assert all(known[name] <= assured[name] for name in known)
    assert return_error(data, policy, taken, **assured) >= return_error(data, policy, taken, **known)


def test_lemma_d_4_1_needs_the_distance_of_the_policy():
    """Without sqrt(|A| (D_CQL + 1)) it fails, and with two actions at hand the factor sqrt(2) is too much by no more than itself."""
    truth = bandit([0.0, 0.0], behaviour=[0.99, 0.01])
    data = truth.replace(
        reward=np.array([[0.0, 1.0], [0.0, 0.0]])
    )  # C_r = sqrt(10): the rare action's mean is off by 1
    taken, rare = np.array([[990, 10], [0, 0]]), np.array([[0.0, 1.0], [0.5, 0.5]])
    known = {"reward_constant": np.sqrt(10.0), "transition_constant": 0.0, "reward_bound": 1.0}
    off = returned(data, rare) - returned(truth, rare)
    assert off == 1.0
    bound = return_error(data, rare, taken, **known)
    assert off <= bound == pytest.approx(np.sqrt(2))
    assert bound / np.sqrt(2 * (1 + divergence(rare, data.behaviour)[0])) < 0.2 * off


def test_lemma_d_4_1_is_met_by_a_step_into_one_of_two_states_for_good():
    """One action, rewards known, and a coin whose shares came out wrong: the term of the transitions is the error itself."""
    transition = np.zeros((3, 1, 3))
    transition[0, 0], transition[1, 0, 1], transition[2, 0, 2] = (0.0, 0.5, 0.5), 1.0, 1.0
    truth = FiniteMDP(
        transition=transition, reward=np.array([[0.0], [1.0], [-1.0]]), discount=0.9, start=np.array([1.0, 0.0, 0.0])
    )
    came_out = np.array(transition)
    came_out[0, 0] = 0.0, 0.8, 0.2
    data, taken = truth.replace(transition=came_out), np.array([[100], [10**14], [10**14]])
    known = {"reward_constant": 0.0, "transition_constant": 10 * 0.6, "reward_bound": 1.0}
    off = returned(data, data.behaviour) - returned(truth, data.behaviour)
    assert off == pytest.approx(0.6 * 0.9 / (1 - 0.9))
    assert off <= return_error(data, data.behaviour, taken, **known) == pytest.approx(off, rel=1e-4)


@every
@given(SEEDS, st.sampled_from([0.001, 0.03, 1.0]))
def test_theorem_d_4_safe_improvement(seed, alpha):
    """Corrected: zeta has the error terms of both policies. Also the underbrace of Eq. (6)."""
    mdp, _, data, taken = sampled(seed)
    best = penalised_control(data, penalty_weight=alpha).policy
    zeta = shortfall(data, best, taken, **realised(mdp, data, taken))
    assert returned(mdp, best) >= returned(mdp, data.behaviour) - zeta
    gain = returned(data, best) - returned(data, data.behaviour)
    visited = occupancy(data, best).sum(-1) @ np.where(mdp.terminal, 0.0, divergence(best, data.behaviour))
    assert gain >= alpha * visited / (1 - data.discount) - 1e-9


def test_theorem_3_6_as_printed_breaks_where_the_data_visits_what_the_policy_avoids():
    """Theorem 3.6 and D.4 take twice the error term of pi* and none of the data's policy, whose visits may be to rarer states.

    State 0 ends by action 0, or goes to one of 50 rooms by action 1. The data has 4000 episodes, 1000 of them through rooms, 10 of
    each action in each. Rewards are off by no more than C_r / sqrt(n), C_r = 1, and all transitions are as counted.
    """
    rooms, end = 50, 51
    transition = np.zeros((52, 2, 52))
    transition[0, 0, end] = 1.0
    transition[0, 1, 1:end] = 1.0 / rooms
    transition[1:, :, end] = 1.0
    taken = np.full((52, 2), 10)
    taken[0], taken[end] = (3000, 1000), 0
    logged = np.zeros((52, 2))
    logged[0, 0] = 0.01
    truth = logged + 1 / np.sqrt(10)
    truth[0] = logged[0, 0] - 1 / np.sqrt(3000), 0.0
    behaviour = np.full((52, 2), 0.5)
    behaviour[0] = 0.75, 0.25
    start, terminal = np.eye(52)[0], np.arange(52) == end
    data = FiniteMDP(
        transition=transition, reward=logged, discount=0.9, terminal=terminal, start=start, behaviour=behaviour
    )
    mdp = data.replace(reward=truth)
    assert (np.abs(mdp.mean_reward - data.mean_reward) <= 1 / np.sqrt(np.maximum(taken, 1)) + 1e-12).all()
    best = penalised_control(data, penalty_weight=1e-4).policy
    assert best[0, 0] == 1.0
    known = {"reward_constant": 1.0, "transition_constant": 0.0, "reward_bound": 1.0}
    change = returned(mdp, best) - returned(mdp, behaviour)
    printed = 2 * return_error(data, best, taken, **known) - (returned(data, best) - returned(data, behaviour))
    assert change < -printed
    assert change >= -shortfall(data, best, taken, **known)


# --- App. D.1: features ------------------------------------------------------------------------------------------------


def featured(seed, constant=True):
    mdp, policy = problem(seed)
    features = np.random.default_rng([seed, 6]).normal(size=(STATES, ACTIONS, 3))
    if constant:
        features[..., 0] = 1.0
    return mdp, policy, features, occupancy(mdp, mdp.behaviour).sum(-1)


def average(q, policy, visits):
    return float((visits[:, None] * policy * q).sum())


@every
@given(SEEDS)
def test_theorem_d_1_linear_iterates_are_below_the_tabular_ones(seed):
    """Corrected: with a constant among the features, and alpha_k of the proof's first form, against the tabular iterate itself."""
    mdp, policy, features, visits = featured(seed)
    q, tabular = np.zeros((2, STATES, ACTIONS))
    for _ in range(10):
        step = least_squares(mdp, policy, q, features, visits)
        tabular = policy_backup(mdp, policy, tabular)
        least = step.threshold(visits, policy, tabular)
        assert average(step.lowering, policy, visits) > 0
        if least > 0:
            assert average(step.at(0.5 * least), policy, visits) > average(tabular, policy, visits)
        q = step.at(least)
        assert average(q, policy, visits) <= average(tabular, policy, visits) + 1e-9


@every
@given(SEEDS)
def test_theorem_d_1_the_penalty_is_a_square(seed):
    mdp, policy, features, visits = featured(seed)
    lowering = least_squares(mdp, policy, np.zeros((STATES, ACTIONS)), features, visits).lowering
    square = average(lowering**2, mdp.behaviour, visits)
    assert average(lowering, policy, visits) == pytest.approx(square, rel=1e-8, abs=1e-12)


def test_theorem_d_1_as_printed_needs_a_constant_among_the_features():
    """f(pi) >= 0 of its proof is false: with one feature, of the action that pi takes less often, the penalty raises the value."""
    mdp, _ = problem(0)
    mdp = mdp.replace(behaviour=np.full((STATES, ACTIONS), 1 / ACTIONS))
    policy = np.broadcast_to([0.6, 0.3, 0.1], (STATES, ACTIONS))
    visits = occupancy(mdp, mdp.behaviour).sum(-1)
    features = np.zeros((STATES, ACTIONS, 1))
    features[:, 1:] = 1.0
    step = least_squares(mdp, policy, np.zeros((STATES, ACTIONS)), features, visits)
    assert average(step.lowering, policy, visits) < 0
    assert average(step.at(10.0), policy, visits) > average(step.at(1.0), policy, visits)
    constant = least_squares(mdp, policy, np.zeros((STATES, ACTIONS)), np.ones((STATES, ACTIONS, 1)), visits)
    np.testing.assert_allclose(
        constant.lowering, 0.0, atol=1e-12
    )  # of a constant alone the penalty has nothing to hold


def test_theorem_d_1_as_printed_does_not_carry_over_iterations():
    """alpha_k by the backup of Q-hat_k: each iterate is below that backup, and yet above the tabular iterate later.

    An average over the data's states that is below says nothing of the next states that it leads to.
    """
    later = []
    for seed in range(30):
        mdp, policy, features, visits = featured(seed)
        q, tabular = np.zeros((2, STATES, ACTIONS))
        for _ in range(10):
            step, backup = least_squares(mdp, policy, q, features, visits), policy_backup(mdp, policy, q)
            q, tabular = step.at(step.threshold(visits, policy, backup)), policy_backup(mdp, policy, tabular)
            assert average(q, policy, visits) <= average(backup, policy, visits) + 1e-9
        later.append(average(q - tabular, policy, visits))
    assert max(later) > 0.01


class Net:
    """Q = w2 tanh(w1 x) of random inputs per pair, with its Jacobian by hand."""

    def __init__(self, seed, width=6):
        random = np.random.default_rng([seed, 7])
        self.x = random.normal(size=(STATES, ACTIONS, 4))
        self.first, self.second = random.normal(size=(width, 4)), random.normal(size=width)

    def q(self, move=None):
        split = self.first.size
        first = self.first + (0 if move is None else move[:split].reshape(self.first.shape))
        second = self.second + (0 if move is None else move[split:])
        return np.tanh(self.x @ first.T) @ second

    def jacobian(self):
        hidden = np.tanh(self.x @ self.first.T)
        inner = (self.second * (1 - hidden**2))[..., None] * self.x[:, :, None, :]
        return np.concatenate([inner.reshape(STATES, ACTIONS, -1), hidden], -1)


@every
@given(SEEDS)
def test_theorem_d_2_a_gradient_step_of_a_network(seed):
    """Its print ends at "if:". Completed by its proof: where the kernel lowers the average at all, and from that alpha on.

    Also: the kernel form is the network's own step up to the square of the rate.
    """
    mdp, policy, _, visits = featured(seed)
    net = Net(seed)
    q, slopes = net.q(), net.jacobian()
    step = gradient_step(mdp, policy, q, slopes, visits, rate=0.5)
    tabular = q + 0.5 * (policy_backup(mdp, policy, q) - q)  # the print has the sign of this step turned
    least = step.threshold(visits, policy, tabular)
    if np.isfinite(least):
        assert average(step.at(least), policy, visits) <= average(tabular, policy, visits) + 1e-9
        assert least == 0 or average(step.at(0.9 * least), policy, visits) > average(tabular, policy, visits)
    errors = []
    for rate in (1e-3, 5e-4):
        error = q - policy_backup(mdp, policy, q) + 2.0 * penalty(mdp.behaviour, policy)
        move = -rate * np.einsum("s,sa,sa,sap->p", visits, mdp.behaviour, error, slopes)
        errors.append(np.abs(net.q(move) - gradient_step(mdp, policy, q, slopes, visits, rate=rate).at(2.0)).max())
    assert 3.5 < errors[0] / errors[1] < 4.5


def test_theorem_d_2_as_printed_the_penalty_may_raise_the_value():
    """Term (b) of Eq. (17) is not >= 0 in general: without the inverse of D, not even where every pair has its own parameter."""
    mdp = bandit([0.0, 0.0], behaviour=[0.9, 0.1])
    policy, visits = np.array([[0.6, 0.4], [0.5, 0.5]]), np.array([1.0, 0.0])
    step = gradient_step(mdp, policy, np.zeros((2, 2)), np.eye(4).reshape(2, 2, 4), visits, rate=1.0)
    assert average(step.lowering, policy, visits) == pytest.approx(0.6 * (0.6 - 0.9) + 0.4 * (0.4 - 0.1))
    assert average(step.lowering, policy, visits) < 0


# --- App. D.2, E -------------------------------------------------------------------------------------------------------


@every
@given(SEEDS, st.floats(0.1, 10.0))
def test_theorem_d_3_only_the_behaviour_may_be_raised(seed, alpha):
    """For every other nu, pi = (nu + pi_beta) / 2 is overestimated: by alpha / 4 chi-square(nu, pi_beta) in each state and step."""
    mdp, policy = problem(seed)
    raised = np.random.default_rng([seed, 8]).dirichlet(np.ones(ACTIONS), STATES)
    worst = (raised + mdp.behaviour) / 2
    found = conservative_evaluation(mdp, worst, penalty_weight=alpha, raised=raised)
    true = policy_evaluation(mdp, worst)
    assert (found.v > true.v)[LIVE].all()
    least = (worst * penalty(mdp.behaviour, worst, raised)).sum(-1)
    np.testing.assert_allclose(least, -divergence(raised, mdp.behaviour) / 4, rtol=1e-9)
    assert ((policy * penalty(mdp.behaviour, policy, raised)).sum(-1) >= least - 1e-12).all()
    step = conservative_step(mdp, worst, true.q, penalty_weight=alpha, raised=raised)
    assert ((worst * step).sum(-1) > true.v)[LIVE].all()
    assert (conservative_evaluation(mdp, worst, penalty_weight=alpha).v <= true.v + 1e-12).all()


@every
@given(SEEDS, st.floats(0.1, 10.0))
def test_appendix_e_counts_take_the_penalty_away(seed, alpha):
    """With n(s, a) = n pi_beta(a|s) it is Eq. (2) with alpha / n; so the penalty vanishes like 1 / n, and errors like 1 / sqrt(n).

    Hence an alpha that grows like sqrt(n) keeps the bound. The print asks for one like n, which is more than is needed.
    """
    mdp, policy = problem(seed)
    true = policy_evaluation(mdp, policy).v
    found = [
        counted_evaluation(mdp, policy, n * mdp.behaviour, penalty_weight=alpha).v[LIVE] for n in (1.0, 100.0, 1e12)
    ]
    np.testing.assert_allclose(
        found[1], conservative_evaluation(mdp, policy, penalty_weight=alpha / 100).v[LIVE], rtol=1e-9
    )
    np.testing.assert_allclose((found[0] - true[LIVE]), 100 * (found[1] - true[LIVE]), rtol=1e-6)
    np.testing.assert_allclose(found[2], true[LIVE], atol=1e-8)
    needed = [n * value_threshold(1 / np.sqrt(n * mdp.behaviour), policy, mdp.behaviour) for n in (1.0, 1e4)]
    assert needed[1] / needed[0] == pytest.approx(100.0)
