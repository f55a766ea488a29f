"""Linear models: closed forms, first-order conditions, and what every fit must keep."""

import numpy as np
import pytest
from scipy import special, stats
from sklearn.exceptions import ConvergenceWarning

from extremal.regressors import ExpectileRegressor, GumbelRegressor
from extremal.regressors.functional import AsymmetricMean


def soft_maximum(y, beta):
    return beta * (special.logsumexp(y / beta) - np.log(len(y)))


def constant(rows: int) -> np.ndarray:
    return np.full((rows, 1), 3.0)


@pytest.fixture(scope="module")
def sample():
    """300 rows of skewed y, its columns of very different size."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 3)) * [1e-4, 1.0, 1e4] + [0.0, 5.0, -1e4]
    y = x @ [1e4, -1.0, 2e-4] + (1.0 + 0.3 * np.tanh(x[:, 1] - 5.0)) * rng.gumbel(size=300)
    return x, y


# ---- closed forms ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("beta", [1e-3, 0.1, 1.0, 10.0, 1e3, 1e5])
def test_with_only_an_intercept_gumbel_regression_is_the_log_mean_exponential(beta):
    y = np.random.default_rng(0).normal(1.0, 2.0, 50)
    found = GumbelRegressor(beta).fit(constant(50), y).predict([[3.0]])
    assert found == pytest.approx(soft_maximum(y, beta), abs=1e-8)


def test_far_outliers_overflow_nothing():
    y = np.array([0.0, 1.0, 1e6])
    assert GumbelRegressor(1e-3).fit(constant(3), y).predict([[3.0]]) == pytest.approx(soft_maximum(y, 1e-3), abs=1e-8)
    huge = np.array([-1e300, 0.0, 1e300])
    assert GumbelRegressor(1e299).fit(constant(3), huge).predict([[3.0]]) == pytest.approx(soft_maximum(huge, 1e299))


@pytest.mark.parametrize(("level", "exact"), [(0.7, 0.604356), (0.9, 0.75), (0.95, 0.813395)])
def test_expectiles_of_the_uniform_distribution(level, exact):
    y = (np.arange(20_000) + 0.5) / 20_000  # midpoints: the integrals are right to the square of the spacing
    assert ExpectileRegressor(level).fit(constant(20_000), y).predict([[3.0]]) == pytest.approx(exact, abs=1e-5)


@pytest.mark.parametrize(("level", "exact"), [(0.7, 0.33712), (0.8, 0.54916), (0.9, 0.86159), (0.95, 1.14017)])
def test_expectiles_of_the_normal_distribution(level, exact):
    y = np.linspace(-9.0, 9.0, 20_001)
    model = ExpectileRegressor(level).fit(constant(20_001), y, sample_weight=stats.norm.pdf(y))
    assert model.predict([[3.0]]) == pytest.approx(exact, abs=1e-5)


@pytest.mark.parametrize(("p", "level", "exact"), [(0.5, 0.9, 0.9), (0.1, 0.95, 0.678571)])
def test_expectiles_of_a_coin(p, level, exact):
    weight = np.float32([1.0 - p, p])
    assert AsymmetricMean(expectile=level).constant(np.float32([0.0, 1.0]), weight) == pytest.approx(exact, abs=1e-5)
    model = ExpectileRegressor(level).fit(constant(2), [0.0, 1.0], sample_weight=[1.0 - p, p])
    assert model.predict([[3.0]]) == pytest.approx(exact, abs=1e-6)


def test_the_expectile_of_level_one_half_is_least_squares(sample):
    x, y = sample
    design = np.column_stack([x, np.ones(300)])
    design = design / np.linalg.norm(design, axis=0)
    best = design @ np.linalg.lstsq(design, y)[0]
    np.testing.assert_allclose(ExpectileRegressor(0.5).fit(x, y).predict(x), best, atol=1e-9)


# ---- first-order conditions -----------------------------------------------------------------------------------------


def columns(x):
    return np.column_stack([(x - x.mean(axis=0)) / x.std(axis=0), np.ones(len(x))])


@pytest.mark.parametrize("beta", [1e-3, 0.05, 1.0, 100.0])
def test_the_weights_of_a_gumbel_fit_have_the_means_of_the_data(sample, beta):
    x, y = sample
    model = GumbelRegressor(beta).fit(x, y)
    weights = np.exp((y - model.predict(x)) / beta)
    np.testing.assert_allclose(columns(x).T @ (weights - 1.0) / len(y), 0.0, atol=1e-8)


@pytest.mark.parametrize("level", [1e-3, 0.3, 0.7, 0.999])
def test_excess_and_shortfall_of_an_expectile_fit_balance(sample, level):
    x, y = sample
    rest = y - ExpectileRegressor(level).fit(x, y).predict(x)
    np.testing.assert_allclose(
        columns(x).T @ (np.where(rest < 0.0, 1.0 - level, level) * rest) / len(y), 0.0, atol=1e-9
    )


def test_the_penalty_moves_the_gradient_by_the_coefficients(sample):
    x, y = sample
    beta, penalty = 1.0, 0.3
    model = GumbelRegressor(beta, l2_penalty=penalty).fit(x, y)
    weights = np.exp((y - model.predict(x)) / beta)
    slope = columns(x)[:, :3].T @ (weights - 1.0) / len(y)
    unit = max(1.0, (beta / y.std()) ** 2)
    np.testing.assert_allclose(
        unit * slope * y.std() / beta, penalty * model.coef_ * x.std(axis=0) / y.std(), rtol=1e-6, atol=1e-9
    )


def test_columns_that_depend_on_each_other_share_the_work(sample):
    x, y = sample
    twice = np.column_stack([x, x[:, 0], np.full(300, 7.0)])
    for model in (GumbelRegressor(0.5), ExpectileRegressor(0.9)):
        expected = model.fit(x, y).predict(x)
        model.fit(twice, y)
        np.testing.assert_allclose(model.predict(twice), expected, atol=1e-8)
        assert model.coef_[0] == pytest.approx(model.coef_[3])
        assert model.coef_[4] == pytest.approx(0.0, abs=1e-12)


# ---- what every fit must keep ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [GumbelRegressor(0.7), ExpectileRegressor(0.9)], ids=["gumbel", "expectile"])
def test_a_weight_counts_as_repetition(sample, model):
    x, y = sample
    counts = np.random.default_rng(1).integers(0, 4, 300)
    weighted = model.fit(x, y, sample_weight=counts).predict(x)
    repeated = model.fit(np.repeat(x, counts, axis=0), np.repeat(y, counts)).predict(x)
    np.testing.assert_allclose(weighted, repeated, atol=1e-9)


def test_shift_and_scale_of_y_shift_and_scale_the_prediction(sample):
    x, y = sample
    for scale, shift in ((1.0, 1e3), (1e-6, 0.0), (1e5, -2.0)):
        for model, scaled in (
            (GumbelRegressor(0.7), GumbelRegressor(0.7 * scale)),
            (ExpectileRegressor(0.9), ExpectileRegressor(0.9)),
        ):
            expected = scale * model.fit(x, y).predict(x) + shift
            np.testing.assert_allclose(scaled.fit(x, scale * y + shift).predict(x), expected, atol=1e-8 * scale)
    doubled = GumbelRegressor(1.4).fit(x, 2.0 * y).predict(x)
    np.testing.assert_array_equal(
        doubled, 2.0 * GumbelRegressor(0.7).fit(x, y).predict(x)
    )  # by a power of two: exactly


def test_scale_of_x_does_not_matter(sample):
    x, y = sample
    moved = x * [1e7, 1e-3, 3.0] + [1.0, 2.0, 3.0]
    for model in (GumbelRegressor(0.7), ExpectileRegressor(0.9)):
        np.testing.assert_allclose(model.fit(moved, y).predict(moved), model.fit(x, y).predict(x), atol=1e-7)


def test_the_smaller_beta_the_higher_the_fit_and_a_large_one_gives_the_mean(sample):
    x, y = sample
    levels = [GumbelRegressor(beta).fit(constant(300), y).predict([[3.0]])[0] for beta in (1e-3, 0.1, 1.0, 10.0, 1e4)]
    assert levels == sorted(levels, reverse=True)
    mean = ExpectileRegressor(0.5).fit(x, y).predict(x)
    np.testing.assert_allclose(GumbelRegressor(1e6).fit(x, y).predict(x), mean, atol=1e-4)


def test_too_few_steps_warn_and_say_what_to_do(sample):
    with pytest.warns(
        ConvergenceWarning, match=r"GumbelRegressor has not converged in 2 iterations: raise max_iter \(now 2\)"
    ):
        GumbelRegressor(0.01, max_iter=2).fit(*sample)


# ---- an exact truth -------------------------------------------------------------------------------------------------


def test_mean_and_variance_linear_in_x_make_a_linear_log_partition():
    """y | x ~ N(2 x, 0.4 + 0.24 x), beta = 1: the truth is 2 x + (0.4 + 0.24 x) / 2, of range 4.24.

    By the sandwich formula the estimate at x is off by a deviation of at most beta sqrt((e^v - 1) (1 + 3 x^2) / n), where
    v = 0.64 is the largest variance / beta^2: 0.0134 for n = 20,000, so that 2 % of the range, 0.085, are six of them.
    """
    rng = np.random.default_rng(0)
    x = rng.uniform(-1.0, 1.0, 20_000)
    y = rng.normal(2.0 * x, np.sqrt(0.4 + 0.24 * x))
    at = np.array([-1.0, 0.0, 1.0])
    found = GumbelRegressor(1.0).fit(x[:, None], y).predict(at[:, None])
    np.testing.assert_allclose(found, 2.0 * at + (0.4 + 0.24 * at) / 2.0, atol=4 * 0.0134)
