"""Data from policies in a simulator: episodes, cuts, clipping, names and recipes; and the published policies' returns."""

import dataclasses
import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest

from extremal.core.errors import ConfigError, DataError, SpecError
from extremal.data import builds, cache, collect, mujoco
from extremal.data.actors import Gaussian, Squashed, Uniform
from extremal.data.dataset import Dataset
from extremal.data.ids import load_dataset, names

gymnasium = pytest.importorskip("gymnasium", reason="needs Gymnasium")
pytest.importorskip("mujoco", reason="needs MuJoCo")

INPUTS, OUTPUTS = 11, 3  # of the hopper


class Counter(gymnasium.Env):
    """Observes [seed, steps so far, ...]; terminates after `5 + seed % 7` steps; the reward is the first action entry."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (3,), np.float64)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)

    def reset(self, *, seed=None, options=None):
        self.length, self.steps, self.seed = 5 + seed % 7, 0, float(seed % 7)
        return self.observed(), {}

    def observed(self):
        return np.array([self.seed, self.steps, 0.5])

    def step(self, action):
        assert np.abs(action).max() <= 1.0
        self.steps += 1
        return self.observed(), float(action[0]), self.steps == self.length, False, {}


gymnasium.register("Counter-v0", Counter, max_episode_steps=10)


def steady(observation, noise):
    """An actor whose first entry is twice a third of the steps so far, and whose second is the noise."""
    return np.stack([2.0 * observation[:, 1] / 3.0, noise[:, 0]], axis=1)


# ---- collecting ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [1, 3, 61, 200])
def test_rows_are_whole_episodes_in_order_and_the_last_is_cut(rows):
    data = Dataset.from_episodes(collect.collect("Counter-v0", steady, rows, [0, 0]).episodes)
    assert data.rows == rows
    first = data.observation[data.slot[data.starts[:-1]]]
    wanted = np.minimum(5 + first[:, 0], 10)  # the limit of ten cuts the longest
    np.testing.assert_array_equal(data.lengths[:-1], wanted[:-1])
    assert data.lengths[-1] <= wanted[-1]
    ended = (data.lengths == 5 + first[:, 0]) & (5 + first[:, 0] <= 10)
    np.testing.assert_array_equal(data.terminated[data.starts[1:] - 1], ended)
    np.testing.assert_array_equal(data.truncated[data.starts[1:] - 1], ~ended)


def test_the_order_is_not_that_of_ending():
    """The episodes of a longer collection begin with those of a shorter one: short ones are not preferred."""
    short, long = (Dataset.from_episodes(collect.collect("Counter-v0", steady, n, [4, 0]).episodes) for n in (100, 300))
    np.testing.assert_array_equal(long.observation[: short.rows + short.episodes - 1], short.observation[:-1])
    np.testing.assert_array_equal(long.action[: short.rows], short.action)


def test_what_is_recorded_is_what_was_carried_out():
    collected = collect.collect("Counter-v0", steady, 50, [0, 0])
    data = Dataset.from_episodes(collected.episodes)
    steps = data.observation[data.slot, 1]
    np.testing.assert_allclose(data.action[:, 0], np.minimum(2 * steps / 3, 1), rtol=1e-6)
    np.testing.assert_allclose(data.reward, data.action[:, 0], rtol=1e-6)
    beyond = np.stack([2 * steps / 3 > 1, np.abs(data.action[:, 1]) == 1], axis=1)
    assert collected.clipped == pytest.approx(beyond.mean())
    assert 0.2 < collected.clipped < 0.6


def test_returns_are_those_of_the_episodes_that_were_not_cut():
    collected = collect.collect("Counter-v0", steady, 61, [0, 0])
    data = Dataset.from_episodes(collected.episodes)
    assert len(collected.returns) == data.episodes - 1
    np.testing.assert_allclose(collected.returns, data.returns[:-1], rtol=1e-6)


def test_the_seed_and_nothing_else_decides():
    one, same, other = (
        Dataset.from_episodes(collect.collect("Hopper-v5", Uniform(), 150, seed).episodes).hash()
        for seed in ([0, 0], [0, 0], [0, 1])
    )
    assert one == same != other


def test_progress_ends_at_all_rows(monkeypatch):
    told = []
    monkeypatch.setattr(collect, "_BLOCK", 5)
    collect.collect("Counter-v0", steady, 100, [0, 0], progress=lambda *now: told.append(now))
    assert told[-1] == (100, 100)
    assert told == sorted(told)
    assert len(told) > 3


def test_a_policy_of_another_robot_is_refused():
    with pytest.raises(SpecError, match=r"gives \(3, 2\) numbers, the simulator gives and takes \(11, 3\)"):
        collect.collect("Hopper-v5", policy(Gaussian, inputs=3, outputs=2), 10, [0, 0])


# ---- building ------------------------------------------------------------------------------------------------------------


def policy(kind, inputs=INPUTS, outputs=OUTPUTS):
    layer = (np.zeros((inputs, outputs), np.float32), np.zeros(outputs, np.float32))
    if kind is Gaussian:
        return Gaussian(np.zeros(inputs), np.ones(inputs), (layer,), np.full(outputs, 2.0))
    return Squashed((), layer, layer)


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A folder of three small policies in the published layout, which play the hopper's parts."""
    h5py = pytest.importorskip("h5py", reason="needs h5py")
    with h5py.File(tmp_path / "log.h5", "w") as file:
        for iteration in (0, 20):
            group = f"snapshots/iter{iteration:07d}/GaussianPolicy"
            for name, shape in (("hidden/FeedforwardNet/layer_0", (11, 4)), ("hidden/FeedforwardNet/layer_2", (4, 4))):
                file[f"{group}/{name}/AffineLayer/W"] = np.full(shape, 0.1)
                file[f"{group}/{name}/AffineLayer/b"] = np.zeros((1, 4))
            file[f"{group}/out/AffineLayer/W"] = np.zeros((4, 3))
            file[f"{group}/out/AffineLayer/b"] = np.full((1, 3), iteration / 10)  # the later one always pushes
            file[f"{group}/logstdevs_1_Da"] = np.zeros((1, 3))
            file[f"{group}/obsnorm/Standardizer/mean_1_D"] = np.zeros((1, 11))
            file[f"{group}/obsnorm/Standardizer/meansq_1_D"] = np.ones((1, 11))
    shapes = {"latent_pi.0": (4, 11), "latent_pi.2": (4, 4), "mu": (3, 4), "log_std": (3, 4)}
    weights = {f"actor.{name}.weight": np.zeros(shape, np.float32) for name, shape in shapes.items()}
    np.savez(
        tmp_path / "actor.npz",
        **weights,
        **{f"actor.{name}.bias": np.zeros(s[0], np.float32) for name, s in shapes.items()},
    )
    hashes = {name: hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in ("log.h5", "actor.npz")}
    snapshots = tuple(mujoco.Policy("log.h5", hashes["log.h5"], iteration) for iteration in (0, 20))
    expert = mujoco.Policy("actor.npz", hashes["actor.npz"])
    monkeypatch.setitem(mujoco.ROBOTS, "hopper", mujoco.Robot("Hopper-v5", snapshots[1], expert, snapshots))
    monkeypatch.setenv("EXTREMAL_CACHE", str(tmp_path / "cache"))
    return tmp_path


