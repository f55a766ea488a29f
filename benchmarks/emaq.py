"""What an update of EMaQ costs beside its own matrix products, with and without what is done about it.

    products   the update's dense products alone, of the same shapes, forward, dX and dW, in the same tiles: the floor
    update     the library's
    untiled    without tiles: all samples of all states are the rows of one product
    naive      besides, every sample is a row of its own from the first layer on, as if each had a state of its own
    ahead      the library's with `draws_ahead`: actions are looked up, and the products of drawing them are saved

They take turns in one process; medians over the rounds are told. The products are of nothing else: no activation, random
number, choice of a bin, loss or Adam. The model of the behaviour is not fitted; what it costs does not depend on that.

The same by part: the model's draws, the slow critics on them, and the critics' own step with Adam and the slow copies.

    python benchmarks/emaq.py --out emaq.json                             wants an idle machine
    python benchmarks/emaq.py --samples 10 --critics 2 --rounds 3         a look
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from engine import BATCH, HORIZON, Scan, backward, forward, peak_flops, seconds
from extremal import Dataset, EMaQ
from extremal.bench.job import OBSERVATION, synthetic
from extremal.core.files import write_json
from extremal.core.record import record, static
from extremal.engine.replicas import run_keys
from extremal.networks import conditional
from extremal.networks.heads import Critic
from extremal.objectives.sampled import constant_values, drawn
from extremal.runs.plan import versions

ACTION = 3  # as hopper's
LONGEST = 20  # updates of one turn
Update = Callable[[Any, Any, jax.Array, jax.Array], Any]  # (state, data, key, index) -> state


# ---- as if nothing had been done --------------------------------------------------------------------------------------


@record
class NaiveCritic:
    """A critic that is given each action with a copy of its state."""

    critic: Critic

    def __call__(self, observation: jax.Array, action: jax.Array) -> jax.Array:
        return self.critic(observation, action)


class NaiveActions(NamedTuple):
    """Draws of a model that is asked once a draw."""

    model: Any
    observation: jax.Array

    def samples(self, key: jax.Array, count: int) -> jax.Array:
        found = self.model(jnp.tile(self.observation, (count, 1))).sample(key)
        return found.reshape(count, -1, found.shape[-1])


@record
class NaiveModel:
    model: Any

    def __call__(self, observation: jax.Array) -> NaiveActions:
        return NaiveActions(self.model, observation)


@record
class NaiveNetworks:
    networks: Any = static()

    def init(self, key: jax.Array) -> Any:
        made = self.networks.init(key)
        return made._replace(q=NaiveCritic(critic=made.q), behaviour=NaiveModel(model=made.behaviour))


@contextmanager
def tiles(rows: int) -> Iterator[None]:
    """Tiles of about so many rows in what is traced within."""
    usual = conditional.TILE
    conditional.TILE = rows
    try:
        yield
    finally:
        conditional.TILE = usual


# ---- the library's update, whole and in parts ---------------------------------------------------------------------------


def scan(update: Update, state: Any, data: Any, updates: int) -> Scan:
    """`updates` of them in one program; update i draws from fold_in(key, i)."""

    def run(state: Any, key: jax.Array, data: Any, start: jax.Array) -> Any:
        body = lambda i, state: update(state, data, jax.random.fold_in(key, i), i)  # noqa: E731
        return jax.lax.fori_loop(start, start + updates, body, state)

    return Scan(run, [state], run_keys([0])[1], data, updates)


def whole_update(dataset: Dataset, settings: EMaQ, updates: int, *, naive: bool = False) -> Scan:
    algorithm = settings.algorithm(dataset.spec, updates=HORIZON)
    if naive:
        algorithm = dataclasses.replace(algorithm, networks=NaiveNetworks(networks=algorithm.networks))
    update = lambda state, data, key, index: algorithm.update(state, data, key, index)[0]  # noqa: E731
    return scan(update, algorithm.init(jax.random.key(0)), dataset.device(), updates)


def looked_up(dataset: Dataset, settings: EMaQ, updates: int) -> Scan:
    """The whole update on a table of twice as many actions a state; making it is not inside."""
    settings = dataclasses.replace(settings, draws_ahead=2 * settings.samples)
    algorithm, data = settings.algorithm(dataset.spec, updates=HORIZON), dataset.device()
    state = algorithm.init(jax.random.key(0))
    drawn = jax.jit(algorithm.drawn_ahead)(state.online, data, jax.random.key(1))
    update = lambda state, given, key, index: given[0].update(state, given[1], key, index)[0]  # noqa: E731
    return scan(update, state, (drawn, data), updates)


def parts(dataset: Dataset, settings: EMaQ, updates: int) -> dict[str, Scan]:
    """Each part of the update alone, on what it would get from the others.

    What a part gives is fed back to it at a rate of 0, unknown to the compiler: or it were made once for all updates.
    """
    algorithm = settings.algorithm(dataset.spec, updates=HORIZON)
    (step,) = algorithm.steps
    objective: Any = step.objective
    state, batch = algorithm.init(jax.random.key(0)), dataset.row(np.arange(BATCH))
    batch = jax.tree.map(jnp.asarray, batch)
    action = jnp.asarray(np.random.default_rng(0).uniform(-1.0, 1.0, (settings.samples, BATCH, ACTION)), jnp.float32)

    def draws(last: jax.Array, data: Any, key: jax.Array, index: jax.Array) -> jax.Array:
        model, observation, rate = data
        return drawn(model, observation + rate * last[0, 0, 0], key, settings.samples)

    def critics(value: jax.Array, data: Any, key: jax.Array, index: jax.Array) -> jax.Array:
        critic, observation, action, rate = data
        moved = rate * value[:, None]
        q = constant_values(critic, observation + moved, action + moved)
        return objective.backup.statistic.value(objective.backup.ensemble.value(q))

    given = dataclasses.replace(step, objective=dataclasses.replace(objective, backup=Given()))
    alone = dataclasses.replace(algorithm, steps=(given,))
    own = lambda state, data, key, index: alone.update(state, data, key, index)[0]  # noqa: E731
    observation, rate = batch.next_observation, jnp.zeros(())
    return {
        "draws": scan(draws, 0.0 * action, (state.online.behaviour, observation, rate), updates),
        "slow critics": scan(critics, jnp.zeros(BATCH), (state.target["q"], observation, action, rate), updates),
        "step": scan(own, jax.tree.map(jnp.copy, state), dataset.device(), updates),
    }


@record
class Given:
    """What follows has a value of no networks."""

    def __call__(self, target: Any, batch: Any, key: jax.Array) -> jax.Array:
        return batch.reward


# ---- the same products alone ----------------------------------------------------------------------------------------------


def chain(sizes: tuple[int, ...]) -> list[tuple[int, int]]:
    return list(pairwise(sizes))


def shapes(settings: EMaQ) -> dict[str, list[list[tuple[int, int]]]]:
    """[(inputs, outputs)] of every layer of every network; `head` without the entries before, `prefix` they alone."""
    model, hidden = settings.behaviour, (settings.width,) * settings.depth
    if settings.behaviour_model != "autoregressive" or model.prefix_width is not None:
        raise SystemExit("the products are counted for an autoregressive model without prefix_width")
    head = chain((model.width, *(model.head_width,) * model.head_depth, model.bins))
    critics = [chain((OBSERVATION + ACTION, *hidden, 1)) for _ in range(settings.critics)]
    return {
        "embedding": [chain((OBSERVATION, *(model.width,) * (model.depth + 1)))],
        "head": [head] * ACTION,
        "prefix": [[(i, model.head_width)] for i in range(1, ACTION)],
        "q": critics,
        "slow": critics,
    }


def product_flops(settings: EMaQ) -> dict[str, int]:
    """Of each part, per update: what depends on the state alone once a state, the rest once a sample."""
    of, rows = shapes(settings), BATCH * settings.samples
    count = lambda nets: sum(i * o for net in nets for i, o in net)  # noqa: E731
    head = of["head"][0]
    later = ACTION - 1
    draws = BATCH * (count(of["embedding"]) + count([head]) + later * count([head[:1]]))
    draws += rows * (later * count([head[1:]]) + count(of["prefix"]))
    first = settings.critics * settings.width
    slow = BATCH * first * OBSERVATION + rows * (first * ACTION + count([net[1:] for net in of["slow"]]))
    step = BATCH * (3 * count(of["q"]) - first * (OBSERVATION + ACTION))
    return {"draws": 2 * draws, "slow critics": 2 * slow, "step": 2 * step}


def each_tile(function: Callable[[jax.Array], jax.Array], x: jax.Array) -> jax.Array:
    """[N, B, ...] of `function` on the rows [n B, ...] of each tile."""
    flat = lambda some: function(some.reshape(-1, some.shape[-1])).reshape(*some.shape[:2], -1)  # noqa: E731
    return conditional.tiled(flat, x)


def draw_products(nets: Any, observation: jax.Array, samples: int) -> jax.Array:
    """[N, B, A] of nothing but products: logits in the places of entries."""
    embedding = forward(nets["embedding"][0], observation)[-1]
    first = forward(nets["head"][0], embedding)[-1]
    known = [forward(head[:1], embedding)[-1] for head in nets["head"][1:]]

    def later(x: jax.Array) -> jax.Array:  # [T, A], of which each head sees those before
        for i, (head, (prefix,)) in enumerate(zip(nets["head"][1:], nets["prefix"], strict=True)):
            found = forward([prefix, *head[1:]], x[:, : i + 1])[-1]
            x = jnp.concatenate([x[:, : i + 1], found[:, : ACTION - 1 - i]], axis=1)
        return x

    begin = jnp.broadcast_to(first[:, :ACTION], (samples, BATCH, ACTION))
    return each_tile(later, begin) + sum(jnp.sum(x, axis=1, keepdims=True) for x in known)


def slow_products(nets: Any, observation: jax.Array, action: jax.Array) -> jax.Array:
    """[B]"""

    def every(x: jax.Array) -> jax.Array:
        return jnp.concatenate([forward([net[0][OBSERVATION:], *net[1:]], x)[-1] for net in nets["slow"]], axis=1)

    known = sum(jnp.sum(observation @ net[0][:OBSERVATION], axis=1) for net in nets["slow"])
    return jnp.max(each_tile(every, action), axis=(0, 2)) + known


def step_products(nets: Any, both: jax.Array, follow: jax.Array, rate: jax.Array) -> Any:
    new = []
    for net in nets["q"]:
        seen = forward(net, both)
        new.append(backward(net, seen, follow[:, None] - seen[-1], rate))
    return {**nets, "q": new, "slow": nets["q"]}


def products(settings: EMaQ, dataset: Dataset, updates: int) -> dict[str, Scan]:
    """The update's products and those of each part. A rate of 0, unknown to the compiler, keeps every one in."""
    random = np.random.default_rng(0)
    draw = lambda i, o: jnp.asarray(random.normal(size=(i, o)) / i**0.5, jnp.float32)  # noqa: E731
    nets = {name: [[draw(*size) for size in net] for net in of] for name, of in shapes(settings).items()}
    batch = dataset.row(np.arange(BATCH))
    both = jnp.concatenate([batch.observation, batch.action], axis=1)
    action = jnp.asarray(random.uniform(-1.0, 1.0, (settings.samples, BATCH, ACTION)), jnp.float32)
    data = {"next": jnp.asarray(batch.next_observation), "both": both, "rate": jnp.zeros(()), "action": action}

    def whole(nets: Any, data: Any, key: jax.Array, index: jax.Array) -> Any:
        observation = data["next"] + data["rate"] * nets["q"][0][-1][0, 0]  # of this update: or it were made once
        action = draw_products(nets, observation, settings.samples)
        follow = slow_products(nets, observation, action)
        return step_products(nets, data["both"], follow, data["rate"])

    def draws(last: jax.Array, data: Any, key: jax.Array, index: jax.Array) -> jax.Array:
        return draw_products(data["nets"], data["next"] + data["rate"] * last[0, 0, 0], settings.samples)

    def slow(value: jax.Array, data: Any, key: jax.Array, index: jax.Array) -> jax.Array:
        moved = data["rate"] * value[:, None]
        return slow_products(data["nets"], data["next"] + moved, data["action"] + moved)

    def step(nets: Any, data: Any, key: jax.Array, index: jax.Array) -> Any:
        return step_products(nets, data["both"], data["both"][:, 0], data["rate"])

    more = data | {"nets": nets}
    copy = lambda: jax.tree.map(jnp.copy, nets)  # noqa: E731
    return {
        "products": scan(whole, copy(), data, updates),
        "draws": scan(draws, 0.0 * action, more, updates),
        "slow critics": scan(slow, jnp.zeros(BATCH), more, updates),
        "step": scan(step, copy(), data, updates),
    }


