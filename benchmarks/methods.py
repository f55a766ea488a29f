"""How fast each method is beside XQL in the same run, and CQL beside its own matrix products.

Every method with its defaults (CQL also as published code has it), on random data of locomotion's size. They take turns;
medians over the rounds are told. CQL's products are the update's dense products alone, of the same shapes, forward,
dX and dW, in a scan: the floor that its updates stand on.

    python benchmarks/methods.py --out methods.json                wants an idle machine
    python benchmarks/methods.py --methods xql cql --updates 20    a look
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from engine import BATCH, HORIZON, ROWS, Scan, backward, forward, seconds
from extremal import METHODS, Dataset
from extremal.bench.job import ACTION, OBSERVATION, synthetic
from extremal.core.files import write_json
from extremal.data.transforms import prepare
from extremal.engine.loop import train
from extremal.engine.products import Library
from extremal.engine.replicas import init_replicas, run_keys, stack
from extremal.runs.plan import versions

PUBLISHED = "cql, published"


class Engine:
    """The library as a user runs it, one replica."""

    def __init__(self, dataset: Dataset, settings: Any, updates: int, library: Library | None = None):
        algorithm = settings.algorithm(dataset.spec, updates=HORIZON)
        fitted, prepared = prepare(algorithm.prepare, dataset)
        algorithms = stack([dataclasses.replace(algorithm, prepare=fitted)])
        init, keys = run_keys([0])
        start, schedule = init_replicas(algorithms, init), {"updates": HORIZON, "every": (updates,)}
        self.chunks = train(algorithms, start, prepared.device(), keys, **schedule, library=library)
        self.compile_seconds = next(self.chunks).compile_seconds

    def turn(self) -> Any:
        return jax.block_until_ready(next(self.chunks).states)


def cql_products(dataset: Dataset, settings: Any, updates: int) -> Scan:
    """CQL's update without activations, losses, sampling and Adam: 2 critics, one policy, `samples` actions two (or three) times."""
    groups = 3 if settings.penalty == "published" else 2
    hidden = (settings.width,) * settings.depth
    sizes = lambda i, o: list(zip((i, *hidden), (*hidden, o), strict=True))  # noqa: E731
    shapes = {"q1": sizes(OBSERVATION + ACTION, 1), "pi": sizes(OBSERVATION, 2 * ACTION)}
    shapes |= {"q2": shapes["q1"], "slow1": shapes["q1"], "slow2": shapes["q1"]}
    random = np.random.default_rng(0)
    draw = lambda i, o: jnp.asarray(random.normal(size=(i, o)) / i**0.5, jnp.float32)  # noqa: E731
    nets = {name: [draw(*size) for size in shape] for name, shape in shapes.items()}
    batch = dataset.row(np.arange(BATCH))
    both = jnp.concatenate([batch.observation, batch.action], axis=1)
    many = jnp.tile(both, (groups * settings.samples, 1))
    data = {"x": jnp.asarray(batch.observation), "next": jnp.asarray(batch.next_observation), "both": both}
    data |= {"many": many, "rate": jnp.zeros(())}

    def update(nets: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        rate, new = data["rate"], dict(nets)
        after = forward(nets["pi"], data["next"])[-1]  # an action to follow (and, as published, samples of it)
        here = forward(nets["pi"], data["x"])[-1]
        follow = after[:, :1] + here[:, :1]
        follow = follow + forward(nets["slow1"], data["both"])[-1] + forward(nets["slow2"], data["both"])[-1]
        for name in ("q1", "q2"):
            logged, drawn = forward(nets[name], data["both"]), forward(nets[name], data["many"])
            moved = backward(nets[name], logged, follow - logged[-1], rate)
            new[name] = backward(moved, drawn, drawn[-1], rate)
        seen = forward(new["pi"], data["x"])  # the policy's own step, through both critics
        slope = 0.0
        for name in ("q1", "q2"):
            through = forward(new[name], data["both"])[-1]
            for weight in reversed(new[name]):
                through = through @ weight.T
            slope = slope + through[:, -ACTION:]
        new["pi"] = backward(nets["pi"], seen, jnp.concatenate([slope, slope], axis=1), rate)
        return new

    def run(nets: Any, key: jax.Array, data: Any, start: jax.Array) -> Any:
        return jax.lax.scan(lambda nets, _: (update(nets, data), None), nets, length=updates)[0]

    return Scan(run, [nets], run_keys([0])[1], data, updates)


def measure(names: list[str], updates: int, rounds: int) -> list[dict[str, Any]]:
    """One row per method: updates/s, its share of XQL's, and for CQL how many times its products an update takes."""
    dataset = synthetic(ROWS)
    settings = {name: METHODS[name].default for name in METHODS}
    settings[PUBLISHED] = dataclasses.replace(settings["cql"], penalty="published")
    rows: list[dict[str, Any]] = []
    for name in names:  # few programs at a time: each holds networks, moments and data
        programs: dict[str, Any] = {name: Engine(dataset, settings[name], updates)}
        if name != "xql":
            programs["xql"] = Engine(dataset, settings["xql"], updates)
        if name.startswith("cql"):
            programs["products"] = cql_products(dataset, settings[name], updates)
        taken: dict[str, list[float]] = {program: [] for program in programs}
        for _ in range(rounds):
            for program, made in programs.items():
                taken[program].append(seconds(made.turn))
        ratio = lambda one, other, taken=taken: statistics.median(  # noqa: E731
            b / a for a, b in zip(taken[one], taken[other], strict=True)
        )
        row = {"method": name, "updates_per_second": updates / statistics.median(taken[name])}
        row |= {"of_xql": ratio(name, "xql"), "compile_seconds": programs[name].compile_seconds}
        row["times_its_products"] = ratio("products", name) if "products" in programs else None
        told = "" if row["times_its_products"] is None else f"{row['times_its_products']:.2f} times its products"
        print(
            f"{name:16s} {row['updates_per_second']:9.1f} {row['of_xql']:8.1%} {row['compile_seconds']:10.1f}   {told}",
            flush=True,
        )
        rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--methods", nargs="+", default=[*METHODS, PUBLISHED])
    parser.add_argument("--updates", type=int, default=100, help="per turn")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, help="also write the numbers to this JSON file")
    given = parser.parse_args()
    print("method           updates/s   of XQL  compile s")
    rows = measure(given.methods, given.updates, given.rounds)
    if given.out is not None:
        settings = {"updates": given.updates, "rounds": given.rounds, "batch": BATCH}
        write_json(given.out, {"settings": settings, "versions": versions(), "rows": rows})


if __name__ == "__main__":
    main()
