"""d3rlpy's own files: three layouts, each read by what it means, and by no other reader."""

import h5py
import numpy as np
import pytest

import extremal
from extremal.core.errors import ConfigError, DataError

LENGTHS = (3, 1, 4)  # steps: terminated, cut, terminated


@pytest.fixture(scope="module")
def log():
    """What truly happened: T + 1 observations an episode, T actions, T rewards."""
    random = np.random.default_rng(0)
    return [
        {
            "observation": random.normal(size=(steps + 1, 2)).astype(np.float32),
            "action": random.uniform(-1, 1, (steps, 1)).astype(np.float32),
            "reward": random.normal(size=steps).astype(np.float32),
            "terminated": number != 1,
            "truncated": number == 1,
        }
        for number, steps in enumerate(LENGTHS)
    ]


def join(log, part):
    return np.concatenate([part(e) for e in log])


def ends(log, value, extra):
    return join(log, lambda e: np.append(np.zeros(len(e["action"]) - 1 + extra), value(e)))


def late(log):
    """Before 1.1: the last observation has a row, and each reward stands one row late."""
    return {
        "observations": join(log, lambda e: e["observation"]),
        "actions": join(log, lambda e: np.concatenate([e["action"], 9 * np.ones((1, 1), np.float32)])),
        "rewards": join(log, lambda e: np.append(0.0, e["reward"])),
        "terminals": ends(log, lambda e: e["terminated"], 1),
        "episode_terminals": ends(log, lambda e: 1, 1),
        "discrete_action": False,
        "create_mask": False,
        "mask_size": 1,
    }


def aligned(log):
    """Version 1.0: one row a step."""
    return {
        "observations": join(log, lambda e: e["observation"][:-1]),
        "actions": join(log, lambda e: e["action"]),
        "rewards": join(log, lambda e: e["reward"]),
        "terminals": ends(log, lambda e: e["terminated"], 0),
        "episode_terminals": ends(log, lambda e: 1, 0),
        "discrete_action": False,
        "version": "1.0",
    }


def split(log):
    """Version 2.1: one array an episode."""
    fields = {
        "columns": ["observations", "actions", "rewards", "terminated"],
        "num_episodes": len(log),
        "version": "2.1",
    }
    for i, e in enumerate(log):
        fields |= {f"observations_{i}": e["observation"][:-1], f"actions_{i}": e["action"]}
        fields |= {f"rewards_{i}": e["reward"][:, None], f"terminated_{i}": e["terminated"]}
    return fields


LAYOUTS = {"late": late, "aligned": aligned, "split": split}


@pytest.fixture
def written(tmp_path):
    def write(fields, prefix="d3rlpy"):
        with h5py.File(tmp_path / "log.h5", "w") as file:
            for name, value in fields.items():
                file[name] = value
        return f"{prefix}:{tmp_path}/log.h5"

    return write


def test_before_1_1_rewards_stand_one_row_late(log, written):
    read = extremal.load_dataset(written(late(log)))
    assert read.hash() == extremal.Dataset.from_episodes(log).hash()
    assert read.lengths.tolist() == list(LENGTHS)


@pytest.mark.parametrize("layout", [aligned, split])
def test_later_rewards_stand_on_their_own_row(log, written, layout):
    read = extremal.load_dataset(written(layout(log)))
    whole = [e for e in log if e["terminated"]]  # the one step of the cut episode has no successor
    assert read.lengths.tolist() == [3, 4]
    np.testing.assert_array_equal(read.reward, join(whole, lambda e: e["reward"]))
    np.testing.assert_array_equal(read.action, join(whole, lambda e: e["action"]))
    assert read.terminated.sum() == 2
    first = read.row(np.array([0]))
    np.testing.assert_array_equal(first.next_observation, log[0]["observation"][1:2])


