"""Logs that are wrong in a way which says nothing by itself, or right in a way that looks wrong."""

import shutil

import numpy as np
import pytest
from toy_runs import log, train

import extremal
from extremal import cli
from extremal.core.errors import ExtremalError
from extremal.runs.train import checkpoints


@pytest.fixture
def labelled():
    """40 labelled episodes of 25 steps of a smooth walk, reward 1 a step, cut at the end: returns of 25."""
    random = np.random.default_rng(0)
    walks = np.cumsum(0.1 * random.normal(size=(40, 26, 3)), axis=1) + random.normal(size=(40, 1, 3))
    row = np.arange(40 * 25)
    return {
        "observation": walks[:, :-1].reshape(-1, 3),
        "next_observation": walks[:, 1:].reshape(-1, 3),
        "action": random.uniform(-1, 1, (1000, 2)),
        "reward": np.ones(1000),
        "terminated": np.zeros(1000, bool),
        "truncated": row % 25 == 24,
        "episode": row // 25,
    }


@pytest.fixture
def refusal():
    """The sentence with which a call is refused."""

    def sentence(call) -> str:
        with pytest.raises(ExtremalError) as error:
            call()
        return str(error.value)

    return sentence


@pytest.fixture(scope="session")
def short(tmp_path_factory):
    """Forty updates of two seeds, without a schedule. Read it only; `half` is one to spoil."""
    return train(tmp_path_factory.mktemp("runs") / "short", seeds=2)


@pytest.fixture
def half(short, tmp_path):
    """The same, killed after its first checkpoint."""
    path = tmp_path / "half"
    shutil.copytree(short.path, path)
    checkpoints(path)[-1].unlink()
    (path / "summary.json").unlink()
    return path


@pytest.fixture(scope="session")
def stored(tmp_path_factory):
    """The options of a run by the command on a log in a file, and its folder."""
    folder = tmp_path_factory.mktemp("stored")
    extremal.save_dataset(log(), f"npz:{folder / 'log.npz'}")
    words = ["--dataset", f"npz:{folder / 'log.npz'}", "--width", "8", "--batch-size", "16", "--log-every", "10"]
    words += ["--updates", "40", "--evaluate-every", "20", "--out", str(folder / "run")]
    assert cli.main(["train", "bc", *words]) == 0
    return words, folder / "run"
