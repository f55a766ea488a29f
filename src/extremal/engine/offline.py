"""Compiled training on logged data: any number of updates is one program, which closes over nothing."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from extremal.core.algorithm import Algorithm
from extremal.core.types import AgentState, Metrics
from extremal.data.dataset import Dataset

NEVER = jnp.iinfo(jnp.int32).max
STRIDE = 100  # updates of an inner loop, on an accelerator


class Chunk(NamedTuple):
    """What is kept of the metrics of a stretch of updates."""

    mean: Metrics  # over the updates at which its step was due; NaN where it never was
    failed: Metrics  # per metric, the first update at which it was not finite; NEVER if there was none
    finite: jax.Array  # bool: every metric at every update, and every parameter at the end


@partial(jax.jit, inline=True)
def _update(
    algorithm: Algorithm, state: AgentState, dataset: Dataset, key: jax.Array, index: jax.Array
) -> tuple[AgentState, Metrics]:
    """One update, traced once for all the programs that hold it: a loop, replicas, and what asks for its shapes."""
    return algorithm.update(state, dataset, key, index)


def train_chunk(
    algorithm: Algorithm, state: AgentState, dataset: Dataset, key: jax.Array, start: jax.Array, stop: jax.Array
) -> tuple[AgentState, Chunk]:
    """Updates `start` to `stop` (exclusive).

    Update i draws everything from fold_in(key, i): how training is cut into chunks changes nothing, and resuming needs
    no generator state. The bounds are traced, so one compiled program serves every length.
    """

    shape = jax.eval_shape(_update, algorithm, state, dataset, key, start)[1]
    kind, labels = jax.tree.structure(shape), [name.split("/")[0] for name in sorted(shape)]  # in the order of leaves

    def body(index: jax.Array, carry: Any) -> Any:
        state, total, count, failed = carry
        state, metrics = _update(algorithm, state, dataset, jax.random.fold_in(key, index), index)
        found = jnp.stack(jax.tree.leaves(metrics))  # one vector: many scalars would cost a kernel each
        due = algorithm.due(index)
        told = jnp.stack([due[label] for label in labels])
        failed = jnp.where(told & ~jnp.isfinite(found), jnp.minimum(failed, index), failed)
        return state, total + jnp.where(told, found, 0.0), count + told.astype(jnp.int32), failed

    size = kind.num_leaves
    nothing = jnp.zeros(size), jnp.zeros(size, jnp.int32), jnp.full(size, NEVER, jnp.int32)
    state, total, count, failed = _loop(start, stop, body, (state, *nothing))
    mean = jnp.where((count > 0) | (stop <= start), total / jnp.maximum(count, 1).astype(jnp.float32), jnp.nan)
    whole = jnp.stack([jnp.all(jnp.isfinite(x)) for x in jax.tree.leaves(state.online)]).all()
    named = lambda values: jax.tree.unflatten(kind, list(values))  # noqa: E731
    return state, Chunk(mean=named(mean), failed=named(failed), finite=whole & jnp.all(failed == NEVER))


def _loop(start: jax.Array, stop: jax.Array, body: Callable[[jax.Array, Any], Any], carry: Any) -> Any:
    """`body` at start, ..., stop - 1. An accelerator asks the host at every turn of a loop whose length it does not know: there
    most turns are in loops that it does know."""
    if jax.default_backend() == "cpu":
        return jax.lax.fori_loop(start, stop, body, carry)
    strides = (stop - start) // STRIDE

    def stride(number: jax.Array, carry: Any) -> Any:
        first = start + number * STRIDE
        return jax.lax.fori_loop(0, STRIDE, lambda index, carry: body(first + index, carry), carry)

    carry = jax.lax.fori_loop(0, strides, stride, carry)
    return jax.lax.fori_loop(start + strides * STRIDE, stop, body, carry)
