"""Optimisers as records: the numbers are leaves, and the Optax transform is built from them inside the trace."""

from __future__ import annotations

from functools import partial
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import optax

from extremal.core.checked import Checked
from extremal.core.ranges import Count, NotNegative, Positive, Share
from extremal.core.record import record, static


class Optimiser(Protocol):
    """How one network follows its gradient."""

    def transform(self) -> optax.GradientTransformation: ...


@record
class Cosine(Checked):
    """Factor on the learning rate: from 1 at the first update down to 0 at `horizon` updates, and 0 after it."""

    horizon: Positive

    def __call__(self, count: jax.typing.ArrayLike) -> jax.Array:
        return 0.5 * (1.0 + jnp.cos(jnp.pi * jnp.minimum(jnp.asarray(count, jnp.float32) / self.horizon, 1.0)))


@record
class WarmUp(Checked):
    """Factor on the learning rate: a straight line to 1, which the update number `updates` (counted from 1) has first."""

    updates: Positive

    def __call__(self, count: jax.typing.ArrayLike) -> jax.Array:
        return jnp.minimum((jnp.asarray(count, jnp.float32) + 1.0) / self.updates, 1.0)


@record
class Adam(Checked):
    """Adam, with an optional schedule of the rate and an optional bound on the global norm of the gradient.

    Source: [kingma2015] Algorithm 1.
    """

    learning_rate: NotNegative = 3e-4
    schedule: Cosine | WarmUp | None = None
    max_norm: Positive | None = None

    def transform(self) -> optax.GradientTransformation:
        return _bounded(self.max_norm, optax.adam(_rate(self.learning_rate, self.schedule)))


@record
class AdamW(Checked):
    """Adam that also shrinks every parameter by its rate times `weight_decay`, beside the gradient's step.

    Source: [loshchilov2019] Algorithm 2.
    Differs from the paper: the decay is scaled by the learning rate, as in every published library.
    """

    learning_rate: NotNegative = 1e-4
    weight_decay: NotNegative = 1e-4
    schedule: Cosine | WarmUp | None = None
    max_norm: Positive | None = None

    def transform(self) -> optax.GradientTransformation:
        rate = _rate(self.learning_rate, self.schedule)
        return _bounded(self.max_norm, optax.adamw(rate, weight_decay=self.weight_decay))


@record
class SGD(Checked):
    """Plain gradient descent. On the loss (x - y)^2 / 2 of a scalar x it is an exponential moving average of y."""

    learning_rate: NotNegative

    def transform(self) -> optax.GradientTransformation:
        return optax.sgd(self.learning_rate)


def _rate(rate: float, schedule: Cosine | WarmUp | None) -> Any:
    return rate if schedule is None else lambda count: rate * schedule(count)


def _bounded(max_norm: float | None, follow: optax.GradientTransformation) -> optax.GradientTransformation:
    return follow if max_norm is None else optax.chain(optax.clip_by_global_norm(max_norm), follow)


def descend(optimiser: Optimiser, gradient: Any, state: Any, params: Any) -> tuple[Any, Any]:
    """One step: the new parameters and the new optimiser state."""
    with jax.numpy_dtype_promotion("standard"):  # Optax mixes integer counts and float decays
        change, state = optimiser.transform().update(gradient, state, params)
        return optax.apply_updates(params, change), state


@record
class Polyak(Checked):
    """A slow copy: it moves by `rate` of the way to the network it follows; rate 1 is a hard copy.

    It moves after each update, or after every so many. A copy that is `behind` follows what the network was before the update: a
    hard one is then the network of one update ago.
    """

    rate: Share
    every: Count = static(default=1)
    behind: bool = static(default=False)

    def follow(self, slow: Any, online: Any, index: jax.Array | int = 0) -> Any:
        """The copy after update `index`."""
        if self.every == 1:
            return optax.incremental_update(online, slow, self.rate)
        move = partial(optax.incremental_update, step_size=self.rate)
        return jax.lax.cond((jnp.asarray(index) + 1) % self.every == 0, move, lambda _, slow: slow, online, slow)
