"""On two hundred random MDPs: contraction, monotonicity and order of the operators; and the one that is no contraction.

All MDPs are solved at once: the operators take [MDPs, states, actions] as they take [states, actions].
"""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from extremal.tabular import (
    FiniteMDP,
    expected_maximum,
    expectile,
    kl_ball,
    log_mean_exp,
    maximum,
    mean,
    quantile,
    random_mdp,
    soft_expected_maximum,
    value_iteration,
)
from extremal.tabular.operators import policy_of

SEEDS = range(200)
# Parameters in the order in which the value grows: beta falls, all others rise.
RISING = {
    expectile: (0.5, 0.6, 0.8, 0.95, 0.999),
    quantile: (0.05, 0.3, 0.5, 0.8, 0.99),
    log_mean_exp: (1e4, 10.0, 1.0, 0.2, 0.01),
    expected_maximum: (1, 1.5, 2, 5, 50),
    kl_ball: (0.0, 0.02, 0.2, 0.42, 1.0, 3.0),
}
CASES = [(mean, {}), (maximum, {}), (expectile, {"parameter": 0.3})] + [
    (operator, {"parameter": parameter}) for operator, row in RISING.items() for parameter in row
]
cases = pytest.mark.parametrize(("operator", "at"), CASES, ids=lambda x: getattr(x, "__name__", None) or str(x))


@pytest.fixture(scope="module")
def mdps():
    """Of every discount between 0.3 and 0.9, of supports of one to four actions, of few and of many next states."""
    alone = [
        random_mdp(4, 4, seed=seed, discount=0.3 + 0.6 * seed / 199, support=1 + seed % 4, branching=2 + seed % 3)
        for seed in SEEDS
    ]
    return SimpleNamespace(
        alone=alone,
        known={},
        transition=np.stack([mdp.transition for mdp in alone]),
        reward=np.stack([mdp.mean_reward for mdp in alone]),
        behaviour=np.stack([mdp.behaviour for mdp in alone]),
        discount=np.array([mdp.discount for mdp in alone])[:, None, None],
    )


def backed_up(mdps, v):
    """r + discount E v, of [..., MDPs, states]."""
    return mdps.reward + mdps.discount * np.einsum("nijk,...nk->...nij", mdps.transition, v)


def solved(mdps, operator, at):
    """V of all MDPs, found once. Every operator but the quantile is a largest value over policies, where Newton's steps end soon."""
    name = (operator, at.get("parameter"))
    if name in mdps.known:
        return mdps.known[name]
    v, before = np.zeros(mdps.reward.shape[:2]), None
    while before is None or np.abs(v - before).max() > 1e-12:
        before, q = v, backed_up(mdps, v)
        v = operator(q, mdps.behaviour, **at)
        if operator is not quantile:
            share = policy_of(operator)(q, mdps.behaviour, **at)
            chain = mdps.discount * np.einsum("nij,nijk->nik", share, mdps.transition)
            step = np.linalg.solve(np.eye(4) - chain, (v - before)[..., None])
            v = before + step[..., 0]
    mdps.known[name] = v
    return v


def pairs(mdps):
    """[2, 5, MDPs, states, actions]: pairs of Q, far apart and near each other, of several scales."""
    random = np.random.default_rng(0)
    q, step = random.standard_normal((2, 5, *mdps.reward.shape))
    scale = np.logspace(-1, 1, 5)[:, None, None, None]
    return scale * q, scale * q + scale * step * np.array([1.0, 1e-3, 5.0, 0.1, 1.0])[:, None, None, None]


def distance(one, other):
    return np.abs(one - other).max((-2, -1))


@cases
def test_contraction_of_modulus_discount(mdps, operator, at):
    one, other = pairs(mdps)
    apart = distance(one, other)
    backups = [backed_up(mdps, operator(q, mdps.behaviour, **at)) for q in (one, other)]
    ratio = distance(*backups) / apart
    assert (ratio <= mdps.discount[:, 0, 0] * (1 + 1e-9)).all()
    assert ratio.max() > 0.3
    # and no smaller modulus would do: what all Q rise by is passed on whole
    raised = distance(backed_up(mdps, operator(one + 2.0, mdps.behaviour, **at)), backups[0])
    assert raised == pytest.approx(np.broadcast_to(2.0 * mdps.discount[:, 0, 0], raised.shape), abs=1e-9)


@cases
def test_its_derivative_is_the_discounted_chain_of_its_policy(mdps, operator, at):
    """Which is why: the rows of the chain are distributions."""
    random, step = np.random.default_rng(1), 1e-6
    q, direction = random.standard_normal((2, *mdps.reward.shape))
    share = policy_of(operator)(q, mdps.behaviour, **at)
    assert share.sum(-1) == pytest.approx(np.ones(share.shape[:-1]), abs=1e-12)
    assert (share >= 0).all()
    assert (share[mdps.behaviour == 0] == 0).all()
    up, down = (operator(q + sign * step * direction, mdps.behaviour, **at) for sign in (1, -1))
    assert (up - down) / (2 * step) == pytest.approx((share * direction).sum(-1), abs=2e-4)


@cases
def test_more_q_never_means_less_value(mdps, operator, at):
    one, other = pairs(mdps)
    lower, upper = np.minimum(one, other), np.maximum(one, other)
    less = operator(upper, mdps.behaviour, **at) - operator(lower, mdps.behaviour, **at)
    assert less.min() >= -1e-12