def test_a_mixed_dataset_is_half_of_each(published):
    data = mujoco.build("hopper-medium-expert", published, rows=301, seed=3)
    recipe = json.loads(data.card.recipe)
    assert [part["rows"] for part in recipe["policies"]] == [150, 151]
    assert data.starts[recipe["policies"][0]["episodes"] + 1] == 150  # the first one's last episode was cut there
    assert (data.action[:150].min(axis=0) < data.action[:150].max(axis=0)).all()
    assert np.mean(data.action[:150] == 1.0) > 0.5  # mean 2, deviation 1
    assert not np.any(np.abs(data.action[150:]) == 1.0)
    assert recipe["policies"][0]["clipped_action_entries"] == pytest.approx(
        np.mean(np.abs(data.action[:150]) == 1.0), abs=1e-6
    )
    assert recipe["policies"][1]["clipped_action_entries"] == 0.0


def test_the_replay_is_like_a_training_in_equal_shares(published):
    data = mujoco.build("hopper-medium-replay-like", published, rows=200)
    recipe = json.loads(data.card.recipe)
    assert [(part["iteration"], part["rows"]) for part in recipe["policies"]] == [(0, 100), (20, 100)]
    assert abs(data.action[:100].mean()) < 0.2 < 0.6 < data.action[100:].mean()


