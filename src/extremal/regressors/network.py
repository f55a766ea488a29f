"""A network's function of x under a loss: Adam on mini-batches, with an intercept that is exact over all rows.

After each turn over the rows the intercept is set to its best value, which is known. For Gumbel regression the mean of
exp(error / beta) over the training rows is then one, whatever the optimiser did.
"""

from __future__ import annotations

import dataclasses
import math
from functools import partial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np

from extremal.core.errors import DivergedError
from extremal.core.optimiser import Adam, descend
from extremal.core.record import record, static
from extremal.networks.layers import MLP
from extremal.regressors.functional import Functional
from extremal.regressors.rows import Rows, padding

UPDATES = 20  # the fewest of one turn, so that a turn over few rows is not one update
PATIENCE = 10  # turns without improvement before the rate is cut
CUT, CUTS = 5.0, 3  # the rate is divided by the first at each plateau, and the plateau after the last cut ends the fit


@record
class Network:
    """Standardised y from standardised x."""

    net: MLP
    intercept: jax.Array  # []

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.net(x)[:, 0] + self.intercept


@record
class Schedule:
    """How a network is trained."""

    penalty: float
    rate: float
    batch: int = static()  # rows of a mini-batch


class NetworkFit(NamedTuple):
    network: Network
    turns: int
    converged: bool
    history: list[float]  # the objective after each turn, on the held-out rows where there are some


@partial(jax.jit, static_argnames=("inputs", "hidden"))
def _start(key: jax.Array, *, inputs: int, hidden: tuple[int, ...]) -> tuple[Network, Any]:
    """A network that is zero everywhere, so that the first turn starts at the best constant; and Adam's state."""
    net = MLP.init(key, (inputs, *hidden, 1))
    last = dataclasses.replace(net.layers[-1], weight=jnp.zeros((hidden[-1], 1)))
    net = dataclasses.replace(net, layers=(*net.layers[:-1], last))
    return Network(net=net, intercept=jnp.zeros(())), Adam().transform().init(cast(Any, net))


def _objective(net: MLP, intercept, functional: Functional, rows: Rows, size, penalty) -> jax.Array:
    """`size` x the sum of the rows' weighted losses, and the penalty on the weights of all layers."""
    error = rows.y - net(rows.x)[:, 0] - intercept
    squares = sum(jnp.sum(layer.weight**2) for layer in net.layers)
    return size * jnp.sum(rows.weight * functional.bounded_loss(error, rows.weight)) + 0.5 * penalty * squares


@jax.jit
def _turn(
    network: Network,
    moments: Any,
    functional: Functional,
    rows: Rows,
    schedule: Schedule,
    unit: jax.Array,
    key: jax.Array,
    turn: jax.Array | int,
) -> tuple[Network, Any, jax.Array]:
    """One turn over the rows; the new network, the optimiser's state, and the objective on all rows.

    A mini-batch's sum is scaled by the share of the rows that it holds, never by the weight or the exponentials that
    happen to be in it, so its gradient is unbiased.
    """
    count, adam = len(rows.y), Adam(learning_rate=schedule.rate)
    whole = count <= schedule.batch

    def exact(net: MLP) -> jax.Array:
        return functional.constant(rows.y - net(rows.x)[:, 0], rows.weight)

    def update(carry: tuple[MLP, Any], index: jax.Array | None) -> tuple[tuple[MLP, Any], None]:
        net, moments = carry
        if index is None:  # all rows are at hand, and with them the best intercept
            batch, intercept, size = rows, jax.lax.stop_gradient(exact(net)), unit
        else:
            batch = Rows(rows.x[index], rows.y[index], rows.weight[index])
            intercept, size = network.intercept, unit * (count / schedule.batch)
        gradient = jax.grad(_objective)(net, intercept, functional, batch, size, schedule.penalty)
        return descend(adam, gradient, moments, net), None

    index = None if whole else _shuffled(jax.random.fold_in(key, turn), count, schedule.batch)
    (net, moments), _ = jax.lax.scan(update, (network.net, moments), index, length=UPDATES if whole else None)
    intercept = exact(net)
    value = _objective(net, intercept, functional, rows, unit, schedule.penalty)
    return Network(net=net, intercept=intercept), moments, value


