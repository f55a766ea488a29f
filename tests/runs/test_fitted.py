"""Networks that a method wants fitted beforehand: fitted once, kept by what they come from, and the same for all who ask."""

import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest

import extremal
from extremal.algorithms.brac import BRAC
from extremal.algorithms.emaq import EMaQ
from extremal.core.errors import DivergedError
from extremal.data import cache
from extremal.io import checkpoint
from extremal.runs.fitted import fits_of
from extremal.runs.train import checkpoints, load_checkpoint

MODEL = {"behaviour_model": "gaussian", "behaviour_width": 8, "behaviour_depth": 1, "behaviour_updates": 20}
SMALL = {"width": 8, "depth": 1, "batch_size": 16, "critics": 1, "normalise_observation": True, **MODEL}
EMAQ = EMaQ(samples=2, **SMALL)
SHARE = 0.1  # held out: the data names no simulator


@pytest.fixture(scope="module", autouse=True)
def kept(tmp_path_factory):
    """The cache folder of these tests."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXTREMAL_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="module")
def told():
    """What was said while `trained` trained."""
    return []


@pytest.fixture(scope="module")
def trained(train, told, kept, tmp_path_factory):
    """EMaQ of two seeds on a model of the behaviour. Read it only."""
    path = tmp_path_factory.mktemp("runs") / "emaq"
    return train(path, algorithm=EMAQ, seeds=2, watch=lambda update, metrics: told.append((update, metrics)))


@pytest.fixture(scope="module")
def fit(trained, data):
    """What EMaQ asks for."""
    return fits_of(EMAQ, data, SHARE)["behaviour"]


def never(update, metrics):
    raise AssertionError(f"something is trained: {metrics}")


def last(run):
    """The states [R, ...], which replicas are alive, and the update, at the last checkpoint."""
    return load_checkpoint(run.plan, run.path)


def online(run):
    return last(run)[0].online


def same(one, other):
    """To the last bit."""
    jax.tree.map(np.testing.assert_array_equal, one, other)


def files(folder):
    return {file.relative_to(folder): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_a_method_is_trained_on_what_is_fitted_first(trained, told, fit, kept, data):
    updates = [update for update, _ in told]
    fitting = [metrics["fitting"] for _, metrics in told if "fitting" in metrics]
    assert fitting[-1] == "behaviour, 20 of 20"
    assert all("fitting" in metrics for _, metrics in told[: len(fitting)])
    assert updates[len(fitting) :] == [0, 0, 10, 20, 30, 40]  # 0: it compiles, and has
    assert fit.folder.parent == kept / "fitted"
    assert [path.name for path in fit.folder.glob("seeds-*")] == ["seeds-0-1"]
    assert {result["updates"] for result in trained.results} == {40}
    action = trained.policy(1).start().act(np.asarray(data.observation[0]))
    assert np.all((action >= 2.0) & (action <= 6.0))


def test_the_data_are_checked_once_and_not_again_for_what_is_fitted(trained, fit, kept):
    assert trained.plan.check == {"unchecked": False, "findings": []}
    assert extremal.Run(fit.folder / "seeds-0-1").plan.check == {}
    assert len(list((kept / "checks").iterdir())) == 1


def test_its_config_tells_what_they_come_from(trained, fit):
    assert json.loads((trained.path / "config.json").read_text())["fits"] == {"behaviour": fit.digest}
    assert trained.plan.fits == {"behaviour": fit.digest}
    assert fit.folder.name == f"behaviour-{fit.digest[:16]}"


def test_they_are_fitted_to_the_episodes_of_training_and_judged_on_those_that_are_held_out(trained, fit, data):
    before = extremal.Run(fit.folder / "seeds-0-1").plan
    assert (before.dataset["hash"], before.holdout) == (data.hash(), 0.1)
    assert (trained.plan.dataset["hash"], trained.plan.holdout) == (data.hash(), 0.1)
    assert before.held_out["episodes"] == trained.plan.held_out["episodes"] == 2
    assert (fit.folder / "seeds-0-1" / "calibration.npz").exists()


def test_each_seed_has_the_network_of_its_own_seed_as_it_was_fitted(trained, fit):
    beforehand = extremal.Run(fit.folder / "seeds-0-1")
    assert beforehand.plan.seeds == trained.plan.seeds == [0, 1]
    assert beforehand.plan.updates == 20
    found = online(trained).behaviour
    same(found, online(beforehand).behaviour)
    assert all(np.abs(x[0] - x[1]).max() > 0.01 for x in map(np.asarray, jax.tree.leaves(found)) if x.ndim > 2)


def test_the_method_and_its_model_see_observations_in_the_same_units(trained, fit):
    same(extremal.Run(fit.folder / "seeds-0-1").plan.prepare, trained.plan.prepare)


def test_another_method_finds_them_and_trains_nothing(trained, fit, data):
    other = fits_of(BRAC(samples=3, learning_rate=0.5, discount=0.5, **SMALL), data, SHARE)["behaviour"]
    assert (other.digest, other.folder) == (fit.digest, fit.folder)
    before = files(fit.folder)
    found = other.networks(data, [1, 0, 1], trained.plan.prepare, watch=never)
    assert files(fit.folder) == before
    same(found, jax.tree.map(lambda x: x[np.array([1, 0, 1])], online(trained).behaviour))


@pytest.mark.parametrize(
    "change",
    [
        {"behaviour_width": 16},
        {"behaviour_learning_rate": 1e-3},
        {"behaviour_updates": 21},
        {"behaviour_model": "mixture"},
        {"normalise_observation": False},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_setting_of_the_model_is_another_fit(fit, data, change):
    other = fits_of(dataclasses.replace(EMAQ, **change), data, SHARE)["behaviour"]
    assert other.folder != fit.folder


def test_other_data_is_another_fit(fit, data):
    moved = data.replace(action=data.action + 0.01)
    others = [fits_of(EMAQ, moved, SHARE), fits_of(EMAQ, data, 0.2), fits_of(EMAQ, data, 0.0)]
    assert len({fit.folder, *(other["behaviour"].folder for other in others)}) == 4
    renamed = data.replace(card=dataclasses.replace(data.card, name="other"))
    assert fits_of(EMAQ, renamed, SHARE)["behaviour"].folder == fit.folder  # the numbers count, not their name


def test_most_methods_want_nothing(data, small):
    assert fits_of(small, data, SHARE) == {}


def test_the_folder_is_the_one_that_is_named_or_the_user_s(fit, monkeypatch, tmp_path):
    monkeypatch.setenv("EXTREMAL_CACHE", str(tmp_path / "named"))
    assert fit.folder.parent == tmp_path / "named" / "fitted"
    monkeypatch.delenv("EXTREMAL_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    assert fit.folder.parent == cache.folder() / "fitted" == tmp_path / "user" / "extremal" / "fitted"


def test_a_run_goes_on_bitwise_and_needs_no_fit_for_that(trained, train, monkeypatch, tmp_path):
    shutil.copytree(trained.path, tmp_path / "copy")
    checkpoints(tmp_path / "copy")[-1].unlink()
    (tmp_path / "copy" / "summary.json").unlink()
    monkeypatch.setenv("EXTREMAL_CACHE", str(tmp_path / "empty"))
    run = train(tmp_path / "copy", algorithm=EMAQ, seeds=2, resume=True)
    same(last(run), last(trained))
    assert not (tmp_path / "empty").exists()


def test_one_seed_that_diverged_is_an_error_with_its_advice(trained, fit, data, monkeypatch, tmp_path):
    shutil.copytree(fit.folder, tmp_path / "fitted" / fit.folder.name)
    monkeypatch.setenv("EXTREMAL_CACHE", str(tmp_path))
    path = fit.folder / "seeds-0-1"
    assert path.is_relative_to(tmp_path)
    states, _, update = last(extremal.Run(path))
    fallen = {"states": states, "alive": np.array([True, False])}
    checkpoint.save(checkpoints(path)[-1], fallen, update=update)
    (path / "diverged.json").write_text(json.dumps([{"replica": 1, "update": 7, "metric": "behaviour/loss"}]))
    (path / "summary.json").unlink()
    with pytest.raises(DivergedError, match=r"seeds-0-1: replica 1 left the finite numbers at update 7"):
        fit.networks(data, [0, 1], trained.plan.prepare, watch=never)


@pytest.mark.slow
def test_seeds_that_are_new_are_fitted_and_the_others_found(trained, train, fit, tmp_path):
    found = files(fit.folder / "seeds-0-1")
    run = train(tmp_path / "run", algorithm=EMAQ, seeds=[1, 5])
    assert {path.name for path in fit.folder.glob("seeds-*")} == {"seeds-0-1", "seeds-5"}
    assert files(fit.folder / "seeds-0-1") == found
    first, second = online(trained).behaviour, online(run).behaviour
    same(jax.tree.map(lambda x: x[1], first), jax.tree.map(lambda x: x[0], second))
    alone = online(extremal.Run(fit.folder / "seeds-5")).behaviour
    same(jax.tree.map(lambda x: x[0], alone), jax.tree.map(lambda x: x[1], second))


@pytest.mark.slow
def test_a_fit_that_was_stopped_goes_on_to_the_same_run(trained, train, monkeypatch, tmp_path):
    monkeypatch.setenv("EXTREMAL_CACHE", str(tmp_path / "cache"))

    def stop(update, metrics):
        if metrics.get("fitting") == "behaviour, 10 of 20":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run", algorithm=EMAQ, seeds=2, watch=stop)
    assert not checkpoints(tmp_path / "run")
    run = train(tmp_path / "run", algorithm=EMAQ, seeds=2, resume=True)
    same(last(run), last(trained))
