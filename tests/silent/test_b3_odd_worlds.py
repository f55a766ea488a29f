"""Worlds that fail, or give something else than they should: one sentence, and what was trained is saved all the same."""

import gymnasium
import numpy as np
import pytest
import toy_runs
from toy_runs import arrays

import extremal
from extremal.core.errors import ConfigError, SimulatorError, SpecError
from extremal.evaluation.rollout import rollout
from extremal.runs.train import checkpoints


class World(gymnasium.Env):
    """Three steps; whatever it gives may be something else."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (3,), np.float32)
    action_space = gymnasium.spaces.Box(2, 6, (2,), np.float32)

    def __init__(self, start=None, **changes):
        self.start = (np.zeros(3, np.float32), {}) if start is None else start
        self.changes, self.steps = changes, 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self.start

    def step(self, action):
        self.steps += 1
        usual = {"observation": np.zeros(3, np.float32), "reward": 1.0, "terminated": self.steps == 3}
        given = usual | {"truncated": False, "info": {}} | self.changes
        return tuple(value() if callable(value) else value for value in given.values())


class Old(World):
    def step(self, action):
        return super().step(action)[:4]


def play(world):
    return rollout(lambda x: np.full((len(x), 2), 4.0), world, episodes=2, seed=0)


def fail():
    raise ZeroDivisionError("the hull is breached")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"reward": None}, "the reward None; expected a finite number"),
        ({"reward": "x"}, "the reward 'x'"),
        ({"reward": np.nan}, "the reward nan"),
        ({"reward": np.array([-np.inf])}, r"the reward array\(\[-inf\]\)"),
        ({"reward": np.ones(2)}, r"the reward array\(\[1., 1.\]\)"),
        ({"reward": 1j}, "the reward 1j"),
        ({"terminated": "False"}, "'False' for terminated; expected true or false"),
        ({"terminated": None}, "None for terminated"),
        ({"truncated": np.nan}, "nan for truncated"),
        ({"truncated": np.zeros(2, bool)}, "for truncated"),
        ({"info": None}, "None for info; expected a dictionary"),
        ({"observation": {"x": 1}}, "an observation of shape"),
        ({"observation": [[1], [2, 3]]}, r"the observation \[\[1\], \[2, 3\]\], its space is Box"),
        ({"observation": ["a", "b", "c"]}, "an observation of <U1; expected numbers"),
        ({"start": np.zeros(3)}, r"reset gave a ndarray; Gymnasium's gives \(observation, info\)"),
        ({"start": (np.zeros(3), {}, 1)}, "reset gave a tuple of 3"),
    ],
)
def test_what_a_world_gives_is_named_where_it_is_odd(changes, words):
    with pytest.raises(SpecError, match=words):
        play(lambda: World(**changes))


def test_a_world_of_old_gym_is_named():
    with pytest.raises(SpecError, match=r"step gave a tuple of 4; .*truncated, info\): wrap an environment of old Gym"):
        play(Old)


def test_a_dictionary_that_is_none_is_named():
    class Parts(World):
        observation_space = gymnasium.spaces.Dict({"a": World.observation_space})

    with pytest.raises(SpecError, match=r"the observation array\(\[0., 0., 0.\].*, its space is Dict"):
        play(Parts)
    assert play(lambda: Parts(({"a": np.zeros(3)}, {}), observation={"a": np.ones(3)})).lengths.tolist() == [3, 3]


@pytest.mark.parametrize("changes", [{"reward": np.array([1])}, {"reward": True}, {"reward": np.float16(1)}])
def test_numbers_and_flags_may_be_arrays_of_one(changes):
    found = play(lambda: World(**changes, truncated=np.array([False])))
    assert found.returns.tolist() == [3, 3]


def test_a_world_that_fails_is_told_and_its_error_kept():
    with pytest.raises(SimulatorError, match=r"failed in its step: ZeroDivisionError: the hull is breached") as told:
        play(lambda: World(reward=fail))
    assert isinstance(told.value.__cause__, ZeroDivisionError)


def test_a_function_that_makes_no_world_is_told_before_training(tmp_path):
    with pytest.raises(SimulatorError, match=r"function.*failed: TypeError: .*; to train without a simulator"):
        toy_runs.train(tmp_path / "never", environment=lambda name: World())
    with pytest.raises(ConfigError, match="not a Gymnasium environment"):
        toy_runs.train(tmp_path / "never", environment=lambda: "World")
    assert list(tmp_path.iterdir()) == []


class Breaking(World):
    """Breaks in the evaluation after update `at`."""

    now = at = 0
    odd = np.nan

    def step(self, action):
        self.changes = {"reward": self.odd if self.now == self.at else 1.0}
        return super().step(action)


@pytest.mark.parametrize("last", [20, 40])
@pytest.mark.parametrize(("odd", "error"), [(fail, SimulatorError), (np.nan, SpecError)])
def test_what_was_trained_is_saved_where_its_evaluation_fails_and_that_is_made_up_for(
    tmp_path, monkeypatch, last, odd, error
):
    monkeypatch.setattr(Breaking, "odd", odd)
    monkeypatch.setattr(Breaking, "at", last)
    path, options = tmp_path / "broken", {"environment": Breaking, "episodes": 2}
    with pytest.raises(error, match=f"; the run is saved up to update {last} and goes on from there"):
        toy_runs.train(path, **options, watch=lambda update, metrics: setattr(Breaking, "now", update))
    assert int(checkpoints(path)[-1].stem) == last
    monkeypatch.setattr(Breaking, "at", -1)
    run, whole = extremal.resume(path, dataset=toy_runs.log(), environment=Breaking), tmp_path / "whole"
    assert run.finished
    assert arrays(run) == arrays(toy_runs.train(whole, **options))
    assert (path / "evaluations.csv").read_text() == (whole / "evaluations.csv").read_text()
