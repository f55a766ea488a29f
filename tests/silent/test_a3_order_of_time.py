"""A column of time puts the rows of an episode in order, or the table is refused; it is never ignored."""

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from extremal.data.check import check_dataset
from extremal.data.dataset import Dataset
from extremal.data.ids import load_dataset

PAIRS = [[0, 1], [1, 2], [2, 3], [3, 4], [10, 11], [11, 12], [12, 13], [13, 14]]


def table(order, **more):
    """Two episodes of five steps whose states count on, their rows in this order."""
    state, step = np.r_[0:5, 10:15], np.r_[0:5, 0:5]
    columns = {"observation": state[:, None] * 1.0, "action": np.full((10, 1), 0.1), "reward": state * 1.0}
    columns |= {"terminated": np.zeros(10), "episode": state // 10, "step": step} | more
    return {name: np.asarray(value)[order] for name, value in columns.items()}


def pairs(data):
    batch = data.row(np.arange(data.rows))
    return np.c_[batch.observation, batch.next_observation].tolist()


ORDERS = {
    "shuffled": np.random.default_rng(0).permutation(10),
    "backwards": np.arange(10)[::-1],
    "interleaved": np.arange(10).reshape(2, 5).T.reshape(-1),
}


@pytest.mark.parametrize("name", ["step", "time", "timestep", "Step", "t", "frame_index", "timestamps"])
@pytest.mark.parametrize("order", ORDERS)
def test_rows_are_put_in_order(tmp_path, name, order):
    columns = table(ORDERS[order])
    columns[name] = columns.pop("step")
    np.savez(tmp_path / "log.npz", **columns)
    cells = {n: list(v) if v.ndim > 1 else v for n, v in columns.items()}
    pyarrow.parquet.write_table(pyarrow.table(cells), tmp_path / "log.parquet")
    for id in (f"npz:{tmp_path}/log.npz", f"parquet:{tmp_path}/log.parquet"):
        assert sorted(pairs(load_dataset(id))) == PAIRS


@pytest.mark.parametrize(
    "times",
    [
        np.datetime64("2026-01-31", "s") + np.arange(10) * np.timedelta64(1, "h"),
        np.array([f"2026-01-31T{hour:02}:00:00" for hour in range(10)]),
        np.arange(10) * 0.02 + 1.7e9,
    ],
    ids=["dates", "text", "seconds"],
)
def test_times_are_an_order_too(tmp_path, times):
    columns = table(ORDERS["shuffled"], step=times)
    columns["timestamp"] = columns.pop("step")
    cells = {n: list(v) if v.ndim > 1 else v for n, v in columns.items()}
    pyarrow.parquet.write_table(pyarrow.table(cells), tmp_path / "log.parquet")
    assert sorted(pairs(load_dataset(f"parquet:{tmp_path}/log.parquet"))) == PAIRS
    assert sorted(pairs(Dataset.from_rows(**table(ORDERS["shuffled"], step=times)))) == PAIRS


def test_successors_and_flags_go_with_their_rows():
    columns = table(
        ORDERS["shuffled"], terminated=np.arange(10) == 4, next_observation=np.r_[1:6, 11:16][:, None] * 1.0
    )
    data = Dataset.from_rows(**columns)
    assert (data.rows, data.episodes, data.card.findings) == (10, 2, ())
    assert sorted(data.observation[data.starts[1:] + np.arange(2)][:, 0].tolist()) == [5, 15]


def test_a_step_that_stands_twice_is_refused(refusal):
    sentence = refusal(lambda: Dataset.from_rows(**table(np.arange(10), step=[0, 1, 1, 3, 4, 0, 1, 2, 3, 4])))
    for part in ("'step'", "row 2", "is 1 for two rows of episode 0"):
        assert part in sentence


def test_without_labels_time_must_rise(refusal):
    columns = table(np.array([0, 2, 1, 3, 4, 5, 6, 7, 8, 9]))
    del columns["episode"]
    sentence = refusal(lambda: Dataset.from_rows(**columns))
    for part in ("row 2", "is 1 after 2", "'episode' column", "'truncated'"):
        assert part in sentence
    restart = table(np.arange(10))
    del restart["episode"]
    assert "row 5" in refusal(lambda: Dataset.from_rows(**restart))
    assert sorted(pairs(Dataset.from_rows(**restart, truncated=np.arange(10) % 5 == 4))) == PAIRS


def test_missing_steps_are_a_warning_that_names_them():
    step = np.delete(np.arange(60), [17, 40])
    data = Dataset.from_rows(
        observation=step[:, None] * 1.0,
        action=np.ones((58, 1)),
        reward=step * 1.0,
        terminated=step == 59,
        episode=np.zeros(58),
        step=step,
    )
    (finding,) = [f for f in check_dataset(data).findings if f.code == "missing-steps"]
    assert finding.rows == (16, 38)


def test_two_columns_of_time_must_agree(tmp_path, refusal):
    columns = table(ORDERS["shuffled"])
    np.savez(tmp_path / "log.npz", **columns, time=columns["step"] * 0.5)
    assert sorted(pairs(load_dataset(f"npz:{tmp_path}/log.npz"))) == PAIRS
    np.savez(tmp_path / "log.npz", **columns, time=-columns["step"])
    assert "another order than 'step'" in refusal(lambda: load_dataset(f"npz:{tmp_path}/log.npz"))


def test_labels_may_come_back_only_with_time(refusal):
    columns = table(ORDERS["interleaved"])
    assert sorted(pairs(Dataset.from_rows(**columns))) == PAIRS
    del columns["step"]
    assert "comes back" in refusal(lambda: Dataset.from_rows(**columns))


def test_columns_of_time_that_tell_none_are_refused(refusal):
    for step in (["first", "second"] * 5, np.full(10, np.nan), np.full(10, np.datetime64("NaT"))):
        assert "'step'" in refusal(lambda step=step: Dataset.from_rows(**table(np.arange(10), step=step)))


@pytest.mark.parametrize(
    "kind", ["a step that counts down", "rows from last to first", "labels that change a row early"]
)
def test_ends_on_the_first_rows_of_labels_are_an_error(kind):
    state, episode = np.tile(np.arange(5.0), 4), np.repeat(np.arange(4), 5)
    columns = {"observation": state[:, None], "action": state[:, None] / 9, "reward": state, "terminated": state == 4}
    columns |= {"episode": episode, "step": np.arange(20)}
    quiet = check_dataset(Dataset.from_rows(**columns))
    assert "ends-come-first" not in {finding.code for finding in quiet.findings}
    if kind == "a step that counts down":
        columns["step"] = -columns["step"]
    elif kind == "rows from last to first":
        columns = {name: value[::-1] for name, value in columns.items() if name != "step"}
    else:
        columns |= {"episode": np.append(episode[1:], 4)}
    (finding,) = [f for f in check_dataset(Dataset.from_rows(**columns)).findings if f.code == "ends-come-first"]
    assert finding.level == "error"
    assert finding.rows[0] in (0, 4)
