"""How fast the engine is, beside what it could be: updates/s of XQL with its default settings, on random data, of

    engine      the library: `extremal.engine.loop.train`
    bare        a `lax.scan` over plain arrays doing the same update: examples/xql_in_one_file.py
    products    the update's matrix products alone, in a scan: the ceiling

They take turns, and the medians over the rounds are told. A single replica of the last two is one program on one device;
several are spread over the devices as the library spreads its own.

    python benchmarks/engine.py --out speed.json           wants an idle machine
    python benchmarks/engine.py --updates 50 --rounds 3    a look, in about a minute
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec

sys.path.insert(0, str(Path(__file__).parent.parent / "examples"))

import xql_in_one_file as bare

from extremal import XQL, Dataset
from extremal.bench.job import ACTION, OBSERVATION, synthetic
from extremal.core.files import write_json
from extremal.engine.loop import train
from extremal.engine.replicas import fastest, init_replicas, mesh, place, run_keys, stack, use_every_core
from extremal.networks.layers import product
from extremal.runs.plan import versions

ROWS, BATCH, HORIZON = 100_000, 256, 1_000_000
PROGRAMS = ("engine", "bare", "products")


def columns(dataset: Dataset) -> dict[str, jax.Array]:
    """The rows as the bare scan reads them."""
    rows = dataset.row(np.arange(dataset.rows))._asdict()
    return {name: jnp.asarray(column) for name, column in rows.items() if column is not None}


# ---- the programs: each is compiled when made, and `turn()` makes some updates of every replica --------------------------


class Engine:
    """The library as a user runs it."""

    def __init__(self, dataset: Dataset, width: int, seeds: list[int], updates: int):
        settings = XQL(width=width, batch_size=BATCH)
        algorithms = stack([settings.algorithm(dataset.spec, updates=HORIZON) for _ in seeds])
        init, keys = run_keys(seeds)
        states = init_replicas(algorithms, init)
        self.chunks = train(algorithms, states, dataset.device(), keys, updates=HORIZON, every=(updates,))
        first = next(self.chunks)
        self.states, self.compile_seconds = first.states, first.compile_seconds

    def turn(self) -> None:
        self.states = jax.block_until_ready(next(self.chunks).states)


class Scan:
    """`run(state, key, data, start) -> state` from update `start` on; [R] states and keys, `data` the same for all."""

    def __init__(self, run: Callable[..., Any], states: list[Any], keys: jax.Array, data: Any, updates: int):
        stacked = (jax.tree.map(lambda *x: jnp.stack(x), *states), keys)
        self.updates, self.start = updates, 0
        if len(states) == 1:
            program, (self.states, self.keys), self.data = run, jax.tree.map(lambda x: x[0], stacked), data
        else:
            devices = mesh(len(states))
            program, (self.states, self.keys) = _spread(run, devices), place(devices, stacked)
            self.data = place(devices, data, replicated=True)
        clock = time.perf_counter()
        self.program = jax.jit(program, donate_argnums=0).lower(*self._args()).compile()
        self.compile_seconds = time.perf_counter() - clock
        self.turn()

    def turn(self) -> None:
        self.states = jax.block_until_ready(self.program(*self._args()))
        self.start += self.updates

    def _args(self) -> tuple[Any, ...]:
        return self.states, self.keys, self.data, jnp.asarray(self.start, jnp.int32)


def _spread(run: Callable[..., Any], devices: jax.sharding.Mesh) -> Callable[..., Any]:
    each, same = PartitionSpec("replica"), PartitionSpec()

    def several(states: Any, keys: jax.Array, data: Any, start: jax.Array) -> Any:
        one = lambda args: run(*args, data, start)  # noqa: E731
        return jax.lax.map(one, (states, keys)) if fastest() == "map" else jax.vmap(one)((states, keys))

    return jax.shard_map(several, mesh=devices, in_specs=(each, each, same, same), out_specs=each, check_vma=False)


def bare_scan(dataset: Dataset, width: int, seeds: list[int], updates: int) -> Scan:
    settings = bare.Settings(width=width, batch_size=BATCH, updates=HORIZON)
    init, keys = run_keys(seeds)

    def run(state: Any, key: jax.Array, data: Any, start: jax.Array) -> Any:
        return bare.run(settings, state, data, key, start, updates)[0]

    states = [bare.init(settings, key, OBSERVATION, ACTION) for key in init]
    return Scan(run, states, keys, columns(dataset), updates)


# ---- the matrix products of an update, in their order and with what they wait for ----------------------------------------


def layers(width: int) -> dict[str, list[tuple[int, int]]]:
    """[(inputs, outputs)] of each network."""
    of = lambda inputs, outputs: [(inputs, width), (width, width), (width, outputs)]  # noqa: E731
    return {
        "v": of(OBSERVATION, 1),
        "pi": of(OBSERVATION, ACTION),
        "q1": of(OBSERVATION + ACTION, 1),
        "q2": of(OBSERVATION + ACTION, 1),
    }


def product_flops(width: int) -> int:
    """Per update: slow Q, V, V again, the policy, V of what follows, Q; backward without the inputs' gradients."""
    forward = {name: sum(i * o for i, o in sizes) for name, sizes in layers(width).items()}
    backward = {name: 2 * forward[name] - sizes[0][0] * sizes[0][1] for name, sizes in layers(width).items()}
    slow = forward["q1"] + forward["q2"]
    return 2 * BATCH * (sum(forward.values()) + sum(backward.values()) + slow + 2 * forward["v"])


