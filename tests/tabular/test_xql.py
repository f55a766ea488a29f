"""The statements of the XQL paper, Sec. 2 and 3 and App. C and D, each by number; where the print is wrong, that it fails.

Theorem 1 and App. A and B are in test_xql_noise.py. Ids such as G6 are rows of the project's table of exact values.
"""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, special, stats
from test_m3 import m3

from extremal.tabular import FiniteMDP, log_mean_exp, mean, policies, policy_evaluation, random_mdp, value_iteration
from extremal.tabular.extreme import (
    extreme_q_minimiser,
    extreme_q_objective,
    gumbel_minimiser,
    gumbel_objective,
    q_iteration,
    v_iteration,
)
from extremal.tabular.mazes import maze

ACTIONS = 5
for_all = settings(max_examples=25, deadline=None, derandomize=True)
values = st.lists(st.floats(-10.0, 10.0), min_size=ACTIONS, max_size=ACTIONS).map(np.asarray)
shares = st.lists(st.floats(0.02, 1.0), min_size=ACTIONS, max_size=ACTIONS).map(lambda x: np.asarray(x) / np.sum(x))
betas = st.floats(0.1, 20.0)
seeds = st.integers(0, 10**6)
HERMITE, NORMAL = special.roots_hermitenorm(60)
NORMAL = NORMAL / NORMAL.sum()
PI = np.array([[0.1, 0.7, 0.2], [0.1, 0.2, 0.7], [0.8, 0.1, 0.1]])


def closed_form(x, weights, beta):
    return beta * special.logsumexp(np.asarray(x) / beta, b=weights, axis=-1)


def kl(pi, mu):
    return special.rel_entr(pi, mu).sum(-1)


def following(pi, mdp, q):
    """T^pi q."""
    return mdp.backup((pi * q).sum(-1))


def minimised(objective, slope, start):
    """By L-BFGS, from the objective and its slope."""
    found = optimize.minimize(
        objective, start, jac=slope, method="L-BFGS-B", options={"ftol": 1e-16, "gtol": 1e-12, "maxiter": 2000}
    )
    return found.x, found.fun


# ---- Sec. 2.1: the soft maximum and its policy --------------------------------------------------------------------


@for_all
@given(q=values, mu=shares, beta=betas, other=shares)
def test_eq_1_and_2_the_soft_maximum_is_the_best_value_less_beta_kl_and_its_policy_alone_attains_it(q, mu, beta, other):
    v = log_mean_exp(q, mu, parameter=beta)
    best = mu * np.exp((q - v) / beta)
    assert best.sum() == pytest.approx(1.0, abs=1e-9)
    assert best @ q - beta * kl(best, mu) == pytest.approx(v, abs=1e-9)
    shortfall = v - (other @ q - beta * kl(other, mu))
    assert shortfall == pytest.approx(beta * kl(other, best), abs=1e-8)  # Gibbs: above 0 for every other policy


@for_all
@given(seed=seeds, beta=betas)
def test_eq_1_the_soft_bellman_operator_is_a_contraction(seed, beta):
    mdp = random_mdp(6, 3, seed=seed, discount=0.9)
    one, two = np.random.default_rng(seed).normal(scale=5.0, size=(2, 6, 3))
    backup = lambda q: mdp.backup(log_mean_exp(q, mdp.behaviour, parameter=beta))  # noqa: E731
    assert np.abs(backup(one) - backup(two)).max() <= 0.9 * np.abs(one - two).max() * (1 + 1e-12)


# ---- Sec. 3.2: Gumbel regression ----------------------------------------------------------------------------------


@for_all
@given(x=values, h=st.floats(-5.0, 5.0), beta=st.floats(0.5, 20.0))
def test_eq_6_and_7_the_loss_is_the_negative_log_likelihood_under_reversed_gumbel_noise(x, h, beta):
    loss = gumbel_objective(h, x, np.ones(ACTIONS), beta=beta)
    likelihood = stats.gumbel_l.logpdf(x, loc=h, scale=beta).mean()
    assert loss == pytest.approx(-likelihood - np.log(beta) - 1.0, rel=1e-9, abs=1e-9)


@for_all
@given(x=values, weights=shares, beta=betas, factor=st.floats(1.2, 10.0))
def test_lemma_3_1_the_soft_maximum_falls_with_beta_between_supremum_and_mean(x, weights, beta, factor):
    sharp, soft = (float(gumbel_minimiser(x, weights, parameter=b)) for b in (beta, beta * factor))
    assert weights @ x - 1e-12 <= soft <= sharp + 1e-12 <= x.max() + 2e-12
    if np.ptp(x) > 0.1:
        assert weights @ x < soft < sharp < x.max()


