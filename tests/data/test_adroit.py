"""The door demonstrations: what was recorded, replayed; and recordings that cannot be used."""

import json

import numpy as np
import pytest

from extremal.core.errors import DataError
from extremal.data import adroit, cache
from extremal.data.ids import load_dataset


@pytest.fixture(scope="module")
def recordings(real_data):
    return real_data / "dapg" / "door-v0_demos.npz"


@pytest.fixture(scope="module")
def door(recordings):
    return adroit.BUILDS["adroit-door-human"](recordings)


def test_the_door_dataset_is_d4rls(door):
    assert (door.rows, door.episodes) == (6729, 25)
    assert (door.spec.observation, door.spec.action) == ((39,), (28,))
    assert not door.terminated.any()
    np.testing.assert_array_equal(np.flatnonzero(door.truncated), door.starts[1:] - 1)
    assert door.lengths.min() == 223
    assert door.lengths.max() == 300


def test_actions_are_the_recorded_ones_clipped(door, recordings):
    with np.load(recordings) as file:
        recorded = file["actions"]
    np.testing.assert_array_equal(door.action, np.clip(recorded, -1, 1).astype(np.float32))
    assert json.loads(door.card.recipe)["clipped_action_entries"] == pytest.approx(0.0562, abs=1e-4)


def test_the_replay_opens_the_door_as_the_recording_does(door, recordings):
    with np.load(recordings) as file:
        logged = np.add.reduceat(file["rewards"], door.starts[:-1])
    assert logged.mean() == pytest.approx(794.1, abs=0.05)
    assert door.returns.mean() == pytest.approx(logged.mean(), rel=0.02)
    assert np.corrcoef(door.returns, logged)[0, 1] > 0.95
    opened = door.observation[door.slot[door.starts[1:] - 1] + 1, 28] >= 1.35
    assert opened.mean() == pytest.approx(0.24)


def test_the_card_names_simulator_reference_and_source(door):
    card = door.card
    assert (card.name, card.environment, card.reference) == ("adroit-door-human", "adroit-door", "door-human-v0")
    assert (card.action_low, card.action_high) == ((-1.0,) * 28, (1.0,) * 28)
    assert len(json.loads(card.recipe)["source"]) == 64


def test_a_built_dataset_is_found_by_its_name(door, tmp_path, monkeypatch):
    monkeypatch.setenv("EXTREMAL_CACHE", str(tmp_path))
    with pytest.raises(DataError, match="extremal data build adroit-door-human --source"):
        load_dataset("adroit-door-human")
    cache.save_built("adroit-door-human", door)
    again = load_dataset("adroit-door-human")
    assert again.hash() == door.hash()
    assert again.card == door.card


def recorded(**changes):
    """Two short recordings, well formed but for `changes`."""
    fields = {
        "actions": np.zeros((5, 28)),
        "episode_length": np.array([2, 3]),
        "init_qpos": np.zeros((2, 30)),
        "init_qvel": np.zeros((2, 30)),
        "init_door_body_pos": np.tile([-0.25, 0.3, 0.3], (2, 1)),
    }
    return {k: v for k, v in (fields | changes).items() if v is not None}


def test_a_short_recording_is_replayed(tmp_path):
    np.savez(tmp_path / "demos.npz", **recorded(actions=np.full((5, 28), 1.5)))
    data = adroit.build_door_human(tmp_path / "demos.npz")
    np.testing.assert_array_equal(data.lengths, [2, 3])
    assert (data.action == 1.0).all()
    assert json.loads(data.card.recipe)["clipped_action_entries"] == 1.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"init_qvel": None}, "field 'init_qvel': is missing"),
        ({"actions": np.zeros((4, 28))}, r"field 'actions': has shape \(4, 28\), expected \(5, 28\)"),
        ({"init_qpos": np.zeros((2, 24))}, r"field 'init_qpos': has shape \(2, 24\), expected \(2, 30\)"),
        (
            {"actions": np.where(np.arange(5)[:, None] == 3, np.nan, np.zeros((5, 28)))},
            "field 'actions', row 3: is NaN",
        ),
        ({"episode_length": np.array([5, 0])}, "field 'episode_length': must hold the steps"),
        ({"episode_length": np.array([2.0, 3.0])}, "field 'episode_length': must hold the steps"),
        ({"actions": np.full((5, 28), "a")}, "not a readable"),
        ({"actions": np.full((5, 28), None)}, "not a readable"),
    ],
)
def test_recordings_that_do_not_fit_are_refused(tmp_path, changes, message):
    source = tmp_path / "demos.npz"
    np.savez(source, **recorded(**changes))
    with pytest.raises(DataError, match=message) as caught:
        adroit.build_door_human(source)
    assert str(source) in str(caught.value)


def test_files_that_are_no_recordings_are_refused(tmp_path):
    with pytest.raises(DataError, match="there is no such file"):
        adroit.build_door_human(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("not an archive")
    with pytest.raises(DataError, match="not a readable"):
        adroit.build_door_human(tmp_path / "text.npz")
    np.save(tmp_path / "array.npy", np.zeros(3))
    with pytest.raises(DataError, match="not a readable"):
        adroit.build_door_human(tmp_path / "array.npy")
