"""Many runs in one compiled program: seeds, hyperparameters, or both, along a leading axis."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp

from extremal.core.algorithm import Algorithm
from extremal.core.types import AgentState
from extremal.data.dataset import Dataset
from extremal.engine.offline import Chunk, train_chunk

How = Literal["map", "vmap"]


def stack(trees: Sequence[Any]) -> Any:
    """One pytree with a leading replica axis; floats become float32 arrays, so a sweep is a batch of them."""
    return jax.tree.map(lambda *x: jnp.stack([jnp.asarray(v) for v in x]), *trees)


def take(tree: Any, replica: int) -> Any:
    """One replica of a stacked pytree."""
    return jax.tree.map(lambda x: x[replica], tree)


def fastest() -> How:
    """One after the other on a CPU, where a batched matrix product gains nothing; all at once on an accelerator."""
    return "map" if jax.default_backend() == "cpu" else "vmap"


def run_keys(seeds: Sequence[int]) -> tuple[jax.Array, jax.Array]:
    """[R] keys for the initialisation and [R] keys for the updates, from the seeds alone."""
    pairs = jnp.stack([jax.random.split(jax.random.key(seed)) for seed in seeds])
    return pairs[:, 0], pairs[:, 1]


@jax.jit
def init_replicas(algorithms: Algorithm, keys: jax.Array) -> AgentState:
    """Fresh states [R, ...]."""
    return jax.lax.map(lambda pair: pair[0].init(pair[1]), (algorithms, keys))


@partial(jax.jit, static_argnames="how", donate_argnames="states")
def train_replicas(
    algorithms: Algorithm,
    states: AgentState,
    dataset: Dataset,
    keys: jax.Array,
    alive: jax.Array,
    start: jax.Array,
    stop: jax.Array,
    *,
    how: How,
) -> tuple[AgentState, Chunk]:
    """Every living replica from update `start` to `stop`; one that leaves the finite numbers keeps its state of `start`.

    Args:
        algorithms, states, keys: stacked, [R, ...]; `states` is donated.
        alive: [R] bool; a dead replica costs nothing under "map".
        how: "map" runs replicas one after the other, "vmap" all at once.
    """

    def train(algorithm: Algorithm, state: AgentState, key: jax.Array) -> tuple[AgentState, Chunk]:
        new, chunk = train_chunk(algorithm, state, dataset, key, start, stop)
        return jax.tree.map(partial(jnp.where, chunk.finite), new, state), chunk

    def rest(algorithm: Algorithm, state: AgentState, key: jax.Array) -> tuple[AgentState, Chunk]:
        shape = jax.eval_shape(train, algorithm, state, key)[1]
        silent = jax.tree.map(lambda x: jnp.full(x.shape, jnp.nan, x.dtype), shape.mean)
        return state, Chunk(
            mean=silent,
            failed=jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shape.failed),
            finite=jnp.asarray(False),
        )

    def one(args: Any) -> tuple[AgentState, Chunk]:
        algorithm, state, key, alive = args
        return jax.lax.cond(alive, train, rest, algorithm, state, key)

    args = (algorithms, states, keys, alive)
    return jax.lax.map(one, args) if how == "map" else jax.vmap(one)(args)
