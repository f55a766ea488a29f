"""Every evaluation ends, and a rate of success is given only where it is one."""

import itertools
import json

import gymnasium
import numpy as np
import pytest

import extremal
from extremal.core.errors import ConfigError, SpecError
from extremal.evaluation.measures import Evaluation
from extremal.evaluation.rollout import rollout, together
from extremal.evaluation.success import PARTIAL, UNCLEAR, WHEN_WON

BOX = gymnasium.spaces.Box(-1, 1, (1,), np.float32)


class World(gymnasium.Env):
    """Reward 1 a step. Won or lost at random; `told` says what `info` holds at each step of a won and of a lost episode."""

    observation_space = action_space = BOX

    def __init__(self, told=lambda won, step: {}, steps=2, chance=0.5):
        self.told, self.steps, self.chance = told, steps, chance

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.won, self.step_number = bool(self.np_random.random() < self.chance), 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.step_number += 1
        ended = self.step_number == self.steps
        return np.zeros(1, np.float32), 1.0, ended, False, self.told(self.won, self.step_number)


def still(observation):
    return np.zeros((len(observation), 1))


def played(told, **options):
    return rollout(still, lambda: World(told, **options), episodes=60, seed=0)


SURE = played(lambda won, step: {"success": won}).success


# ---- success -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "told",
    [
        lambda won, step: {"is_success": won},
        lambda won, step: {"success": np.bool_(won)},
        lambda won, step: {"success": float(won)},
        lambda won, step: {"is_success": np.array(won)},
        lambda won, step: {"is_success": np.array([won], np.int8)},
        lambda won, step: {"success": won and step == 2},
        lambda won, step: {"success": won} if step == 2 else {"success": None},
        lambda won, step: {"success": "?", "is_success": won},
    ],
)
def test_every_way_to_report_it_is_the_same_rate(told):
    found = played(told)
    np.testing.assert_array_equal(found.success, SURE)
    assert found.success_rule == ""
    assert 0 < SURE.mean() < 1


@pytest.mark.parametrize("key", ["success", "is_success"])
def test_reported_only_when_won_counts_and_the_rule_is_stated(key):
    found = played(lambda won, step: {key: True} if won and step == 2 else {})
    np.testing.assert_array_equal(found.success, SURE)
    assert found.success_rule == WHEN_WON
    assert found.steps_to_goal[SURE].tolist() == [2.0] * SURE.sum()
    evaluation = Evaluation((found,))
    assert f"success: {WHEN_WON}" in str(evaluation)
    assert evaluation.to_json()["notes"] == [f"success: {WHEN_WON}"]


@pytest.mark.parametrize(
    ("told", "rule"),
    [
        (lambda won, step: {"success": False} if not won else {}, PARTIAL),  # silence cannot be a failure here
        (lambda won, step: {"success": step == 2} if won else {}, PARTIAL),
        (lambda won, step: {"success": np.nan}, UNCLEAR),
        (lambda won, step: {"success": "yes"}, UNCLEAR),
        (lambda won, step: {"success": 0.7}, UNCLEAR),
        (lambda won, step: {"success": np.array([won, won])}, UNCLEAR),
        (lambda won, step: {"success": [] if won else False}, UNCLEAR),
        (lambda won, step: {"other": won}, ""),
    ],
)
def test_no_rate_where_it_would_be_a_guess(told, rule):
    found = played(told)
    assert (found.success, found.success_rule) == (None, rule)
    assert "success_rate" not in Evaluation((found,)).per_seed


def test_a_seed_that_never_won_is_judged_beside_those_that_did():
    """Alone it says nothing; beside a seed whose simulator reports wins only, its rate is 0 and not left out."""
    told = lambda won, step: {"success": True} if won else {}  # noqa: E731
    parts = played(told), played(told, chance=0.0)
    assert parts[1].success is None
    assert [part.success.mean() for part in together(parts)] == [SURE.mean(), 0.0]
    assert Evaluation(parts).per_seed["success_rate"] == [SURE.mean(), 0.0]


# ---- ends --------------------------------------------------------------------------------------------------------------


def test_a_world_without_an_end_is_cut_and_the_result_says_so():
    found = rollout(still, lambda: World(steps=np.inf), episodes=3, seed=0, max_steps=25)
    assert found.lengths.tolist() == [25] * 3
    assert found.capped.all()
    evaluation = Evaluation((found, found))
    assert evaluation.to_json()["capped_episodes"] == {"per_seed": [3, 3], "max_steps": 25}
    assert "6 of 6 episodes had not ended after 25 steps and were cut there (--max-steps)" in str(evaluation)


def test_the_cap_by_itself_is_ten_thousand_steps():
    assert rollout(still, lambda: World(steps=np.inf), episodes=1, seed=0).lengths.tolist() == [10_000]


def test_only_what_the_cap_cut_is_capped():
    """An end on the very step of the cap is the world's own."""
    for steps, capped in ((4, False), (5, False), (6, True)):
        found = rollout(still, lambda s=steps: World(steps=s), episodes=2, seed=0, max_steps=5)
        assert found.capped.tolist() == [capped] * 2
        assert found.lengths.tolist() == [min(steps, 5)] * 2
    assert "cut" not in str(Evaluation((rollout(still, World, episodes=2, seed=0),)))


def test_lengths_stay_apart_where_only_some_are_cut():
    limits = itertools.count(3)
    found = rollout(still, lambda: World(steps=next(limits)), episodes=4, seed=0, max_steps=4)
    assert found.lengths.tolist() == [3, 4, 4, 4]
    assert found.capped.tolist() == [False, False, True, True]