@pytest.mark.parametrize("beta", [0.1, 1.0, 10.0, 1e3])
def test_lemma_3_1_as_printed_is_not_strict_for_a_constant(beta):
    assert gumbel_minimiser(np.full(4, 1.7), [0.1, 0.2, 0.3, 0.4], parameter=beta) == pytest.approx(1.7, abs=1e-12)


@for_all
@given(x=values, weights=shares)
def test_lemma_3_1_the_limits_are_the_supremum_and_the_mean(x, weights):
    cold, hot = gumbel_minimiser(x, weights, parameter=1e-4), gumbel_minimiser(x, weights, parameter=1e5)
    assert x.max() - 1e-4 * np.log(ACTIONS / 0.02) <= cold <= x.max() + 1e-12
    spread = weights @ (x - weights @ x) ** 2
    assert hot - weights @ x == pytest.approx(spread / 2e5, rel=1e-3, abs=1e-12)


@for_all
@given(x=values, weights=shares, beta=betas, d=st.floats(-3.0, 3.0))
def test_lemma_3_2_the_minimum_is_unique_and_at_the_log_mean_exponential(x, weights, beta, d):
    v = gumbel_minimiser(x, weights, parameter=beta)
    assert v == pytest.approx(closed_form(x, weights, beta), abs=1e-10)
    excess = gumbel_objective(v + beta * d, x, weights, beta=beta) - gumbel_objective(v, x, weights, beta=beta)
    # What a miss of d beta costs depends on d alone, and is above 0 unless d is 0.
    assert excess == pytest.approx(np.exp(-d) - 1.0 + d, abs=1e-9 * (1 + np.abs(x).max() / beta))


def test_lemma_3_2_the_empirical_risk_is_unbiased():
    x, weights, beta, theta = np.array([-1.0, 0.5, 2.0]), np.array([0.5, 0.3, 0.2]), 0.7, 0.4
    drawn = np.array(list(itertools.product(range(3), repeat=4)))  # every sample of four
    risk = gumbel_objective(theta, x[drawn], np.ones(4), beta=beta)
    expected = gumbel_objective(theta, x, weights, beta=beta)
    assert weights[drawn].prod(-1) @ risk == pytest.approx(expected, rel=1e-12)
    assert np.ptp(risk) > 1.0


@pytest.mark.parametrize("beta", [1e3, 1e5])
def test_g2_and_lemma_3_2_for_a_large_beta_the_loss_is_the_square_of_normal_errors_of_deviation_beta(beta):
    """As printed the errors are N(0, beta): of variance beta the log-likelihood would be beta times as steep."""
    x = np.array([-2.0, -0.3, 1.1, 2.9])
    risk = lambda theta: gumbel_objective(theta, x, np.ones(4), beta=beta)  # noqa: E731
    normal = lambda scale: -stats.norm.logpdf(x, 0.1, scale).mean() + stats.norm.logpdf(x, x, scale).mean()  # noqa: E731
    assert risk(0.1) / np.mean((x - 0.1) ** 2 / (2 * beta**2)) == pytest.approx(1.0, abs=1e-3)
    assert risk(0.1) == pytest.approx(normal(beta), rel=1e-3)
    assert risk(0.1) < 0.01 * normal(np.sqrt(beta))


def test_lemma_3_3_the_exponential_is_unbiased_and_the_soft_maximum_consistent_and_too_low():
    """Over every sample of n of three outcomes, by its multinomial probability: nothing is drawn."""
    x, p, beta = np.array([0.0, 1.0, 3.0]), np.array([0.5, 0.3, 0.2]), 1.3
    partition = p @ np.exp(x / beta)
    exact, errors = beta * np.log(partition), []
    for n in (1, 4, 16, 64, 256):
        counts = np.array([(i, j, n - i - j) for i in range(n + 1) for j in range(n + 1 - i)])
        chance = stats.multinomial.pmf(counts, n, p)
        estimate = gumbel_minimiser(x, counts, parameter=beta)
        assert chance @ np.exp(estimate / beta) == pytest.approx(partition, rel=1e-10)
        errors.append(chance @ estimate - exact)
    assert np.all(np.diff(errors) > 0)
    assert errors[-1] < 0
    first_order = -beta * (p @ np.exp(2 * x / beta) / partition**2 - 1.0) / (2 * 256)
    assert errors[-1] == pytest.approx(first_order, rel=0.02)


# ---- Sec. 3.3: the ExtremeQ and the ExtremeV objective ------------------------------------------------------------


