"""Where labels or flags are complete they say where an episode ends; how precisely successors were written does not."""

import numpy as np
import pytest

from extremal.data.check import check_dataset
from extremal.data.dataset import Dataset
from extremal.data.ids import load_dataset
from extremal.data.successors import last_place

WRITTEN = {
    "five decimals": lambda x: np.round(x, 5),
    "two decimals": lambda x: np.round(x, 2),
    "cut off after three decimals": lambda x: np.trunc(x * 1e3) / 1e3,
    "half precision": lambda x: x.astype(np.float16),
    "six significant digits": lambda x: np.vectorize(lambda v: float(f"{v:.6g}"))(x),
    "single precision": lambda x: x.astype(np.float32),
}


@pytest.mark.parametrize("written", WRITTEN)
@pytest.mark.parametrize("known", ["labels", "flags", "both"])
def test_precision_of_successors_ends_no_episode(labelled, written, known):
    labelled["next_observation"] = WRITTEN[written](labelled["next_observation"])
    for name in {"labels": ["truncated"], "flags": ["episode"], "both": []}[known]:
        del labelled[name]
    data = Dataset.from_rows(**labelled)
    assert (data.episodes, data.returns.tolist()) == (40, [25.0] * 40)
    assert not [f for f in check_dataset(data).findings if f.code == "successor-mismatch"]


@pytest.mark.parametrize("column", ["observation", "next_observation"])
def test_precision_near_a_large_number(labelled, column):
    labelled = labelled | {name: labelled[name] + 1000.0 for name in ("observation", "next_observation")}
    labelled[column] = labelled[column].astype(np.float32)
    del labelled["episode"], labelled["truncated"]  # found by the successors alone
    assert Dataset.from_rows(**labelled).lengths.tolist() == [25] * 40


@pytest.mark.parametrize("column", ["observation", "next_observation"])
@pytest.mark.parametrize("offset", [300.0, 1000.0, 3000.0])
def test_half_precision_of_large_numbers(labelled, column, offset):
    """Halves look like one decimal, and are not."""
    labelled = labelled | {name: 10.0 * labelled[name] + offset for name in ("observation", "next_observation")}
    labelled[column] = labelled[column].astype(np.float16)
    data = Dataset.from_rows(**labelled)
    assert data.lengths.tolist() == [25] * 40
    assert not [f for f in check_dataset(data).findings if f.code == "successor-mismatch"]


@pytest.mark.parametrize("written", WRITTEN)
def test_without_labels_and_flags_only_real_jumps_end_an_episode(labelled, written):
    labelled["next_observation"] = WRITTEN[written](labelled["next_observation"])
    del labelled["episode"], labelled["truncated"]
    assert Dataset.from_rows(**labelled).lengths.tolist() == [25] * 40


def test_whole_numbered_states_are_told_apart_exactly():
    state = np.array([0, 1, 2, 3, 4, 3, 2, 1, 0, 1.0])[:, None]
    follow = np.array([1, 2, 3, 4, 5, 2, 1, 0, 1, 2.0])[
        :, None
    ]  # after the fifth row it is 5, and the next row begins at 3
    data = Dataset.from_rows(
        observation=state, action=state / 5, reward=state[:, 0], terminated=state[:, 0] < 0, next_observation=follow
    )
    assert data.lengths.tolist() == [5, 5]


def test_noise_of_successors_is_a_warning(labelled):
    noise = 0.01 * np.random.default_rng(1).normal(size=(1000, 3))
    data = Dataset.from_rows(**labelled | {"next_observation": labelled["next_observation"] + noise})
    (finding,) = [f for f in check_dataset(data).findings if f.code == "successor-mismatch"]
    assert (data.episodes, finding.level, finding.rows[0]) == (40, "warning", 0)


def test_unmarked_resets_are_an_error_that_names_them(labelled):
    labelled["truncated"] &= np.arange(1000) >= 500  # the writer set the flag for half of the log
    data = Dataset.from_rows(**{name: value for name, value in labelled.items() if name != "episode"})
    (finding,) = [f for f in check_dataset(data).findings if f.code == "successor-mismatch"]
    assert (finding.level, finding.rows) == ("error", (24, 49, 74, 99, 124))
    assert "20 rows" in finding.says


def test_rows_in_no_order_are_an_error_or_one_step_each(labelled):
    order = np.random.default_rng(0).permutation(1000)
    shuffled = {name: value[order] for name, value in labelled.items() if name != "episode"}
    data = Dataset.from_rows(**shuffled)
    assert not check_dataset(data).ok
    del shuffled["truncated"]
    alone = Dataset.from_rows(**shuffled)  # what the finding advises
    assert alone.rows == 1000
    np.testing.assert_allclose(alone.row(np.arange(1000)).next_observation, shuffled["next_observation"], atol=1e-6)


def test_a_flag_that_is_never_set_says_nothing(labelled):
    labelled["truncated"][:] = False
    del labelled["episode"]
    assert Dataset.from_rows(**labelled).lengths.tolist() == [25] * 40


def test_every_way_in_reads_the_same_episodes(labelled, tmp_path):
    import h5py
    import pyarrow
    import pyarrow.parquet

    labelled["next_observation"] = np.round(labelled["next_observation"], 4)
    np.savez(tmp_path / "log.npz", **labelled)
    cells = {name: list(value) if value.ndim > 1 else value for name, value in labelled.items()}
    pyarrow.parquet.write_table(pyarrow.table(cells), tmp_path / "log.parquet")
    names = {"terminated": "terminals", "truncated": "timeouts"}
    with h5py.File(tmp_path / "log.hdf5", "w") as file:
        for name, value in labelled.items():
            if name != "episode":
                file[names.get(name, f"{name}s")] = value
    theirs = {"observation": "obs", "next_observation": "next_obs", "terminated": "done"}
    np.savez(tmp_path / "neorl.npz", **{theirs.get(n, n): v for n, v in labelled.items() if n != "episode"})
    for id in ("npz:log.npz", "parquet:log.parquet", "d4rl:log.hdf5", "neorl2:neorl.npz"):
        data = load_dataset(id.replace(":", f":{tmp_path}/"))
        assert data.returns.tolist() == [25.0] * 40, id


@pytest.mark.parametrize(
    ("value", "unit"),
    [
        (np.round(np.random.default_rng(0).normal(size=100), 3), 1e-3),
        (np.float32(np.round(np.random.default_rng(0).normal(size=100), 2)), 1e-2),
        (np.arange(50.0), 1.0),
        (np.random.default_rng(0).normal(size=100), 0.0),
        (np.random.default_rng(0).normal(size=100).astype(np.float32), 0.0),
        (np.zeros(5), 0.0),
    ],
)
def test_the_last_place_in_which_numbers_are_written(value, unit):
    assert last_place(value) == pytest.approx(unit)


def test_useful_rows_that_nothing_follows_are_named():
    reward = (np.arange(30) % 10 == 9).astype(float)  # each episode is about its last row
    log = {"observation": np.arange(30.0)[:, None] % 10, "action": np.ones((30, 1)), "reward": reward}
    log |= {"terminated": np.zeros(30), "episode": np.arange(30) // 10}
    data = Dataset.from_rows(**log)
    (finding,) = [f for f in check_dataset(data).findings if f.code == "rows-left-out"]
    assert (finding.level, finding.rows, data.rows) == ("warning", (9, 19, 29), 27)
    assert "3 of the 3 rewards" in finding.says
    kept = Dataset.from_rows(**log | {"terminated": reward})
    assert (kept.rows, kept.returns.tolist(), kept.card.findings) == (30, [1.0] * 3, ())
