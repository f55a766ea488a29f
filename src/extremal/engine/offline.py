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
        total = jax.tree.map(jnp.add, total, metrics)
        failed = {n: jnp.where(jnp.isfinite(m), failed[n], jnp.minimum(failed[n], index)) for n, m in metrics.items()}
        return state, total, failed

    shapes = jax.eval_shape(algorithm.update, state, dataset, key)[1]
    total = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    failed = jax.tree.map(lambda _: jnp.asarray(NEVER, jnp.int32), shapes)
    state, total, failed = jax.lax.fori_loop(start, stop, body, (state, total, failed))
    updates = jnp.maximum(stop - start, 1).astype(jnp.float32)
    whole = jnp.stack([jnp.all(jnp.isfinite(x)) for x in jax.tree.leaves(state.online)]).all()
    clean = jnp.stack([x == NEVER for x in failed.values()]).all()
    return state, Chunk(mean=jax.tree.map(lambda x: x / updates, total), failed=failed, finite=whole & clean)
