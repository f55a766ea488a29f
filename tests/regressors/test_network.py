"""Networks: known conditional statistics, exact intercepts, plateaus, and mini-batches that bias nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, optimize, stats
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import SplineTransformer

from extremal.core.errors import ConfigError, DivergedError
from extremal.regressors import ExpectileRegressor, GumbelRegressor
from extremal.regressors.functional import LogPartition
from extremal.regressors.network import Plateau

AT = np.linspace(-0.9, 0.9, 181)


def mean(x):
    return 2.0 * np.sin(3.0 * x)


def deviation(x):
    return 0.5 + 0.3 * np.cos(2.0 * x)


@pytest.fixture(scope="module")
def density():
    """20,000 points of a density on the plane: x uniform on (-1, 1), y | x normal, mean and deviation bent in x."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1.0, 1.0, 20_000)
    return x[:, None], rng.normal(mean(x), deviation(x))


def test_the_log_partition_of_a_density_on_the_plane_within_two_percent(density):
    """Against mean + deviation^2 / 2 beta, in parts of that curve's range (4.0).

    Averaged over x, a fit with k free parameters is off by a deviation of about beta sqrt((e^v - 1) k / n), where v = 0.64
    is the largest variance / beta^2: 0.019 (0.5 %) for the splines, k = 8, and 0.04 (1 %) for a network that uses 40. The
    mean is off by 8 %, so 2 % tell the log-partition from it.
    """
    truth = mean(AT) + deviation(AT) ** 2 / 2.0
    two_percent = 0.02 * np.ptp(truth)
    assert np.max(np.abs(mean(AT) - truth)) > 3.5 * two_percent
    for model in (
        make_pipeline(SplineTransformer(n_knots=6, include_bias=False), GumbelRegressor(1.0)),
        GumbelRegressor(1.0, hidden=(32, 32), learning_rate=0.01, tol=3e-4, random_state=0),
    ):
        error = model.fit(*density).predict(AT[:, None]) - truth
        assert np.max(np.abs(error)) < two_percent
        assert np.sqrt(np.mean(error**2)) < two_percent / 2.0


@pytest.mark.slow
def test_the_expectile_of_a_density_on_the_plane_within_two_percent(density):
    """A normal's expectile is mean + e deviation, where e balances excess and shortfall of a standard normal."""
    excess = lambda e: integrate.quad(lambda z: (z - e) * stats.norm.pdf(z), e, 12.0)[0]  # noqa: E731
    e = optimize.brentq(lambda e: 0.9 * excess(e) - 0.1 * (e + excess(e)), -1.0, 3.0)
    truth = mean(AT) + e * deviation(AT)
    model = ExpectileRegressor(0.9, hidden=(32, 32), learning_rate=0.01, tol=3e-4, random_state=0)
    error = model.fit(*density).predict(AT[:, None]) - truth
    assert np.max(np.abs(error)) < 0.02 * np.ptp(truth)


def test_training_rows_are_calibrated_exactly(density):
    x, y = density[0][:300], density[1][:300]
    settings = {"hidden": (8,), "tol": 0.05, "learning_rate": 0.01, "random_state": 0}
    weights = np.exp((y - GumbelRegressor(0.3, **settings, batch_size=64).fit(x, y).predict(x)) / 0.3)
    assert np.mean(weights) == pytest.approx(1.0, abs=1e-10)
    rest = y - ExpectileRegressor(0.8, **settings, batch_size=512).fit(x, y).predict(x)
    assert np.mean(np.where(rest < 0.0, 0.2, 0.8) * rest) == pytest.approx(0.0, abs=1e-10)


def test_the_bounded_loss_is_the_plain_one_for_every_error_that_a_fit_can_have():
    weight = np.array([0.7, 0.2, 0.1, 1e-9])
    with jax.enable_x64(True):
        functional = LogPartition(beta=0.5)
        highest = jnp.asarray(-0.5 * np.log(weight))  # where one row alone makes the mean of exp(error / beta) one
        np.testing.assert_array_equal(functional.bounded_loss(highest, jnp.asarray(weight)), functional.loss(highest))
        slope = jax.grad(lambda e: jnp.sum(functional.bounded_loss(e, jnp.asarray(weight))))(highest + 1e4)
        np.testing.assert_allclose(slope, (np.e / weight - 1.0) / 0.5, rtol=1e-12)
        assert np.all(functional.loss(highest + 1e4) > 1e200)


def test_a_far_outlier_overflows_nothing():
    x, y = np.arange(40.0)[:, None], np.zeros(40)
    y[7] = 1e4
    model = GumbelRegressor(0.1, hidden=(8,), tol=0.5, max_iter=60, batch_size=8, random_state=0)
    with pytest.warns(ConvergenceWarning, match="raise max_iter"):
        model.fit(x, y)
    assert np.all(np.isfinite(model.predict(x)))
    assert np.all(np.isfinite(model.loss_curve_))


def test_held_out_rows_stop_what_training_rows_do_not(density):
    """60 rows of noise, a wide network: it learns each y by heart, and is the better on fresh rows for stopping."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 4)), rng.normal(size=60)
    settings = {"hidden": (64,), "learning_rate": 0.01, "tol": 1e-3, "random_state": 0}
    by_heart = GumbelRegressor(1.0, **settings).fit(x, y)
    stopped = GumbelRegressor(1.0, validation_fraction=0.3, **settings).fit(x, y)
    assert by_heart.score(x, y) > 0.9
    assert stopped.score(x, y) < 0.6
    fresh = rng.normal(size=(500, 4)), rng.normal(size=500)
    assert stopped.score(*fresh) > by_heart.score(*fresh)


def test_the_penalty_shrinks_a_network_to_the_best_constant(density):
    x, y = density[0][:200], density[1][:200]
    model = GumbelRegressor(1.0, hidden=(8,), l2_penalty=10.0, learning_rate=0.03, tol=1e-3, random_state=0).fit(x, y)
    constant = GumbelRegressor(1.0).fit(np.zeros((200, 1)), y).predict([[0.0]])
    np.testing.assert_allclose(model.predict(x), constant[0], atol=0.02)


def test_a_plateau_is_a_wait_without_improvement_and_begins_anew():
    plateau = Plateau(tolerance=0.1)
    values = [1.0, 0.5, *[0.45] * 10, 0.2, *[0.3] * 10]
    reached = []
    for turn, value in enumerate(values):
        better = plateau.improves(value)
        assert better == (value < min([np.inf, *values[:turn]]))
        if plateau.reached():
            reached.append(turn)
    assert reached == [11, 22]


def test_a_rate_that_is_far_too_high_is_named():
    rng = np.random.default_rng(0)
    model = GumbelRegressor(1.0, hidden=(8, 8), learning_rate=1e200, random_state=0)
    with pytest.raises(DivergedError, match="lower `learning_rate`"):
        model.fit(rng.normal(size=(50, 2)), rng.normal(size=50))


def test_one_row_cannot_be_held_out():
    with pytest.raises(ConfigError, match="more samples"):
        GumbelRegressor(1.0, hidden=(8,), validation_fraction=0.1).fit([[1.0]], [1.0])
