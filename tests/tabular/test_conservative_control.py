"""CQL(R) control: rows C5 and C8, stationarity of every fixed point, contraction, and a cycle that damping ends."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from problems import LIVE, SEEDS, bandit, every, problem
from scipy.special import logsumexp
from test_m3 import m3

from extremal.core.errors import ConfigError, DataError, DivergedError
from extremal.tabular import maximum, policies, policy_evaluation, random_mdp, value_iteration
from extremal.tabular.conservative_control import Exponential, Variance, conservative_control, softmax, without_half

C5 = {
    1.0: ((8.340116, 8.714780, 8.569593), (8.241667, 9.224941, 8.938234), (10.478903, 8.478489, 8.156433)),
    0.5: ((9.448208, 10.094036, 10.115772), None, None),
}


def test_c5_fixed_points_of_cql_h_with_a_softmax_policy():
    """Row C5; without the factor 1/2 in the squared error, alpha = 1 is the paper's alpha = 1/2."""
    assert without_half(1.0) == 0.5
    for alpha, rows in C5.items():
        found = conservative_control(m3(), Exponential(penalty_weight=alpha), acting=softmax)
        for row, expected in zip(found.q, rows, strict=True):
            assert expected is None or row == pytest.approx(expected, abs=1e-6)
        softened = np.exp(found.q - logsumexp(found.q, -1, keepdims=True))
        stationary = m3().backup((softened * found.q).sum(-1)) - alpha * (softened / m3().behaviour - 1)
        np.testing.assert_allclose(found.q, stationary, atol=1e-10)


def test_without_the_half_the_same_minimiser():
    """The slope of alpha (log-sum-exp - mean) + (Q - target)^2, without 1/2, vanishes at the minimiser of half the weight."""
    behaviour, target, alpha = m3().behaviour, np.random.default_rng(0).normal(size=(3, 3)), 3.0
    q = Exponential(penalty_weight=without_half(alpha)).minimiser(target, behaviour, behaviour)
    slope = alpha * (softmax(q, behaviour) - behaviour) + 2 * behaviour * (q - target)
    np.testing.assert_allclose(slope, 0.0, atol=1e-13)


def test_c8_what_cql_rho_lowers_is_the_slope_of_its_log_mean_exp():
    random = np.random.default_rng(0)
    q, prior = random.normal(size=(4, 5)), random.dirichlet(np.ones(5), 4)
    lowered = Exponential(penalty_weight=1.0, prior=prior).lowered(q, np.full((4, 5), 0.2), prior)

    def value(x):
        return jnp.sum(jax.nn.logsumexp(x, axis=-1, b=jnp.asarray(prior, jnp.float32)))

    np.testing.assert_allclose(lowered, jax.grad(value)(jnp.asarray(q, jnp.float32)), atol=1e-6)
    tilted = prior * np.exp(q)
    np.testing.assert_allclose(lowered, tilted / tilted.sum(-1, keepdims=True), atol=1e-14)


def test_equation_3_gives_equation_4_only_if_alpha_is_on_the_entropy_too():
    """As printed, alpha E_mu Q + H(mu) is largest at softmax(alpha Q), whose value is log-sum-exp(alpha Q): no multiple of Eq. (4)."""
    q, alpha = np.array([0.0, 1.0, 3.0]), 4.0

    def printed(mu):
        return alpha * mu @ q - (mu * np.log(mu)).sum()

    sharp, plain = (np.exp(c * q - logsumexp(c * q)) for c in (alpha, 1.0))
    assert printed(sharp) == pytest.approx(logsumexp(alpha * q))
    assert printed(sharp) > printed(plain) + 0.1
    assert abs(logsumexp(alpha * q) - alpha * logsumexp(q)) > 0.1
    assert alpha * (plain @ q - (plain * np.log(plain)).sum()) == pytest.approx(alpha * logsumexp(q))


PENALTIES = {
    "H": (Exponential(penalty_weight=0.7), policies.maximum),
    "H, softmax": (Exponential(penalty_weight=0.7), softmax),
    "rho, softmax": (Exponential(penalty_weight=0.7, prior="policy"), softmax),
    "var": (Variance(penalty_weight=0.7, radius=0.3), policies.maximum),
    "var, softmax": (Variance(penalty_weight=0.7, radius=0.3, prior="uniform"), softmax),
}