def test_g6_and_lemma_3_4_the_second_expectation_is_under_the_policy():
    """By L-BFGS and by Newton. As printed, with both under mu, the minimiser is T^pi Q: no step of a soft backup at all."""
    mdp, beta = m3(), 0.7
    mu, target = mdp.behaviour, following(PI, mdp, policy_evaluation(mdp, PI).q)
    expected = target - beta * np.log(PI / mu)

    def fitted(second):
        objective = lambda q: extreme_q_objective(q.reshape(3, 3), target, second, mu, beta=beta).sum()  # noqa: E731
        slope = lambda q: (second - mu * np.exp((target - q.reshape(3, 3)) / beta)).ravel() / beta  # noqa: E731
        q, least = minimised(objective, slope, np.zeros(9) + target.mean())
        return q.reshape(3, 3), least

    q, least = fitted(PI)
    np.testing.assert_allclose(q, expected, atol=5e-8)
    np.testing.assert_allclose(extreme_q_minimiser(target, PI, mu, beta=beta), expected, atol=1e-13)
    assert least == pytest.approx(-0.8929848, abs=5e-8)
    assert least == pytest.approx(-kl(PI, mu).sum(), abs=1e-12)
    printed, least = fitted(mu)
    np.testing.assert_allclose(printed, target, atol=5e-7)
    assert least == pytest.approx(0.0, abs=1e-12)
    assert np.abs(printed - expected).max() > 0.5


def test_lemma_3_4_its_fixed_point_is_the_soft_value_and_its_q_has_paid_for_its_own_action():
    """T^pi Q - beta log(pi / mu) is B^pi Q for a Q that counts its own action's penalty; in Sec. 2.1's Q it is not."""
    mdp, beta = m3(), 0.7
    penalty = beta * np.log(PI / mdp.behaviour)
    q = np.zeros((3, 3))
    for _ in range(300):
        q = extreme_q_minimiser(following(PI, mdp, q), PI, mdp.behaviour, beta=beta)
    paid = policy_evaluation(mdp, PI, bonus=-penalty)
    np.testing.assert_allclose(q, paid.q, atol=1e-11)
    soft = mdp.backup(paid.v)  # Q of Sec. 2.1: r + discount E V, with V = E_pi[Q - beta log(pi / mu)]
    np.testing.assert_allclose((PI * (soft - penalty)).sum(-1), paid.v, atol=1e-12)
    np.testing.assert_allclose(q, soft - penalty, atol=1e-11)
    printed = mdp.backup((PI * (q - penalty)).sum(-1))  # B^pi of Sec. 2.1, at this q
    assert np.abs(printed - q).max() > 0.1


@for_all
@given(seed=seeds, beta=betas)
def test_lemma_3_5_the_extreme_v_objective_is_least_at_the_soft_maximum_of_every_state(seed, beta):
    q, weights = np.random.default_rng(seed).normal(scale=4.0, size=(2, 7, ACTIONS))
    mu = np.exp(weights) / np.exp(weights).sum(-1, keepdims=True)
    v = gumbel_minimiser(q, mu, parameter=beta)
    np.testing.assert_allclose(v, closed_form(q, mu, beta), atol=1e-10)
    least = gumbel_objective(v, q, mu, beta=beta)
    for away in (-0.01, 0.01):
        assert (gumbel_objective(v + away * beta, q, mu, beta=beta) > least).all()


# ---- Sec. 3.4: policies -------------------------------------------------------------------------------------------


@for_all
@given(q=st.lists(st.floats(-2.0, 2.0), min_size=4, max_size=4).map(np.asarray), beta=st.floats(0.5, 5.0))
def test_eq_12_and_13_weighted_cloning_and_the_reverse_kl_both_end_at_the_soft_policy(q, beta):
    mu = np.array([0.4, 0.3, 0.2, 0.1])
    weight = np.exp((q - log_mean_exp(q, mu, parameter=beta)) / beta)
    best = policies.log_mean_exp(q, mu, parameter=beta)
    cloning = lambda x: -(mu * weight) @ special.log_softmax(x)  # noqa: E731
    actor = lambda x: -special.softmax(x) @ (q - beta * (special.log_softmax(x) - np.log(mu)))  # noqa: E731
    for objective in (cloning, actor):
        logits = optimize.minimize(objective, np.zeros(4), method="BFGS", options={"gtol": 1e-7}).x
        np.testing.assert_allclose(special.softmax(logits), best, atol=1e-5)


# ---- App. C.1: iteration on V and on Q ----------------------------------------------------------------------------


