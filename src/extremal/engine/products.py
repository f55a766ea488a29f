"""Which library takes a program's matrix products on a CPU; which is the faster one depends on the processor, so it is measured.

XLA brings two. YNNPACK, its default, is the faster one on one core, and leaves a product of a few million multiplications to one
core whatever there is. Eigen shares it out among all of them. Where a core has 512-bit units, YNNPACK on one is as fast as Eigen on
two; where it has not, Eigen makes a third more updates at width 128. From width 256 on both share, and are equal.
"""

from __future__ import annotations

import contextlib
import os
import time
from functools import cache
from importlib.metadata import version
from typing import Any, Literal

import jax
import jax.numpy as jnp

from extremal.core.algorithm import Algorithm
from extremal.core.errors import RunError
from extremal.core.files import read_json, write_json
from extremal.engine.programs import own_place

Library = Literal["ynnpack", "eigen"]
LIBRARIES: tuple[Library, ...] = ("ynnpack", "eigen")

FLAG = "xla_cpu_experimental_ynn_fusion_type"
LEAST, MOST = 2**20, 2**24  # multiplications of a product: below nobody shares it out, above both do
MARGIN = 1.1  # how many times as fast Eigen has to be
PAIRS, ROUNDS = 20, 12  # of products in a call; of calls
BUSY = 0.5  # load a core from which nothing that is measured here would hold tomorrow
NOTES = "products.json"


def compiler_options(library: Library) -> dict[str, Any]:
    """Of a program whose products `library` shall take."""
    return {FLAG: ""} if library == "eigen" else {}


def fastest_library(algorithm: Algorithm, replicas: int) -> Library:
    """For training that many replicas on this machine.

    Measured once for a size and kept beside the compiled programs. Several replicas keep the cores busy by themselves, and what the
    user has said of YNNPACK in `XLA_FLAGS` holds.
    """
    alone = replicas == 1 and jax.default_backend() == "cpu" and len(os.sched_getaffinity(0)) > 1
    if not alone or FLAG in os.environ.get("XLA_FLAGS", ""):
        return "ynnpack"
    rows, width = algorithm.sampler.size * algorithm.sampler.length, _width(algorithm)
    return _kept(rows, width) if LEAST <= rows * width**2 < MOST else "ynnpack"


def _width(algorithm: Algorithm) -> int:
    """Of the widest hidden layer; 0 where there is none."""
    online = jax.eval_shape(algorithm.networks.init, jax.random.key(0))
    square = (leaf.shape[0] for leaf in jax.tree.leaves(online) if leaf.ndim == 2 and leaf.shape[0] == leaf.shape[1])
    return max(square, default=0)


@cache
def _kept(rows: int, width: int) -> Library:
    """From the notes of this machine, or measured and noted there."""
    place = own_place()
    size = f"{rows} x {width}, {len(os.sched_getaffinity(0))} cores, jaxlib {version('jaxlib')}"
    notes = _read(place / NOTES) if place else {}
    if notes.get(size) in LIBRARIES:
        return notes[size]
    if os.getloadavg()[0] > BUSY * len(os.sched_getaffinity(0)):
        return "ynnpack"
    measured = _measure(rows, width)
    if place:
        with contextlib.suppress(RunError):  # a full disk costs the note, not the run
            write_json(place / NOTES, notes | {size: measured})
    return measured


def _read(path: Any) -> dict[str, Any]:
    """Notes that were written before; none where they are damaged."""
    try:
        return read_json(path) or {}
    except RunError:
        return {}


def _measure(rows: int, width: int) -> Library:
    """By the shortest of several turns each, which other work on the machine lengthens least."""
    x, weight = jnp.ones((rows, width)), jnp.eye(width)

    def products(x: jax.Array, weight: jax.Array) -> jax.Array:
        return jax.lax.scan(lambda x, _: ((x @ weight) @ weight.T, None), x, length=PAIRS)[0]

    lowered = jax.jit(products).lower(x, weight)
    programs: dict[Library, Any] = {
        library: lowered.compile(compiler_options=compiler_options(library)) for library in LIBRARIES
    }
    seconds: dict[Library, list[float]] = {library: [] for library in LIBRARIES}
    for _ in range(ROUNDS):
        for library, program in programs.items():
            clock = time.perf_counter()
            program(x, weight).block_until_ready()
            seconds[library].append(time.perf_counter() - clock)
    return "eigen" if MARGIN * min(seconds["eigen"]) < min(seconds["ynnpack"]) else "ynnpack"
