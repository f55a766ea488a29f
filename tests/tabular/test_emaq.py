"""EMaQ (Ghasemipour, Schuurmans and Gu): Theorems 3.1 to 3.5, Corollaries A.1 and A.2, and App. J, by number."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from problems import for_all, mdps
from scipy import stats

from extremal.tabular import (
    FiniteMDP,
    expected_maximum,
    log_mean_exp,
    maximum,
    mean,
    policies,
    policy_evaluation,
    random_mdp,
    returned,
    soft_expected_maximum,
    value_iteration,
)
from extremal.tabular.mazes import stitching
from extremal.tabular.support import best_of_draws_gap, emaq_bounds

MDPS = mdps()
counts = st.integers(1, 40)


def emaq(mdp, samples, **more):
    return value_iteration(mdp, expected_maximum, parameter=samples, **more)


def backup(mdp, q, samples):
    """The operator of Eq. (5) on Q [S, A]."""
    return mdp.backup(expected_maximum(q, mdp.behaviour, parameter=samples))


@given(MDPS, counts, st.integers(0, 99))
@for_all
def test_theorem_3_1_a_contraction_with_one_fixed_point(mdp, samples, seed):
    random = np.random.default_rng(seed)
    one, other = random.standard_normal((2, mdp.states, mdp.actions)) * [[[1.0]], [[10.0]]]
    apart = np.abs(one - other).max()
    assert np.abs(backup(mdp, one, samples) - backup(mdp, other, samples)).max() <= mdp.discount * apart + 1e-12
    found = emaq(mdp, samples)
    assert backup(mdp, found.q, samples) == pytest.approx(found.q, abs=1e-9)
    elsewhere = emaq(mdp, samples, start=100.0 * random.standard_normal(mdp.states))
    assert elsewhere.q == pytest.approx(found.q, abs=1e-9)


@given(MDPS, counts)
@for_all
def test_theorem_3_2_the_fixed_point_is_the_value_of_the_best_of_n_policy(mdp, samples):
    found = emaq(mdp, samples)
    assert policy_evaluation(mdp, found.policy).q == pytest.approx(found.q, abs=1e-8)


def test_theorem_3_2_its_policy_draws_n_actions_and_takes_the_best():
    mdp = random_mdp(3, 4, seed=5)
    found = emaq(mdp, 3)
    for state in range(3):
        drawn = np.random.default_rng(state).choice(4, p=mdp.behaviour[state], size=(20_000, 3))
        best = np.take_along_axis(drawn, found.q[state][drawn].argmax(-1)[:, None], -1)[:, 0]
        frequency = np.bincount(best, minlength=4)
        assert stats.chisquare(frequency, found.policy[state] * 20_000).pvalue > 1e-3


@given(MDPS)
@for_all
def test_theorem_3_3_from_the_behaviour_to_the_best_of_the_support(mdp):
    assert emaq(mdp, 1).q == pytest.approx(policy_evaluation(mdp, mdp.behaviour).q, abs=1e-8)
    best = value_iteration(mdp, maximum)
    rarest = (mdp.behaviour * (policies.maximum(best.q, mdp.behaviour) > 0)).sum(-1)
    assume(rarest[~mdp.terminal].min() > 1e-5)  # the theorem's: the best actions have some probability
    assert emaq(mdp, 1e8, start=best.v).q == pytest.approx(best.q, abs=1e-7)


def test_theorem_3_3_is_about_the_support_alone():
    mdp = random_mdp(5, 4, seed=3, support=2)
    tempting = mdp.replace(reward=np.where(mdp.behaviour > 0, mdp.mean_reward, 1e6))
    whole = value_iteration(tempting, maximum, weights=np.ones((5, 4))).v
    limit = emaq(tempting, 1e6).v
    assert limit == pytest.approx(value_iteration(mdp, maximum).v, abs=1e-6)
    assert (limit < whole - 1e5).all()


@given(MDPS, counts, counts)
@for_all
def test_theorem_3_4_values_and_policies_get_no_worse_with_n(mdp, one, other):
    fewer, more = sorted((one, other))
    low, high = emaq(mdp, fewer), emaq(mdp, more)
    assert (high.q >= low.q - 1e-8).all()
    assert returned(mdp, high.policy) >= returned(mdp, low.policy) - 1e-8


def test_theorem_3_4_is_strict_where_there_is_a_choice():
    values = [emaq(random_mdp(5, 3, seed=2), samples).v for samples in (1, 2, 3, 5, 9, 20)]
    assert (np.diff(values, axis=0) > 1e-4).all()


@given(MDPS, counts)
@for_all
def test_theorem_3_5_both_bounds_with_both_definitions_of_delta(mdp, samples):
    """Delta of the optimum's Q, and Delta of EMaQ's own, which needs no optimum: Eq. (8) and, looser, Eq. (9)."""
    best, found = value_iteration(mdp, maximum), emaq(mdp, samples)
    lost = np.abs(found.q - best.q).max()
    for q in (best.q, found.q):
        tight, loose = emaq_bounds(mdp, q, samples=samples)
        assert lost <= tight + 1e-8
        assert tight <= loose + 1e-12


def test_theorem_3_5_is_an_equality_for_a_bandit_that_goes_on():
    """One state: what each step loses, all later steps lose again. So no smaller factor than discount / (1 - discount)."""
    bandit = FiniteMDP(
        transition=np.ones((1, 3, 1)),
        reward=np.array([[0.0, 1.0, 3.0]]),
        discount=0.9,
        behaviour=np.array([[0.5, 0.3, 0.2]]),
    )
    best = value_iteration(bandit, maximum)
    for samples in (1, 2, 5, 20):
        found = emaq(bandit, samples)
        lost = np.abs(found.q - best.q).max()
        assert lost > 0.01
        for q in (best.q, found.q):
            assert emaq_bounds(bandit, q, samples=samples) == pytest.approx((lost, lost), abs=1e-8)


def test_theorem_3_5_eq_8_is_tighter_than_eq_9_where_chance_leads_away():
    """The state where drawing N loses most may be one that no action leads to for sure."""
    mdp = random_mdp(6, 3, seed=4)
    best = value_iteration(mdp, maximum)
    tight, loose = emaq_bounds(mdp, best.q, samples=3)
    lost = np.abs(emaq(mdp, 3).q - best.q).max()
    assert lost < tight < 0.8 * loose


def test_theorem_3_5_delta_by_draws_and_by_hand():
    q, weights = np.array([[0.0, 1.0, 3.0]]), np.array([[0.5, 0.3, 0.2]])
    assert best_of_draws_gap(q, weights, samples=2) == pytest.approx([3.0 - (3 * 0.36 + 1 * 0.39)], abs=1e-12)
    drawn = np.random.default_rng(0).choice(q[0], p=weights[0], size=(100_000, 4)).max(-1)
    error = drawn.std(ddof=1) / np.sqrt(len(drawn))
    assert abs(3.0 - drawn.mean() - best_of_draws_gap(q, weights, samples=4)[0]) < 4 * error
    assert best_of_draws_gap([2.0, np.nan], [1.0, 0.0], samples=1) == 0.0


def test_section_3_3_delta_falls_in_n_and_tells_hard_data_from_easy():
    """Delta needs the more draws to vanish, the rarer the best actions are in the data."""
    drawn, samples = stitching(), (1, 2, 4, 8)
    best = value_iteration(drawn.mdp, maximum)
    (start, _) = drawn.starts
    by_share = []
    for share in (0.0, 0.5, 0.9):
        behaviour = share * best.policy + (1 - share) * drawn.mdp.behaviour
        by_share.append([best_of_draws_gap(best.q[start], behaviour[start], samples=n) for n in samples])
    gaps = np.array(by_share)
    assert (np.diff(gaps, axis=1) < 0).all()
    assert (np.diff(gaps, axis=0) < 0).all()


@given(MDPS)
@for_all
def test_corollary_a_1_the_behaviour_s_largest_advantage_bounds_its_loss(mdp):
    behaviour, best = policy_evaluation(mdp, mdp.behaviour), value_iteration(mdp, maximum)
    supported = (mdp.behaviour > 0) & ~mdp.terminal[:, None]
    advantage = (behaviour.q - behaviour.v[:, None])[supported].max()
    bound = mdp.discount / (1 - mdp.discount) * advantage
    assert np.abs(behaviour.q - best.q).max() <= bound + 1e-8
    assert emaq_bounds(mdp, behaviour.q, samples=1)[1] == pytest.approx(bound, abs=1e-8)


@given(MDPS, counts)
@for_all
def test_corollary_a_2_the_loss_vanishes_geometrically(mdp, samples):
    """Delta <= (1 - p)^N (upper - lower), with rewards' bounds over 1 - discount; 0 is among the values of an end."""
    best = value_iteration(mdp, maximum)
    chance = (mdp.behaviour * (policies.maximum(best.q, mdp.behaviour) > 0)).sum(-1)
    p = chance[~mdp.terminal].min()
    rewards = mdp.mean_reward[~mdp.terminal]
    ends = [0.0] if mdp.terminal.any() else []
    lower, upper = min([rewards.min(), *ends]) / (1 - mdp.discount), max([rewards.max(), *ends]) / (1 - mdp.discount)
    gap = best_of_draws_gap(best.q, mdp.behaviour, samples=samples)[~mdp.terminal]
    assert (gap <= (1 - p) ** samples * (upper - lower) + 1e-9).all()
    # Eq. (57), before the bounds of the rewards come in: only draws that miss the best actions lose, and at most the range.
    inside = mdp.behaviour > 0
    spread = np.where(inside, best.q, -np.inf).max(-1) - np.where(inside, best.q, np.inf).min(-1)
    assert (gap <= ((1 - chance) ** samples * spread)[~mdp.terminal] + 1e-9).all()
    # Sharper than the paper's: if N - 1 draws miss, no more is lost than by the last one alone.
    alone = best_of_draws_gap(best.q, mdp.behaviour, samples=1)
    assert (gap <= ((1 - chance) ** (samples - 1) * alone)[~mdp.terminal] + 1e-9).all()