@pytest.mark.parametrize("name", PENALTIES)
@pytest.mark.parametrize("seed", range(3))
def test_every_fixed_point_is_stationary(name, seed):
    """mu is what Q and its target say; it is a distribution, no other has a larger mean, and Q = target - alpha (mu / pi_beta - 1)."""
    penalised, acting = PENALTIES[name]
    mdp = random_mdp(5, 3, seed=seed, terminal=1)
    found = conservative_control(mdp, penalised, acting=acting)
    q, behaviour = found.q[LIVE], mdp.behaviour[LIVE]
    target = mdp.backup((acting(q, behaviour) * q).sum(-1) @ np.eye(4, 5))[LIVE]
    mu = behaviour * (1 + (target - q) / penalised.penalty_weight)
    np.testing.assert_allclose(mu.sum(-1), 1.0, atol=1e-9)
    assert mu.min() > -1e-9
    lowered = penalised.lowered(q, behaviour, acting(q, behaviour))
    np.testing.assert_allclose((mu * q).sum(-1), (lowered * q).sum(-1), atol=1e-8)
    if isinstance(penalised, Variance):
        assert ((mu**2 * 3).sum(-1) - 1 <= penalised.radius + 1e-8).all()
    else:
        np.testing.assert_allclose(mu, lowered, atol=1e-9)
    assert (found.q[mdp.terminal] == 0).all()
    assert found.v[LIVE] == pytest.approx((found.policy[LIVE] * q).sum(-1))


def test_cql_var_with_the_inverse_of_the_data_and_a_radius_for_each_state():
    """Eq. (9) as printed: P-hat in proportion to 1 / D-hat, and a radius of 1 over how often the state was logged."""
    mdp, times, alpha = m3(), np.array([9.0, 16.0, 100.0]), 0.3
    q = conservative_control(mdp, Variance(penalty_weight=alpha, radius=1 / times, prior="inverse")).q
    prior = 1 / mdp.behaviour
    prior /= prior.sum(-1, keepdims=True)
    centre = (prior * q).sum(-1, keepdims=True)
    spread = np.sqrt((prior * (q - centre) ** 2).sum(-1, keepdims=True) / times[:, None])
    slope = prior * (1 + (q - centre) / (times[:, None] * spread))  # of mean + sqrt(variance / times)
    assert slope.min() > 0  # no share is 0, where Eq. (8) is the maximum itself
    np.testing.assert_allclose(q, mdp.backup(q.max(-1)) - alpha * (slope / mdp.behaviour - 1), atol=1e-8)
    with pytest.raises(DataError, match="'radius': has 2 numbers for 3 live states"):
        conservative_control(mdp, Variance(penalty_weight=alpha, radius=np.ones(2)))


@every
@given(SEEDS, st.sampled_from([0.01, 1.0, 30.0]), st.sampled_from(["H", "var"]))
def test_the_minimiser_expands_no_distance_so_control_with_the_maximum_is_a_contraction(seed, alpha, name):
    mdp, _ = problem(seed)
    penalised = Exponential(penalty_weight=alpha) if name == "H" else Variance(penalty_weight=alpha, radius=0.5)
    behaviour = mdp.behaviour[LIVE]
    first, second = np.random.default_rng(seed).normal(size=(2, *behaviour.shape)) * 3

    def after(q):
        v = np.append((policies.maximum(q, behaviour) * q).sum(-1), 0.0)
        return penalised.minimiser(mdp.backup(v)[LIVE], behaviour, behaviour)

    assert np.abs(after(first) - after(second)).max() <= mdp.discount * np.abs(first - second).max() + 1e-10


@every
@given(SEEDS, st.floats(0.1, 10.0))
def test_the_value_of_cql_h_is_below_that_of_its_policy(seed, alpha):
    """Theorem 3.3 where nothing lags: the softmax policy's value at its own fixed point."""
    mdp, _ = problem(seed)
    found = conservative_control(mdp, Exponential(penalty_weight=alpha), acting=softmax)
    assert (found.v <= policy_evaluation(mdp, found.policy).v + 1e-8).all()


