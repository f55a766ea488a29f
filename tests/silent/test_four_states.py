"""Four states, one way to act, exact values: whatever the file, IQL and XQL learn them.

    0 -> 1 (reward 1) -> 0 (reward 0): a loop that a limit cuts after some steps
    2 -> 3 (reward 0) -> the end (reward 2)

With a discount of 0.9, V = 5.263, 4.737, 1.8, 2.0.
"""

import itertools
import json

import h5py
import minari
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from gymnasium import spaces
from minari.data_collector.episode_buffer import EpisodeBuffer

import extremal
from extremal.data.check import check_dataset
from extremal.data.dataset import Dataset
from extremal.data.ids import load_dataset

EXACT = np.array([1 / 0.19, 0.9 / 0.19, 1.8, 2.0])
ONE_HOT = np.eye(4, dtype=np.float32)


def log(steps=4, episodes=10, *, phantom=False):
    """Rows of so many loops of `steps` steps, an ending episode after each; with the row that next-step autoreset leaves, too."""
    columns = {name: [] for name in ("observation", "next_observation", "reward", "terminated", "truncated")}

    def add(state, follow, reward, terminated=False, truncated=False):
        for name, value in zip(columns, (ONE_HOT[state], ONE_HOT[follow], reward, terminated, truncated), strict=True):
            columns[name].append(value)

    for number in range(2 * episodes):
        walk = [t % 2 for t in range(steps + 1)] if number % 2 == 0 else [2, 3, 3]
        for t, (state, follow) in enumerate(itertools.pairwise(walk)):
            end = t == len(walk) - 2
            add(
                state,
                follow,
                2.0 * end if number % 2 else float(state == 0),
                end and number % 2 == 1,
                end and number % 2 == 0,
            )
        if phantom:
            add(walk[-1], 2 if number % 2 == 0 else 0, 0.0)
    return {name: np.array(value) for name, value in columns.items()} | {
        "action": np.zeros((len(columns["reward"]), 1))
    }


def hdf5(path, rows, *left_out):
    names = {"terminated": "terminals", "truncated": "timeouts"}
    with h5py.File(path / "log.hdf5", "w") as file:
        for name, value in rows.items():
            if name not in left_out:
                file[names.get(name, f"{name}s")] = value
    return load_dataset(f"d4rl:{path}/log.hdf5")


def npz(path, rows):
    np.savez(path / "log.npz", **rows)
    return load_dataset(f"npz:{path}/log.npz")


def parquet(path, rows):
    cells = {name: list(value) if value.ndim > 1 else value for name, value in rows.items()}
    pyarrow.parquet.write_table(pyarrow.table(cells), path / "log.parquet")
    return load_dataset(f"parquet:{path}/log.parquet")


def neorl2(path, rows):
    theirs = {"observation": "obs", "next_observation": "next_obs", "terminated": "done"}
    np.savez(path / "log.npz", **{theirs.get(name, name): value for name, value in rows.items()})
    return load_dataset(f"neorl2:{path}/log.npz")


def of_minari(path, rows):
    ends = np.flatnonzero(rows["terminated"] | rows["truncated"]) + 1
    buffers = [
        EpisodeBuffer(
            observations=np.vstack([rows["observation"][a:b], rows["next_observation"][b - 1 : b]]),
            actions=rows["action"][a:b].astype(np.float32),
            rewards=rows["reward"][a:b].tolist(),
            terminations=rows["terminated"][a:b].tolist(),
            truncations=rows["truncated"][a:b].tolist(),
        )
        for a, b in zip([0, *ends[:-1]], ends, strict=True)
    ]
    box = spaces.Box(-np.inf, np.inf, (4,), np.float32), spaces.Box(-1.0, 1.0, (1,), np.float32)
    minari.create_dataset_from_buffers(
        "four-v0", buffers, observation_space=box[0], action_space=box[1], description="small"
    )
    return load_dataset("minari:four-v0")


WAYS = {
    "npz": npz,
    "parquet": parquet,
    "neorl2": neorl2,
    "minari": of_minari,
    "d4rl": hdf5,
    "d4rl without timeouts": lambda path, rows: hdf5(path, rows, "truncated"),
    "d4rl without successors": lambda path, rows: hdf5(path, rows, "next_observation"),
}


def transitions(data):
    batch = data.row(np.arange(data.rows))
    follow = np.where(batch.terminated == 1.0, -1, batch.next_observation.argmax(axis=1))
    return set(zip(batch.observation.argmax(axis=1), batch.reward.tolist(), follow, strict=True))


@pytest.mark.filterwarnings("ignore::UserWarning")  # Minari's writer misses an author and a link
@pytest.mark.parametrize("way", WAYS)
def test_every_way_in_has_the_same_transitions(tmp_path, monkeypatch, way):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    data = WAYS[way](tmp_path, log())
    assert transitions(data) == {(0, 1.0, 1), (1, 0.0, 0), (2, 0.0, 3), (3, 2.0, -1)}
    assert data.episodes == 20
    assert not [finding for finding in check_dataset(data).findings if finding.level == "error"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("method", ["iql", "xql"])
def test_every_way_in_trains_to_the_exact_values(tmp_path, monkeypatch, way, method):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    data = WAYS[way](tmp_path, log())
    settings = {"discount": 0.9, "target_rate": 0.05, "width": 64, "learning_rate": 1e-3}
    learner = {"iql": extremal.IQL, "xql": extremal.XQL}[method](**settings)
    run = extremal.train(learner, data, updates=8000, out=tmp_path / "run", environment="none", holdout=0.0)
    np.testing.assert_allclose(run.policy().value(ONE_HOT), EXACT, atol=0.01)
    assert json.loads((run.path / "summary.json").read_text())["diverged"] == []


@pytest.mark.parametrize("steps", [4, 20, 40])
@pytest.mark.parametrize("seen", ["one-hot", "index"])
@pytest.mark.parametrize("successors", [True, False])
def test_phantom_rows_are_an_error(steps, seen, successors):
    rows = log(steps, phantom=True)
    if seen == "index":
        rows |= {name: rows[name].argmax(axis=1)[:, None] * 1.0 for name in ("observation", "next_observation")}
    if not successors:
        del rows["next_observation"]
    assert not check_dataset(Dataset.from_rows(**rows)).ok
