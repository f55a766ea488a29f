"""Every format on a small file of the real layout, and real NeoRL-2 files where they are at hand."""

import json
import sys

import h5py
import minari
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from minari.data_collector.episode_buffer import EpisodeBuffer

from extremal.core.errors import ConfigError, DataError
from extremal.data import cache, ids
from extremal.data.dataset import Card, Dataset
from extremal.data.ids import load_dataset, save_dataset
from extremal.data.loaders.minari import local_minari

CARD = Card(
    name="mine",
    environment="Mine-v0",
    reference="hopper-medium-v2",
    action_low=(-1.0, -0.1),
    action_high=(1.0, 1 / 3),
    recipe='{"seed": 3}',
)


@pytest.fixture
def dataset(episodes):
    return Dataset.from_episodes(episodes, card=CARD)


def same(first: Dataset, second: Dataset) -> bool:
    return first.hash() == second.hash() and first.card == second.card


# ---- own formats -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["npz", "parquet"])
def test_own_files_give_the_dataset_back(dataset, tmp_path, kind):
    save_dataset(dataset, f"{kind}:{tmp_path}/new/d.{kind}")
    assert same(load_dataset(f"{kind}:{tmp_path}/new/d.{kind}"), dataset)
    assert [f.name for f in (tmp_path / "new").iterdir()] == [f"d.{kind}"]


@pytest.mark.parametrize("kind", ["npz", "parquet"])
def test_images_and_discrete_actions_come_back_too(tmp_path, kind):
    log = {"observation": np.arange(60.0).reshape(5, 2, 2, 3), "action": [0, 3, 1, 0], "reward": np.ones(4)}
    dataset = Dataset.from_episodes([log, log], card=Card(actions=5)).device()
    save_dataset(dataset, f"{kind}:{tmp_path}/d.{kind}")
    assert same(load_dataset(f"{kind}:{tmp_path}/d.{kind}"), dataset)


def test_plain_npz(dataset, rows, tmp_path):
    np.savez(tmp_path / "log.npz", **rows, infos=np.zeros(3))
    read = load_dataset(f"npz:{tmp_path}/log.npz")
    assert read.hash() == dataset.hash()
    assert read.card.name == "log"
    assert json.loads(read.card.recipe)["file"] == "log.npz"
    assert len(json.loads(read.card.recipe)["sha256"]) == 64


# ---- Parquet -----------------------------------------------------------------------------------------------------------


def test_parquet_with_lists(dataset, rows, tmp_path):
    cells = {name: value.tolist() for name, value in rows.items()}
    cells["episode"] = ["a"] * 3 + ["b"] + ["c"] * 4
    pyarrow.parquet.write_table(pyarrow.table(cells), tmp_path / "log.parquet")
    assert load_dataset(f"parquet:{tmp_path}/log.parquet").hash() == dataset.hash()


def test_parquet_with_one_column_a_feature(rows, tmp_path):
    wide = np.arange(8 * 11, dtype=np.float32).reshape(8, 11)  # eleven features: 10 comes after 9, not after 1
    cells = {f"observation_{i}": wide[:, i] for i in reversed(range(11))}
    cells |= {f"action_{i}": rows["action"][:, i] for i in range(2)}
    cells |= {name: rows[name] for name in ("reward", "terminated", "truncated", "episode")}
    pyarrow.parquet.write_table(pyarrow.table(cells), tmp_path / "log.parquet")
    read = load_dataset(f"parquet:{tmp_path}/log.parquet")
    np.testing.assert_array_equal(read.observation[0], wide[0])
    np.testing.assert_array_equal(read.action[:3], rows["action"][:3])
    assert read.lengths.tolist() == [3, 3]


# ---- D4RL --------------------------------------------------------------------------------------------------------------


def write_d4rl(path, rows, *, timeouts=True, successors=True):
    with h5py.File(path, "w") as file:
        file["observations"], file["actions"], file["rewards"] = rows["observation"], rows["action"], rows["reward"]
        file["terminals"] = rows["terminated"]
        if timeouts:
            file["timeouts"] = rows["truncated"]
        if successors:
            file["next_observations"] = rows["next_observation"]
        file["infos/qpos"] = np.zeros((8, 2))
        file["metadata/algorithm"] = "SAC"
    return f"d4rl:{path}"


