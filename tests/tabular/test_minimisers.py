"""Each loss is least at the exact operator of the same name, on any weighted support; and what n samples leave of it."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import optimize

from extremal import tabular
from extremal.losses.value import gumbel_regression
from extremal.objectives.sampled import ExpectedMaximum, Maximum, SoftExpectedMaximum
from extremal.objectives.statistic import Expectile, Gumbel, KLBall, Mean, Quantile

ACTIONS = 5
values = st.lists(st.floats(-5.0, 5.0), min_size=ACTIONS, max_size=ACTIONS).map(np.asarray)
shares = st.lists(st.floats(0.02, 1.0), min_size=ACTIONS, max_size=ACTIONS).map(lambda x: np.asarray(x) / np.sum(x))


@jax.jit
def expected_loss(statistic, head, q, weights):
    """The mean loss of one head, and its slope; the numbers of a statistic are leaves, so each kind is compiled once."""
    loss = lambda head: jnp.sum(weights * statistic.loss(q, jnp.broadcast_to(head, (*q.shape, *head.shape))))  # noqa: E731
    return jax.value_and_grad(loss)(head)


def minimiser(statistic, q, weights):
    """The head at which the slope changes its sign, between the lowest and the highest Q."""
    slope = lambda v: float(expected_loss(statistic, jnp.asarray(v), jnp.asarray(q), jnp.asarray(weights))[1])  # noqa: E731
    low, high = float(q.min()) - 1e-3, float(q.max()) + 1e-3
    return statistic.value(optimize.brentq(slope, low, high, xtol=1e-12, rtol=1e-14))


# Each statistic of a level in (0, 1), and the operator with its parameter.
KINDS = {
    "mean": lambda level: (Mean(), tabular.mean, {}),
    "expectile": lambda level: (Expectile(expectile=level), tabular.expectile, {"parameter": level}),
    "quantile": lambda level: (Quantile(quantile=level), tabular.quantile, {"parameter": level}),
    "log_mean_exp": lambda level: (
        Gumbel(beta=4 * level, clip=jnp.inf),
        tabular.log_mean_exp,
        {"parameter": 4 * level},
    ),
}


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=20, deadline=None)
@given(q=values, weights=shares, level=st.floats(0.1, 0.95))
def test_a_loss_is_least_at_its_operator(kind, q, weights, level):
    if kind == "quantile":  # where the lower actions have exactly the level, the loss is flat between two values of Q
        assume(np.all(np.abs(np.cumsum(weights[np.argsort(q)]) - level) > 1e-6))
    statistic, operator, parameter = KINDS[kind](level)
    with jax.enable_x64(True):
        found = minimiser(statistic, q, weights)
    assert float(found) == pytest.approx(float(operator(q, weights, **parameter)), abs=1e-6)


@settings(max_examples=20, deadline=None)
@given(q=values, weights=shares, share=st.floats(0.05, 0.8))
def test_the_kl_ball_s_loss_is_least_at_the_kl_ball(q, weights, share):
    """The radius is a share of the largest that the support allows; beyond it beta goes to its floor."""
    q = q + np.linspace(0.0, 1.0, ACTIONS)  # all Q the same is the test of the floor
    best = q == q.max()
    kappa = share * -np.log(weights[best].sum())
    statistic = KLBall(kappa=kappa, clip=jnp.inf, floor=1e-6)

    def loss(head):
        value, slope = expected_loss(statistic, jnp.asarray(head), jnp.asarray(q), jnp.asarray(weights))
        return float(value), np.asarray(slope)

    with jax.enable_x64(True):
        start = np.asarray([weights @ q, np.log(np.ptp(q))])
        found = optimize.minimize(loss, start, jac=True, method="BFGS", options={"gtol": 1e-10})
        value = float(statistic.value(jnp.asarray(found.x)))
        weight = np.asarray(statistic.weight(jnp.asarray(q), jnp.broadcast_to(jnp.asarray(found.x), (ACTIONS, 2))))
    assert value == pytest.approx(float(tabular.kl_ball(q, weights, parameter=kappa)), abs=1e-6)
    np.testing.assert_allclose(weights * weight, tabular.policies.kl_ball(q, weights, parameter=kappa), atol=1e-4)


def every_draw(statistic, q, weights, samples):
    """The mean over all tuples of actions: what the square of V - statistic is least at."""
    tuples = np.asarray(list(itertools.product(range(q.size), repeat=samples)))
    found = np.asarray(statistic.value(jnp.asarray(q[tuples].T)))
    return np.prod(weights[tuples], axis=1) @ found


@pytest.mark.parametrize("samples", [1, 2, 4])
@settings(max_examples=15, deadline=None)
@given(q=values, weights=shares, inverse=st.floats(0.0, 3.0))
def test_the_mean_over_all_draws_is_the_operator(samples, q, weights, inverse):
    with jax.enable_x64(True):
        largest = every_draw(ExpectedMaximum(samples=samples), q, weights, samples)
        soft = every_draw(SoftExpectedMaximum(samples=samples, inverse_temperature=inverse), q, weights, samples)
        support = Maximum(share=0.01).value(jnp.asarray(q[:, None]))
    assert largest == pytest.approx(float(tabular.expected_maximum(q, weights, parameter=samples)), abs=1e-9)
    exact = tabular.soft_expected_maximum(q, weights, parameter=samples, inverse_temperature=inverse)
    assert soft == pytest.approx(float(exact), abs=1e-6)
    assert float(support[0]) == pytest.approx(float(tabular.maximum(q, weights)), abs=1e-12)


# ---- what n samples leave of it -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("samples", "known"), [(1, 0.0), (2, 0.5642), (5, 1.1630), (10, 1.5388), (50, 2.2491)])
def test_the_largest_of_n_normals(samples, known):
    draws = np.random.default_rng(samples).normal(size=(samples, 100_000)).astype(np.float32)
    largest = np.asarray(ExpectedMaximum(samples=samples).value(jnp.asarray(draws)))
    error = 4 * largest.std() / np.sqrt(largest.size)  # four standard errors
    assert largest.mean(dtype=np.float64) == pytest.approx(known, abs=error + 5e-5)


def test_the_exponential_of_a_soft_maximum_of_n_samples_has_no_bias_and_the_soft_maximum_is_too_low():
    """Lemma 3.3: for the minimiser L of 16 samples' mean loss, E exp(L / beta) = E exp(x / beta).

    So E L lies below (Jensen), to first order by beta (exp((sigma / beta)^2) - 1) / 2n for normal x; the next order is
    about 1 % of that here.
    """
    count, beta, resamples = 16, 2.0, 100_000
    x = jnp.asarray(np.random.default_rng(0).normal(size=(resamples, count)), jnp.float32)
    slope = jax.jit(jax.vmap(jax.grad(lambda v, x: jnp.mean(gumbel_regression(x - v, beta=beta)))))
    start = jnp.zeros(resamples)
    found = start + beta * jnp.log1p(-beta * slope(start, x))  # 1 - beta slope is the mean of exp(z)
    np.testing.assert_allclose(slope(found, x), 0.0, atol=1e-6)
    found = np.asarray(found, np.float64)
    power = np.exp(found / beta)
    assert power.mean() == pytest.approx(np.exp(1 / (2 * beta**2)), abs=3 * power.std() / np.sqrt(resamples))
    bias = found.mean() - 1 / (2 * beta)
    first = -beta * np.expm1(1 / beta**2) / (2 * count)
    assert bias == pytest.approx(first, abs=0.05 * abs(first) + 4 * found.std() / np.sqrt(resamples))