def forward(weights: list[jax.Array], x: jax.Array) -> list[jax.Array]:
    """The input, and what each layer makes of it."""
    seen = [x]
    for weight in weights:
        seen.append(product(seen[-1], weight))
    return seen


def backward(weights: list[jax.Array], seen: list[jax.Array], change: jax.Array, rate: jax.Array) -> list[jax.Array]:
    """The weights plus `rate` times their gradients. A rate of 0, unknown to the compiler, keeps every product in."""
    moved = []
    for weight, x in zip(reversed(weights), reversed(seen[:-1]), strict=True):
        change, slope = jax.vjp(product, x, weight)[1](change)
        moved.append(weight + rate * slope)
    return moved[::-1]


def products(nets: dict[str, list[jax.Array]], data: dict[str, jax.Array]) -> dict[str, list[jax.Array]]:
    """One update without activations, losses, sampling and Adam."""
    x, both, rate, new = data["x"], data["both"], data["rate"], dict(nets)
    slow = forward(nets["slow1"], both)[-1] + forward(nets["slow2"], both)[-1]
    seen = forward(nets["v"], x)
    new["v"] = backward(nets["v"], seen, slow - seen[-1], rate)
    advantage = slow - forward(new["v"], x)[-1]
    seen = forward(nets["pi"], x)
    new["pi"] = backward(nets["pi"], seen, advantage - seen[-1], rate)
    goal = forward(new["v"], data["next"])[-1]
    for q, copy in (("q1", "slow1"), ("q2", "slow2")):
        seen = forward(nets[q], both)
        new[q], new[copy] = backward(nets[q], seen, goal - seen[-1], rate), nets[q]
    return new


def products_scan(dataset: Dataset, width: int, seeds: list[int], updates: int) -> Scan:
    def run(nets: Any, key: jax.Array, data: Any, start: jax.Array) -> Any:
        return jax.lax.scan(lambda nets, _: (products(nets, data), None), nets, length=updates)[0]

    def nets(seed: int) -> dict[str, list[jax.Array]]:
        random = np.random.default_rng(seed)
        draw = lambda i, o: jnp.asarray(random.normal(size=(i, o)) / i**0.5, jnp.float32)  # noqa: E731
        made = {name: [draw(*size) for size in sizes] for name, sizes in layers(width).items()}
        return made | {"slow1": [x + 0.0 for x in made["q1"]], "slow2": [x + 0.0 for x in made["q2"]]}

    batch = dataset.row(np.arange(BATCH))
    both = jnp.concatenate([batch.observation, batch.action], axis=1)
    data = {"x": jnp.asarray(batch.observation), "next": jnp.asarray(batch.next_observation), "both": both}
    data["rate"] = jnp.zeros(())
    return Scan(run, [nets(seed) for seed in seeds], run_keys(seeds)[1], data, updates)


