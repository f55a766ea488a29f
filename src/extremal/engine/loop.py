"""Training as a stream: the caller takes one chunk after another and evaluates, logs and saves between them."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from extremal.core.algorithm import Algorithm
from extremal.core.types import AgentState
from extremal.data.dataset import Dataset
from extremal.engine.offline import NEVER
from extremal.engine.products import Library, compiler_options, fastest_library
from extremal.engine.replicas import How, draw_ahead, fastest, fill, mesh, place, take, train_replicas


@dataclasses.dataclass(frozen=True)
class Divergence:
    """Where one replica left the finite numbers."""

    replica: int
    update: int
    metric: str  # network/metric, or 'parameters'

    @property
    def advice(self) -> str:
        return (
            f"replica {self.replica} left the finite numbers at update {self.update}, first seen in {self.metric}; its last "
            "good state is kept. Check the scale of the rewards (`extremal data check`), then try less greed (a larger beta, a smaller "
            "kappa), LayerNorm in V (--value-layer-norm), a smaller learning rate, or --max-gradient-norm 1"
        )


@dataclasses.dataclass(frozen=True)
class Progress:
    """After a chunk: where training stands. `states` is valid until the next chunk is asked for."""

    update: int
    states: AgentState  # [R, ...]
    metrics: dict[str, np.ndarray]  # [R] means over the chunk
    alive: np.ndarray  # [R] bool
    diverged: tuple[Divergence, ...]  # found in this chunk
    seconds: float  # spent on the chunk, compilation apart
    compile_seconds: float  # spent on compilation; 0 after the first chunk


def train(
    algorithms: Algorithm,
    states: AgentState,
    dataset: Dataset,
    keys: jax.Array,
    *,
    updates: int,
    every: Sequence[int],
    start: int = 0,
    alive: np.ndarray | None = None,
    how: How | None = None,
    begins: Callable[[float], None] = lambda seconds: None,
    library: Library | None = None,
) -> Iterator[Progress]:
    """Train all replicas from update `start` to `updates`, yielding at every multiple of a number in `every`, and at the end.

    Replicas are spread over the devices; where they do not divide evenly, dead ones fill up. `states` is donated to the
    first chunk. Ends early when no replica is alive. A sampler that draws ahead is yielded at, too, where it draws anew.
    `begins` is called once, when the program is there and the first update next, with the seconds that the program took.
    `library` takes the matrix products on a CPU; none: the faster one. Which it was shows in the last bits.
    """
    replicas, how, at = keys.shape[0], how or fastest(), partial(jnp.asarray, dtype=jnp.int32)
    library = library or fastest_library(take(algorithms, 0), replicas)
    devices = mesh(replicas)
    filler = -replicas % devices.size
    living = np.concatenate([np.ones(replicas, bool) if alive is None else alive, np.zeros(filler, bool)])
    algorithms, states, keys = place(devices, fill((algorithms, states, keys), filler))
    dataset = place(devices, dataset, replicated=True)
    if start >= updates or not living.any():
        return
    period = (algorithms.sampler.redraw or updates) if algorithms.draws_ahead else None  # type: ignore[attr-defined]
    every = every if period is None else (*every, period)

    def ready(start: int) -> Algorithm:
        """With what is drawn ahead for the updates from `start` on."""
        if period is None:
            return algorithms
        return draw_ahead(algorithms, states, dataset, keys, at(start // period), devices=devices)

    drawn = ready(start)
    args = lambda start, stop: (drawn, states, dataset, keys, place(devices, living), at(start), at(stop))  # noqa: E731
    clock = time.perf_counter()
    program = train_replicas.lower(*args(0, 0), how=how, devices=devices).compile(
        compiler_options=compiler_options(library)
    )
    compiling = time.perf_counter() - clock
    begins(compiling)
    while start < updates and living.any():
        stop = min(updates, *((start // n + 1) * n for n in every))
        clock = time.perf_counter()
        states, chunk = program(*args(start, stop))
        chunk = jax.device_get(chunk)
        seconds = time.perf_counter() - clock
        order = [step.label for step in algorithms.steps]
        diverged = tuple(_divergence(int(r), chunk, stop, order) for r in np.flatnonzero(living & ~chunk.finite))
        living = living & chunk.finite
        own = lambda tree: jax.tree.map(lambda x: x[:replicas], tree) if filler else tree  # noqa: E731
        yield Progress(stop, own(states), own(chunk.mean), own(living), diverged, seconds, compiling)
        start, compiling = stop, 0.0
        if period is not None and start % period == 0 and start < updates:
            drawn = ready(start)


def _divergence(replica: int, chunk: Any, stop: int, order: Sequence[str]) -> Divergence:
    """The earliest metric that was not finite; within an update, that of the network that is trained first."""
    first = {name: int(update[replica]) for name, update in chunk.failed.items()}
    metric = min(first, key=lambda name: (first[name], order.index(name.split("/")[0])))
    if first[metric] == NEVER:
        return Divergence(replica, stop, "parameters")
    return Divergence(replica, first[metric], metric)