def test_the_card_holds_the_recipe(published):
    told = []
    data = mujoco.build("hopper-expert", published, rows=120, seed=2, progress=lambda *now: told.append(now))
    recipe, card = json.loads(data.card.recipe), data.card
    assert (card.name, card.environment, card.reference) == (
        "hopper-expert-rows120-seed2",
        "Hopper-v5",
        "hopper-expert-v2",
    )
    assert (card.action_low, card.action_high) == ((-1.0,) * 3, (1.0,) * 3)
    assert {name: recipe[name] for name in ("generator", "version", "rows", "seed")} == {
        "generator": "extremal.data.mujoco",
        "version": mujoco.GENERATOR,
        "rows": 120,
        "seed": 2,
    }
    assert {"gymnasium", "mujoco", "numpy"} <= set(recipe)
    (part,) = recipe["policies"]
    assert part["sha256"] == hashlib.sha256((published / "actor.npz").read_bytes()).hexdigest()
    whole = data.returns[: part["episodes"]]
    assert part["mean_return"] == pytest.approx(whole.mean(), abs=2e-3)
    assert part["return_deviation"] == pytest.approx(whole.std(), abs=2e-3)
    assert told[-1] == (120, 120)


def test_random_needs_no_policy(tmp_path):
    data = mujoco.build("walker2d-random", tmp_path, rows=100)
    assert data.card.reference == "walker2d-random-v2"
    assert json.loads(data.card.recipe)["policies"][0]["distribution"] == "uniform"
    assert (data.rows, data.spec.observation, data.spec.action) == (100, (17,), (6,))
    with pytest.raises(ConfigError, match="seed -1"):
        mujoco.build("walker2d-random", tmp_path, seed=-1)


def test_one_row_has_no_whole_episode(tmp_path):
    data = mujoco.build("hopper-random", tmp_path, rows=1)
    assert json.loads(data.card.recipe)["policies"][0]["mean_return"] is None
    assert data.truncated.tolist() == [True]


def test_a_file_that_is_not_the_published_policy_is_refused(published):
    with (published / "actor.npz").open("ab") as file:
        file.write(b"x")
    with pytest.raises(DataError, match=r"actor.npz: is not the published policy: its SHA-256 is .* expected"):
        mujoco.build("hopper-expert", published, rows=10)
    with pytest.raises(DataError, match=r"log_Walker2d-v1_1.h5: does not exist"):
        mujoco.build("walker2d-medium", published, rows=10)
    with pytest.raises(ConfigError, match="a row of each of 2 policies"):
        mujoco.build("hopper-medium-expert", published, rows=1)
    with pytest.raises(ConfigError, match="did you mean 'hopper-medium'"):
        mujoco.build("hopper-medum", published)


# ---- names ---------------------------------------------------------------------------------------------------------------


