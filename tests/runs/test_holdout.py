"""Which episodes a run holds out: the same for every method, none under a preset, and told with the reason."""

import dataclasses
import json
import shutil

import gymnasium
import numpy as np
import pytest

import extremal
from extremal.algorithms.bc import BC
from extremal.algorithms.behaviour import Behaviour
from extremal.algorithms.emaq import EMaQ
from extremal.algorithms.registry import METHODS, preset
from extremal.core.errors import ConfigError
from extremal.report.text import table
from extremal.runs.holdout import Choice, choose, parted, unjudged
from extremal.runs.initial import origin_of
from extremal.runs.train import checkpoints

PRESET = ("td3bc", "paper/locomotion-v2")


def log(episodes):
    """Two steps each; the reward is the episode's number."""
    one = lambda number: {"observation": np.eye(3), "action": np.zeros((2, 2)), "reward": np.full(2, number)}  # noqa: E731
    return extremal.Dataset.from_episodes([one(float(number)) for number in range(episodes)])


def share(settings, episodes, environment, *, asked=None, origin=None):
    data = log(episodes)
    return choose(settings, data, environment, asked=asked, origin=origin, hash=data.hash())


def told(run):
    return json.loads((run.path / "config.json").read_text())["held_out"]


class World(gymnasium.Env):
    """Like the data of these tests in shape alone; over after a step."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (3,), np.float32)
    action_space = gymnasium.spaces.Box(2.0, 6.0, (2,), np.float32)

    def reset(self, *, seed=None, options=None):
        return np.zeros(3, np.float32), {}

    def step(self, action):
        return np.zeros(3, np.float32), 1.0, True, False, {}


# ---- the rule ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", METHODS)
def test_every_method_holds_out_a_tenth_without_a_simulator_and_a_twentieth_with_one(name):
    default = METHODS[name].default
    assert default.preset is None
    assert share(default, 40, None)[:2] == share(default, 2, None)[:2] == (0.1, "default")
    assert share(default, 40, "Hopper-v5")[:2] == (0.05, "default")
    few = share(default, 39, "Hopper-v5")
    assert few == Choice(0.0, "default", "there is a simulator and there are fewer than 40 episodes")


@pytest.mark.parametrize("name", [name for name in METHODS if METHODS[name].presets])
def test_a_preset_holds_nothing_out_however_its_settings_are_changed(name):
    for which, known in METHODS[name].presets.items():
        changed = dataclasses.replace(known.settings, batch_size=7)
        for settings in (known.settings, preset(name, which), changed):
            assert share(settings, 100, None)[:2] == share(settings, 100, "Hopper-v5")[:2] == (0.0, "preset")
        assert share(changed, 100, None, asked=0.2)[:2] == (0.2, "option")


def test_a_preset_is_known_by_its_name_alone():
    with pytest.raises(ConfigError, match="did you mean 'paper/locomotion-v2'"):
        share(dataclasses.replace(preset(*PRESET), preset="paper/locomotion-v"), 50, None)
    with pytest.raises(ConfigError, match="BC has no presets, and its setting 'preset' is 'mine'; leave it out"):
        share(BC(preset="mine"), 50, None)


def test_records_that_differ_by_the_preset_alone_are_equal():
    assert preset(*PRESET) == METHODS["td3bc"].default


@pytest.mark.parametrize(("episodes", "of_shares"), [(57, {0.05: 3, 0.1: 6}), (40, {0.05: 2, 0.1: 4}), (2, {0.1: 1})])
def test_whole_episodes_are_held_out_and_a_smaller_share_is_among_a_larger_one(episodes, of_shares):
    data, before = log(episodes), set()
    for asked, count in of_shares.items():
        kept, held = parted(data, asked)
        assert held is not None
        numbers = held.reward.reshape(-1, 2)[:, 0].tolist()
        assert (held.episodes, held.rows, kept.episodes) == (count, 2 * count, episodes - count)
        assert before <= set(numbers)
        assert sorted([*numbers, *kept.reward.reshape(-1, 2)[:, 0].tolist()]) == list(range(episodes))
        before = set(numbers)
    assert parted(data, 0.0) == (data, None)


# ---- runs ----------------------------------------------------------------------------------------------------------------


def test_a_run_tells_how_much_is_held_out_and_why(cloned, train, tmp_path):
    assert cloned.plan.holdout == 0.1
    assert told(cloned) == {"share": 0.1, "episodes": 2, "rows": 16, "by": "default", "why": "no simulator judges"}
    asked = train(tmp_path / "asked", updates=10, holdout=0.25)
    assert told(asked) == {"share": 0.25, "episodes": 5, "rows": 40, "by": "option", "why": "it was asked for"}


def test_with_a_simulator_the_held_out_losses_stand_beside_the_score(train, data, tmp_path):
    at = lambda name, e, more=0: getattr(data, name)[(8 + more) * e : (8 + more) * (e + 1)]  # noqa: E731
    one = lambda e: {"observation": at("observation", e, 1), "action": at("action", e), "reward": at("reward", e)}  # noqa: E731
    twice = extremal.Dataset.from_episodes([one(e) for e in [*range(20), *range(20)]])
    options = {"updates": 2, "evaluate_every": 2, "log_every": 2, "episodes": 1, "environment": World}
    run = train(tmp_path / "run", dataset=twice, **options)
    assert told(run) == {"share": 0.05, "episodes": 2, "rows": 16, "by": "default", "why": "there is a simulator"}
    assert {result["metric"] for result in run.results} == {"return"}
    assert "heldout/pi/loss" in (run.path / "metrics.csv").read_text().splitlines()[0]


@pytest.fixture(scope="module")
def printed(train, tmp_path_factory):
    """A run under a preset, without a simulator; and what was warned of on the way."""
    said = []
    settings = dataclasses.replace(preset(*PRESET), width=8, batch_size=16)
    watch = lambda update, metrics: said.extend(metrics.get("warnings", []))  # noqa: E731
    path = tmp_path_factory.mktemp("runs") / "preset"
    return train(path, settings, updates=20, evaluate_every=10, watch=watch), said


def test_under_a_preset_a_run_without_a_simulator_says_how_to_be_judged(printed):
    run, (sentence,) = printed
    assert run.plan.settings.preset == PRESET[1]
    assert (run.plan.holdout, told(run)["by"]) == (0.0, "preset")
    assert (told(run)["episodes"], told(run)["rows"]) == (0, 0)
    assert "under the preset paper/locomotion-v2 the whole log is trained on" in sentence
    assert "--holdout 0.1 (in Python holdout=0.1) keeps episodes for that" in sentence
    assert run.summary["alarms"] == [sentence.removeprefix("warning: ")]
    assert "No episode is held out; --holdout 0.1" in table([run.path]).replace("\n", " ")


def test_what_needs_held_out_episodes_names_the_option(printed):
    """Health of density ratios, and the calibration of a model of the behaviour; a method without either says nothing."""
    plan = dataclasses.replace(printed[0].plan, dataset={**printed[0].plan.dataset, "environment": "Hopper-v5"})
    assert unjudged(plan) == []
    (health,) = unjudged(plan, [{"v/kl": "0.4"}])
    assert "whether V is calibrated, or has memorised, is not known; --holdout 0.1" in health
    for settings in (Behaviour(), EMaQ()):
        (calibration,) = unjudged(dataclasses.replace(plan, settings=settings))
        assert "how well its model of the behaviour is calibrated is not known; --holdout 0.1" in calibration
    assert unjudged(dataclasses.replace(plan, settings=EMaQ(behaviour_model="vae"))) == []
    assert unjudged(dataclasses.replace(plan, settings=EMaQ(), holdout=0.05), [{"v/kl": "0.4"}]) == []


def test_a_run_from_another_ones_weights_holds_out_what_these_have_not_seen(cloned, train, data, tmp_path):
    origin, settings = origin_of(cloned.path), BC(width=8, batch_size=16)
    found = choose(settings, data, "Hopper-v5", asked=None, origin=origin, hash=data.hash())
    assert found == Choice(0.1, "initial", f"as in {cloned.path}, whose weights know the other episodes")
    assert share(settings, 40, "Hopper-v5", origin=origin)[:2] == (0.05, "default")  # other data
    run = train(tmp_path / "run", updates=2, evaluate_every=2, initial=cloned, seeds=2)
    assert (told(run)["share"], told(run)["by"], told(run)["episodes"]) == (0.1, "initial", 2)
    assert run.plan.check["findings"] == []
    (finding,) = origin.findings(dataclasses.replace(run.plan, holdout=0.4), data)
    assert (finding.level, finding.code) == ("warning", "held-out-seen")
    assert "held out 0.1 of these episodes, and 0.4 are asked for" in finding.says


def test_a_run_of_before_keeps_what_it_held_out(printed, train, data, tmp_path):
    """Its config.json knows of no reason and no preset."""
    run, settings = printed[0], printed[0].plan.settings
    for name in ("one", "other"):
        shutil.copytree(run.path, tmp_path / name)
        config = json.loads((run.path / "config.json").read_text())
        del config["held_out"], config["settings"]["preset"]
        (tmp_path / name / "config.json").write_text(json.dumps(config))
        for path in (tmp_path / name / "summary.json", checkpoints(tmp_path / name)[-1]):
            path.unlink()
    on = {"updates": 20, "evaluate_every": 10, "resume": True}
    assert train(tmp_path / "one", settings, **on).plan.holdout == 0.0
    assert train(tmp_path / "one", dataclasses.replace(settings, preset=None), **on).plan.holdout == 0.0
    longer = extremal.resume(tmp_path / "other", dataset=data, updates=30)
    assert (longer.plan.holdout, longer.plan.held_out, longer.plan.updates) == (0.0, {}, 30)


def test_runs_on_the_same_data_that_hold_out_different_shares_are_said_to(cloned, printed):
    said = table([cloned.path, printed[0].path]).replace("\n", " ")
    assert "of follow the runs hold out different shares of the episodes (BC 0.1, TD3+BC 0)" in said
    assert "different shares" not in table([cloned.path])
