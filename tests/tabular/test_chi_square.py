"""The chi-square ball and its relatives against closed forms (row C7) and a general solver of constrained problems."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from extremal.tabular.chi_square import ball, divergence, penalised, penalised_in_ball

every = settings(max_examples=25, deadline=None, derandomize=True)
SEEDS = st.integers(0, 2**32 - 1)


def general(objective, weights, radius=None):
    """The maximum over distributions, in a ball about `weights` if there is a radius, by SLSQP."""
    rules = [{"type": "eq", "fun": lambda m: m.sum() - 1}]
    if radius is not None:
        rules.append({"type": "ineq", "fun": lambda m: radius - divergence(m / m.sum(), weights)})
    bounds = [(0, 1)] * len(weights)
    options = {"maxiter": 500, "ftol": 1e-14}
    found = minimize(
        lambda m: -objective(m), weights, bounds=bounds, constraints=rules, method="SLSQP", options=options
    )
    return -found.fun


def support(seed):
    random = np.random.default_rng(seed)
    actions = random.integers(2, 7)
    q = random.normal(size=actions) * random.choice([0.1, 1.0, 10.0])
    return (
        q,
        random.dirichlet(np.ones(actions)),
        random.dirichlet(np.ones(actions)),
        random.choice([0.01, 0.1, 1, 5, 50]),
    )


def test_c7_mean_and_deviation():
    """Row C7: uniform weights on (0, 1, 3), radius 0.1."""
    q, weights = np.array([0.0, 1.0, 3.0]), np.full(3, 1 / 3)
    value = ball(q, weights, radius=0.1) @ q
    assert value == pytest.approx(1.727739, abs=1e-6)
    assert value == pytest.approx(4 / 3 + np.sqrt(0.1 * q.var()), abs=1e-12)
    assert value == pytest.approx(general(lambda m: m @ q, weights, 0.1), abs=5e-7)


@every
@given(SEEDS)
def test_the_ball_has_no_better_distribution(seed):
    q, weights, _, radius = support(seed)
    mu = ball(q, weights, radius=radius)
    assert mu.min() >= 0
    assert mu.sum() == pytest.approx(1.0)
    assert divergence(mu, weights) <= radius * (1 + 1e-9)
    assert mu @ q == pytest.approx(general(lambda m: m @ q, weights, radius), abs=1e-5 * np.ptp(q))
    bound = weights @ q + np.sqrt(radius * (weights @ (q - weights @ q) ** 2))
    assert mu @ q <= bound + 1e-9
    if (mu > 0).all() and divergence(mu, weights) > 0.999 * radius:
        assert mu @ q == pytest.approx(bound)


@every
@given(SEEDS, st.sampled_from([0.1, 1.0, 5.0]))
def test_penalised_means_have_no_better_distribution(seed, alpha):
    q, prior, behaviour, radius = support(seed)
    free = penalised(q, behaviour, parameter=alpha)
    best = general(lambda m: m @ q - alpha * divergence(m, behaviour), behaviour)
    assert free @ q - alpha * divergence(free, behaviour) == pytest.approx(best, abs=1e-5 * np.ptp(q))
    held = penalised_in_ball(q, behaviour, prior, weight=alpha, radius=radius)
    assert divergence(held, prior) <= radius * (1 + 1e-9)
    best = general(lambda m: m @ q - alpha / 2 * divergence(m, behaviour), prior, radius)
    assert held @ q - alpha / 2 * divergence(held, behaviour) >= best - 1e-6 * np.ptp(q)


def test_limits_ties_and_supports():
    q, weights = np.array([3.0, 3.0, 1.0, 9.0]), np.array([0.1, 0.3, 0.6, 0.0])
    assert ball(q, weights, radius=0.0) == pytest.approx(weights)
    assert ball(q, weights, radius=100.0) == pytest.approx([0.25, 0.75, 0.0, 0.0])
    assert ball(np.full(4, 2.0), weights, radius=0.5) == pytest.approx(weights)
    assert ball(np.full(4, 2.0), weights[::-1], radius=0.5) == pytest.approx(weights[::-1])
    assert penalised(q, weights, parameter=1e-9) == pytest.approx([0.25, 0.75, 0.0, 0.0])
    assert penalised(q, weights, parameter=1e9) == pytest.approx(weights)
    assert penalised_in_ball(q, weights, weights, weight=1.0, radius=1e-12) == pytest.approx(weights, abs=1e-5)


def test_many_supports_at_once_and_a_radius_for_each():
    random = np.random.default_rng(0)
    q, weights, radius = random.normal(size=(5, 4)), random.dirichlet(np.ones(4), 5), np.array([0.01, 0.1, 1, 3, 9.0])
    one_by_one = [ball(a, b, radius=c) for a, b, c in zip(q, weights, radius, strict=True)]
    np.testing.assert_allclose(ball(q, weights, radius=radius), one_by_one, atol=1e-12)