@for_all
@given(seed=seeds, beta=betas)
def test_eq_36_and_37_iteration_on_v_is_soft_value_iteration(seed, beta):
    mdp = random_mdp(6, 3, seed=seed, discount=0.8, terminal=1, support=2)
    ours, known = v_iteration(mdp, beta=beta), value_iteration(mdp, log_mean_exp, parameter=beta)
    for name in ("v", "q", "policy"):
        np.testing.assert_allclose(getattr(ours, name), getattr(known, name), atol=1e-8)


@for_all
@given(q=values, mu=shares, beta=betas, discount=st.floats(0.05, 1.0), reward=st.floats(-5.0, 5.0))
def test_eq_38_to_40_the_discount_and_the_reward_go_through_the_soft_maximum(q, mu, beta, discount, reward):
    outside = reward + discount * gumbel_minimiser(q, mu, parameter=beta)
    inside = gumbel_minimiser(reward + discount * q, mu, parameter=discount * beta)
    assert inside == pytest.approx(outside, abs=1e-10)


@for_all
@given(seed=seeds, beta=betas)
def test_lemma_c_1_under_deterministic_dynamics_iteration_on_q_is_soft_q_iteration(seed, beta):
    mdp = random_mdp(6, 3, seed=seed, discount=0.8, branching=1, terminal=1)
    ours, known = q_iteration(mdp, beta=beta), value_iteration(mdp, log_mean_exp, parameter=beta)
    for name in ("v", "q", "policy"):
        np.testing.assert_allclose(getattr(ours, name), getattr(known, name), atol=1e-8)
    single = v_iteration(mdp, beta=beta, targets="single")
    np.testing.assert_allclose(single.v, known.v, atol=1e-8)


@pytest.mark.parametrize("beta", [0.2, 1.0, 5.0])
def test_lemma_c_1_under_stochastic_dynamics_iteration_on_q_counts_on_luck(beta):
    """Its fixed point is the value of one who picks the next state, too, and pays discount beta KL(picked || P) for it."""
    mdp = random_mdp(5, 3, seed=3, discount=0.9)
    lucky, soft = q_iteration(mdp, beta=beta), value_iteration(mdp, log_mean_exp, parameter=beta)
    price = mdp.discount * beta
    target = mdp.reward + mdp.discount * lucky.v
    picked = mdp.transition * np.exp((target - lucky.q[..., None]) / price)
    np.testing.assert_allclose(picked.sum(-1), 1.0, atol=1e-9)
    dearer = (picked * mdp.reward).sum(-1) - price * kl(picked, mdp.transition)
    other = FiniteMDP(transition=picked, reward=dearer, discount=mdp.discount)
    pi = lucky.policy
    evaluated = policy_evaluation(other, pi, bonus=-beta * np.log(pi / mdp.behaviour))
    np.testing.assert_allclose(evaluated.v, lucky.v, atol=1e-8)
    single = v_iteration(mdp, beta=beta, targets="single")
    assert (soft.q < single.q).all()
    assert (single.q < lucky.q).all()
    if beta == 0.2:
        assert (lucky.v > value_iteration(mdp).v).all()  # more than any policy can have


def test_eq_42_is_minimised_over_pairs_of_next_state_and_action():
    """Against the objective itself: a sum over (s', a'), one Q(s, a) at a time."""
    mdp, beta = random_mdp(4, 3, seed=5, discount=0.7, terminal=1), 0.8
    found = q_iteration(mdp, beta=beta)
    follow = np.where(mdp.terminal[:, None], 0.0, found.q)
    for s, a in itertools.product(range(3), range(3)):
        target = mdp.reward[s, a][:, None] + mdp.discount * follow
        chance = mdp.transition[s, a][:, None] * mdp.behaviour
        fitted = gumbel_minimiser(target.ravel(), chance.ravel(), parameter=mdp.discount * beta)
        assert fitted == pytest.approx(found.q[s, a], abs=1e-9)


def test_g8_the_soft_value_of_a_parabola_under_a_normal_policy():
    """Q = -(a - m)^2 / 2 and a ~ N(m + 1, 1): -log(2) / 2 - 1/4, by quadrature and from actions."""
    exact = -np.log(2) / 2 - 0.25
    nodes, weights = special.roots_hermitenorm(100)
    assert gumbel_minimiser(-((1 + nodes) ** 2) / 2, weights, parameter=1.0) == pytest.approx(exact, abs=1e-8)
    drawn = -((1 + np.random.default_rng(0).normal(size=1_000_000)) ** 2) / 2
    assert gumbel_minimiser(drawn, np.ones(drawn.size), parameter=1.0) == pytest.approx(-0.5965736, abs=2e-3)


