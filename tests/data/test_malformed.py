"""Malformed files, one by one: each gets one error that names the file, the field and the row where there is one."""

import io
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from extremal.core.errors import DataError
from extremal.data.dataset import Card, Dataset
from extremal.data.ids import load_dataset, save_dataset

# ---- what is done to a good file ---------------------------------------------------------------------------------------


def npz(path, rows):
    np.savez(path, **rows)


def neorl2(path, rows):
    names = {"observation": "obs", "next_observation": "next_obs", "terminated": "done"}
    np.savez(path, **{names.get(name, name): value for name, value in rows.items() if name != "episode"})


def d4rl(path, rows):
    with h5py.File(path, "w") as file:
        for name, value in rows.items():
            if name != "episode":
                theirs = {"terminated": "terminals", "truncated": "timeouts"}.get(name, f"{name}s")
                file[theirs] = value


def parquet(path, rows):
    cells = {k: pyarrow.array(v.tolist() if isinstance(v, np.ndarray) else v) for k, v in rows.items()}
    pyarrow.parquet.write_table(pyarrow.table(cells), path)


WRITERS = {
    "npz": (npz, "log.npz"),
    "neorl2": (neorl2, "log.npz"),
    "d4rl": (d4rl, "log.hdf5"),
    "parquet": (parquet, "log.parquet"),
}


def without(*names):
    return lambda rows: {name: value for name, value in rows.items() if name not in names}


def renamed(**names):
    return lambda rows: {names.get(name, name): value for name, value in rows.items()}


def changed(name, change):
    return lambda rows: rows | {name: change(rows[name])}


def at(row, number):
    def change(value):
        value = value.astype(np.float64)
        value[row] = number
        return value

    return change


