"""scikit-learn's interface: its own checks, pipelines and searches, scores, and what is refused."""

import importlib
import pickle
import sys

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.metrics import d2_tweedie_score, r2_score
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from extremal.core.errors import ConfigError, MissingExtraError
from extremal.regressors import ExpectileRegressor, GumbelRegressor

QUICK = {"hidden": (8,), "learning_rate": 0.03, "tol": 0.02}
BOTH = pytest.mark.parametrize("estimator", [GumbelRegressor, ExpectileRegressor])


@pytest.fixture(scope="module")
def sample():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 2))
    return x, x[:, 0] + rng.normal(size=120)


@pytest.mark.parametrize(
    "estimator",
    [
        pytest.param(GumbelRegressor(), id="gumbel-linear"),
        pytest.param(ExpectileRegressor(), id="expectile-linear"),
        pytest.param(GumbelRegressor(**QUICK), id="gumbel-network", marks=pytest.mark.slow),
        pytest.param(ExpectileRegressor(**QUICK), id="expectile-network", marks=pytest.mark.slow),
    ],
)
def test_every_check_of_scikit_learn_passes(estimator):
    results = check_estimator(estimator, on_fail=None, on_skip=None)
    assert [r["check_name"] for r in results if r["status"] not in ("passed", "skipped")] == []
    skipped = [str(r["exception"]) for r in results if r["status"] == "skipped"]
    assert all("is not installed" in why or "SCIPY_ARRAY_API" in why for why in skipped)
    assert len(results) - len(skipped) > 50


@BOTH
def test_clones_and_pickles_predict_the_same_in_float64(estimator, sample):
    x, y = sample
    model = estimator(hidden=(8,), max_iter=50, tol=0.1, learning_rate=0.01, random_state=3).fit(x, y)
    expected = model.predict(x.astype(np.float32))
    assert expected.dtype == np.float64
    assert estimator().fit(x.astype(np.float32), y.astype(np.float32)).predict(x).dtype == np.float64
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(x.astype(np.float32)), expected)
    copy = clone(model)
    assert copy.get_params() == model.get_params()
    np.testing.assert_array_equal(copy.fit(x, y).predict(x.astype(np.float32)), expected)
    other = clone(model).set_params(random_state=4).fit(x, y)
    assert np.any(other.predict(x) != model.predict(x))


def test_a_search_over_beta_in_a_pipeline(sample):
    x, y = sample
    search = GridSearchCV(
        make_pipeline(StandardScaler(), GumbelRegressor()), {"gumbelregressor__beta": [0.5, 1.0, 2.0]}, cv=KFold(3)
    )
    search.fit(x, y)
    train, test = list(KFold(3).split(x))[1]
    expected = [GumbelRegressor(beta).fit(x[train], y[train]).score(x[test], y[test]) for beta in (0.5, 1.0, 2.0)]
    np.testing.assert_allclose(search.cv_results_["split1_test_score"], expected, rtol=1e-9)
    best = search.best_params_["gumbelregressor__beta"]
    np.testing.assert_allclose(search.predict(x), GumbelRegressor(best).fit(x, y).predict(x), atol=1e-9)


def test_fitting_again_as_the_other_kind_forgets_the_first(sample):
    x, y = sample
    model = GumbelRegressor(**QUICK).fit(x, y)
    model.set_params(hidden=()).fit(x, y)
    np.testing.assert_array_equal(model.predict(x), GumbelRegressor(tol=QUICK["tol"]).fit(x, y).predict(x))
    assert not hasattr(model, "network_")


# ---- scores ---------------------------------------------------------------------------------------------------------


def test_the_gumbel_score_is_that_of_the_gamma_deviance(sample):
    x, y = sample
    model = GumbelRegressor(1.5).fit(x, y)
    weight = np.random.default_rng(1).uniform(size=120)
    told = d2_tweedie_score(np.exp(y / 1.5), np.exp(model.predict(x) / 1.5), sample_weight=weight, power=2)
    assert model.score(x, y, weight) == pytest.approx(told, abs=1e-12)
    assert GumbelRegressor(1e4).fit(x, y).score(x, y) == pytest.approx(
        r2_score(y, ExpectileRegressor(0.5).fit(x, y).predict(x)), abs=1e-4
    )


