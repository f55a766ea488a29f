"""The best linear function of x under a convex loss, to convergence: Newton's method, damped, on the coefficients.

The intercept is not a coordinate: for any coefficients the best one is known (`Functional.constant`), so the objective
is the loss at that intercept. For Gumbel regression this is a log-mean-exp, which overflows for no coefficients.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from extremal.regressors.functional import Functional
from extremal.regressors.rows import Rows

EPSILON = float(np.finfo(float).eps)


class LinearFit(NamedTuple):
    coefficients: np.ndarray  # [D]
    intercept: float
    steps: int
    converged: bool


class Point(NamedTuple):
    """The objective at one vector of coefficients."""

    coefficients: np.ndarray  # [D]
    intercept: float
    value: float
    gradient: np.ndarray  # [D]
    hessian: np.ndarray  # [D, D]


@jax.jit
def _expand(functional: Functional, coefficients: jax.Array, rows: Rows, penalty: jax.Array, unit: jax.Array):
    """Intercept, objective, gradient and Hessian. By the envelope theorem the intercept adds nothing to the gradient;
    in the Hessian it centres x under the weights of the curvature."""
    x, y, weight = rows
    rest = y - x @ coefficients
    intercept = functional.constant(rest, weight)
    error = rest - intercept
    slope_of = jax.grad(lambda e: jnp.sum(functional.loss(e)))
    slope, curvature = jax.jvp(slope_of, (error,), (jnp.ones_like(error),))
    share = weight * curvature
    total = jnp.sum(share)
    centred = x - jnp.broadcast_to(share @ x / jnp.where(total > 0.0, total, 1.0), x.shape)
    value = unit * jnp.sum(weight * functional.loss(error)) + 0.5 * penalty * jnp.sum(coefficients**2)
    gradient = -unit * ((weight * slope) @ x) + penalty * coefficients
    hessian = unit * (centred.T * jnp.broadcast_to(share, centred.T.shape)) @ centred
    return intercept, value, gradient, hessian + penalty * jnp.eye(len(coefficients), dtype=x.dtype)


class Objective:
    """The objective of one functional on fixed rows, a function of the coefficients."""

    def __init__(self, functional: Functional, rows: Rows, penalty: float):
        self.unit = functional.unit
        self._expand = partial(_expand, functional, rows=rows, penalty=penalty, unit=self.unit)

    def __call__(self, coefficients: np.ndarray) -> Point:
        intercept, value, gradient, hessian = jax.device_get(self._expand(coefficients))
        return Point(coefficients, float(intercept), float(value), gradient, hessian)


class Model(NamedTuple):
    """The objective's quadratic model at a point, in the eigenvectors of its Hessian."""

    values: np.ndarray  # [D'], of the directions in which x varies
    vectors: np.ndarray  # [D, D']
    slopes: np.ndarray  # [D']

    @classmethod
    def of(cls, point: Point) -> Model:
        values, vectors = np.linalg.eigh(point.hessian)
        kept = values > len(values) * EPSILON * values[-1] if len(values) else values > 0.0
        vectors = vectors[:, kept]
        return cls(values[kept], vectors, vectors.T @ point.gradient)

    @property
    def decrement(self) -> float:
        """Root of twice what a whole step should gain."""
        return float(np.sqrt(np.sum(self.slopes**2 / self.values)))

    def step(self, damping: float) -> np.ndarray:
        return -self.vectors @ (self.slopes / (self.values + damping))


def fit_linear(functional: Functional, rows: Rows, *, penalty: float, tolerance: float, max_iter: int) -> LinearFit:
    """The minimum of `unit` x weighted mean loss + `penalty` |coefficients|^2 / 2 over standardised rows.

    Where columns depend on each other the shortest coefficients are given. Small beta is approached along a path of
    larger ones: from afar, the weights exp(error / beta) are those of a single row and the Hessian says nothing.

    Args:
        tolerance: it has converged where a step would gain less than half its square.
        max_iter: most steps, all along the path.
    """
    with jax.enable_x64(True):
        rows = Rows(*jax.device_put(rows.padded()))
        here, steps, converged = np.zeros(rows.x.shape[1]), 0, False
        point = None
        for stage in (path := functional.path()):
            objective = Objective(stage, rows, penalty)
            near = tolerance if stage is path[-1] else max(tolerance, 0.1)
            point, used, converged = _descend(objective, here, tolerance=near, max_iter=max_iter - steps)
            here, steps = point.coefficients, steps + used
        assert point is not None  # a path has at least one functional
        return LinearFit(point.coefficients, point.intercept, steps, converged)


def _descend(objective: Objective, start: np.ndarray, *, tolerance: float, max_iter: int) -> tuple[Point, int, bool]:
    """Newton steps from `start`: the last point, how many steps, and whether it has converged."""
    point, damping = objective(start), 0.0
    for steps in range(max_iter):
        model = Model.of(point)
        rounding = 16.0 * EPSILON * (objective.unit + abs(point.value))
        if model.decrement <= max(tolerance, rounding**0.5):
            return objective(point.coefficients + model.step(0.0)), steps + 1, True  # here convergence is quadratic
        after, damping = _damped(objective, point, model, damping, rounding)
        if after is None:
            return point, steps, False
        point = after
    return point, max_iter, False


def _damped(
    objective: Objective, point: Point, model: Model, damping: float, rounding: float
) -> tuple[Point | None, float]:
    """The point after one step that makes progress, with the damping for the next; None where no step does."""
    least, most = 1e-6 * model.values[-1], 1e16 * model.values[-1]
    while damping <= most:
        step = model.step(damping)
        slope = float(point.gradient @ step)
        after = objective(point.coefficients + step)
        gains = after.value <= point.value + 1e-4 * slope
        # where the gain drowns in rounding, a slope along the step that has shrunk to half shows progress as well
        flatter = after.value <= point.value + rounding and abs(after.gradient @ step) <= 0.5 * abs(slope)
        if gains or flatter:
            return after, damping / 10.0 if damping > least else 0.0
        damping = max(10.0 * damping, least)
    return None, damping
