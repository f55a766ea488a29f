"""The estimators: scikit-learn's interface around the two fits."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Self

import jax
import numpy as np

from extremal.core.checked import admitted
from extremal.core.errors import ConfigError, require
from extremal.core.ranges import Between, Count, NotNegative, Part, Positive
from extremal.regressors.functional import AsymmetricMean, Functional, LogPartition
from extremal.regressors.linear import fit_linear
from extremal.regressors.network import Schedule, evaluate, fit_network
from extremal.regressors.rows import Rows, Scale

require("sklearn", extra="sklearn", purpose="a regressor")

from sklearn.base import BaseEstimator, RegressorMixin  # noqa: E402
from sklearn.exceptions import ConvergenceWarning, UndefinedMetricWarning  # noqa: E402
from sklearn.utils import check_random_state  # noqa: E402
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data  # noqa: E402

_RANGES = {
    "l2_penalty": NotNegative,
    "learning_rate": Positive,
    "batch_size": Count,
    "max_iter": Count,
    "tol": Positive,
    "validation_fraction": Part,
}


class _Regressor(RegressorMixin, BaseEstimator, ABC):
    """What the two estimators share: everything but the statistic."""

    hidden: Sequence[int]
    l2_penalty: float
    learning_rate: float
    batch_size: int
    validation_fraction: float
    max_iter: int
    tol: float
    random_state: Any

    @abstractmethod
    def _functional(self) -> Functional:
        """The statistic, its parameter checked."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit to X [N, D] and y [N]; `sample_weight` [N] counts a row as often as it says (default: once)."""
        functional = self._functional()
        self._check_settings()
        X, y = validate_data(self, X, y, dtype=np.float64, y_numeric=True)
        weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        counts = weight > 0.0
        x, y, weight = X[counts], np.asarray(y, np.float64)[counts], weight[counts] / weight.max()
        weight = weight / weight.sum()
        self._x, self._y = Scale.of(x, weight), Scale.of(y, weight)
        rows = Rows(self._x(x), self._y(y), weight)
        functional = functional.scaled(float(self._y.deviation))
        for name in ("coef_", "intercept_", "network_", "loss_curve_"):  # of an earlier fit, maybe of the other kind
            vars(self).pop(name, None)
        converged = (self._fit_network if len(self.hidden) else self._fit_linear)(functional, rows)
        if not converged:
            warnings.warn(self._advice(), ConvergenceWarning, stacklevel=2)
        return self

    def _fit_linear(self, functional: Functional, rows: Rows) -> bool:
        fit = fit_linear(functional, rows, penalty=self.l2_penalty, tolerance=self.tol, max_iter=self.max_iter)
        self.coef_ = fit.coefficients * self._y.deviation / self._x.deviation
        self.intercept_ = float(self._y.centre + self._y.deviation * fit.intercept - self._x.centre @ self.coef_)
        self.n_iter_ = fit.steps
        return fit.converged

    def _fit_network(self, functional: Functional, rows: Rows) -> bool:
        if self.validation_fraction and len(rows.y) < 2:
            raise ConfigError("one sample leaves none to train on: give validation_fraction=0, or more samples")
        fit = fit_network(
            functional,
            rows,
            Schedule(penalty=self.l2_penalty, rate=self.learning_rate, batch=self.batch_size),
            hidden=tuple(self.hidden),
            seed=int(check_random_state(self.random_state).randint(2**31 - 1)),
            held_out=self.validation_fraction,
            tolerance=self.tol,
            max_iter=self.max_iter,
        )
        self.network_, self.loss_curve_, self.n_iter_ = fit.network, fit.history, fit.turns
        return fit.converged

    def predict(self, X: Any) -> np.ndarray:
        """[N] the statistic of y at each row of X [N, D], float64."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        if not hasattr(self, "network_"):
            return X @ self.coef_ + self.intercept_
        return self._y.centre + self._y.deviation * evaluate(self.network_, self._x(X))

    def _d2(self, X: Any, y: Any, sample_weight: Any) -> float:
        """1 - mean loss / mean loss of the best constant."""
        predicted = self.predict(X)
        y = np.asarray(y, np.float64).ravel()
        if len(y) < 2:
            warnings.warn("the score is not defined with less than two samples", UndefinedMetricWarning, stacklevel=3)
            return float("nan")
        weight = _check_sample_weight(sample_weight, y[:, None], dtype=np.float64, ensure_non_negative=True)
        counts = weight > 0.0
        y, predicted, weight = y[counts], predicted[counts], weight[counts] / weight.sum()
        scale = Scale.of(y, weight)
        functional = self._functional().scaled(float(scale.deviation))
        losses = _losses(functional, Rows(scale(predicted)[:, None], scale(y), weight))
        loss, base = (float(weight @ each) for each in losses)
        if base == 0.0:  # y is constant: all or nothing, as elsewhere in scikit-learn
            return float(loss == 0.0)
        return 1.0 - loss / base

    def _check_settings(self) -> None:
        """Refuse what cannot be, in words that say what can."""
        if not isinstance(self.hidden, Sequence | np.ndarray) or isinstance(self.hidden, str):
            raise ConfigError(
                f"{type(self).__name__}: hidden={self.hidden!r}; give the widths of the hidden layers, such as (64, 64), or () "
                "for none"
            )
        for width in self.hidden:
            admitted(f"{type(self).__name__}: a width in hidden={self.hidden!r}", width, Count)
        for name, hint in _RANGES.items():
            self._number(name, hint)

    def _number(self, name: str, hint: Any, advice: str = "") -> Any:
        """A setting as Python's own number, if it is one of `hint`; all that is computed here is float64."""
        try:
            return admitted(f"{type(self).__name__}: {name}", getattr(self, name), hint, bits=64)
        except ConfigError as error:
            raise ConfigError(f"{error}{advice}") from None

    def _advice(self) -> str:
        what = f"{type(self).__name__} has not converged in {self.n_iter_} iterations: "
        if len(self.hidden):
            return what + f"raise max_iter (now {self.max_iter}), learning_rate, or tol (now {self.tol:g})"
        if self.n_iter_ < self.max_iter:
            return what + "no step makes progress beyond rounding; give l2_penalty > 0, or a larger tol"
        return what + f"raise max_iter (now {self.max_iter})"