# ---- measuring -----------------------------------------------------------------------------------------------------------


def measure(dataset: Dataset, settings: EMaQ, updates: int, rounds: int, peak: float) -> list[dict[str, Any]]:
    """One row per program: seconds an update, and how many times its products that is, by rounds."""
    own = products(settings, dataset, updates)
    programs = {("products", name): own[name] for name in own}
    programs["update", "products"] = whole_update(dataset, settings, updates)
    programs |= {("update", name): made for name, made in parts(dataset, settings, updates).items()}
    programs["ahead", "products"] = looked_up(dataset, settings, updates)
    with tiles(settings.samples * BATCH):
        programs["untiled", "products"] = whole_update(dataset, settings, updates)
        programs["naive", "products"] = whole_update(dataset, settings, updates, naive=True)
    taken: dict[tuple[str, str], list[float]] = {name: [] for name in programs}
    for _ in range(rounds):
        for name, program in programs.items():
            taken[name].append(seconds(program.turn) / updates)
    flops = product_flops(settings)
    flops["products"] = sum(flops.values())
    rows = []
    for (what, of), times in sorted(taken.items(), key=lambda one: one[0][1] != "products"):
        row: dict[str, Any] = {"samples": settings.samples, "critics": settings.critics, "width": settings.width}
        row |= {"program": what, "part": "whole" if of == "products" else of, "seconds": statistics.median(times)}
        row["times_its_products"] = statistics.median(a / b for a, b in zip(times, taken["products", of], strict=True))
        row |= {"product_flops": flops[of], "of_peak": flops[of] / row["seconds"] / peak}
        rows.append(row)
    return rows


