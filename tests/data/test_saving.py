"""Writing is all or nothing."""

import os

import numpy as np
import pytest

from extremal.core.errors import ConfigError, RunError
from extremal.data.dataset import Dataset
from extremal.data.ids import load_dataset, save_dataset

KINDS = ["npz", "parquet"]


@pytest.fixture
def dataset(episodes):
    return Dataset.from_episodes(episodes)


@pytest.mark.parametrize("kind", KINDS)
def test_an_existing_file_is_refused_unless_told(dataset, tmp_path, kind):
    id = f"{kind}:{tmp_path}/d.{kind}"
    save_dataset(dataset, id)
    other = dataset.select([0])
    with pytest.raises(ConfigError, match="exists already"):
        save_dataset(other, id)
    assert load_dataset(id).hash() == dataset.hash()
    save_dataset(other, id, overwrite=True)
    assert load_dataset(id).hash() == other.hash()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fails", ["replace", "fsync"])
def test_a_failure_leaves_the_old_file_and_nothing_else(dataset, tmp_path, monkeypatch, kind, fails):
    id = f"{kind}:{tmp_path}/d.{kind}"
    save_dataset(dataset, id)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, fails, full)
    with pytest.raises(RunError, match="cannot be written: no space left"):
        save_dataset(dataset.select([0]), id, overwrite=True)
    with pytest.raises(RunError, match="cannot be written: no space left"):
        save_dataset(dataset, f"{kind}:{tmp_path}/new.{kind}")
    monkeypatch.undo()
    assert [file.name for file in tmp_path.iterdir()] == [f"d.{kind}"]
    assert load_dataset(id).hash() == dataset.hash()


def test_a_failure_half_way_through_the_arrays_leaves_nothing(dataset, tmp_path, monkeypatch):
    def torn(stream, **_):
        stream.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", torn)
    with pytest.raises(KeyboardInterrupt):
        save_dataset(dataset, f"npz:{tmp_path}/d.npz")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("id", ["d4rl:d.hdf5", "d.npz", "npz:", "pointmaze-medium-goal"])
def test_ids_that_cannot_be_written(dataset, id):
    with pytest.raises(ConfigError, match="expected npz:PATH or parquet:PATH"):
        save_dataset(dataset, id)


@pytest.mark.parametrize("name", ["d.txt", "d", "."])
def test_names_that_cannot_be_written(dataset, tmp_path, name):
    with pytest.raises(ConfigError, match=r"name a file that ends in \.npz"):
        save_dataset(dataset, f"npz:{tmp_path}/{name}")
    assert list(tmp_path.iterdir()) == []


def test_a_saved_file_is_readable_like_any_other(dataset, tmp_path):
    save_dataset(dataset, f"npz:{tmp_path}/d.npz")
    (tmp_path / "plain").touch()
    assert (tmp_path / "d.npz").stat().st_mode == (tmp_path / "plain").stat().st_mode
