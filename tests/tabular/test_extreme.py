"""Gumbel regression by Newton and what stands on it: known values, extremes, and what is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats
from test_m3 import m3

from extremal.core.errors import ConfigError, DataError, DivergedError
from extremal.tabular import FiniteMDP, extreme, log_mean_exp, random_mdp
from extremal.tabular.extreme import (
    extreme_q_minimiser,
    extreme_q_objective,
    gumbel_minimiser,
    gumbel_objective,
    q_iteration,
    v_iteration,
)
from extremal.tabular.gumbel import (
    gumbel_process,
    noisy_choice,
    overestimation,
    overestimation_bound,
    partition_margin,
)
from extremal.tabular.mazes import cliff

BANDIT = ([0.0, 1.0, 3.0], [0.5, 0.3, 0.2])


# ---- known values -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("beta", [0.5, 1.0, 4.0])
def test_g1_gumbel_regression_of_a_normal_of_a_reversed_gumbel_and_of_a_uniform(beta):
    normal, mass = special.roots_hermitenorm(60)
    found = gumbel_minimiser(0.3 + 1.2 * normal, mass, parameter=beta)
    assert found == pytest.approx(0.3 + 1.2**2 / (2 * beta), abs=1e-8)
    exponential, weights = special.roots_laguerre(40)
    assert gumbel_minimiser(beta * np.log(exponential) - 0.4, weights, parameter=beta) == pytest.approx(-0.4, abs=1e-8)
    x, weights = special.roots_legendre(40)
    expected = beta * np.log(beta * np.expm1(1 / beta))
    assert gumbel_minimiser((x + 1) / 2, weights, parameter=beta) == pytest.approx(expected, abs=1e-8)


def self_loop(discount=0.9):
    return FiniteMDP(
        transition=np.ones((1, 3, 1)), reward=[BANDIT[0]], discount=discount, behaviour=np.array([BANDIT[1]])
    )


@pytest.mark.parametrize(("beta", "value"), [(0.1, 28.390562), (1.0, 16.738374), (10.0, 9.669380)])
def test_g7_the_soft_value_of_a_state_that_repeats_for_ever(beta, value):
    for found in (v_iteration(self_loop(), beta=beta), q_iteration(self_loop(), beta=beta)):
        assert found.v[0] == pytest.approx(value, abs=1e-6)
    if beta == 1.0:
        policy = v_iteration(self_loop(0.0), beta=beta).policy[0]
        np.testing.assert_allclose(policy, [0.093763, 0.152925, 0.753312], atol=1e-6)
        assert special.rel_entr(policy, BANDIT[1]).sum() == pytest.approx(0.739024, abs=1e-6)
        assert 1 / (policy**2 / BANDIT[1]).sum() == pytest.approx(0.340956, abs=1e-6)


M3_SOFT = {
    0.05: (15.027085, 15.073099, 16.726697),
    1.0: (10.555180, 10.962057, 12.336909),
    50.0: (6.852678, 7.153650, 7.900581),
}


@pytest.mark.parametrize("beta", M3_SOFT)
def test_the_reference_mdp_by_newton(beta):
    solution = v_iteration(m3(), beta=beta)
    np.testing.assert_allclose(solution.v, M3_SOFT[beta], atol=1e-6)
    np.testing.assert_allclose(solution.policy.sum(-1), 1.0, atol=1e-12)
    np.testing.assert_allclose(solution.q, m3().backup(solution.v), atol=1e-9)


# ---- extremes and shapes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("beta", [1e-6, 1e-3, 1.0, 1e3, 1e9])
@pytest.mark.parametrize("rare", [1e-300, 1e-12, 0.5])
def test_newton_reaches_the_minimum_from_any_start_and_temperature(beta, rare):
    q, weights = np.array([-3.0, 7.0, 2.0]), np.array([0.5, rare, 0.5])
    found = gumbel_minimiser(q, weights, parameter=beta)
    assert found == pytest.approx(float(log_mean_exp(q, weights, parameter=beta)), abs=1e-13)


def test_what_is_outside_of_the_support_is_not_read_and_states_are_each_alone():
    q, weights = np.array([[1.0, np.nan, 2.0], [0.0, 5.0, -1.0]]), np.array([[1.0, 0.0, 3.0], [2.0, 2.0, 0.0]])
    both = gumbel_minimiser(q, weights, parameter=0.5)
    alone = (
        gumbel_minimiser([1.0, 2.0], [0.25, 0.75], parameter=0.5),
        gumbel_minimiser([0.0, 5.0], [1, 1], parameter=0.5),
    )
    np.testing.assert_allclose(both, alone, atol=1e-14)
    np.testing.assert_allclose(
        gumbel_objective(both, q, weights, beta=0.5)[1], gumbel_objective(alone[1], [0, 5], [1, 1], beta=0.5)
    )


def test_an_objective_that_overflows_is_infinite():
    assert gumbel_objective(0.0, [800.0], [1.0], beta=1.0) == np.inf
    assert extreme_q_objective([0.0], [800.0], [1.0], [1.0], beta=1.0) == np.inf


def test_an_action_that_neither_takes_keeps_its_target():
    q = extreme_q_minimiser([1.0, 2.0, 9.0], [0.3, 0.7, 0.0], [0.5, 0.5, 0.0], beta=0.5)
    np.testing.assert_allclose(q, [1.0 - 0.5 * np.log(0.6), 2.0 - 0.5 * np.log(1.4), 9.0], atol=1e-14)


def test_terminal_states_have_no_value_and_keep_the_behaviour():
    mdp = random_mdp(6, 3, seed=1, terminal=2)
    for found in (q_iteration(mdp, beta=0.5), v_iteration(mdp, beta=0.5, targets="single")):
        assert (found.v[-2:] == 0).all()
        assert (found.q[-2:] == 0).all()
        np.testing.assert_array_equal(found.policy[-2:], mdp.behaviour[-2:])


def test_every_next_state_of_a_wide_mdp_counts():
    mdp = random_mdp(90, 2, seed=6, branching=4, discount=0.5)
    found = q_iteration(mdp, beta=0.4)
    fitted = gumbel_minimiser(mdp.reward + 0.5 * found.v, mdp.transition, parameter=0.2)
    np.testing.assert_allclose(found.q, fitted, atol=1e-9)


def test_newton_for_the_fixed_point_doubles_its_digits():
    mdp = random_mdp(40, 3, seed=2, discount=0.99)
    residuals = q_iteration(mdp, beta=0.3, tolerance=1e-8).residuals
    assert len(residuals) < 15  # steps of a contraction by 0.99 would be some 2500
    assert residuals[-1] < 1e-10
    assert residuals[-2] < np.sqrt(residuals[-3])


def test_rewards_of_the_pair_and_of_the_next_state_are_told_apart():
    mdp = random_mdp(5, 2, seed=4, branching=2)
    known = q_iteration(mdp.replace(reward=mdp.mean_reward), beta=1.0)
    assert (q_iteration(mdp, beta=1.0).v > known.v).all()  # a reward that is averaged first leaves less to luck


# ---- noise and bounds ---------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None, derandomize=True)
@given(q=st.lists(st.floats(-4.0, 4.0), min_size=2, max_size=5), scale=st.floats(0.2, 3.0))
def test_choices_under_gumbel_noise_are_a_softmax(q, scale):
    chance, largest = noisy_choice(q, stats.gumbel_r(scale=scale))
    np.testing.assert_allclose(chance, special.softmax(np.asarray(q) / scale), atol=1e-11)
    known = scale * (special.logsumexp(np.asarray(q) / scale) + np.euler_gamma)
    assert largest == pytest.approx(known, abs=1e-10)


def test_choices_under_normal_noise_of_two_and_of_equals():
    chance, largest = noisy_choice([[0.0, 1.0], [0.3, 0.3]], stats.norm(scale=2.0))
    share = stats.norm.cdf(1.0 / (2.0 * np.sqrt(2)))
    np.testing.assert_allclose(chance, [[1 - share, share], [0.5, 0.5]], atol=1e-12)
    np.testing.assert_allclose(largest[1], 0.3 + 2.0 / np.sqrt(np.pi), atol=1e-12)


def test_the_largest_overestimation_is_that_of_the_best_two_points():
    """Against a search over the two points' shares, at both sides of where the closed form takes over."""
    share = np.linspace(1e-4, 1 - 1e-4, 100_001)
    for x in (1e-3, 4.999e-3, 5.001e-3, 0.3, 2.0, 6.0):
        gap = np.logaddexp(np.log(share) + x, np.log1p(-share) - x) - x * (2 * share - 1)
        assert overestimation(3.0 * x, beta=3.0) == pytest.approx(3.0 * gap.max(), rel=1e-7)
    assert overestimation_bound(6.0, beta=3.0) == pytest.approx(6.0 * np.log(np.cosh(2.0)), rel=1e-14)
    assert overestimation(0.0, beta=1.0) == overestimation_bound(0.0, beta=1.0) == 0.0


