"""The examples run, and XQL in one file gives the library's numbers."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import jax
import numpy as np
import pytest

from extremal import XQL, Card, Dataset, save_dataset
from extremal.data.transforms import prepare
from extremal.engine.loop import train
from extremal.engine.replicas import init_replicas, run_keys, stack, take

EXAMPLES = Path(__file__).parent.parent / "examples"


def module(name: str) -> ModuleType:
    """The example `name` as a module."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules[name] = made  # dataclasses look their module up
    try:
        spec.loader.exec_module(made)
    finally:
        del sys.modules[name]
    return made


@pytest.fixture(scope="module")
def one_file() -> Iterator[ModuleType]:
    """XQL in one file, under the promotion rules that JAX has by default."""
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        yield module("xql_in_one_file")


@pytest.fixture(scope="module")
def log() -> Dataset:
    """Episodes that end in each of the two ways, with actions in units of their own."""
    random = np.random.default_rng(0)
    episodes = [
        {
            "observation": random.normal(size=(21, 3)),
            "action": random.uniform(-2.0, 5.0, size=(20, 2)),
            "reward": random.normal(size=20),
            "terminated": number % 2 == 0,
            "truncated": number % 2 == 1,
        }
        for number in range(10)
    ]
    return Dataset.from_episodes(episodes, card=Card(action_low=(-2.0, -2.0), action_high=(5.0, 5.0)))


def library_state(settings: XQL, log: Dataset, updates: int, seed: int):
    """The library's state after `updates`."""
    algorithm = settings.algorithm(log.spec, updates=updates)
    _, prepared = prepare(algorithm.prepare, log)
    init, keys = run_keys([seed])
    stacked = stack([algorithm])
    (progress,) = train(
        stacked, init_replicas(stacked, init), prepared.device(), keys, updates=updates, every=(updates,)
    )
    return take(progress.states, 0)


@pytest.mark.slow
def test_one_file_gives_the_librarys_numbers(one_file, log, tmp_path):
    updates, seed = 20, 3
    save_dataset(log, f"npz:{tmp_path / 'log.npz'}")
    data, _, environment = one_file.load(tmp_path / "log.npz")
    settings = one_file.Settings(width=16, batch_size=32, updates=updates)
    found = one_file.train(settings, data, seed=seed, every=10)
    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        wanted = library_state(XQL(width=16, batch_size=32), log, updates, seed)
    layers = lambda mlp: [(layer.weight, layer.bias) for layer in mlp.layers]  # noqa: E731
    wanted = {
        "v": layers(wanted.online.v.net),
        "q": [layers(member) for member in wanted.online.q.members],
        "pi": {"net": layers(wanted.online.pi.net), "log_std": wanted.online.pi.log_std},
        "slow_q": [layers(member) for member in wanted.target["q"].members],
    }
    found = found["nets"] | {"slow_q": found["slow_q"]}
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), found, wanted)
    assert environment is None


def test_one_file_has_the_librarys_defaults(one_file):
    ours, theirs = one_file.Settings(), XQL()
    for name in (
        "beta",
        "clip",
        "inverse_temperature",
        "max_weight",
        "discount",
        "learning_rate",
        "width",
        "batch_size",
    ):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert ours.slow_rate == theirs.target_rate


def test_one_file_trains_from_the_command_line_and_acts_in_the_maze(one_file, capsys, tmp_path):
    random = np.random.default_rng(0)
    card = Card(environment="pointmaze-umaze-goal")
    episode = {
        "observation": random.normal(size=(51, 4)),
        "action": random.uniform(-1, 1, (50, 2)),
        "reward": -np.ones(50),
    }
    save_dataset(Dataset.from_episodes([episode], card=card), f"npz:{tmp_path / 'log.npz'}")
    one_file.main(tmp_path / "log.npz", one_file.Settings(width=8, batch_size=16, updates=5))
    assert "mean return of 20 episodes: -" in capsys.readouterr().out


@pytest.mark.slow
def test_your_own_data_goes_from_a_csv_to_a_policy_in_the_logs_units(capsys, tmp_path):
    example = module("your_own_data")
    example.main(tmp_path / "own", updates=50)
    told = capsys.readouterr().out
    assert "nothing that makes training wrong" in told
    assert "heldout/q/loss" in told
    assert "under the policy" in told
    watts = [float(line.split()[-2]) for line in told.splitlines() if line.endswith(" W")]
    assert len(watts) == 3
    assert all(0.0 <= w <= 2000.0 for w in watts)
    assert max(watts) > 100.0


def test_the_page_of_policy_improvement_proves_itself(capsys):
    module("policy_improvement_in_one_page")
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[3:]]
    once, theorem, repeated = (np.array([float(row[column]) for row in rows]) for column in (-4, -3, -2))
    np.testing.assert_array_equal(once, theorem)
    assert (repeated >= once).all()
    assert once[-1] == once.max()  # the greedy step improves most


@pytest.mark.slow
def test_without_a_temperature_calibration_is_told_on_held_out_episodes(log, capsys, tmp_path):
    save_dataset(log, f"npz:{tmp_path / 'mine.npz'}")
    run = module("no_temperature").main(
        str(tmp_path / "mine.npz"), out=str(tmp_path / "run"), updates=20, seeds=1, width=8
    )
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("calibration ")
    assert said[0].endswith("held out")
    assert said[1:] == (run.summary["alarms"] or ["nothing to worry about"])