def test_d4rl_v2_keeps_every_row(dataset, rows, tmp_path):
    rows["truncated"][7] = True
    read = load_dataset(write_d4rl(tmp_path / "hopper_medium-v2.hdf5", rows))
    assert read.replace(truncated=dataset.truncated).hash() == dataset.hash()
    assert read.truncated.tolist() == [False] * 3 + [True] + [False] * 3 + [True]
    assert (read.card.name, read.card.reference) == ("hopper_medium-v2", "hopper-medium-v2")


def test_d4rl_without_timeouts_ends_where_rows_do_not_go_on(dataset, rows, tmp_path):
    read = load_dataset(write_d4rl(tmp_path / "mine.hdf5", rows, timeouts=False))
    np.testing.assert_array_equal(read.starts, dataset.starts)
    assert not read.truncated.any()
    assert read.card.reference is None


def published(rows):
    """The rows that D4RL's own reader keeps where there are timeouts: all but the last one and those of a timeout."""
    return [i for i in range(len(rows["action"]) - 1) if not rows["truncated"][i]]


def test_d4rl_v1_leaves_out_the_rows_that_the_published_reader_does(rows, tmp_path):
    read = load_dataset(write_d4rl(tmp_path / "door-human-v1.hdf5", rows, successors=False))
    kept = published(rows)
    np.testing.assert_array_equal(read.action, rows["action"][kept])
    live = ~read.terminated
    after = rows["observation"][np.array(kept) + 1]
    np.testing.assert_array_equal(read.row(np.arange(read.rows)).next_observation[live], after[live])


def test_d4rl_terminal_wins_over_a_timeout(rows, tmp_path):
    rows["truncated"][2] = True
    read = load_dataset(write_d4rl(tmp_path / "mine.hdf5", rows, successors=False))
    assert read.terminated[2]
    assert read.truncated.sum() == 0


def test_d4rl_v0_counts_the_steps_of_a_known_task(tmp_path):
    ended = np.arange(250) == 29
    table = {name: np.zeros((250, 1)) for name in ("observation", "action")}
    table |= {"observation": np.arange(250.0)[:, None], "reward": np.zeros(250), "terminated": ended}
    read = load_dataset(write_d4rl(tmp_path / "pen-v0_demos_clipped.hdf5", table, timeouts=False, successors=False))
    # 30 steps to the end, then 100, 100 and 20 of which each cut one loses its last.
    assert read.lengths.tolist() == [30, 99, 99, 19]
    assert read.truncated.sum() == 2
    read = load_dataset(write_d4rl(tmp_path / "unknown.hdf5", table, timeouts=False, successors=False))
    assert read.lengths.tolist() == [30, 219]


def test_d4rl_takes_columns_as_flags_and_rewards(rows, tmp_path):
    expected = load_dataset(write_d4rl(tmp_path / "a.hdf5", rows)).hash()
    for name in ("reward", "terminated", "truncated"):
        rows[name] = rows[name].astype(np.float64)[:, None]
    assert load_dataset(write_d4rl(tmp_path / "b.hdf5", rows)).hash() == expected


# ---- NeoRL-2 -----------------------------------------------------------------------------------------------------------

NEORL2 = {
    "observation": "obs",
    "action": "action",
    "reward": "reward",
    "next_observation": "next_obs",
    "terminated": "done",
    "truncated": "truncated",
}


@pytest.mark.parametrize(
    ("name", "environment", "reference"),
    [
        ("Task-low", None, None),
        ("DMSD-high-100000-train", "neorl2:DMSD", "DMSD"),
        ("SafetyHalfCheetah-high-20000-val", "neorl2:SafetyHalfCheetah", "SafetyHalfCheetah"),
        ("DMSD-mine", None, None),
    ],
)
def test_neorl2(dataset, rows, tmp_path, name, environment, reference):
    np.savez(tmp_path / f"{name}.npz", **{theirs: rows[ours].astype(np.float32) for ours, theirs in NEORL2.items()})
    read = load_dataset(f"neorl2:{tmp_path}/{name}.npz")
    assert read.hash() == dataset.hash()
    assert (read.card.name, read.card.environment, read.card.reference) == (name, environment, reference)