TABLES = [
    # kind, change, field, row, words of the message
    ("npz", without("observation"), "observation", None, "is missing; the file has action"),
    ("npz", without("terminated", "truncated"), "terminated", None, "is missing"),
    ("npz", renamed(observation="observations"), "observation", None, "is called 'observations' here; rename"),
    ("npz", renamed(observation="obs"), "observation", None, "is called 'obs' here"),
    ("npz", renamed(action="actions"), "action", None, "is called 'actions' here"),
    ("npz", renamed(reward="Rewards"), "reward", None, "is called 'Rewards' here"),
    ("npz", renamed(terminated="terminals"), "terminated", None, "is called 'terminals' here"),
    ("npz", renamed(truncated="timeouts"), "truncated", None, "is called 'timeouts' here"),
    ("npz", renamed(next_observation="next_obs"), "next_observation", None, "is called 'next_obs' here"),
    ("npz", renamed(episode="episode_id"), "episode", None, "is called 'episode_id' here"),
    ("npz", renamed(terminated="done"), "done", None, "does not say why an episode ended"),
    ("npz", renamed(terminated="dones"), "dones", None, "'truncated' where a limit"),
    ("npz", changed("action", lambda v: v.astype(object)), "action", None, "object array, which is never unpickled"),
    ("npz", changed("action", lambda v: v.astype("U8")), "action", 0, "a word; number the choices"),
    ("npz", changed("reward", at(5, np.nan)), "reward", 5, "NaN"),
    ("npz", changed("observation", at(3, np.inf)), "observation", 3, "infinite"),
    ("npz", changed("reward", lambda v: v[:5]), "reward", None, "has 5 rows, 'action' has 8"),
    ("npz", changed("terminated", at(4, 2)), "terminated", 4, "is 2.0, expected 0 or 1"),
    ("npz", changed("episode", lambda v: np.arange(8) % 2), "episode", 2, "sort the rows"),
    ("npz", changed("action", lambda v: np.arange(8) - 2), "action", 0, "numbers of choices or quantities?"),
    ("npz", lambda rows: {name: value[:0] for name, value in rows.items()}, "action", None, "there is no row"),
    ("npz", lambda rows: {"weights": np.zeros(3)}, "observation", None, "is missing; the file has weights"),
    ("neorl2", without("truncated"), "truncated", None, "is missing"),
    ("neorl2", without("observation"), "obs", None, "is missing"),
    ("neorl2", changed("terminated", at(2, 0.5)), "done", 2, "expected 0 or 1"),
    ("neorl2", changed("next_observation", lambda v: v[:, :1]), "next_obs", None, "has shape (8, 1)"),
    ("neorl2", changed("next_observation", at(6, np.nan)), "next_obs", 6, "NaN"),
    ("d4rl", without("reward"), "rewards", None, "is missing; the file has actions"),
    ("d4rl", changed("observation", at(7, np.nan)), "observations", 7, "NaN"),
    ("d4rl", changed("truncated", at(1, 3)), "timeouts", 1, "expected 0 or 1"),
    ("d4rl", changed("action", lambda v: v[:6]), "observations", None, "has 8 rows, 'action' has 6"),
    ("d4rl", changed("reward", lambda v: ["a"] * 8), "rewards", None, "expected an array of real numbers"),
    ("d4rl", changed("terminated", lambda v: np.zeros((8, 3))), "terminals", None, "one number a row"),
    ("parquet", without("action"), "action", None, "is missing"),
    ("parquet", renamed(terminated="done"), "done", None, "does not say why"),
    ("parquet", changed("reward", lambda v: [*v[:4], None, *v[5:]]), "reward", 4, "is empty"),
    (
        "parquet",
        changed("action", lambda v: [*v[:4].tolist(), [1.0], *v[5:].tolist()]),
        "action",
        4,
        "has 1 entries, row 0 has 2",
    ),
    (
        "parquet",
        changed("action", lambda v: [*v[:4].tolist(), [1.0, None], *v[5:].tolist()]),
        "action",
        4,
        "empty entry",
    ),
    ("parquet", changed("reward", lambda v: ["1.0"] * 8), "reward", None, "holds string, not numbers"),
    ("parquet", changed("observation", at(2, np.nan)), "observation", 2, "NaN"),
    ("parquet", lambda rows: rows | {"action_0": rows["reward"]}, "action", None, "both one column and 'action_0'"),
    (
        "parquet",
        lambda rows: without("action")(rows) | {"action_1": rows["reward"]},
        "action_0",
        None,
        "there is 'action_1'",
    ),
    (
        "parquet",
        lambda rows: without("action")(rows) | {"action_0": rows["action"]},
        "action_0",
        None,
        "one number a row",
    ),
]


@pytest.mark.parametrize(("kind", "change", "field", "row", "message"), TABLES)
def test_malformed_table(rows, tmp_path, kind, change, field, row, message):
    write, name = WRITERS[kind]
    write(tmp_path / name, change(rows))
    with pytest.raises(DataError) as error:
        load_dataset(f"{kind}:{tmp_path}/{name}")
    assert (error.value.file, error.value.field, error.value.row) == (f"{tmp_path}/{name}", field, row)
    for part in (message, str(tmp_path / name), f"'{field}'", "" if row is None else f"row {row}"):
        assert part in str(error.value)


# ---- files that are not what they should be ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(WRITERS))
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_truncated_file(rows, tmp_path, kind, share):
    write, name = WRITERS[kind]
    write(tmp_path / name, rows)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(DataError, match="is damaged or not a") as error:
        load_dataset(f"{kind}:{tmp_path}/{name}")
    assert error.value.file == f"{tmp_path}/{name}"


@pytest.mark.parametrize("kind", list(WRITERS))
def test_not_a_file_of_the_kind(tmp_path, kind):
    path = tmp_path / WRITERS[kind][1]
    for make, message in [
        (lambda: None, "does not exist"),
        (lambda: path.write_bytes(b""), r"is empty \(0 bytes\)"),
        (lambda: path.write_bytes(b"observation,action\n" * 40), "is damaged or not a"),
        (lambda: path.unlink() or path.mkdir(), "is a folder"),
    ]:
        make()
        with pytest.raises(DataError, match=message):
            load_dataset(f"{kind}:{path}")