def test_a_light_penalty_is_value_iteration_and_a_heavy_one_makes_the_softmax_the_behaviour():
    mdp, _ = problem(0)
    light = conservative_control(mdp, Exponential(penalty_weight=1e-9))
    np.testing.assert_allclose(light.v, value_iteration(mdp, maximum).v, atol=1e-6)
    heavy = conservative_control(mdp, Exponential(penalty_weight=1e6), acting=softmax)
    np.testing.assert_allclose(heavy.policy[LIVE], mdp.behaviour[LIVE], atol=1e-4)


def test_actions_outside_of_the_support_are_neither_taken_nor_lowered():
    mdp = random_mdp(5, 4, seed=2, support=2)
    for penalised in (Exponential(penalty_weight=0.5), Variance(penalty_weight=0.5, radius=0.2)):
        found, outside = conservative_control(mdp, penalised), mdp.behaviour == 0
        assert (found.policy[outside] == 0).all()
        np.testing.assert_allclose(found.q[outside], mdp.backup(found.v)[outside], atol=1e-9)
        assert (penalised.lowered(found.q, mdp.behaviour, found.policy)[outside] == 0).all()


def test_a_soft_policy_may_cycle_and_a_smaller_step_ends_it():
    """Where a policy that prefers the rare better action by exp(Q) sees both values rise, its mean may fall: slope below -1."""
    mdp = bandit([0.0, 76.0], behaviour=[0.5, 0.5])
    loop = np.array(mdp.transition)
    loop[0, 0] = 1.0, 0.0
    mdp = mdp.replace(transition=loop)

    def rare(q, behaviour):
        return policies.log_mean_exp(q, [1 - 1e-6, 1e-6], parameter=1.0)

    light = Exponential(penalty_weight=0.01)
    with pytest.raises(DivergedError, match="a change of"):
        conservative_control(mdp, light, acting=rare, max_iterations=2000)
    found = conservative_control(mdp, light, acting=rare, step=0.3)
    q = light.minimiser(mdp.backup(found.v)[:1], mdp.behaviour[:1], found.policy[:1])
    np.testing.assert_allclose(q, found.q[:1], atol=1e-9)


def test_a_smaller_step_ends_as_near_to_the_fixed_point():
    exact, damped = (
        conservative_control(m3(), Exponential(penalty_weight=1.0), step=step, tolerance=tolerance).q
        for step, tolerance in ((1.0, 1e-11), (0.05, 1e-6))
    )
    np.testing.assert_allclose(damped, exact, rtol=0, atol=1e-6)


def test_the_policy_before_as_the_prior_needs_a_soft_policy():
    """CQL(rho) with the greedy policy lowers what is best alone, until it is not the best: there is no fixed point to find."""
    with pytest.raises(DivergedError, match="a change of"):
        conservative_control(m3(), Exponential(penalty_weight=1.0, prior="policy"), step=0.5, max_iterations=2000)


def test_what_it_refuses():
    mdp = m3()
    for penalised, words in (
        (Exponential(penalty_weight=0.0), "penalty_weight must be above 0"),
        (Exponential(penalty_weight=1.0, prior="data"), "prior is 'uniform', 'inverse', 'policy' or an array"),
        (Variance(penalty_weight=1.0, radius=0.0), "radius must be above 0"),
    ):
        with pytest.raises(ConfigError, match=words):
            conservative_control(mdp, penalised)
    with pytest.raises(ConfigError, match="step must be above 0"):
        conservative_control(mdp, Exponential(penalty_weight=1.0), step=0.0)
    with pytest.raises(DataError, match=r"has shape \(2, 3\), not \(3, 3\)"):
        conservative_control(mdp, Exponential(penalty_weight=1.0, prior=np.ones((2, 3))))
    with pytest.raises(DataError, match="state 0 has no action of the data's support"):
        conservative_control(
            mdp.replace(behaviour=np.eye(3)), Exponential(penalty_weight=1.0, prior=np.eye(3)[[1, 1, 2]])
        )