@pytest.mark.parametrize(
    ("name", "rows", "episodes", "terminated", "mean"),
    [
        ("SafetyHalfCheetah-high-100000-train", 18_000, 18, 0, 1769.31),
        ("Simglucose-high-100000-train", 100_257, 280, 111, 353.45),
        ("DMSD-high-100000-train", 100_000, 1000, 0, 494.45),
    ],
)
def test_real_neorl2_files(real_data, name, rows, episodes, terminated, mean):
    read = load_dataset(f"neorl2:{real_data}/neorl2/{name}.npz")
    assert (read.rows, read.episodes, int(read.terminated.sum())) == (rows, episodes, terminated)
    assert int(read.truncated.sum()) == episodes - terminated
    assert round(read.returns.mean(), 2) == mean


# ---- Minari ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    return tmp_path


def write_minari(name, episodes, observation_space, action_space, **more):
    buffers = [
        EpisodeBuffer(
            observations=e["observation"],
            actions=e["action"],
            rewards=list(e["reward"]),
            terminations=[False] * (len(e["reward"]) - 1) + [e["terminated"]],
            truncations=[False] * (len(e["reward"]) - 1) + [e["truncated"]],
        )
        for e in episodes
    ]
    written = minari.create_dataset_from_buffers(
        name, buffers, observation_space=observation_space, action_space=action_space, description="small", **more
    )
    return written.storage


def box(*shape, limit=np.inf):
    return spaces.Box(-limit, limit, shape, np.float32)


@pytest.mark.filterwarnings("ignore::UserWarning")  # the writer misses an author and a link
def test_minari(dataset, episodes, root):
    storage = write_minari("D4RL/door/human-v2", episodes, box(3), box(2, limit=1.0))
    spec = EnvSpec(
        "AdroitHandDoor-v1",
        entry_point="gymnasium_robotics.envs:Moved",
        kwargs={"reward_type": "dense"},
        max_episode_steps=200,
    )
    metadata = root / "D4RL/door/human-v2/data/metadata.json"
    metadata.write_text(json.dumps(json.loads(metadata.read_text()) | {"eval_env_spec": spec.to_json()}))
    assert storage.total_episodes == 3
    read = load_dataset("minari:D4RL/door/human-v2")
    assert read.hash() == dataset.hash()
    card = read.card
    assert (card.name, card.environment, card.reference) == ("D4RL/door/human-v2", "AdroitHandDoor-v1", "door-human-v1")
    assert (card.action_low, card.action_high) == ((-1.0, -1.0), (1.0, 1.0))
    assert json.loads(card.recipe)["environment_settings"] == {"reward_type": "dense"}
    assert local_minari() == ["D4RL/door/human-v2"]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_minari_goal_dictionaries_become_observation_and_goal(episodes, root):
    for e in episodes:
        value = e["observation"]
        e["observation"] = {"achieved_goal": value[:, :2], "desired_goal": value[:, :2] + 1, "observation": value}
    goal = spaces.Dict({"achieved_goal": box(2), "desired_goal": box(2), "observation": box(3)})
    write_minari("maze-v0", episodes, goal, box(2))
    read = load_dataset("minari:maze-v0")
    value = episodes[0]["observation"]
    np.testing.assert_array_equal(read.observation[:4], np.hstack([value["observation"], value["desired_goal"]]))
    assert read.card.action_low is None  # an unbounded box declares nothing
    assert (read.card.environment, read.card.reference) == (None, None)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_minari_discrete_actions_count_from_zero(episodes, root):
    for e in episodes:
        e["action"] = np.arange(len(e["action"])) + 2
    write_minari("discrete-v0", episodes, box(3), spaces.Discrete(5, start=2))
    read = load_dataset("minari:discrete-v0")
    assert read.card.actions == 5
    assert read.action.tolist() == [0, 1, 2, 0, 0, 1, 2, 3]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("observation_space", "action_space", "field"),
    [
        (box(3), spaces.MultiDiscrete([2, 2]), "actions"),
        (box(3), box(2, 2), "actions"),
        (spaces.MultiBinary(3), box(2), "observations"),
    ],
)
def test_minari_spaces_that_no_method_takes_are_refused(episodes, root, observation_space, action_space, field):
    write_minari("odd-v0", episodes, observation_space, action_space)
    with pytest.raises(DataError, match="only") as error:
        load_dataset("minari:odd-v0")
    assert (error.value.field, error.value.file) == (field, "odd-v0")


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("damage", ["metadata.json", "main_data.hdf5"])
def test_damaged_minari_data_is_refused(episodes, root, damage):
    write_minari("torn-v0", episodes, box(3), box(2))
    file = root / "torn-v0/data" / damage
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(DataError, match="damaged or not a Minari file") as error:
        load_dataset("minari:torn-v0")
    assert error.value.file == "torn-v0"


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_minari_metadata_runs_nothing(episodes, root):
    write_minari("sly-v0", episodes, box(3), box(2))
    file = root / "sly-v0/data/metadata.json"
    metadata = json.loads(file.read_text())
    del metadata["action_space"]
    file.write_text(json.dumps(metadata | {"env_spec": EnvSpec("Sly-v0", entry_point="antigravity:Sly").to_json()}))
    with pytest.raises(DataError, match="is missing in metadata") as error:
        load_dataset("minari:sly-v0")
    assert error.value.field == "action_space"
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize("name", ["../secret-v0", "/etc/secret-v0", "a/../b-v0", "a//b-v0", "a\\b-v0", "nothing", ""])
def test_minari_names_cannot_leave_the_root(root, name):
    with pytest.raises(DataError, match="is not a Minari name"):
        load_dataset(f"minari:{name}")