@pytest.mark.parametrize("kind", list(WRITERS))
def test_wrong_ending(rows, tmp_path, kind):
    (tmp_path / "log.csv").write_text("1,2")
    with pytest.raises(DataError, match=r"ends in '.csv', expected \."):
        load_dataset(f"{kind}:{tmp_path}/log.csv")


@pytest.mark.parametrize("kind", list(WRITERS))
def test_flipped_bytes_never_escape_as_another_error(rows, tmp_path, kind):
    write, name = WRITERS[kind]
    write(tmp_path / name, rows)
    whole, random = (tmp_path / name).read_bytes(), np.random.default_rng(0)
    refused = 0
    for _ in range(40):
        torn = bytearray(whole)
        for place in random.integers(0, len(torn), 8):
            torn[place] = random.integers(256)
        (tmp_path / name).write_bytes(torn)
        try:
            load_dataset(f"{kind}:{tmp_path}/{name}")
        except DataError:
            refused += 1
    assert refused > 0


def archive(path: Path, **members: bytes) -> str:
    with zipfile.ZipFile(path, "w") as file:
        for name, value in members.items():
            file.writestr(f"{name}.npy", value)
    return f"npz:{path}"


def npy(shape, data=b"", descr="<f4") -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"shape": shape, "fortran_order": False, "descr": descr})
    return stream.getvalue() + data


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (npy((10**6, 10**7)), "GiB; this machine has"),
        (npy((100, 3)), "declares 1200 bytes"),
        (npy((2, 3), bytes(1000)), "and holds 1000"),
        (npy((8, 3), bytes(96), descr="|O"), "is an object array"),
        (b"\x93NUMPY\x09\x00" + bytes(100), "has .npy version"),
        (b"not an array at all", "is damaged or not a NumPy .npz file"),
    ],
)
def test_arrays_that_lie_about_themselves(rows, tmp_path, member, message):
    others = {name: npy(rows[name].shape, rows[name].tobytes()) for name in ("action", "reward")}
    flags = npy((8,), bytes(8), descr="|b1")
    with pytest.raises(DataError) as error:
        load_dataset(archive(tmp_path / "log.npz", observation=member, terminated=flags, **others))
    assert message in str(error.value)


def test_links_out_of_an_hdf5_file_are_not_followed(rows, tmp_path):
    d4rl(tmp_path / "whole.hdf5", rows)
    d4rl(tmp_path / "log.hdf5", without("reward")(rows))
    layout = h5py.VirtualLayout(shape=(8,), dtype="f4")
    layout[:] = h5py.VirtualSource(tmp_path / "whole.hdf5", "rewards", shape=(8,))
    for change, message in [
        (lambda file: file.__setitem__("rewards", h5py.ExternalLink(tmp_path / "whole.hdf5", "rewards")), "is a link"),
        (lambda file: file.__setitem__("rewards", h5py.SoftLink("/actions")), "is a link"),
        (lambda file: file.create_virtual_dataset("rewards", layout), "in another file"),
        (
            lambda file: file.create_dataset("rewards", (8,), "f4", external=[("/etc/hostname", 0, 32)]),
            "in another file",
        ),
        (lambda file: file.create_group("rewards/inner"), "is a group"),
        (lambda file: file.create_dataset("rewards", (10**7, 10**7), "f4", chunks=(1000, 1000)), "GiB; this machine"),
    ]:
        with h5py.File(tmp_path / "log.hdf5", "a") as file:
            change(file)
        with pytest.raises(DataError, match=message) as error:
            load_dataset(f"d4rl:{tmp_path}/log.hdf5")
        assert error.value.field == "rewards"
        with h5py.File(tmp_path / "log.hdf5", "a") as file:
            del file["rewards"]


