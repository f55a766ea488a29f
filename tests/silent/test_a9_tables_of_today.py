"""Tables as data frames write them today: strings of a type of their own, categories, folders of files."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from extremal.data.check import check_dataset
from extremal.data.dataset import Dataset
from extremal.data.ids import load_dataset, save_dataset

LABEL = np.repeat(["b", "a", "c"], 4)
TABLE = {
    "observation": [[float(i), 0.5] for i in range(12)],
    "action": [[0.1 * i] for i in range(12)],
    "reward": [float(i % 4 == 3) for i in range(12)],
    "terminated": [i % 4 == 3 for i in range(12)],
}
EPISODES = [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]


def states(data):
    batch = data.row(np.arange(data.rows))
    return [batch.observation[a:b, 0].tolist() for a, b in zip(data.starts[:-1], data.starts[1:], strict=True)]


@pytest.mark.parametrize(
    "label",
    [
        pa.array(LABEL.tolist(), pa.large_string()),
        pa.array(LABEL.tolist(), pa.string()),
        pa.array(LABEL.tolist(), pa.string_view()),
        pa.array(LABEL.tolist()).dictionary_encode(),
        pa.array(LABEL.tolist(), pa.large_string()).dictionary_encode(),
        pa.array([{"b": 2**40, "a": -1, "c": 0}[x] for x in LABEL]),
    ],
    ids=["large_string", "string", "string_view", "categories", "large categories", "numbers"],
)
def test_labels_of_every_type_are_read(tmp_path, label):
    pq.write_table(pa.table(TABLE | {"episode": label}), tmp_path / "log.parquet")
    assert states(load_dataset(f"parquet:{tmp_path}/log.parquet")) == EPISODES


def test_labels_in_python_are_read(refusal):
    for label in (LABEL.astype(object), LABEL.astype(np.dtypes.StringDType()), LABEL.tolist(), LABEL[:, None]):
        assert states(Dataset.from_rows(**TABLE, episode=label)) == EPISODES
    assert "'episode'" in refusal(lambda: Dataset.from_rows(**TABLE, episode=[*LABEL[:5], None, *LABEL[6:]]))


def part(rows, **more):
    return pa.table({name: value[rows] for name, value in (TABLE | more).items()})


def test_a_folder_is_one_table_in_the_order_of_its_numbers(tmp_path):
    for i in range(12):
        pq.write_table(part(slice(i, i + 1)), tmp_path / f"part-{i}.parquet")  # part-2 before part-10
    (tmp_path / "_SUCCESS").touch()
    (tmp_path / ".part-0.parquet.crc").touch()
    assert states(load_dataset(f"parquet:{tmp_path}")) == EPISODES


def test_folders_named_by_episode_are_its_labels(tmp_path):
    for number in range(3):
        folder = tmp_path / f"episode={number}"
        folder.mkdir()
        pq.write_table(part(slice(4 * number, 4 * number + 4)), folder / "data.parquet")
    assert states(load_dataset(f"parquet:{tmp_path}/")) == EPISODES


def test_faults_in_a_folder_name_the_file(tmp_path, refusal):
    assert "without Parquet files" in refusal(lambda: load_dataset(f"parquet:{tmp_path}"))
    pq.write_table(part(slice(0, 6)), tmp_path / "1.parquet")
    pq.write_table(part(slice(6, 12), truncated=[False] * 12), tmp_path / "2.parquet")
    sentence = refusal(lambda: load_dataset(f"parquet:{tmp_path}"))
    assert "2.parquet" in sentence
    assert "'truncated'" in sentence
    pq.write_table(part(slice(6, 12), observation=[[1.0]] * 12), tmp_path / "2.parquet")
    assert "2.parquet" in refusal(lambda: load_dataset(f"parquet:{tmp_path}"))
    (tmp_path / "2.parquet").write_bytes(b"PAR1 torn")
    assert "2.parquet" in refusal(lambda: load_dataset(f"parquet:{tmp_path}"))


def test_own_files_in_a_folder(tmp_path, refusal):
    data = Dataset.from_rows(**TABLE)
    save_dataset(data, f"parquet:{tmp_path}/here/a.parquet")
    assert load_dataset(f"parquet:{tmp_path}/here").hash() == data.hash()
    save_dataset(data, f"parquet:{tmp_path}/here/b.parquet")
    assert "one by one" in refusal(lambda: load_dataset(f"parquet:{tmp_path}/here"))


def test_names_of_other_libraries_are_listed_at_once(tmp_path, refusal):
    names = {"observation": "obs", "action": "acts", "reward": "rews"}
    np.savez(tmp_path / "log.npz", **{names.get(name, name): value for name, value in TABLE.items()})
    sentence = refusal(lambda: load_dataset(f"npz:{tmp_path}/log.npz"))
    for ours, theirs in names.items():
        assert f"'{theirs}' to '{ours}'" in sentence
    np.savez(tmp_path / "log.npz", obs=TABLE["observation"], rews=TABLE["reward"], done=TABLE["terminated"])
    sentence = refusal(lambda: load_dataset(f"npz:{tmp_path}/log.npz"))
    for words in ("'obs' to 'observation'", "'rews' to 'reward'", "'action' is missing", "'done' does not say why"):
        assert words in sentence
    cells = {f"obs_{i}": [row[i] for row in TABLE["observation"]] for i in range(2)}
    cells |= {
        "act_0": [row[0] for row in TABLE["action"]],
        "reward": TABLE["reward"],
        "terminated": TABLE["terminated"],
    }
    pq.write_table(pa.table(cells), tmp_path / "log.parquet")
    sentence = refusal(lambda: load_dataset(f"parquet:{tmp_path}/log.parquet"))
    assert "'obs_1' to 'observation_1'" in sentence
    assert "'act_0' to 'action_0'" in sentence


def test_files_of_one_episode_each_that_are_labelled_alike_are_a_warning(tmp_path):
    def check(labels, **more):
        folder = tmp_path / "-".join([*map(str, labels), *more])
        folder.mkdir()
        for number, label in enumerate(labels):
            state = np.arange(5.0) + 7 * number
            columns = {"observation": [[s] for s in state], "action": [[s / 40] for s in state], "reward": state}
            columns |= {"terminated": np.zeros(5, bool), "episode": np.full(5, label)} | more
            pq.write_table(pa.table(columns), folder / f"part-{number}.parquet")
        data = load_dataset(f"parquet:{folder}")
        return data.episodes, {f.code for f in check_dataset(data).findings if f.level == "warning"}

    episodes, said = check([0, 0, 0])
    assert (episodes, "one-label" in said) == (1, True)
    for labels, more in (([0, 1, 2], {}), ([0, 0, 0], {"truncated": np.arange(5) == 4})):
        episodes, said = check(labels, **more)
        assert (episodes, "one-label" in said) == (3, False)
