"""A peer's side that learns our way: what it draws, what it takes over, and that it acts; its package is needed by one test only."""

import ast
import dataclasses
import importlib.util

import numpy as np
import pytest

from extremal.bench.contestant import Contestant
from extremal.bench.job import synthetic, write_rows
from extremal.bench.peers import LEARNERS, SERVE
from extremal.bench.pythons import place, python_with
from extremal.bench.scores.options import COMPARED, Options
from extremal.bench.scores.settings import settings
from extremal.bench.scores.theirs import Lesson
from extremal.bench.sides.serve import Server
from extremal.io import config

SMALL = Options(dataset="none", width=8, batch=16)


def _side(name):
    spec = importlib.util.spec_from_file_location("side", LEARNERS[name].side)
    side = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(side)
    return side


@pytest.fixture
def rows(tmp_path):
    """Thirty-five steps: an episode that terminated would end at step 1000, this one is cut."""
    write_rows(synthetic(35, observation=3, action=2), tmp_path / "rows.npz")
    return tmp_path / "rows.npz"


@pytest.mark.parametrize("name", LEARNERS)
def test_a_learner_says_of_each_of_its_methods_what_differs_and_knows_nothing_of_us(name):
    assert set(_side(name).DIFFERS) == set(LEARNERS[name].methods) <= set(COMPARED)
    tree = ast.parse(LEARNERS[name].side.read_text("utf-8"))
    imported = [a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names]
    imported += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert not [module for module in imported if module.split(".")[0] == "extremal"]


def test_batches_are_rows_and_every_row_is_drawn(rows):
    table = dict(np.load(rows))
    draw = _side("d3rlpy").batches(dict, table, 50, seed=3)
    seen = np.zeros(len(table["reward"]), int)
    for _ in range(40):
        batch = draw()
        at = [int(np.flatnonzero((table["observation"] == row).all(axis=1))[0]) for row in batch["observations"]]
        np.add.at(seen, at, 1)
        for name, column in (("actions", "action"), ("next_observations", "next_observation")):
            np.testing.assert_array_equal(batch[name], table[column][at])
        np.testing.assert_array_equal(batch["rewards"], table["reward"][at, None])
        np.testing.assert_array_equal(batch["terminals"], table["terminated"][at, None])
        assert {value.dtype for value in batch.values() if isinstance(value, np.ndarray)} == {np.dtype("float32")}
    assert seen.min() > 0  # the last step of the cut episode, too
    assert seen.max() < 120  # of 2,000 draws over 35 rows


def test_another_seed_draws_other_rows(rows):
    table = dict(np.load(rows))
    drawn = [_side("d3rlpy").batches(dict, table, 50, seed=seed)()["rewards"] for seed in (0, 0, 1)]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert (drawn[0] != drawn[2]).any()


@pytest.mark.parametrize("name", COMPARED)
def test_our_settings_have_the_sizes_that_are_asked_for(name):
    found = settings(name, dataclasses.replace(SMALL, depth=3, reward_range=None))
    assert (found.width, found.depth, found.batch_size) == (8, 3, 16)
    assert getattr(found, "policy_depth", None) in (None, 3)
    assert getattr(found, "reward_range", None) is None


def test_rewards_are_ranged_for_the_methods_whose_temperature_wants_it():
    assert {name for name in COMPARED if getattr(settings(name, SMALL), "reward_range", None) == 1000.0} == {"iql"}


def test_a_side_that_does_not_act_says_so():
    with pytest.raises(RuntimeError, match="does not act"):
        Server("side.py").act([[0.0]])


# What d3rlpy's configuration must hold, typed a second time.
_COMMON = {"batch_size": 16, "gamma": 0.99, "tau": 0.005, "n_critics": 2, "critic_learning_rate": 3e-4}
_KNOWN = {
    "iql": _COMMON | {"actor_learning_rate": 3e-4, "expectile": 0.7, "weight_temp": 3.0, "max_weight": 100.0},
    "td3bc": _COMMON
    | {
        "actor_learning_rate": 3e-4,
        "alpha": 2.5,
        "target_smoothing_sigma": 0.2,
        "target_smoothing_clip": 0.5,
        "update_actor_interval": 2,
    },
    "bc": {"batch_size": 16, "learning_rate": 3e-4, "policy_type": "deterministic"},
    "cql": _COMMON
    | {
        "actor_learning_rate": 1e-4,
        "temp_learning_rate": 1e-4,
        "alpha_learning_rate": 3e-4,
        "alpha_threshold": 10.0,
        "conservative_weight": 5.0,
        "n_action_samples": 10,
        "initial_temperature": 1.0,
    },
    "awac": _COMMON | {"actor_learning_rate": 3e-4, "lam": 1.0, "n_action_samples": 1},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", COMPARED)
def test_d3rlpy_takes_our_settings_and_acts(name, rows):
    packages = LEARNERS["d3rlpy"].packages
    if not place(packages).exists():
        pytest.skip("needs d3rlpy, which `extremal bench` installs")
    lesson = Lesson(method=name, data=str(rows), seed=1, updates=100, settings=config.to_json(settings(name, SMALL)))
    command = [str(python_with(packages)), str(SERVE), str(LEARNERS["d3rlpy"].side)]
    acted = []
    for _ in range(2):
        one = Contestant("d3rlpy", command, threads=1)
        facts = one.start(lesson)
        assert {key: facts["settings"][key] for key in _KNOWN[name]} == _KNOWN[name]
        assert facts["threads"] == 1
        one.run(6)
        acted.append(one.act(np.linspace(-1.0, 1.0, 12).reshape(4, 3)))
        one.stop()
    assert acted[0].shape == (4, 2)
    assert np.abs(acted[0]).max() <= 1.0
    np.testing.assert_array_equal(*acted)  # the seed decides