class GumbelRegressor(_Regressor):
    """Conditional log-partition values, beta log E[exp(y / beta) | x], by Gumbel regression.

    The smaller beta, the nearer to the largest y that occurs at x; the larger, the nearer to the mean. The loss is the
    plain one, without a clip, which would bias the estimate. Outliers in y therefore count by exp(y / beta): that is
    what is estimated, not a fault of the estimator.

    A linear model (`hidden` empty) is fitted to convergence by Newton's method; settings marked (network) say nothing
    to it. A network is trained by Adam, with an intercept that is exact after each turn over the rows, and is
    deterministic given `random_state`. In and out, y and X are in their own units; inside they are standardised.

    Source: [garg2023] Eq. (7), Sec. 3.2. Symbols: beta > 0.

    Args:
        beta: temperature, in units of y.
        hidden: widths of the hidden layers; none makes a linear model.
        l2_penalty: times half the squared weights (not the intercept) for standardised X and y, added to the mean loss.
        learning_rate: of Adam, until the first plateau. (network)
        batch_size: rows of a mini-batch; up to so many rows are used all at once. (network)
        validation_fraction: share of the rows on which plateaus are seen, and which train nothing. A network that has
            learnt each y by heart estimates y, not the statistic: only held-out loss can tell. (network)
        max_iter: most Newton steps, or turns over the rows (of at least 20 updates).
        tol: a linear model has converged where a step would gain less than tol^2 / 2 of the objective; a network has a
            plateau where ten turns gain less than tol.
        random_state: seed or generator of initial weights and mini-batches. (network)

    Attributes:
        coef_, intercept_: of a linear model, in units of y and X.
        network_, loss_curve_: of a network: its weights, and the objective after each turn.
        n_iter_: Newton steps or turns.

    >>> model = GumbelRegressor(beta=1.0).fit([[0.0], [0.0]], [0.0, 1.0])
    >>> model.predict([[0.0]]).round(6).tolist()  # log of the mean of 1 and e
    [0.620115]
    """

    def __init__(
        self,
        beta: float = 1.0,
        *,
        hidden: Sequence[int] = (),
        l2_penalty: float = 0.0,
        learning_rate: float = 3e-3,
        batch_size: int = 512,
        validation_fraction: float = 0.0,
        max_iter: int = 1000,
        tol: float = 1e-5,
        random_state: Any = None,
    ):
        self.beta = beta
        self.hidden = hidden
        self.l2_penalty = l2_penalty
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.validation_fraction = validation_fraction
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state

    def _functional(self) -> LogPartition:
        advice = (
            " in units of y, such as half its deviation (for the mean or the maximum themselves use another regressor)"
        )
        return LogPartition(beta=self._number("beta", Positive, advice))

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """D^2 of the Gumbel loss: 1 - its mean / its mean for the best constant. At most 1; 0 for the best constant.

        The loss is minimised in expectation by the log-partition value alone (it is strictly consistent for it), so no
        other prediction is expected to score higher; and of the losses that are, it is the only one that a shift of y
        and prediction leaves alone. It is half the Gamma deviance of exp(y / beta) from exp(prediction / beta), so this
        is scikit-learn's `d2_tweedie_score` of power 2 on that scale. As beta grows it becomes R^2.

        Scores of different beta measure different statistics: they do not say which beta is better. A test row far
        above its prediction costs exponentially much; the score may be hugely negative, or -inf.
        """
        return self._d2(X, y, sample_weight)