@pytest.mark.parametrize(
    ("name", "episodes", "terminated", "mean"),
    [
        ("cartpole_replay", 1240, 1045, 79.645),
        ("cartpole_random", 4324, 4323, 22.127),
        ("pendulum_replay", 498, 0, -183.337),
        ("pendulum_random", 498, 0, -1228.670),
    ],
)
def test_real_files(real_data, name, episodes, terminated, mean):
    read = extremal.load_dataset(f"d3rlpy:{real_data}/d3rlpy_datasets/{name}.h5")
    assert (read.episodes, int(read.terminated.sum())) == (episodes, terminated)
    assert int(read.truncated.sum()) == episodes - terminated
    assert read.returns.mean() == pytest.approx(mean, abs=1e-3)
    if name.startswith("cartpole"):
        assert read.card.actions == 2
        assert (read.reward == 1.0).all()
    else:  # the reward of each row is that of its own observation and action
        batch = read.row(np.arange(read.rows))
        cosine, sine, speed = np.float64(batch.observation).T
        cost = np.arctan2(sine, cosine) ** 2 + 0.1 * speed**2 + 0.001 * np.clip(batch.action[:, 0], -2, 2) ** 2
        np.testing.assert_allclose(batch.reward, -cost, atol=2e-6)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_the_reader_of_d4rl_refuses_them_and_names_the_right_one(log, written, refusal, layout):
    id = written(layout(log), "d4rl")
    assert f"use 'd3rlpy:{id.removeprefix('d4rl:')}'" in refusal(lambda: extremal.load_dataset(id))


def test_a_bare_path_names_both_readers(log, written):
    path = written(late(log)).removeprefix("d3rlpy:")
    with pytest.raises(ConfigError, match=rf"d4rl:{path} or d3rlpy:{path}"):
        extremal.load_dataset(path)


def test_discrete_action_declares_choices(log, written):
    choices = late(log) | {"discrete_action": True, "actions": np.arange(11, dtype=np.int32) % 3}
    assert extremal.load_dataset(written(choices)).card.actions == 3
    assert extremal.load_dataset(written(choices), actions=5).card.actions == 5
    with pytest.raises(ConfigError, match="declares discrete actions by 'discrete_action'"):
        extremal.load_dataset(written(choices), actions="continuous")
    doses = choices | {"discrete_action": False, "actions": choices["actions"][:, None]}
    assert extremal.load_dataset(written(doses)).action.dtype == np.float32
    with pytest.raises(ConfigError, match="declares continuous actions"):
        extremal.load_dataset(written(doses), actions="discrete")


def test_version_2_declares_nothing_so_whole_numbers_are_asked_for(log, written):
    numbers = {f"actions_{i}": np.full((len(e["action"]), 1), i % 2, np.float32) for i, e in enumerate(log)}
    with pytest.raises(DataError, match="numbers of choices or quantities"):
        extremal.load_dataset(written(split(log) | numbers))
    assert extremal.load_dataset(written(split(log) | numbers), actions=2).card.actions == 2
    assert extremal.load_dataset(written(split(log) | numbers), actions="continuous").card.actions is None


def test_a_reward_on_a_first_row_contradicts_the_layout_until_the_version_is_said(log, written, refusal):
    """What other programs write without `version`, rewards on their own rows, is not shifted in silence."""
    foreign = {name: value for name, value in aligned(log).items() if name != "version"}
    sentence = refusal(lambda: extremal.load_dataset(written(foreign)))
    assert "field 'rewards', row 0" in sentence
    assert f"is {log[0]['reward'][0]:g} on the first row" in sentence
    assert "'version'] = '1.0'" in sentence
    assert extremal.load_dataset(written(foreign | {"version": "1.0"})).rows == 7


