"""What every program of a race is asked for, and the data that all of them learn from."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from extremal.data.dataset import Card, Dataset
from extremal.data.transforms import RescaleAction, prepare

OBSERVATION, ACTION, STEPS = 17, 6, 1000  # sizes and episodes as in D4RL's locomotion
COLUMNS = ("observation", "action", "reward", "next_observation", "terminated")
_HEAVY = {"cql": 12}  # times the work of an update of the others, roughly


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """Gradient updates of one method at these sizes; it travels as JSON."""

    method: str
    data: str  # path of what `write_rows` wrote
    width: int = 256
    depth: int = 2  # hidden layers of each network
    batch: int = 256
    threads: int = 1
    call: int = 500  # updates of one call, of a program that makes several per call
    replicas: int = 1  # of the library; a peer has one


def call_size(method: str, *, width: int, batch: int) -> int:
    """Updates of one call that take about a second on a few cores: 500 at width 256 and batch 256. Even, as delays are.

    >>> call_size("iql", width=256, batch=256), call_size("iql", width=1024, batch=1024), call_size("iql", width=8, batch=16)
    (500, 20, 2000)
    """
    work = _HEAVY.get(method, 1) * (width / 256) ** 2 * (batch / 256)
    return 2 * int(min(max(500 / work, 20), 2000) / 2)


def synthetic(rows: int, observation: int = OBSERVATION, action: int = ACTION) -> Dataset:
    """Random episodes of at most 1000 steps, every second one terminated."""
    random, episodes = np.random.default_rng(0), []
    for number, steps in enumerate([STEPS] * (rows // STEPS) + [rows % STEPS] * (rows % STEPS > 0)):
        episodes.append(
            {
                "observation": random.normal(size=(steps + 1, observation)),
                "action": random.uniform(-1.0, 1.0, (steps, action)),
                "reward": random.normal(size=steps),
                "terminated": number % 2 == 0,
                "truncated": number % 2 == 1,
            }
        )
    unit = (1.0,) * action
    card = Card(name="synthetic", action_low=tuple(-x for x in unit), action_high=unit)
    return Dataset.from_episodes(episodes, card=card)


def write_rows(dataset: Dataset, path: Path) -> None:
    """The transitions of `dataset` as an archive, one row a step; actions within [-1, 1], as every method learns from them."""
    write_prepared(prepare((RescaleAction(),), dataset)[1], path)


def write_prepared(dataset: Dataset, path: Path) -> None:
    """The transitions of data whose transforms are applied already, as `write_rows` writes them."""
    table = dataset.row(np.arange(dataset.rows))._asdict()
    columns = {name: np.asarray(table[name]) for name in COLUMNS}
    columns |= {"terminated": columns["terminated"].astype(bool), "truncated": np.asarray(dataset.truncated)}
    columns["truncated"][-1] |= not columns["terminated"][-1]
    np.savez(path, allow_pickle=False, **columns)  # pyright: ignore[reportArgumentType]