class ExpectileRegressor(_Regressor):
    """Conditional expectiles of y given x, by asymmetric least squares.

    Around the expectile of level t, the mean excess of y times t equals its mean shortfall times 1 - t. One half gives
    the mean, and towards 1 it is the largest y that occurs at x.

    Source: [kostrikov2021] Sec. 4.1. Symbols: expectile in (0, 1), tau in the paper.

    Args:
        expectile: the level, above 0 and below 1.
        hidden, l2_penalty, learning_rate, batch_size, validation_fraction, max_iter, tol, random_state: as for
            `GumbelRegressor`, and so are the attributes.

    >>> model = ExpectileRegressor(expectile=0.75).fit([[0.0], [0.0]], [0.0, 1.0])
    >>> model.predict([[0.0]]).round(6).tolist()
    [0.75]
    """

    def __init__(
        self,
        expectile: float = 0.7,
        *,
        hidden: Sequence[int] = (),
        l2_penalty: float = 0.0,
        learning_rate: float = 3e-3,
        batch_size: int = 512,
        validation_fraction: float = 0.0,
        max_iter: int = 1000,
        tol: float = 1e-5,
        random_state: Any = None,
    ):
        self.expectile = expectile
        self.hidden = hidden
        self.l2_penalty = l2_penalty
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.validation_fraction = validation_fraction
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state

    def _functional(self) -> AsymmetricMean:
        return AsymmetricMean(expectile=self._number("expectile", Between, " (0.5 is the mean, 0.7 or 0.9 are usual)"))

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """D^2 of the expectile loss: 1 - its mean / its mean for the best constant. At most 1; 0 for the best constant.

        The loss is minimised in expectation by the expectile alone (it is strictly consistent for it), and the ratio
        has no units. At level one half it is R^2. Scores of different levels measure different statistics.
        """
        return self._d2(X, y, sample_weight)


@jax.jit
def _both(functional: Functional, rows: Rows) -> tuple[jax.Array, jax.Array]:
    constant = functional.constant(rows.y, rows.weight)
    return functional.loss(rows.y - rows.x[:, 0]), functional.loss(rows.y - constant)


def _losses(functional: Functional, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """[N] losses of the predictions, which are the rows' x, and [N] of the best constant."""
    with jax.enable_x64(True):
        of_predictions, of_constant = jax.device_get(_both(functional, rows.padded()))
    return of_predictions[: len(rows.y)], of_constant[: len(rows.y)]
