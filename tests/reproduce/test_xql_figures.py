"""The density, the loss, and the regression of XQL's Fig. 2, against what they must be."""

import numpy as np
import pytest
from scipy import integrate, stats

from extremal.reproduce import xql


@pytest.mark.parametrize("beta", [0.5, 1.0, 2.0])
def test_the_density_is_the_gumbel_distribution_s(beta):
    x = np.linspace(-3.0, 20.0, 50)
    np.testing.assert_allclose(xql.density(x, beta), stats.gumbel_r(0.0, beta).pdf(x), rtol=1e-12)


def test_the_loss_is_a_square_near_zero_and_lopsided_farther_off():
    near = np.array([-1e-3, 1e-3])
    np.testing.assert_allclose(xql.loss(near, 0.5), (near / 0.5) ** 2 / 2, rtol=1e-3)
    assert xql.loss(np.array(0.0), 0.5) == 0.0
    assert xql.loss(np.array(2.0), 0.5) > 10 * xql.loss(np.array(-2.0), 0.5)


@pytest.mark.parametrize("beta", [0.05, 0.2, 1.0, 50.0])
def test_the_soft_maximum_is_that_of_a_uniform_variable(beta):
    for x in (-1.7, 0.0, 1.2):
        middle, half = float(xql.centre(np.array(x))), float(xql.reach(np.array(x)))
        share = integrate.quad(
            lambda y, m=middle, r=half: np.exp((y - m - r) / beta) / (2 * r), middle - half, middle + half
        )
        assert xql.soft_maximum(np.array(x), beta) == pytest.approx(middle + half + beta * np.log(share[0]), abs=1e-7)


def test_the_soft_maximum_goes_from_mean_to_maximum():
    x = np.linspace(-2.0, 2.0, 9)
    np.testing.assert_allclose(xql.soft_maximum(x, 1e6), xql.centre(x), atol=1e-5)
    np.testing.assert_allclose(xql.soft_maximum(x, 1e-4), xql.centre(x) + xql.reach(x), atol=2e-3)


def test_the_regression_finds_it():
    """The error of a linear fit of p coefficients to n rows is sqrt(p / n) deviations, root mean square over the rows.

    The deviation is that of beta exp(z) about its mean of one, which for a uniform y is closed: Var = r coth(r) - 1 with
    r = reach / beta. Splines of 10 knots have p = 12, and are off by 0.002 themselves; double the error is allowed.
    """
    pytest.importorskip("sklearn", reason="needs scikit-learn")
    numbers = xql.compute(seed=2, points=4000)["regression"]
    x = np.asarray(numbers["x"])
    for beta, lines in numbers["by_beta"].items():
        r = xql.reach(x) / beta
        deviation = beta * np.sqrt(np.mean(r / np.tanh(r) - 1.0))
        error = np.sqrt(np.mean((np.asarray(lines["fitted"]) - lines["exact"]) ** 2))
        assert 0.0 < error < 2.0 * deviation * np.sqrt(12 / 4000) + 0.002
        assert error < 0.02 * np.ptp(lines["exact"])