@pytest.mark.parametrize(("temperature", "bias"), [(1.0, 0.5), (2.0, 0.25), (5.0, 0.1)])
def test_g9_a_q_without_v_takes_noise_in_its_target_for_a_choice(temperature, bias):
    """Targets N(0, 1), of mean 0: Q fitted by the Gumbel loss is 1 / (2 temperature), and V fitted to a mean Q is 0."""
    assert gumbel_minimiser(HERMITE, NORMAL, parameter=temperature) == pytest.approx(bias, abs=1e-9)
    ends = np.concatenate([[0.0], NORMAL])  # one step into one of 60 terminal states
    mdp = FiniteMDP(
        transition=np.tile(ends, (61, 1, 1)),
        reward=np.tile(np.concatenate([[0.0], HERMITE]), (61, 1, 1)),
        discount=0.5,
        terminal=np.arange(61) > 0,
    )
    assert q_iteration(mdp, beta=temperature / 0.5).v[0] == pytest.approx(bias, abs=1e-9)
    assert v_iteration(mdp, beta=temperature / 0.5).v[0] == pytest.approx(0.0, abs=1e-12)


# ---- App. C.2: conservatism ---------------------------------------------------------------------------------------


@for_all
@given(pi=shares, mu=shares)
def test_c_2_d_cql_is_chi_square_and_never_below_the_kl(pi, mu):
    """At equal weights XQL, which has the KL in the chi-square's place, is the less conservative of the two."""
    d_cql = pi @ (pi / mu - 1)
    assert d_cql == pytest.approx(((pi - mu) ** 2 / mu).sum(), abs=1e-12 * (1 + d_cql))
    assert d_cql >= np.expm1(kl(pi, mu)) - 1e-12


def test_c_2_values_are_too_low_by_the_discounted_kl():
    mdp, beta = m3(), 0.7
    chain, _ = mdp.under(PI)
    exact, below = policy_evaluation(mdp, PI), policy_evaluation(mdp, PI, bonus=-beta * np.log(PI / mdp.behaviour))
    expected = np.linalg.solve(np.eye(3) - mdp.discount * chain, beta * kl(PI, mdp.behaviour))
    np.testing.assert_allclose(exact.v - below.v, expected, atol=1e-12)
    assert (expected > 0.1).all()


@for_all
@given(pi=shares, mu=shares, away=values)
def test_dual_kl_has_the_constant_plus_one(pi, mu, away):
    """max over x of E_mu[-exp(-x)] - E_pi x is KL - 1, at x = -log(pi / mu): as printed, with -1, it would be KL - 2."""
    dual = lambda x: -(mu @ np.exp(-x)) - pi @ x  # noqa: E731
    best = -np.log(pi / mu)
    assert dual(best) + 1 == pytest.approx(kl(pi, mu), abs=1e-12)
    assert dual(best) - 1 == pytest.approx(kl(pi, mu) - 2, abs=1e-12)
    assert dual(best + 0.3 * away) <= dual(best) + 1e-12


@for_all
@given(pi=shares, mu=shares, target=values, beta=betas)
def test_dual_kl_the_least_extreme_q_objective_is_minus_the_kl(pi, mu, target, beta):
    """Printed as plus the KL, far above what the objective comes down to."""
    q = extreme_q_minimiser(target, pi, mu, beta=beta)
    least = extreme_q_objective(q, target, pi, mu, beta=beta)
    assert least == pytest.approx(-kl(pi, mu), abs=1e-10)
    for away in (-0.1, 0.1):
        assert extreme_q_objective(q + away * beta, target, pi, mu, beta=beta) > least


# ---- App. D.1: the toy grid world ---------------------------------------------------------------------------------


def test_x1_on_a_grid_a_smaller_beta_is_nearer_to_the_maximum():
    """The caption of Fig. 4 has it the other way round."""
    mdp = maze("G....\n.....\n.....\n.....\nS....").mdp
    betas = [1e-4, 0.01, 0.03, 0.1, 0.5, 2.0, 1e3]
    found = [v_iteration(mdp, beta=beta) for beta in betas]
    best, behaviour = value_iteration(mdp), value_iteration(mdp, mean)
    np.testing.assert_allclose(found[0].v, best.v, atol=1e-4 * np.log(4) / 0.05)
    np.testing.assert_allclose(found[-1].v, behaviour.v, atol=1e-3)
    live = ~mdp.terminal
    for sharp, soft in itertools.pairwise(found):
        assert (sharp.v[live] > soft.v[live]).all()
        assert kl(sharp.policy, mdp.behaviour)[live].mean() > kl(soft.policy, mdp.behaviour)[live].mean()
    gap = [np.abs(best.v - solution.v).max() for solution in found]
    assert gap == sorted(gap)