@pytest.mark.parametrize("operator", RISING, ids=lambda x: x.__name__)
def test_values_rise_with_the_parameter(mdps, operator):
    """The expectile, the quantile's level, N and kappa raise them, and a larger beta lowers them; nowhere do they turn."""
    values = np.array([solved(mdps, operator, {"parameter": parameter}) for parameter in RISING[operator]])
    assert (np.diff(values, axis=0) >= -1e-9).all()
    several = (mdps.behaviour > 0).sum((-1, -2)) > 4
    assert (np.ptp(values, axis=0)[several] > 1e-3).all()
    assert np.ptp(values, axis=0)[~several] == pytest.approx(0.0, abs=1e-9)  # one action a state: there is no choice


@pytest.mark.parametrize("operator", RISING, ids=lambda x: x.__name__)
def test_values_lie_between_those_of_the_behaviour_and_the_best(mdps, operator):
    """Quantiles lie between the worst and the best: a median can be below the mean."""

    low, high = solved(mdps, mean, {}), solved(mdps, maximum, {})
    if operator is quantile:
        turned = SimpleNamespace(**(vars(mdps) | {"reward": -mdps.reward, "known": {}}))
        low = -solved(turned, maximum, {})
    for parameter in RISING[operator]:
        v = solved(mdps, operator, {"parameter": parameter})
        assert (v >= low - 1e-9).all()
        assert (v <= high + 1e-9).all()


def test_a_median_can_be_below_the_mean(mdps):
    assert (solved(mdps, quantile, {"parameter": 0.5}) < solved(mdps, mean, {}) - 0.1).any()


def test_solved_together_is_solved_alone(mdps):
    for operator, at in ((maximum, {}), (kl_ball, {"parameter": 0.42}), (log_mean_exp, {"parameter": 0.2})):
        together = solved(mdps, operator, at)
        for seed in (0, 73, 199):
            assert value_iteration(mdps.alone[seed], operator, **at).v == pytest.approx(together[seed], abs=1e-8)


# The soft expected maximum.

SOFT = {"parameter": 5, "inverse_temperature": 3.0}


def test_the_soft_expected_maximum_is_no_contraction_on_many_of_them(mdps):
    """A Boltzmann mean weighs an action the more, the larger its Q: its slopes are not shares, and some are negative."""
    q, step = 2.0 * np.random.default_rng(1).standard_normal(mdps.reward.shape), 1e-6
    value = soft_expected_maximum(q, mdps.behaviour, **SOFT)
    slope = [
        (soft_expected_maximum(q + step * unit, mdps.behaviour, **SOFT) - value) / step for unit in np.eye(4)
    ]  # [4, MDPs, states]
    worst = np.stack([q, q + step * np.sign(np.moveaxis(np.array(slope), 0, -1))])
    backups = backed_up(mdps, soft_expected_maximum(worst, mdps.behaviour, **SOFT))
    ratio = distance(*backups) / step / mdps.discount[:, 0, 0]  # a contraction's is at most 1
    several = (mdps.behaviour > 0).sum((-1, -2)) > 4
    assert ratio[~several] == pytest.approx(1.0, abs=1e-6)
    assert (ratio[several] > 1.001).mean() > 0.75


def stay_or_leave(stay: float) -> FiniteMDP:
    """One state: stay for 0.15 a step, which one action in ten of the behaviour does, or leave with 1."""
    transition = np.zeros((2, 2, 2))
    transition[0, 0, 0] = transition[0, 1, 1] = transition[1, :, 1] = 1.0
    return FiniteMDP(
        transition=transition,
        reward=np.array([[0.15, 1.0], [0.0, 0.0]]),
        discount=0.9,
        terminal=np.array([False, True]),
        behaviour=np.array([[stay, 1 - stay], [0.5, 0.5]]),
    )


def test_a_counter_example_of_the_soft_expected_maximum_with_two_fixed_points():
    """Whether to stay pays depends on whether one stays the next time.

    Who believes that staying is worth 1.3 stays, and it is; who believes that it is worth little leaves, and so it is.
    All other operators ask more of a belief: theirs is the same from everywhere.
    """
    mdp, at = stay_or_leave(0.1), {"parameter": 30, "inverse_temperature": 20.0}
    low, high = (
        value_iteration(mdp, soft_expected_maximum, start=np.array([start, 0.0]), **at).v[0] for start in (0.0, 3.0)
    )
    assert low == pytest.approx(1.0190, abs=1e-4)
    assert high == pytest.approx(1.3099, abs=1e-4)
    for v in (low, high):  # by the count of those among the 30 draws that stay
        stays = np.arange(31)
        weight = stays * np.exp(20.0 * (0.15 + 0.9 * v - 1.0))
        mix = (weight * (0.15 + 0.9 * v) + (30 - stays) * 1.0) / (weight + 30 - stays)
        assert stats.binom(30, 0.1).pmf(stays) @ mix == pytest.approx(v, abs=1e-9)
    for operator, at in CASES[::4]:
        one, other = (value_iteration(mdp, operator, start=np.array([start, 0.0]), **at).v for start in (0.0, 3.0))
        assert one == pytest.approx(other, abs=1e-9)


def test_a_counter_example_of_the_soft_expected_maximum_where_more_q_means_less_value():
    """Two actions, five draws: the worse one gets better, is chosen more often, and the mean falls."""
    values = [float(soft_expected_maximum([worse, 1.0], [0.5, 0.5], **SOFT)) for worse in (0.0, 0.2, 0.4)]
    assert values == sorted(values, reverse=True)
    by_hand = []
    for worse in (0.0, 0.2, 0.4):
        weights = np.exp(3.0 * np.array([worse, 1.0]))
        total = 0.0
        for draws in itertools.product((0, 1), repeat=5):
            w = weights[list(draws)]
            total += w @ np.array([worse, 1.0])[list(draws)] / w.sum() / 2**5
        by_hand.append(total)
    assert values == pytest.approx(by_hand, abs=1e-12)