def test_the_margin_of_the_partition_function():
    margin = partition_margin(2.0, beta=4.0, samples=50, delta=0.1)
    assert margin == pytest.approx(np.sinh(0.5) * np.sqrt(2 * np.log(10.0) / 50), rel=1e-14)


# ---- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("beta", [0.0, -1.0, np.nan, np.inf])
@pytest.mark.parametrize(
    "function",
    [
        lambda beta: gumbel_minimiser(*BANDIT, parameter=beta),
        lambda beta: gumbel_objective(0.0, *BANDIT, beta=beta),
        lambda beta: extreme_q_objective(0.0, 0.0, 1.0, 1.0, beta=beta),
        lambda beta: extreme_q_minimiser([0.0], [1.0], [1.0], beta=beta),
        lambda beta: v_iteration(m3(), beta=beta),
        lambda beta: v_iteration(m3(), beta=beta, targets="single"),
        lambda beta: q_iteration(m3(), beta=beta),
        lambda beta: overestimation(1.0, beta=beta),
        lambda beta: overestimation_bound(1.0, beta=beta),
        lambda beta: partition_margin(1.0, beta=beta, samples=2, delta=0.1),
    ],
)
def test_a_temperature_out_of_range_is_refused(function, beta):
    with pytest.raises(ConfigError, match="beta must be above 0"):
        function(beta)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: v_iteration(m3(), beta=1.0, targets="both"), "'expected' or 'single', not 'both'"),
        (lambda: q_iteration(m3().replace(discount=0.0), beta=1.0), "the discount must be above 0"),
        (
            lambda: extreme_q_minimiser([0.0, 1.0], [0.5, 0.5], [1.0, 0.0], beta=1.0),
            r"policy\[1\] is 0.5 and behaviour",
        ),
        (lambda: extreme_q_minimiser([0.0, 1.0], [1.0, 0.0], [0.5, 0.5], beta=1.0), "both or neither must be above 0"),
        (lambda: partition_margin(1.0, beta=1.0, samples=0, delta=0.1), "samples must be at least 1"),
        (lambda: partition_margin(1.0, beta=1.0, samples=1, delta=1.0), "delta must be above 0 and below 1"),
        (lambda: gumbel_process(random_mdp(3, 2, seed=0), np.zeros((3, 2)), scale=1.0, steps=1), "several states"),
        (lambda: gumbel_process(cliff().mdp, np.zeros((38, 4)), scale=1.0, steps=1), "is terminal"),
    ],
)
def test_what_has_no_meaning_is_refused(call, words):
    with pytest.raises((ConfigError, DataError), match=words):
        call()


def test_too_few_steps_are_an_error_and_no_value(monkeypatch):
    monkeypatch.setattr(extreme, "_STEPS", 2)
    with pytest.raises(DivergedError, match="2 steps of Newton left a change of"):
        q_iteration(random_mdp(40, 3, seed=2), beta=0.3)