def tell(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        print(
            f"{row['samples']:4d} {row['critics']:3d}  {row['part']:12s}  {row['program']:8s}"
            f"  {row['product_flops'] / 1e9:8.2f}  {1e3 * row['seconds']:8.1f}  {row['of_peak']:7.1%}"
            f"  {row['times_its_products']:9.2f}  {1.0 / row['times_its_products']:7.1%}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--samples", type=int, nargs="+", default=[10, 100])
    parser.add_argument("--critics", type=int, nargs="+", default=[2, 8])
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--updates", type=int, default=2, help="per turn with 100 samples, 8 critics; else more")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, help="also write the numbers to this JSON file")
    given = parser.parse_args()
    dataset, peak, load = synthetic(20_000, action=ACTION), peak_flops(), os.getloadavg()[0]
    print(f"{os.cpu_count()} cores, load {load:.1f}; peak {peak / 1e9:.0f} GFLOP/s; {ACTION} entries, batch {BATCH}")
    print("   N   K  part          program      GFLOP        ms  of peak  x products    share")
    rows = []
    for samples in given.samples:
        for critics in given.critics:
            settings = EMaQ(samples=samples, critics=critics, width=given.width, batch_size=BATCH)
            updates = min(max(1, round(given.updates * 800 / (samples * critics))), LONGEST)
            found = measure(dataset, settings, updates, given.rounds, peak)
            tell(found)
            rows += found
    if given.out is not None:
        machine = {"cores": os.cpu_count(), "load": load, "versions": versions()}
        told = {"updates": given.updates, "rounds": given.rounds, "batch": BATCH, "action": ACTION}
        write_json(given.out, {"machine": machine, "settings": told, "peak_flops_per_second": peak, "rows": rows})


if __name__ == "__main__":
    main()
