"""Statistics are of states, not of the padding after an end; and what is far from 0 is centred before it is rounded."""

import csv
import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import extremal
from extremal import BC, DT, IQL, TD3, Dataset
from extremal.core.policy import Policy
from extremal.data.transforms import NormaliseObservation, apply, from_json, prepare, to_json
from extremal.evaluation.claims import predicted_values
from extremal.runs.difficulty import difficulty_of

SMALL = {"width": 8, "depth": 1, "batch_size": 16}
FAR = 1e7


def ended(padding, steps=1, episodes=100):
    """Episodes that end in the MDP, with states about 10, and after each end whatever a logger writes there."""
    random = np.random.default_rng(0)
    made = []
    for _ in range(episodes):
        x = 10.0 + random.normal(size=(steps + 1, 1))
        x[-1] = padding
        made.append({"observation": x, "action": x[:-1] / 20.0, "reward": np.ones(steps), "terminated": True})
    return Dataset.from_episodes(made)


@pytest.mark.parametrize("padding", [0.0, -9999.0, 1e6])
@pytest.mark.parametrize("steps", [1, 4])
def test_what_stands_after_an_end_is_no_state(padding, steps):
    data = ended(padding, steps)
    states = np.asarray(data.observation, np.float64)[data.slot]
    fitted = NormaliseObservation().fit(data)
    np.testing.assert_allclose(fitted.mean, states.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(fitted.deviation, states.std(axis=0) + 1e-3, rtol=1e-9)
    np.testing.assert_allclose(fitted.mean, 10.0, atol=0.3)
    other = NormaliseObservation().fit(ended(0.0, steps))
    assert (other.mean, other.deviation) == (fitted.mean, fitted.deviation)


def test_the_case_that_was_reported():
    x = 10 + np.random.default_rng(0).normal(size=(100, 1))
    rows = {"observation": x, "action": x / 20, "reward": x[:, 0], "terminated": np.ones(100)}
    fitted = NormaliseObservation().fit(Dataset.from_rows(**rows, next_observation=0 * x))
    assert float(fitted.mean[0]) == pytest.approx(10.08, abs=0.005)
    assert float(fitted.deviation[0]) == pytest.approx(0.963, abs=0.005)


def test_the_first_step_of_training_is_of_states_alone():
    """Of methods that normalise by themselves (TD3+BC, DT), too."""
    for settings in (TD3(cloning=2.5, normalise_observation=True), DT()):
        data = ended(-9999.0, steps=3)
        _, seen = prepare(settings.algorithm(data.spec, updates=1).prepare, data)
        np.testing.assert_allclose(seen.observation[seen.slot].mean(axis=0), 0.0, atol=1e-5)
        np.testing.assert_allclose(seen.observation[seen.slot].std(axis=0), 1.0, atol=2e-3)


# ---- precision ---------------------------------------------------------------------------------------------------------


def moved(x, offset=FAR):
    """The same with the first feature `offset` further on."""
    return x + np.array([offset, 0.0])


def far(offset):
    """A feature that varies by 1 about `offset`, a second one about 0, and actions that follow both."""
    random = np.random.default_rng(1)
    x = random.normal(size=(401, 2))
    action = np.clip(x[:-1] / 2.0, -1.0, 1.0)
    return Dataset.from_rows(
        observation=moved(x[:-1], offset),
        next_observation=moved(x[1:], offset),
        action=action,
        reward=x[:-1, 0],
        terminated=np.zeros(400),
        truncated=np.arange(400) % 20 == 19,
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The same training at 0 and at 1e7."""
    out = tmp_path_factory.mktemp("far")
    made = {}
    for offset in (0.0, FAR):
        settings = IQL(normalise_observation=True, policy_schedule="constant", learning_rate=3e-3, **SMALL)
        made[offset] = extremal.train(settings, far(offset), updates=200, out=out / f"{offset:g}", holdout=0.2)
    return made


SHOWN = np.random.default_rng(2).normal(size=(50, 2))
APART = 1e-5


def test_a_large_offset_changes_neither_what_is_learned_nor_what_is_done(runs):
    near, there = (extremal.load(runs[offset].path) for offset in (0.0, FAR))
    assert far(FAR).observation.dtype == np.float64
    expected = near.act(SHOWN)
    assert np.ptp(expected[:, 0]) > 0.5, "the policy has learned nothing that could be lost"
    np.testing.assert_allclose(there.act(moved(SHOWN)), expected, atol=APART)  # a compiled program
    np.testing.assert_allclose(there.value(moved(SHOWN)), near.value(SHOWN), atol=APART)
    for row, action in zip(SHOWN[:5], expected, strict=False):  # NumPy calls
        np.testing.assert_allclose(there.act(moved(row)), action, atol=APART)
        np.testing.assert_allclose(there.act(moved(row).tolist()), action, atol=APART)
    player = there.start(len(SHOWN))
    np.testing.assert_allclose(player.act(moved(SHOWN)), expected, atol=APART)
    left, right = there.act([FAR - 1.0, 0.0]), there.act([FAR + 1.0, 0.0])
    assert right[0] - left[0] > 0.3


def test_what_a_run_tells_of_held_out_data_and_of_first_states_is_centred_alike(runs):
    read = lambda path: list(csv.DictReader(path.read_text().splitlines()))[-1]  # noqa: E731
    tables = [read(runs[offset].path / "metrics.csv") for offset in (0.0, FAR)]
    held_out = [{n: float(v) for n, v in table.items() if n.startswith("heldout/")} for table in tables]
    assert held_out[0].keys() == held_out[1].keys() != set()
    for name, value in held_out[0].items():
        assert held_out[1][name] == pytest.approx(value, rel=1e-3, abs=1e-4), name
    near, there = (extremal.load(runs[offset].path) for offset in (0.0, FAR))
    np.testing.assert_allclose(
        predicted_values(there.algorithm, there.online, moved(SHOWN)),
        predicted_values(near.algorithm, near.online, SHOWN),
        atol=APART,
    )


@pytest.mark.slow
def test_a_policy_that_remembers_centres_likewise():
    settings = DT(context=3, timesteps=20, warm_up=1, return_scale=10.0, **SMALL)
    players = []
    for offset in (0.0, FAR):
        data = far(offset)
        algorithm = settings.algorithm(data.spec, updates=1)
        fitted, _ = prepare(algorithm.prepare, data)
        online = algorithm.init(jax.random.key(0)).online
        players.append(Policy(dataclasses.replace(algorithm, prepare=fitted), online, data.spec).start(len(SHOWN)))
    near, there = (p.act(moved(SHOWN, offset)) for p, offset in zip(players, (0.0, FAR), strict=True))
    assert np.ptp(near[:, 0]) > 1e-3
    np.testing.assert_allclose(there, near, atol=APART)


@pytest.mark.slow
def test_how_difficult_the_data_are_is_asked_at_centred_states(tmp_path):
    found = []
    for offset in (0.0, FAR):
        settings = extremal.EMaQ(
            samples=2, critics=2, normalise_observation=True, behaviour_model="gaussian", behaviour_updates=5,
            behaviour_width=8, behaviour_batch_size=16, **SMALL,
        )  # fmt: skip
        run = extremal.train(settings, far(offset), updates=20, out=tmp_path / f"{offset:g}", holdout=0.2)
        found.append(difficulty_of(run, far(offset), samples=(1, 2), states=20, draws=20))
    np.testing.assert_allclose(found[1].gap, found[0].gap, rtol=1e-3, atol=1e-5)


def test_the_centre_survives_json_to_the_last_bit():
    fitted = NormaliseObservation().fit(far(FAR))
    again = from_json(json.loads(json.dumps(to_json(fitted))))
    for name in ("mean", "deviation"):
        assert getattr(again, name).dtype == np.float64
        np.testing.assert_array_equal(getattr(again, name), getattr(fitted, name))
    assert not np.array_equal(np.float32(fitted.mean), fitted.mean), "float32 would have done"


@pytest.mark.parametrize("normalise", [True, False])
def test_what_is_trained_on_is_float32(normalise):
    data = far(FAR)
    fitted, seen = prepare(BC(normalise_observation=normalise).algorithm(data.spec, updates=1).prepare, data)
    assert seen.observation.dtype == apply(fitted, data).observation.dtype == np.float32
    assert seen.device().observation.dtype == jnp.float32
    if normalise:
        np.testing.assert_allclose(seen.observation[seen.slot].std(axis=0), 1.0, atol=2e-3)


def test_what_float32_would_round_away_is_refused_in_float32():
    x = FAR + np.random.default_rng(0).normal(size=(100, 1))
    rows = {"action": x - FAR, "reward": x[:, 0], "terminated": np.ones(100)}
    fitted = NormaliseObservation().fit(Dataset.from_rows(observation=x, **rows))
    for known in (fitted, from_json(json.loads(json.dumps(to_json(fitted))))):
        with pytest.raises(extremal.SpecError, match="give them as float64"):
            known.observation(x.astype(np.float32))
        np.testing.assert_allclose(known.observation(x), known.observation(x.tolist()))
    near = NormaliseObservation().fit(Dataset.from_rows(observation=x - FAR, **rows))
    np.testing.assert_allclose(near.observation((x - FAR).astype(np.float32)), near.observation(x - FAR), atol=1e-5)