def test_sparse_rewards_that_show_no_layout_are_a_warning(log, written):
    sparse = [e | {"reward": np.where(np.arange(len(e["reward"])) == 2, 1, 0)} for e in log]
    read = extremal.load_dataset(written(late(sparse)))
    assert read.reward.tolist() == join(sparse, lambda e: e["reward"]).tolist()
    assert [(f.level, f.code) for f in read.card.findings] == [("warning", "reward-row")]
    assert "['version'] = '1.0'" in read.card.findings[0].advice
    assert extremal.load_dataset(written(late(log))).card.findings == ()
    assert "reward-row" not in {
        f.code for f in extremal.load_dataset(written(aligned(sparse))).card.findings
    }  # the twin


def test_a_terminal_inside_an_episode_is_refused(log, written):
    fields = late(log)
    fields["terminals"][1] = 1
    with pytest.raises(DataError, match="set inside an episode") as error:
        extremal.load_dataset(written(fields))
    assert (error.value.field, error.value.row) == ("terminals", 1)


def test_an_episode_without_a_step_is_left_out_and_told(log, written):
    fields = late(log)
    lone = {name: np.concatenate([value[:1], value]) for name, value in fields.items() if np.ndim(value)}
    lone["episode_terminals"][0] = 1
    read = extremal.load_dataset(written(fields | lone))
    assert read.hash() == extremal.Dataset.from_episodes(log).hash()
    assert [(f.code, f.rows) for f in read.card.findings] == [("rows-left-out", (0,))]


def test_without_episode_terminals_terminals_are_the_ends(log, written):
    whole = [e for e in log if e["terminated"]]
    fields = {name: value for name, value in late(whole).items() if name != "episode_terminals"}
    assert extremal.load_dataset(written(fields)).hash() == extremal.Dataset.from_episodes(whole).hash()


@pytest.mark.parametrize(
    ("layout", "change", "field", "words"),
    [
        ("late", {"rewards": None}, "rewards", "is missing; the file has actions"),
        ("late", {"discrete_action": None}, "discrete_action", "is missing"),
        ("late", {"discrete_action": 2}, "discrete_action", "expected true or false"),
        ("late", {"rewards": np.zeros(5)}, "rewards", "has 5 rows, 'action' has 11"),
        ("late", {"episode_terminals": np.full(11, 0.5)}, "episode_terminals", "expected 0 or 1"),
        ("late", {"actions": np.array([b"x"] * 11)}, "actions", "expected an array of real numbers"),
        ("late", {"observations": h5py.SoftLink("/actions")}, "observations", "is a link"),
        ("late", {"observations": h5py.ExternalLink("other.h5", "/x")}, "observations", "is a link"),
        ("late", {"version": h5py.ExternalLink("other.h5", "/x")}, "version", "is a link"),
        ("aligned", {"version": "2.0"}, "version", "is '2.0'"),
        ("aligned", {"version": 1.0}, "version", "expected one string"),
        ("aligned", {"observations": np.full((8, 2), np.nan)}, "observations", "NaN"),
        ("split", {"num_episodes": 9}, "observations_3", "is missing"),
        ("split", {"num_episodes": 0}, "num_episodes", "at least one"),
        ("split", {"rewards_1": np.zeros((2, 1))}, "observations_1", "as many of each"),
        ("split", {"observations_0_0": np.zeros((3, 2))}, "observations_0", "tuple of arrays"),
        ("split", {"terminated_2": np.array([0, 0, 0, 1])}, "observations_2", "one flag"),
    ],
)
def test_malformed_files_name_the_field(log, written, tmp_path, layout, change, field, words):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = np.zeros((11, 2))
    fields = {n: v for n, v in (LAYOUTS[layout](log) | change).items() if v is not None}
    with pytest.raises(DataError, match=words) as error:
        extremal.load_dataset(written(fields))
    assert error.value.field == field
    assert str(error.value.file).endswith("log.h5")


def test_the_twin_trains(log, written, tmp_path):
    data = extremal.load_dataset(written(aligned(log)))  # refused as it is without its version
    run = extremal.train(extremal.BC(width=8, batch_size=16), data, updates=2, log_every=1, out=tmp_path / "run")
    assert run.summary["data_hash"] == data.hash()
