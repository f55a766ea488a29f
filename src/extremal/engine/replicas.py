"""Many runs in one compiled program: seeds, hyperparameters, or both, along a leading axis."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from extremal.core.algorithm import Algorithm
from extremal.core.types import AgentState
from extremal.data.dataset import Dataset
from extremal.engine.offline import NEVER, Chunk, train_chunk

How = Literal["map", "vmap"]


def stack(trees: Sequence[Any]) -> Any:
    """One pytree with a leading replica axis; floats become float32 arrays, so a sweep is a batch of them."""
    return jax.tree.map(lambda *x: jnp.stack([jnp.asarray(v) for v in x]), *trees)


def fill(tree: Any, count: int) -> Any:
    """A stacked tree with its first replica repeated `count` times at the end."""
    return jax.tree.map(lambda x: jnp.concatenate([x] + [x[:1]] * count), tree) if count else tree


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
def init_replicas(algorithms: Algorithm, keys: jax.Array, given: Mapping[str, Any] | None = None) -> AgentState:
    """Fresh states [R, ...]; `given` are networks [R, ...] by name that were fitted before."""
    return jax.lax.map(lambda one: one[0].init(*one[1:]), (algorithms, keys, dict(given or {})))


def use_every_core() -> None:
    """Let JAX see one CPU device per core, so that replicas train side by side; call it before the first array.

    Small networks leave a second core half idle: at width 128, two replicas on two devices made 1.8 times the updates
    of one after the other. Without effect where JAX has started already, or where the user has chosen a number.
    """
    if jax.config.values["jax_num_cpu_devices"] < 1 and "xla_force_host_platform_device_count" not in os.environ.get(
        "XLA_FLAGS", ""
    ):
        with contextlib.suppress(RuntimeError):
            jax.config.update("jax_num_cpu_devices", len(os.sched_getaffinity(0)))


def mesh(replicas: int) -> Mesh:
    """The devices that `replicas` are spread over; never more devices than replicas."""
    count = min(jax.local_device_count(), replicas)
    return jax.make_mesh((count,), ("replica",), axis_types=(AxisType.Auto,), devices=jax.local_devices()[:count])


def place(devices: Mesh, tree: Any, *, replicated: bool = False) -> Any:
    """Put a stacked tree on the devices, its replica axis spread; or (`replicated`) one copy on each."""
    return jax.device_put(tree, NamedSharding(devices, PartitionSpec() if replicated else PartitionSpec("replica")))


@partial(jax.jit, static_argnames="devices")
def draw_ahead(
    algorithms: Algorithm, states: AgentState, dataset: Dataset, keys: jax.Array, turn: jax.Array, *, devices: Mesh
) -> Algorithm:
    """Every replica's algorithm with what its sampler wants drawn before updates go on; `turn` counts the draws."""
    each, same = PartitionSpec("replica"), PartitionSpec()

    def draw(algorithms: Algorithm, online: Any, dataset: Dataset, keys: jax.Array, turn: jax.Array) -> Algorithm:
        def one(args: Any) -> Algorithm:
            algorithm, online, key = args
            key = jax.random.fold_in(jax.random.fold_in(key, NEVER), turn)  # of no update
            return algorithm.drawn_ahead(online, dataset, key)

        return jax.lax.map(one, (algorithms, online, keys))

    spread = jax.shard_map(draw, mesh=devices, in_specs=(each, each, same, each, same), out_specs=each, check_vma=False)
    return spread(algorithms, states.online, dataset, keys, turn)


@partial(jax.jit, static_argnames=("how", "devices"), donate_argnames="states")
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
    devices: Mesh,
) -> tuple[AgentState, Chunk]:
    """Every living replica from update `start` to `stop`; one that leaves the finite numbers keeps its state of `start`.

    Args:
        algorithms, states, keys: stacked, [R, ...], R a multiple of the number of devices; `states` is donated.
        alive: [R] bool; a dead replica costs nothing under "map".
        how: on each device, "map" runs its replicas one after the other, "vmap" all at once.
    """
    each, same = PartitionSpec("replica"), PartitionSpec()
    spread = jax.shard_map(
        partial(_train, how=how),
        mesh=devices,
        in_specs=(each, each, same, each, each, same, same),
        out_specs=each,
        check_vma=False,
    )
    return spread(algorithms, states, dataset, keys, alive, start, stop)


def _train(algorithms, states, dataset, keys, alive, start, stop, *, how: How) -> tuple[AgentState, Chunk]:
    @partial(jax.jit, inline=True)  # traced once, for its place below and for the shapes of what it gives
    def train(algorithm: Algorithm, state: AgentState, key: jax.Array) -> tuple[AgentState, Chunk]:
        new, chunk = train_chunk(algorithm, state, dataset, key, start, stop)
        return jax.tree.map(partial(jnp.where, chunk.finite), new, state), chunk

    def rest(algorithm: Algorithm, state: AgentState, key: jax.Array) -> tuple[AgentState, Chunk]:
        silent = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(train, algorithm, state, key)[1])
        return state, silent._replace(mean=jax.tree.map(lambda x: jnp.full_like(x, jnp.nan), silent.mean))

    def one(args: Any) -> tuple[AgentState, Chunk]:
        algorithm, state, key, alive = args
        return jax.lax.cond(alive, train, rest, algorithm, state, key)

    args = (algorithms, states, keys, alive)
    return jax.lax.map(one, args) if how == "map" else jax.vmap(one)(args)
