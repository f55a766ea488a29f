"""A small file that unpacks to more than a stated limit is refused before any memory is taken."""

import zipfile

import numpy as np
import pytest

import extremal
from extremal.core.errors import DataError
from extremal.data.loaders import files

ROWS = 20_000


@pytest.fixture
def lower(monkeypatch):
    """The limit is 1 MiB instead of 1 GiB, so that a test is as fast as its numbers are few."""
    monkeypatch.setattr(files, "FREELY", 2**20)


@pytest.fixture
def zeros():
    columns = {"observation": np.zeros((ROWS, 40), np.float32), "action": np.zeros((ROWS, 1), np.float32)}
    return columns | {"reward": np.zeros(ROWS, np.float32), "terminated": np.arange(ROWS) % 100 == 99}


def test_the_limit_is_stated():
    assert (files.FREELY, files.UNPACKED) == (2**30, 200)


@pytest.mark.parametrize("kind", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_packed_archive_that_unpacks_to_too_much_is_refused(zeros, lower, tmp_path, kind):
    np.savez(tmp_path / "plain.npz", **zeros)
    with zipfile.ZipFile(tmp_path / "plain.npz") as plain, zipfile.ZipFile(tmp_path / "log.npz", "w", kind) as packed:
        for name in plain.namelist():
            packed.writestr(name, plain.read(name))
    with pytest.raises(DataError, match=r"unpacks from 0\.0 MiB to .* at most 200 times .* without compression"):
        extremal.load_dataset(f"npz:{tmp_path / 'log.npz'}")
    assert extremal.load_dataset(f"npz:{tmp_path / 'plain.npz'}").rows == ROWS  # the twin: stored as it is


def test_many_small_members_count_together(zeros, lower, tmp_path, monkeypatch):
    """None of them is beyond the limit, all of them are."""
    monkeypatch.setattr(files, "FREELY", 2**22 // 2)
    more = {f"info_{number}": np.zeros(100_000, np.float32) for number in range(10)}
    small = {name: value[:1000] for name, value in zeros.items()}
    np.savez_compressed(tmp_path / "log.npz", **small, **more)
    with pytest.raises(DataError, match="at most 200 times"):
        extremal.load_dataset(f"npz:{tmp_path / 'log.npz'}")


def test_a_packed_hdf5_file_and_a_parquet_table_are_refused_too(zeros, lower, tmp_path):
    h5py = pytest.importorskip("h5py")
    parquet, arrow = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    names = {"observation": "observations", "action": "actions", "reward": "rewards", "terminated": "terminals"}
    for place, packing in (("packed", {"compression": "gzip"}), ("plain", {})):
        with h5py.File(tmp_path / f"{place}.hdf5", "w") as file:
            for name, value in zeros.items():
                file.create_dataset(names[name], data=value, **packing)
    table = arrow.table(
        {f"observation_{i}": zeros["observation"][:, i] for i in range(40)}
        | {"action_0": zeros["action"][:, 0], "reward": zeros["reward"], "terminated": zeros["terminated"]}
    )
    parquet.write_table(table, tmp_path / "packed.parquet")
    for id in ("d4rl:packed.hdf5", "parquet:packed.parquet"):
        scheme, name = id.split(":")
        with pytest.raises(DataError, match="at most 200 times"):
            extremal.load_dataset(f"{scheme}:{tmp_path / name}")
    assert extremal.load_dataset(f"d4rl:{tmp_path / 'plain.hdf5'}").rows == ROWS


def test_what_packs_well_and_is_not_large_is_read(zeros, tmp_path):
    np.savez_compressed(tmp_path / "log.npz", **zeros)
    assert extremal.load_dataset(f"npz:{tmp_path / 'log.npz'}").rows == ROWS