# App. J, the soft operator. Eqs. 68 to 71 are printed without the discount of Eq. 5.


def soft(mdp, samples, inverse, **more):
    return value_iteration(mdp, soft_expected_maximum, parameter=samples, inverse_temperature=inverse, **more)


def test_app_j_is_q_evaluation_at_zero_and_emaq_at_infinity():
    mdp = random_mdp(4, 3, seed=6, discount=0.7)
    assert soft(mdp, 5, 0.0).v == pytest.approx(policy_evaluation(mdp, mdp.behaviour).v, abs=1e-8)
    assert soft(mdp, 1, 2.0).v == pytest.approx(policy_evaluation(mdp, mdp.behaviour).v, abs=1e-8)
    errors = [np.abs(soft(mdp, 5, inverse).v - emaq(mdp, 5).v).max() for inverse in (1.0, 7.0, 50.0)]
    assert errors[0] > 5 * errors[1] > 25 * errors[2]
    assert errors[2] < 0.01


def test_app_j_needs_the_discount_that_eqs_68_to_71_lack():
    """At alpha = 0 the operator is said to be Q-evaluation, Eq. (6), which has it. Without it, Q^mu is no fixed point,
    and where every reward is positive nothing is: the values grow for ever."""
    mdp = random_mdp(4, 3, seed=6)
    mdp = mdp.replace(reward=np.abs(mdp.mean_reward))
    behaviour = policy_evaluation(mdp, mdp.behaviour).q
    value = soft_expected_maximum(behaviour, mdp.behaviour, parameter=5, inverse_temperature=0.0)
    assert mdp.backup(value) == pytest.approx(behaviour, abs=1e-9)
    printed = mdp.mean_reward + mdp.expect(value)
    assert printed - behaviour == pytest.approx((1 - mdp.discount) * mdp.expect(value), abs=1e-9)
    assert (printed - behaviour > 0.1).all()
    v = np.zeros(4)
    for _ in range(60):
        before, v = v, soft_expected_maximum(mdp.mean_reward + mdp.expect(v), mdp.behaviour, parameter=5)
    assert (v - before > 0.3).all()
    assert (v > soft(mdp, 5, 1.0).v + 10).all()


def test_app_j_many_draws_come_to_the_policy_of_eq_69():
    """mu exp(alpha Q) normalised: the policy of XQL at beta = 1 / alpha. Its mean of Q is not XQL's value: no KL in it."""
    q, weights, alpha = np.array([0.0, 1.0, 3.0]), np.array([0.5, 0.3, 0.2]), 0.7
    tilted = weights * np.exp(alpha * q)
    share = policies.soft_expected_maximum(q, weights, parameter=100_000, inverse_temperature=alpha)
    assert share == pytest.approx(tilted / tilted.sum(), abs=1e-4)
    assert policies.log_mean_exp(q, weights, parameter=1 / alpha) == pytest.approx(tilted / tilted.sum(), abs=1e-12)
    value = soft_expected_maximum(q, weights, parameter=100_000, inverse_temperature=alpha)
    divergence = (share * np.log(share / weights)).sum()
    soft_value = log_mean_exp(q, weights, parameter=1 / alpha)
    assert value == pytest.approx(soft_value + divergence / alpha, abs=1e-3)
    assert mean(q, weights) < soft_value < value < maximum(q, weights)