def test_impossible_caps_and_shared_worlds_are_refused():
    with pytest.raises(ConfigError, match="max_steps is 0"):
        rollout(still, World, episodes=1, seed=0, max_steps=0)
    one = World()
    with pytest.raises(ConfigError, match="the same environment twice"):
        rollout(still, lambda: one, episodes=2, seed=0)
    assert rollout(still, lambda: one, episodes=2, seed=0, parallel=1).lengths.tolist() == [2, 2]


# ---- a run -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Trained and evaluated in a world without an end, whose first policy may win."""
    random = np.random.default_rng(0)
    data = extremal.Dataset.from_rows(
        observation=random.normal(size=(40, 1)),
        action=random.uniform(-1, 1, (40, 1)),
        reward=random.normal(size=40),
        terminated=np.isin(np.arange(40), [8, 20, 29, 39]),
    )
    return extremal.train(
        extremal.BC(width=8, batch_size=16),
        data,
        updates=2,
        log_every=1,
        episodes=12,
        max_steps=7,
        environment=lambda: World(lambda won, step: {"success": True} if won else {}, steps=np.inf),
        out=tmp_path_factory.mktemp("b3") / "run",
    )


def test_a_run_says_what_was_cut_and_how_success_was_counted(run):
    alarms = run.summary["alarms"]
    assert f"success: {WHEN_WON}" in alarms
    assert any("12 of 12 episodes had not ended after 7 steps" in sentence for sentence in alarms)
    assert json.loads((run.path / "config.json").read_text())["max_steps"] == 7
    table = (run.path / "evaluations.csv").read_text().splitlines()
    columns = [dict(zip(table[0].split(","), line.split(","), strict=True)) for line in table[1:]]
    assert {row["capped"] for row in columns} == {"1"}
    assert {(row["success"], row["success_reported"]) for row in columns} == {("0", "0"), ("1", "1")}
    rate = next(r["mean"] for r in run.results if r["metric"] == "success_rate")
    last = [int(row["success"]) for row in columns if row["update"] == "2"]
    assert rate == pytest.approx(np.mean(last))


def test_evaluate_has_a_cap_of_its_own(run):
    found = run.evaluate(episodes=2, environment=lambda: World(steps=np.inf), max_steps=3)
    assert found.episodes[0].lengths.tolist() == [3, 3]
    with pytest.raises(ConfigError, match="max_steps is 0"):
        extremal.train("bc", _tiny(), updates=1, max_steps=0, environment=World, out=run.path.parent / "none")


def _tiny():
    return extremal.Dataset.from_rows(
        observation=np.zeros((2, 1)), action=np.array([[0.1], [0.2]]), reward=np.ones(2), terminated=np.ones(2)
    )


# ---- what the policy is shown ------------------------------------------------------------------------------------------


def test_a_world_keeps_its_own_precision():
    """1e7 + 0.25 is nothing in float32."""

    class Far(World):
        def __init__(self, dtype):
            super().__init__()
            self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (1,), dtype)

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            return np.array([1e7 + 0.25]), {}

    shown = []
    for dtype in (np.float64, np.float32):  # what it gives counts, whatever its space says
        found = rollout(lambda x: shown.append(x) or still(x), lambda d=dtype: Far(d), episodes=1, seed=0)
        assert found.starts[0, 0] == 1e7 + 0.25
        assert shown[0][0, 0] == 1e7 + 0.25
        shown.clear()
    rollout(lambda x: shown.append(x) or still(x), World, episodes=1, seed=0)
    assert shown[0].dtype == np.float32


class Wide(World):
    observation_space = gymnasium.spaces.Box(-1, 1, (3,), np.float32)


class Liar(World):
    observation_space = gymnasium.spaces.Box(-1, 1, (3,), np.float32)  # and gives one number


class Buttons(World):
    action_space = gymnasium.spaces.Discrete(2)


class Stick(World):
    action_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)


@pytest.mark.parametrize(
    ("world", "words"),
    [
        (Wide, r"observations of shape \(3,\), the dataset of shape \(1,\)"),
        (Stick, r"takes actions in Box\(-1.0, 1.0, \(2,\), float32\), the dataset has quantities of shape \(1,\)"),
        (Buttons, r"takes actions in Discrete\(2\), the dataset has quantities"),
    ],
)
def test_another_shape_is_refused_before_the_first_step(run, tmp_path, monkeypatch, world, words):
    monkeypatch.setattr(world, "step", lambda self, action: pytest.fail("a step was made"))
    with pytest.raises(SpecError, match=words):
        run.evaluate(environment=world, episodes=1)
    with pytest.raises(SpecError, match=f"{words}.*train without a simulator: --environment none"):
        extremal.train("bc", _tiny(), updates=1, environment=world, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_worlds_that_are_not_as_they_say_are_refused():
    with pytest.raises(SpecError, match=r"gave an observation of shape \(1,\), its space says \(3,\)"):
        rollout(still, Liar, episodes=1, seed=0)
    with pytest.raises(SpecError, match="are quantities, the environment takes choices: Discrete"):
        rollout(lambda x: np.full(len(x), 0.5), Buttons, episodes=1, seed=0)
    assert rollout(lambda x: np.zeros(len(x), int), Buttons, episodes=1, seed=0).lengths.tolist() == [2]