def test_the_expectile_score_is_that_of_its_loss(sample):
    x, y = sample
    model = ExpectileRegressor(0.8).fit(x, y)
    loss = lambda f: np.mean(np.where(y < f, 0.2, 0.8) * (y - f) ** 2)  # noqa: E731
    constant = ExpectileRegressor(0.8).fit(np.zeros((120, 1)), y).predict([[0.0]])
    assert model.score(x, y) == pytest.approx(1.0 - loss(model.predict(x)) / loss(constant), abs=1e-12)
    middle = ExpectileRegressor(0.5).fit(x, y)
    assert middle.score(x, y) == pytest.approx(r2_score(y, middle.predict(x)), abs=1e-12)


@BOTH
def test_the_best_constant_scores_zero_the_truth_one_and_everything_else_less_than_the_fit(estimator, sample):
    x, y = sample
    assert estimator().fit(np.zeros((120, 1)), y).score(np.zeros((120, 1)), y) == pytest.approx(0.0, abs=1e-12)
    assert estimator().fit(x, x[:, 0]).score(x, x[:, 0]) == pytest.approx(1.0)
    model = estimator().fit(x, y)
    best = model.score(x, y)
    for name, change in (("intercept_", 0.05), ("intercept_", -0.05), ("coef_", np.array([0.0, 0.05]))):
        moved = pickle.loads(pickle.dumps(model))
        setattr(moved, name, getattr(moved, name) + change)
        assert moved.score(x, y) < best


def test_a_score_without_a_spread_is_all_or_nothing_and_one_far_away_is_below_any_other():
    flat = GumbelRegressor().fit([[0.0], [1.0]], [2.0, 2.0])
    assert flat.score([[0.0], [1.0]], [2.0, 2.0]) == 1.0
    assert flat.score([[0.0], [1.0]], [3.0, 3.0]) == 0.0
    assert GumbelRegressor(1e-3).fit([[0.0], [1.0]], [0.0, 0.1]).score([[0.0], [1.0]], [0.0, 9.0]) < -1e200


# ---- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("estimator", "name", "value", "words"),
    [
        (GumbelRegressor, "beta", 0.0, "above 0"),
        (GumbelRegressor, "beta", -1.0, "above 0"),
        (GumbelRegressor, "beta", float("inf"), "above 0"),
        (GumbelRegressor, "beta", "1", "above 0"),
        (GumbelRegressor, "beta", 10**400, "in units of y"),
        (GumbelRegressor, "beta", 1e-320, "in units of y"),
        (ExpectileRegressor, "expectile", 0.0, "below 1"),
        (ExpectileRegressor, "expectile", 1.0, "below 1"),
        (ExpectileRegressor, "expectile", float("nan"), "below 1"),
        (GumbelRegressor, "hidden", (8, 0), "expected int from 1 up"),
        (GumbelRegressor, "hidden", 8, "widths"),
        (GumbelRegressor, "l2_penalty", -1.0, "from 0 up"),
        (GumbelRegressor, "learning_rate", 0.0, "above 0"),
        (GumbelRegressor, "batch_size", 0, "int from 1 up"),
        (GumbelRegressor, "max_iter", 1.5, "int from 1 up"),
        (GumbelRegressor, "tol", 0.0, "above 0"),
        (GumbelRegressor, "validation_fraction", 1.0, "from 0 to below 1"),
    ],
)
def test_an_impossible_setting_is_named_and_told_what_is_possible(estimator, name, value, words, sample):
    with pytest.raises(ConfigError, match=rf"{estimator.__name__}: .*{name}.*{words}") as caught:
        estimator().set_params(**{name: value}).fit(*sample)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("weight", [[-1.0, 2.0], [0.0, 0.0]])
def test_weights_that_count_nothing_are_refused(weight):
    with pytest.raises(ValueError, match=r"[Nn]egative|zero"):
        GumbelRegressor().fit([[0.0], [1.0]], [0.0, 1.0], sample_weight=weight)


def test_without_scikit_learn_the_extra_that_brings_it_is_named(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("extremal.regressors")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'extremal\[sklearn\]'"):
        importlib.import_module("extremal.regressors")


def test_double_precision_stays_inside(sample):
    GumbelRegressor(hidden=(8,), max_iter=1000, tol=1.0).fit(*sample).predict(sample[0])
    assert jnp.zeros(1).dtype == jnp.float32
