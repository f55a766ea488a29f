"""Compiled training on logged data: any number of updates is one program, which closes over nothing."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from extremal.core.algorithm import Algorithm
from extremal.core.types import AgentState, Metrics
from extremal.data.dataset import Dataset

NEVER = jnp.iinfo(jnp.int32).max


class Chunk(NamedTuple):
    """What is kept of the metrics of a stretch of updates."""

    mean: Metrics  # over the updates
    failed: Metrics  # per metric, the first update at which it was not finite; NEVER if there was none
    finite: jax.Array  # bool: every metric at every update, and every parameter at the end


def train_chunk(
    algorithm: Algorithm, state: AgentState, dataset: Dataset, key: jax.Array, start: jax.Array, stop: jax.Array
) -> tuple[AgentState, Chunk]:
    """Updates `start` to `stop` (exclusive).

    Update i draws everything from fold_in(key, i): how training is cut into chunks changes nothing, and resuming needs
    no generator state. The bounds are traced, so one compiled program serves every length.
    """

    def body(index: jax.Array, carry: Any) -> Any:
        state, total, failed = carry
        state, metrics = algorithm.update(state, dataset, jax.random.fold_in(key, index))
        found = jnp.stack(jax.tree.leaves(metrics))  # one vector: many scalars would cost a kernel each
        return state, total + found, jnp.where(jnp.isfinite(found), failed, jnp.minimum(failed, index))

    kind = jax.tree.structure(jax.eval_shape(algorithm.update, state, dataset, key)[1])
    total, failed = jnp.zeros(kind.num_leaves), jnp.full(kind.num_leaves, NEVER, jnp.int32)
    state, total, failed = jax.lax.fori_loop(start, stop, body, (state, total, failed))
    mean = total / jnp.maximum(stop - start, 1).astype(jnp.float32)
    whole = jnp.stack([jnp.all(jnp.isfinite(x)) for x in jax.tree.leaves(state.online)]).all()
    named = lambda values: jax.tree.unflatten(kind, list(values))  # noqa: E731
    return state, Chunk(mean=named(mean), failed=named(failed), finite=whole & jnp.all(failed == NEVER))
