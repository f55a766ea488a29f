"""The KL ball, or entropic value at risk: the best policy within KL(pi || mu) <= kappa, at a temperature found per state."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from problems import for_all, mdps
from scipy import optimize

from extremal.tabular import (
    kl_ball,
    log_mean_exp,
    maximum,
    mean,
    policies,
    policy_evaluation,
    value_iteration,
)
from extremal.tabular.mazes import u_maze

MDPS = mdps(discounts=(0.3, 0.5, 0.8), terminal=0)
radii = st.sampled_from([0.01, 0.1, 0.42, 1.0, 2.0])
supports = st.lists(
    st.tuples(st.integers(-100, 100), st.integers(1, 9)), min_size=2, max_size=6, unique_by=lambda p: p[0]
)
supports = supports.map(lambda pairs: (np.array([q for q, _ in pairs]) / 20.0, np.array([w for _, w in pairs], float)))


def divergence(share, weights):
    mu, inside = weights / weights.sum(-1, keepdims=True), share > 0
    ratio = np.divide(share, mu, out=np.ones_like(share), where=inside)
    return (share * np.log(ratio)).sum(-1)


def reach(q, weights):
    """The largest KL of any policy worth having: that of the best actions alone."""
    mu = weights / weights.sum(-1, keepdims=True)
    return -np.log((mu * (policies.maximum(q, weights) > 0)).sum(-1))


@given(MDPS, radii, st.integers(0, 99))
@for_all
def test_it_is_a_contraction(mdp, radius, seed):
    one, other = np.random.default_rng(seed).standard_normal((2, mdp.states, mdp.actions)) * [[[1.0]], [[30.0]]]
    backups = [mdp.backup(kl_ball(q, mdp.behaviour, parameter=radius)) for q in (one, other)]
    assert np.abs(backups[0] - backups[1]).max() <= mdp.discount * np.abs(one - other).max() + 1e-9


@given(supports, radii)
@for_all
def test_the_kl_is_the_radius_where_the_support_allows(support, radius):
    q, weights = support
    share = policies.kl_ball(q, weights, parameter=radius)
    assert divergence(share, weights) == pytest.approx(min(radius, reach(q, weights)), abs=1e-9)


@given(supports, radii)
@for_all
def test_the_dual_is_the_primal(support, radius):
    """min over beta of beta log E exp(Q / beta) + kappa beta, by a search over log beta, is E_pi Q of the best pi."""
    q, weights = support
    mu = weights / weights.sum()

    def dual(log_beta):
        return float(log_mean_exp(q, mu, parameter=math.exp(log_beta))) + radius * math.exp(log_beta)

    grid = np.linspace(-12, 8, 400)
    near = grid[np.argmin([dual(x) for x in grid])]
    found = optimize.minimize_scalar(dual, bounds=(near - 0.1, near + 0.1), method="bounded", options={"xatol": 1e-9})
    value = kl_ball(q, weights, parameter=radius)
    floor = radius * math.exp(-12)  # where beta goes to 0 the search stops short
    assert value <= found.fun + 1e-9
    assert value == pytest.approx(found.fun, abs=1e-7 + 1.1 * floor)


@given(supports, radii, st.integers(0, 99))
@for_all
def test_no_policy_of_the_ball_has_more(support, radius, seed):
    q, weights = support
    mu = weights / weights.sum()
    others = np.random.default_rng(seed).dirichlet(np.ones(len(q)), 50)
    tilted = np.stack([mu * np.exp(x * (q - q.max())) for x in np.logspace(-2, 2, 30)])
    others = np.concatenate([others, tilted / tilted.sum(-1, keepdims=True)])
    inside = divergence(others, np.broadcast_to(mu, others.shape)) <= radius
    assert inside.any()
    assert (others[inside] @ q <= kl_ball(q, weights, parameter=radius) + 1e-9).all()


@given(supports)
@for_all
def test_it_saturates_where_the_ball_holds_the_best_action_alone(support):
    q, weights = support
    edge = float(reach(q, weights))
    for radius in (edge * (1 + 1e-12), edge + 0.1, edge + 10.0):
        assert kl_ball(q, weights, parameter=radius) == maximum(q, weights)
    assert kl_ball(q, weights, parameter=0.99 * edge) < maximum(q, weights)


@given(supports, radii)
@for_all
def test_the_stationarity_of_the_sampled_loss(support, radius):
    """J = E[h + beta (exp z - 1) + kappa beta], z = (Q - h) / beta, is least where E exp z = 1 and E z exp z = kappa.

    At this pair (h, beta) J is the value; it is below the dual's bound nowhere else.
    """
    q, weights = support
    mu = weights / weights.sum()
    assume(reach(q, weights) > 1.05 * radius)
    share = policies.kl_ball(q, weights, parameter=radius)
    low, high = q.argmin(), q.argmax()
    tilt = np.log((share[high] / mu[high]) / (share[low] / mu[low])) / (q[high] - q[low])  # 1 / beta, off the shares

    def loss(h, beta):
        return h + beta * (mu @ np.exp((q - h) / beta) - 1) + radius * beta

    beta = 1 / tilt
    h = float(log_mean_exp(q, mu, parameter=beta))
    z = (q - h) / beta
    assert mu @ np.exp(z) == pytest.approx(1.0, abs=1e-9)
    assert mu @ (z * np.exp(z)) == pytest.approx(radius, abs=1e-7)
    value = kl_ball(q, weights, parameter=radius)
    assert loss(h, beta) == pytest.approx(value, abs=1e-9)
    assert h + radius * beta == pytest.approx(value, abs=1e-8)
    for other_h, other_beta in (
        (h + 0.1, beta),
        (h - 0.1, beta),
        (h, 1.1 * beta),
        (h, 0.9 * beta),
        (h + 0.1, 1.1 * beta),
    ):
        assert loss(other_h, other_beta) > loss(h, beta)


@given(MDPS, radii, st.sampled_from([-7, -1, 3, 10]))
@for_all
def test_rewards_times_a_power_of_two_give_the_same_bits(mdp, radius, power):
    scaled = mdp.replace(reward=2.0**power * mdp.mean_reward)
    mdp = mdp.replace(reward=mdp.mean_reward)
    q = np.array(mdp.mean_reward)
    for _ in range(20):
        q = mdp.backup(kl_ball(q, mdp.behaviour, parameter=radius))
    large = np.array(scaled.mean_reward)
    for _ in range(20):
        large = scaled.backup(kl_ball(large, mdp.behaviour, parameter=radius))
    assert (large == 2.0**power * q).all()
    share = policies.kl_ball(q, mdp.behaviour, parameter=radius)
    assert (policies.kl_ball(large, mdp.behaviour, parameter=radius) == share).all()


@given(supports, radii, st.floats(1e-3, 1e3))
@for_all
def test_q_times_any_number_gives_that_number_times_the_value(support, radius, scale):
    q, weights = support
    value, size = kl_ball(q, weights, parameter=radius), np.abs(q).max()
    assert kl_ball(scale * q, weights, parameter=radius) / scale == pytest.approx(value, abs=1e-12 * max(size, 1.0))


@given(MDPS, radii, st.floats(1e-2, 1e2))
@settings(for_all, max_examples=10)
def test_rewards_times_any_number_give_values_times_that_number(mdp, radius, scale):
    one = value_iteration(mdp, kl_ball, parameter=radius, tolerance=1e-11)
    scaled = mdp.replace(reward=scale * mdp.reward)
    other = value_iteration(scaled, kl_ball, parameter=radius, tolerance=1e-11 * scale)
    assert other.v / scale == pytest.approx(one.v, abs=3e-11)
    # At a fixed temperature it is not so: the larger the rewards, the nearer to the maximum.
    soft = [value_iteration(m, log_mean_exp, parameter=1.0).v / k for m, k in ((mdp, 1.0), (scaled, scale))]
    if scale > 3 and (mdp.behaviour > 0).sum(-1).min() > 1:
        assert (soft[1] > soft[0]).all()


@given(MDPS, radii, st.floats(-10, 10))
@for_all
def test_rewards_plus_a_constant_give_values_plus_its_sum_and_the_same_policy(mdp, radius, shift):
    one = value_iteration(mdp, kl_ball, parameter=radius)
    other = value_iteration(mdp.replace(reward=mdp.reward + shift), kl_ball, parameter=radius)
    assert other.v == pytest.approx(one.v + shift / (1 - mdp.discount), abs=1e-8)
    assert other.policy == pytest.approx(one.policy, abs=1e-5)


@given(MDPS)
@for_all
def test_values_rise_with_the_radius_from_the_mean_to_the_maximum(mdp):
    values = [value_iteration(mdp, kl_ball, parameter=radius).v for radius in (0.0, 0.01, 0.1, 0.42, 1.0, 3.0)]
    assert values[0] == pytest.approx(value_iteration(mdp, mean).v, abs=1e-8)
    assert (np.diff(values, axis=0) >= -1e-8).all()
    best = value_iteration(mdp, maximum)
    assert (values[-1] <= best.v + 1e-8).all()
    enough = float(reach(best.q, mdp.behaviour).max()) + 1e-9
    assert value_iteration(mdp, kl_ball, parameter=enough).v == pytest.approx(best.v, abs=1e-8)


@given(MDPS, radii)
@for_all
def test_the_values_are_those_of_its_policy(mdp, radius):
    """Unlike XQL's, which have the KL in them: what is learned is what the policy will earn."""
    found = value_iteration(mdp, kl_ball, parameter=radius)
    assert policy_evaluation(mdp, found.policy).v == pytest.approx(found.v, abs=1e-8)
    assert (divergence(found.policy, mdp.behaviour) <= radius + 1e-9).all()


def test_one_radius_is_not_right_for_all_data():
    """In the U-maze, where one action in four is right: the share of the optimal value at the start, by radius."""
    drawn = u_maze("action")
    (start,) = drawn.starts
    best = value_iteration(drawn.mdp, maximum).v[start]
    shares = [value_iteration(drawn.mdp, kl_ball, parameter=radius).v[start] / best for radius in (0.1, 0.42, 1.0)]
    assert shares == pytest.approx([0.16, 0.53, 0.89], abs=0.01)