def test_each_size_and_seed_has_a_name_of_its_own():
    assert len(mujoco.NAMES) == 15
    ids = {
        (name, rows, seed): mujoco.dataset_id(name, rows, seed)
        for name in mujoco.NAMES
        for rows in (mujoco.ROWS, 1, 1_000_000)
        for seed in (0, 1, 12)
    }
    assert len(set(ids.values())) == len(ids)
    assert all(mujoco.parse(id) == parts for parts, id in ids.items())
    for other in ("hopper-medium-rows200000", "hopper-medium-seed0", "hopper-medium-rows01", "hopper", "ant-medium"):
        assert mujoco.parse(other) is None


def test_what_was_built_is_found_by_its_name_and_not_replaced(published):
    with pytest.raises(DataError, match="extremal data build hopper-random --source POLICIES --rows 60 --seed 1"):
        load_dataset("hopper-random-rows60-seed1")
    first = builds.build("hopper-random", published, rows=60)
    other = builds.build("hopper-random", published, rows=60, seed=1)
    assert load_dataset("hopper-random-rows60").hash() == first.hash() != other.hash()
    assert load_dataset("hopper-random-rows60-seed1").card == other.card
    assert {"hopper-random", "hopper-random-rows60", "hopper-random-rows60-seed1"} <= set(names())
    with pytest.raises(ConfigError, match=f"built already: 60 rows, hash {first.hash()[:16]}.*--overwrite"):
        builds.build("hopper-random", published, rows=60)
    assert builds.build("hopper-random", published, rows=60, overwrite=True).hash() == first.hash()


def test_a_damaged_build_is_made_again_and_an_interrupted_one_leaves_nothing(published, monkeypatch):
    path = cache.save_built("hopper-random-rows60", mujoco.build("hopper-random", published, rows=60))
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(
        DataError, match="build it again: extremal data build hopper-random --source POLICIES --rows 60"
    ):
        load_dataset("hopper-random-rows60")
    builds.build("hopper-random", published, rows=60)
    assert load_dataset("hopper-random-rows60").rows == 60

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(collect, "_BLOCK", 1)
    with pytest.raises(KeyboardInterrupt):
        builds.build("hopper-random", published, rows=90, progress=interrupted)
    assert cache.built() == ["hopper-random-rows60"]
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_recordings_have_no_size_or_seed(tmp_path):
    for chosen in ({"rows": 5}, {"seed": 1}):
        with pytest.raises(ConfigError, match="is what was recorded"):
            builds.build("adroit-door-human", tmp_path / "none.npz", **chosen)
    with pytest.raises(ConfigError, match="did you mean 'adroit-door-human'"):
        builds.build("adroit-dor-human", tmp_path / "none.npz")


def test_the_documentation_names_every_file_with_its_hash():
    page = (Path(__file__).parents[2] / "docs" / "data.md").read_text("utf-8")
    for robot in mujoco.ROBOTS.values():
        for policy in (robot.medium, robot.expert, robot.replay[0]):
            assert policy.file in page
            assert policy.sha256[:16] in page
    assert set(mujoco.NAMES) <= set(re.findall(r"^\| `([\w-]+)` \|", page, re.MULTILINE))


# ---- the published policies ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("robot", "level", "low", "high"),
    [
        ("hopper", "medium", 1000, 2300),
        ("hopper", "expert", 2600, 3700),
        ("halfcheetah", "medium", 3400, 3900),
        ("walker2d", "medium", 1000, 1500),
    ],
)
def test_the_published_policies_return_what_they_are_chosen_for(real_data, robot, level, low, high):
    pytest.importorskip("h5py", reason="needs h5py")
    data = mujoco.build(f"{robot}-{level}", real_data, rows=3_000)
    assert data.episodes >= 3
    assert low < json.loads(data.card.recipe)["policies"][0]["mean_return"] < high


def test_every_part_is_played_by_a_file_that_is_there(real_data):
    for robot in mujoco.ROBOTS.values():
        assert robot.replay[-1] == robot.medium
        for played in {dataclasses.replace(policy, iteration=None) for policy in (*robot.replay, robot.expert)}:
            found = hashlib.sha256((real_data / played.file).read_bytes()).hexdigest()
            assert found == played.sha256, played.file
