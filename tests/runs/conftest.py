"""Small data and small runs; what many tests read is trained once."""

import csv
import dataclasses
import shutil

import numpy as np
import pytest
from safetensors import safe_open

import extremal
from extremal.runs.train import checkpoints

LOW, HIGH = 2.0, 6.0  # of the actions: far from [-1, 1]


@pytest.fixture(scope="session")
def read_rows():
    """The rows of a CSV file."""

    def read(path) -> list[dict[str, str]]:
        with path.open(newline="") as file:
            return list(csv.DictReader(file))

    return read


@pytest.fixture(scope="session")
def last():
    """Name, numbers and metadata of a run's last checkpoint, to be compared bitwise."""

    def read(path) -> tuple:
        with safe_open(checkpoints(path)[-1], framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in sorted(file.keys())}
            about = file.metadata()
        return checkpoints(path)[-1].name, {n: (x.dtype, x.shape, x.tobytes()) for n, x in arrays.items()}, about

    return read


@pytest.fixture(scope="session")
def data() -> extremal.Dataset:
    """Twenty episodes of eight steps, without a simulator; the action follows the observation."""
    random = np.random.default_rng(0)
    episodes = []
    for number in range(20):
        observation = random.normal(size=(9, 3)).astype(np.float32)
        action = np.clip(4.0 + observation[:-1, :2] + 0.1 * random.normal(size=(8, 2)), LOW, HIGH)
        reward = random.normal(size=8).astype(np.float32)
        columns = {"observation": observation, "action": action.astype(np.float32), "reward": reward}
        episodes.append(columns | {"terminated": number % 2 == 0})
    return extremal.Dataset.from_episodes(episodes, card=extremal.Card(name="follow"))


@pytest.fixture(scope="session")
def small():
    """Behaviour cloning, which compiles fastest."""
    return extremal.BC(width=8, batch_size=16)


@pytest.fixture(scope="session")
def train(data, small):
    """Short training; any argument may be another."""

    def run(out, algorithm=small, dataset=data, **options):
        options = {"updates": 40, "evaluate_every": 20, "log_every": 10, "out": out} | options
        return extremal.train(algorithm, dataset, **options)

    return run


@pytest.fixture(scope="session")
def cloned(train, tmp_path_factory):
    """A finished run of two seeds without a simulator. Read it only; `copy_of` is one to spoil."""
    return train(tmp_path_factory.mktemp("runs") / "cloned", seeds=2)


@pytest.fixture
def copy_of(cloned, tmp_path):
    """A copy of the finished run, to be damaged."""
    shutil.copytree(cloned.path, tmp_path / "copy")
    return dataclasses.replace(cloned, path=tmp_path / "copy")


@pytest.fixture(scope="session")
def fields_of_a_result():
    words = "algorithm dataset metric mean iqm low high per_seed seeds overrides updates updates_per_second"
    return set(words.split())
