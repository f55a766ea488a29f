"""The library in a race, by the engine that `extremal train` runs; loaded by `sides/serve.py` like a peer's side."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax

from extremal.algorithms.cql import CQL
from extremal.algorithms.iql import IQL
from extremal.algorithms.sac import SAC
from extremal.algorithms.td3 import TD3, TD3_BC
from extremal.algorithms.xql import XQL
from extremal.data.dataset import Card, Dataset
from extremal.data.transforms import prepare
from extremal.engine.loop import train
from extremal.engine.replicas import init_replicas, run_keys, stack, use_every_core

HORIZON = 2**31 - 2  # more updates than any race makes

SETTINGS: dict[str, Any] = {
    "iql": IQL(policy_schedule="constant"),
    "td3bc": dataclasses.replace(TD3_BC, normalise_observation=False),  # the data are the same for all
    "sac": SAC(),
    "td3": TD3(),
    "cql": CQL(penalty="published", threshold=10.0),
    "xql": XQL(policy_schedule="constant"),
}
DIFFERS = {"cql": "30 drawn actions a state and a tuned weight, as published code has it"}


def start(job: dict[str, Any], rows: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    use_every_core()
    settings = dataclasses.replace(
        SETTINGS[job["method"]], width=job["width"], depth=job["depth"], batch_size=job["batch"]
    )
    data = dataset(rows)
    algorithm = settings.algorithm(data.spec, updates=HORIZON)
    fitted, prepared = prepare(algorithm.prepare, data)
    seeds = list(range(job["replicas"]))
    algorithms = stack([dataclasses.replace(algorithm, prepare=fitted) for _ in seeds])
    init, keys = run_keys(seeds)
    states = init_replicas(algorithms, init)
    dtype = str(jax.tree.leaves(states.online.pi)[0].dtype)
    chunks = train(algorithms, states, prepared.device(), keys, updates=HORIZON, every=(job["call"],))

    def run(updates: int) -> None:
        for _ in range(updates // job["call"]):
            jax.block_until_ready(next(chunks).states)

    device = jax.devices()[0]
    return run, {
        "packages": ["extremal", "jax", "jaxlib", "optax", "numpy"],
        "device": "cpu" if device.platform == "cpu" else device.device_kind,
        "dtype": dtype,
        "differs": DIFFERS.get(job["method"], ""),
    }


def dataset(rows: dict[str, Any]) -> Dataset:
    """The transitions as the engine reads them; their actions are within [-1, 1] already."""
    unit = (1.0,) * rows["action"].shape[1]
    return Dataset.from_rows(**rows, card=Card(action_low=tuple(-x for x in unit), action_high=unit))
