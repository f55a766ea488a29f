"""A run begins with another one's weights; whatever does not fit is refused by what differs."""

import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file
from toy_runs import SMALL, arrays, log, stop_at, train

import extremal
from extremal import cli
from extremal.core.errors import ConfigError, RunError, SpecError
from extremal.report.text import table
from extremal.runs.train import checkpoints

IQL = extremal.IQL(width=8, batch_size=16, normalise_observation=True)
BC = dataclasses.replace(SMALL, normalise_observation=True)
STILL = dataclasses.replace(BC, learning_rate=1e-30)  # one update leaves the weights where they were


@pytest.fixture(scope="module")
def iql(tmp_path_factory):
    """Two seeds of a method with slow copies."""
    return train(tmp_path_factory.mktemp("runs") / "iql", IQL, seeds=2, updates=20)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Two seeds of a method with fitted transforms, which compiles fastest."""
    return train(tmp_path_factory.mktemp("runs") / "source", BC, seeds=2, updates=20)


def test_networks_and_slow_copies_are_copied_and_optimisers_are_fresh(iql, tmp_path):
    """One update at a rate of next to nothing leaves the weights where they were."""
    still = dataclasses.replace(IQL, learning_rate=1e-30, target_rate=1e-30)
    run = train(tmp_path / "run", still, initial=iql.path, seeds=2, updates=1)
    new, old = load_file(checkpoints(run.path)[-1]), load_file(checkpoints(iql.path)[-1])
    kept = [name for name in old if name.startswith(("states/online", "states/target"))]
    assert len(kept) > 10
    for name in kept:
        assert np.array_equal(new[name], old[name]), name
    counts = [name for name in new if name.endswith("count")]
    assert counts
    assert all((new[name] == 1).all() and (old[name] == 20).all() for name in counts)


def test_it_is_said_where_the_weights_came_from_and_the_source_is_not_needed_any_more(source, tmp_path):
    shutil.copytree(source.path, tmp_path / "source")
    options = {"initial": tmp_path / "source", "seeds": 2, "updates": 40, "log_every": 10}
    whole = train(tmp_path / "whole", BC, **options)
    record = json.loads((whole.path / "config.json").read_text())["initial"]
    assert record["path"] == str(tmp_path / "source")
    assert record["update"] == 20
    assert len(record["sha256"]) == 64
    assert "started from" in table([whole.path])
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run", BC, watch=stop_at(10), **options)
    shutil.copytree(tmp_path / "run", tmp_path / "other")
    shutil.rmtree(tmp_path / "source")
    assert arrays(train(tmp_path / "run", BC, resume=True, **options)) == arrays(whole)
    assert arrays(extremal.resume(tmp_path / "other", dataset=log())) == arrays(whole)
    with pytest.raises(RunError, match=r"initial.path .* \(now None\)"):
        train(tmp_path / "run", BC, resume=True, **(options | {"initial": None}))


def test_before_its_first_checkpoint_the_source_must_be_as_it_was(source, tmp_path):
    shutil.copytree(source.path, tmp_path / "source")
    run = train(tmp_path / "run", BC, initial=tmp_path / "source", seeds=2, updates=20)
    whole = arrays(run)
    for file in (*checkpoints(run.path), run.path / "summary.json"):
        file.unlink()
    assert arrays(extremal.resume(run.path, dataset=log())) == whole
    for file in (*checkpoints(run.path), run.path / "summary.json"):
        file.unlink()
    extremal.resume(tmp_path / "source", updates=30, dataset=log())
    with pytest.raises(RunError, match="which has another checkpoint now"):
        extremal.resume(run.path, dataset=log())


def test_fitted_transforms_are_kept_on_other_data(source, tmp_path):
    other = log(seed=5)
    run = train(tmp_path / "run", BC, other, initial=str(source.path), seeds=2, updates=1)
    alone = train(tmp_path / "alone", BC, other, seeds=2, updates=1)
    for kept, first in zip(run.plan.prepare, source.plan.prepare, strict=True):
        for mine, theirs in zip(jax.tree.leaves(kept), jax.tree.leaves(first), strict=True):
            assert np.array_equal(mine, theirs)
    assert not np.array_equal(run.plan.prepare[-1].mean, alone.plan.prepare[-1].mean)


def test_actions_beyond_the_range_that_the_weights_know_are_told(source, tmp_path):
    wide = log().replace(action=np.asarray(log().action) * 3.0)
    said = []
    run = train(
        tmp_path / "run",
        BC,
        wide,
        initial=source.path,
        seeds=2,
        updates=1,
        watch=lambda update, metrics: said.extend(metrics.get("warnings", [])),
    )
    assert [f["code"] for f in run.plan.check["findings"]].count("action-beyond-origin") == 1
    assert any("beyond the range" in sentence for sentence in said)
    assert "beyond the range" in " ".join(table([run.path]).split())


@pytest.mark.parametrize(
    ("settings", "data", "error", "words"),
    [
        (SMALL, {}, ConfigError, "was trained by iql, whose networks are not those of BC"),
        (extremal.IQL(width=16, normalise_observation=True), {}, ConfigError, r"do not fit: .*width 8 \(now 16\)"),
        (
            extremal.IQL(width=8, depth=3, normalise_observation=True),
            {},
            ConfigError,
            r"do not fit: .*depth 2 \(now 3\)",
        ),
        (
            extremal.IQL(width=8, critics=1, normalise_observation=True),
            {},
            ConfigError,
            r"do not fit: .*critics 2 \(now 1\)",
        ),
        (extremal.IQL(width=8), {}, ConfigError, "NormaliseObservation: .*the settings ask for none"),
        (extremal.IQL(width=8, normalise_observation=True, reward_scale=2.0), {}, ConfigError, "MultiplyReward: none"),
        (IQL, {"observations": 4}, SpecError, r"observations of shape \(3,\), this dataset has them of shape \(4,\)"),
    ],
)
def test_weights_that_do_not_fit_are_refused_by_what_differs(iql, tmp_path, settings, data, error, words):
    with pytest.raises(error, match=words):
        train(tmp_path / "run", settings, log(**data), initial=iql.path, seeds=2)
    assert list(tmp_path.iterdir()) == []


def test_another_scale_of_rewards_is_refused_and_not_replaced_in_silence(iql, tmp_path):
    shutil.copytree(iql.path, tmp_path / "twice")
    file = tmp_path / "twice/config.json"
    written = json.loads(file.read_text())
    written["settings"]["reward_scale"] = 2.0
    written["prepare"].insert(1, {"kind": "MultiplyReward", "factor": 2.0})
    file.write_text(json.dumps(written))
    thrice = dataclasses.replace(IQL, reward_scale=3.0)
    with pytest.raises(ConfigError, match=r"MultiplyReward: 2\.0, the settings ask for 3\.0"):
        train(tmp_path / "run", thrice, initial=tmp_path / "twice", seeds=2)


@pytest.mark.slow
def test_each_seed_takes_the_replica_of_its_place_or_all_the_only_one(source, tmp_path):
    weights = lambda run: load_file(checkpoints(run.path)[-1])["states/online/pi/net/layers/0/weight"]  # noqa: E731
    with pytest.raises(ConfigError, match="has 2 replicas, and 3 seeds are asked for"):
        train(tmp_path / "run", STILL, initial=source.path, seeds=3)
    assert list(tmp_path.iterdir()) == []
    rates = {"learning_rate": [1e-30, 2e-30]}
    swept = train(tmp_path / "swept", STILL, initial=source.path, seeds=[7, 3], sweep=rates, updates=1)
    assert [seed for seed, _ in swept.plan.replicas] == [7, 3, 7, 3]
    assert np.array_equal(weights(swept), weights(source)[[0, 1, 0, 1]])
    one = train(tmp_path / "one", STILL, updates=1)
    many = train(tmp_path / "many", STILL, initial=one.path, seeds=2, updates=1)
    assert np.array_equal(weights(many), weights(one)[[0, 0]])


def test_a_folder_that_is_no_run_and_a_run_without_a_checkpoint_are_refused(source, tmp_path):
    for place in ("none", "empty"):
        if place == "empty":
            (tmp_path / place).mkdir()
        with pytest.raises(RunError, match="holds no run"):
            train(tmp_path / "run", BC, initial=tmp_path / place)
    shutil.copytree(source.path, tmp_path / "copy")
    for file in checkpoints(tmp_path / "copy"):
        file.unlink()
    with pytest.raises(RunError, match="no checkpoint yet"):
        train(tmp_path / "run", BC, initial=tmp_path / "copy")
    assert not (tmp_path / "run").exists()


def test_the_command_starts_from_a_run(stored, tmp_path, capsys):
    words, run = stored
    words = [*words[:-1], str(tmp_path / "more"), "--from", str(run)]
    assert cli.main(["train", "bc", *words]) == 0
    assert json.loads((tmp_path / "more/config.json").read_text())["initial"]["path"] == str(run)
    capsys.readouterr()
    assert cli.main(["train", "iql", *[*words[:-3], str(tmp_path / "other"), "--from", str(run)]]) == 2
    assert "start from a run of the same method" in capsys.readouterr().err