def _shuffled(key: jax.Array, count: int, batch: int) -> jax.Array:
    """[U, batch] rows of whole mini-batches, from as many passes as make at least `UPDATES` of them."""
    each = count // batch
    keys = jax.random.split(key, -(-UPDATES // each))
    order = jax.vmap(lambda key: jax.random.permutation(key, count))(keys)
    return order[:, : each * batch].reshape(-1, batch)


@jax.jit
def _held_out(network: Network, functional: Functional, rows: Rows, unit: jax.Array) -> jax.Array:
    loss = functional.loss(rows.y - network(rows.x))
    return unit * jnp.sum(jnp.where(rows.weight > 0.0, rows.weight * loss, 0.0))  # a loss may be inf, also in padding


@jax.jit
def _apply(network: Network, x: jax.Array) -> jax.Array:
    return network(x)


def fit_network(
    functional: Functional,
    rows: Rows,
    schedule: Schedule,
    *,
    hidden: tuple[int, ...],
    seed: int,
    held_out: float,
    tolerance: float,
    max_iter: int,
) -> NetworkFit:
    """The best network met on the way, of standardised rows.

    The rate is cut at each plateau, which is where the objective has not improved by `tolerance` for ten turns: on the
    training rows, or on a share `held_out` of them that then trains nothing. After each cut training goes on from the
    best network.
    """
    with jax.enable_x64(True):
        initial, shuffle = jax.random.split(jax.random.key(seed))
        train, test = (Rows(*jax.device_put(part.padded())) for part in _divided(rows, held_out, seed))
        if np.count_nonzero(train.weight) <= schedule.batch:
            schedule = dataclasses.replace(schedule, batch=len(train.y))
        unit = functional.unit
        network, moments = _start(initial, inputs=rows.x.shape[1], hidden=hidden)
        best, fresh = network, moments
        history: list[float] = []
        plateau, converged = Plateau(tolerance), False
        for turn in range(max_iter):
            network, moments, value = _turn(network, moments, functional, train, schedule, unit, shuffle, turn)
            _check(float(value), turn, schedule.rate)
            history.append(float(_held_out(network, functional, test, unit) if held_out else value))
            if plateau.improves(history[-1]):
                best = network
            if plateau.reached():
                if plateau.count > CUTS:
                    converged = True
                    break
                schedule = dataclasses.replace(schedule, rate=schedule.rate / CUT)
                network, moments = best, fresh
        return NetworkFit(jax.device_get(best), len(history), converged, history)


def _divided(rows: Rows, held_out: float, seed: int) -> tuple[Rows, Rows]:
    """Rows to train on, and rows to see plateaus on: the same ones where none are held out."""
    if not held_out:
        return rows, rows
    order = np.random.default_rng(seed).permutation(len(rows.y))
    aside = min(math.ceil(held_out * len(order)), len(order) - 1)
    return rows.take(order[aside:]), rows.take(order[:aside])


class Plateau:
    """Watches an objective, and says when it has stopped to fall."""

    def __init__(self, tolerance: float):
        self.tolerance, self.least, self.mark, self.waited, self.count = tolerance, np.inf, np.inf, 0, 0

    def improves(self, value: float) -> bool:
        """Whether `value` is the least so far; one that is not less by `tolerance` than the last such is waiting."""
        self.waited += 1
        if value < self.mark - self.tolerance:
            self.mark, self.waited = value, 0
        better, self.least = value < self.least, min(value, self.least)
        return better

    def reached(self) -> bool:
        """Whether the wait was as long as patience goes; then it begins anew."""
        if self.waited < PATIENCE:
            return False
        self.waited, self.count = 0, self.count + 1
        return True


def _check(value: float, turn: int, rate: float) -> None:
    if not np.isfinite(value):
        raise DivergedError(
            f"the network left the finite numbers in turn {turn + 1} over the rows, at learning rate {rate:g}: "
            "lower `learning_rate`"
        )


def evaluate(network: Network, x: np.ndarray) -> np.ndarray:
    """[N] from standardised x [N, D], which is padded to few shapes."""
    with jax.enable_x64(True):
        padded = np.concatenate([x, np.repeat(x[:1], padding(len(x)), axis=0)])
        return np.asarray(_apply(network, padded), dtype=np.float64)[: len(x)]