def test_a_missing_minari_dataset_says_how_to_get_it(root):
    with pytest.raises(DataError, match="minari download D4RL/pen/human-v2"):
        load_dataset("minari:D4RL/pen/human-v2")
    assert list(root.iterdir()) == []


# ---- ids ---------------------------------------------------------------------------------------------------------------


def test_unknown_prefixes_name_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'minari'"):
        load_dataset("minary:D4RL/pen/human-v2")


def test_unknown_names_name_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'pointmaze-medium-goal'"):
        load_dataset("pointmaze-medum-goal")


def test_a_bare_path_is_told_its_prefix(tmp_path):
    np.savez(tmp_path / "log.npz", a=1)
    with pytest.raises(ConfigError, match=r"npz:.*log\.npz or neorl2:"):
        load_dataset(f"{tmp_path}/log.npz")
    with pytest.raises(ConfigError, match=r"d4rl:missing\.hdf5"):
        load_dataset("missing.hdf5")


def test_names_are_told_apart_from_paths(monkeypatch, dataset):
    monkeypatch.setattr("extremal.data.pointmaze.load", lambda name: dataset.replace(card=Card(name=name)))
    assert load_dataset("pointmaze-umaze-sparse").card.name == "pointmaze-umaze-sparse"
    assert {"pointmaze-medium-goal", "adroit-door-human"} <= set(ids.names())


def test_a_built_dataset_is_loaded_by_its_name(monkeypatch, dataset, tmp_path):
    monkeypatch.setenv("EXTREMAL_CACHE", str(tmp_path))
    with pytest.raises(DataError, match="extremal data build adroit-door-human"):
        load_dataset("adroit-door-human")
    cache.save_built("adroit-door-human", dataset)
    assert same(load_dataset("adroit-door-human"), dataset)


def test_every_kind_tells_what_it_reads():
    for prefix, kind in ids.KINDS.items():
        assert kind.form.startswith(f"{prefix}:")
        assert kind.extra in (None, "formats")
        with pytest.raises(DataError):
            kind.load("")