def test_a_minari_file_is_recognised(tmp_path):
    with h5py.File(tmp_path / "main_data.hdf5", "w") as file:
        file["episode_0/observations"] = np.zeros((3, 2))
    with pytest.raises(DataError, match="use 'minari:NAME'"):
        load_dataset(f"d4rl:{tmp_path}/main_data.hdf5")


# ---- own files that were changed ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "field", "row", "message"),
    [
        ({"format_version": 2}, "format_version", None, "is 2, this Extremal reads 1"),
        ({"format_version": [1, 1]}, "format_version", None, "damaged or from a newer release"),
        ({"card": "not json"}, "card", None, "is not the JSON of a dataset card"),
        ({"card": '{"colour": 1}'}, "card", None, "expected an object with the keys"),
        ({"card": '{"actions": 2}'}, "action", None, "holds float32, expected int32"),
        ({"starts": np.array([0, 3, 8, 4], np.int32)}, "starts", None, "must rise"),
        ({"starts": np.array([0, 3, 4, 9], np.int32)}, "starts", None, "must rise"),
        ({"starts": np.int32(8)}, "starts", None, "first row of each episode"),
        ({"reward": np.zeros(8)}, "reward", None, "holds float64, expected float32"),
        ({"terminated": np.arange(8) == 5}, "terminated", 5, "inside an episode"),
        ({"observation": np.zeros((8, 3), np.float32)}, "observation", None, "expected 11 entries"),
        ({"observation": np.full((11, 3), np.nan, np.float32)}, "observation", 0, "NaN"),
    ],
)
def test_changed_own_file(episodes, tmp_path, change, field, row, message):
    path = tmp_path / "d.npz"
    save_dataset(Dataset.from_episodes(episodes), f"npz:{path}")
    with np.load(path) as file:
        arrays = dict(file) | change
    np.savez(path, **arrays)
    with pytest.raises(DataError) as error:
        load_dataset(f"npz:{path}")
    assert (error.value.file, error.value.field, error.value.row) == (str(path), field, row)
    assert message in str(error.value)


def test_an_own_file_that_misses_an_array(tmp_path):
    np.savez(tmp_path / "d.npz", format_version=1, observation=np.zeros((3, 2)))
    with pytest.raises(DataError, match="'action': is missing"):
        load_dataset(f"npz:{tmp_path}/d.npz")


def test_action_count_mismatch(episodes, tmp_path):
    log = [e | {"action": np.arange(len(e["action"]))} for e in episodes]
    save_dataset(Dataset.from_episodes(log, card=Card(actions=4)), f"npz:{tmp_path}/d.npz")
    with np.load(tmp_path / "d.npz") as file:
        arrays = dict(file) | {"card": '{"actions": 3}'}
    np.savez(tmp_path / "d.npz", **arrays)
    with pytest.raises(DataError, match="is 3, expected a whole number from 0 to 2") as error:
        load_dataset(f"npz:{tmp_path}/d.npz")
    assert (error.value.field, error.value.row) == ("action", 7)


def test_a_parquet_card_that_is_not_ours(rows, tmp_path):
    cells = pyarrow.table({k: pyarrow.array(v.tolist()) for k, v in rows.items()})
    for text in ("{}", "[]", "torn"):
        pyarrow.parquet.write_table(cells.replace_schema_metadata({"extremal": text}), tmp_path / "d.parquet")
        with pytest.raises(DataError):
            load_dataset(f"parquet:{tmp_path}/d.parquet")


@pytest.mark.parametrize("kind", ["npz", "parquet", "d4rl"])
def test_data_beyond_this_machine(rows, tmp_path, monkeypatch, kind):
    monkeypatch.setattr("extremal.data.loaders.files._memory", lambda: 16)
    write, name = WRITERS[kind]
    write(tmp_path / name, rows)
    with pytest.raises(DataError, match=r"this machine has 0\.0 GiB"):
        load_dataset(f"{kind}:{tmp_path}/{name}")