# ---- measuring -----------------------------------------------------------------------------------------------------------


def seconds(call: Callable[[], Any]) -> float:
    clock = time.perf_counter()
    jax.block_until_ready(call())
    return time.perf_counter() - clock


def peak_flops(size: int = 2048, repeats: int = 10) -> float:
    """The most that one large matrix product reaches, per second."""
    x = jnp.ones((size, size))
    multiply = jax.jit(jnp.dot)
    multiply(x, x).block_until_ready()
    return 2 * size**3 / min(seconds(partial(multiply, x, x)) for _ in range(repeats))


def check_same(dataset: Dataset, width: int = 32, updates: int = 10) -> float:
    """The largest difference of a parameter between engine and bare scan after a few updates; 1e-4 at most."""
    engine, scan = Engine(dataset, width, [0], updates), bare_scan(dataset, width, [0], updates)
    online = jax.tree.map(lambda x: x[0], engine.states.online)
    nets = scan.states["nets"]
    pairs = ((online.v, nets["v"]), (online.q, nets["q"]), (online.pi.net, nets["pi"]["net"]))
    apart = [
        float(jnp.max(jnp.abs(a - b)))
        for ours, theirs in pairs
        for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True)
    ]
    if max(apart) > 1e-4:
        sys.exit(f"engine and bare scan are {max(apart):.2g} apart after {updates} updates: not the same update")
    return max(apart)


def measure(dataset: Dataset, width: int, replicas: int, updates: int, rounds: int) -> list[dict[str, Any]]:
    """One row per program; `of_...` is the median over the rounds of its speed over the other's in the same round."""
    seeds = list(range(replicas))
    programs = {
        name: make(dataset, width, seeds, updates)
        for name, make in zip(PROGRAMS, (Engine, bare_scan, products_scan), strict=True)
    }
    taken: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(rounds):
        for name, program in programs.items():
            taken[name].append(seconds(program.turn))
    rows = []
    for name, program in programs.items():
        rate = replicas * updates / statistics.median(taken[name])
        row = {"width": width, "replicas": replicas, "program": name, "compile_seconds": program.compile_seconds}
        row |= {"updates_per_second": rate, "flops_per_second": rate * product_flops(width)}
        for other in ("bare", "products"):
            row[f"of_{other}"] = statistics.median(b / a for a, b in zip(taken[name], taken[other], strict=True))
        rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--updates", type=int, default=1000, help="per turn and replica")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--widths", type=int, nargs="+", default=[128, 256])
    parser.add_argument("--replicas", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--out", type=Path, help="also write the numbers to this JSON file")
    given = parser.parse_args()
    use_every_core()
    dataset = synthetic(ROWS)
    apart, peak = check_same(dataset), peak_flops()
    load = os.getloadavg()[0]
    print(f"{jax.local_device_count()} devices, {os.cpu_count()} cores, load {load:.1f}; peak {peak / 1e9:.0f} GFLOP/s")
    print(f"engine and bare scan agree to {apart:.1g} after a few updates\n")
    print("width  replicas  program   compile s  updates/s  GFLOP/s  of peak  of bare  of products")
    rows = []
    for width in given.widths:
        for replicas in given.replicas:
            found = measure(dataset, width, replicas, given.updates, given.rounds)
            for row in found:
                row["of_peak"] = row["flops_per_second"] / peak
                print(
                    f"{width:5d}  {replicas:8d}  {row['program']:8s}  {row['compile_seconds']:9.1f}"
                    f"  {row['updates_per_second']:9.0f}  {row['flops_per_second'] / 1e9:7.0f}"
                    f"  {row['of_peak']:7.1%}  {row['of_bare']:7.1%}  {row['of_products']:11.1%}",
                    flush=True,
                )
            rows += found
    if given.out is not None:
        machine = {"devices": jax.local_device_count(), "cores": os.cpu_count(), "load": load, "versions": versions()}
        settings = {"updates": given.updates, "rounds": given.rounds, "batch": BATCH, "difference": apart}
        write_json(given.out, {"machine": machine, "settings": settings, "peak_flops_per_second": peak, "rows": rows})


if __name__ == "__main__":
    main()
