"""Rewards of any size beside the same beta: a V that begins far from where it belongs stays finite, and goes there."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from extremal import KLXQL, XQL, Dataset
from extremal.data.transforms import prepare
from extremal.engine.offline import train_chunk

TRAIN = jax.jit(train_chunk)
SMALL = {"width": 8, "depth": 1, "batch_size": 16, "learning_rate": 0.05, "target_rate": 0.2, "discount": 0.5}
UPDATES = 200  # of a chunk


def logged(reward: float) -> Dataset:
    random = np.random.default_rng(0)
    return Dataset.from_episodes(
        [
            {
                "observation": random.normal(size=(11, 2)),
                "action": random.uniform(-1, 1, size=(10, 1)),
                "reward": reward * random.uniform(0.9, 1.1, size=10),
                "terminated": False,
            }
            for _ in range(20)
        ]
    )


def course(settings, reward: float) -> list[float]:
    """The mean of V at the ends of five chunks; the true values are about 2 `reward`."""
    data = logged(reward)
    algorithm = settings.algorithm(data.spec, updates=5 * UPDATES)
    fitted, prepared = prepare(algorithm.prepare, data)
    algorithm = dataclasses.replace(algorithm, prepare=fitted)
    state, means = algorithm.init(jax.random.key(0)), []
    for start in range(0, 5 * UPDATES, UPDATES):
        bounds = (jnp.asarray(update, jnp.int32) for update in (start, start + UPDATES))
        state, chunk = TRAIN(algorithm, state, prepared.device(), jax.random.key(1), *bounds)
        assert chunk.finite
        means.append(float(jnp.mean(algorithm.value(state.online, prepared.observation))))
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(state.online))
    return means


@pytest.mark.parametrize("reward", [-1000.0, 1000.0])
@pytest.mark.parametrize(
    "settings",
    [
        XQL(**SMALL),
        pytest.param(XQL(normaliser="running", **SMALL), marks=pytest.mark.slow),
        pytest.param(XQL(target_kl=0.4, **SMALL), marks=pytest.mark.slow),
        pytest.param(KLXQL(reward_unit="none", **SMALL | {"value_learning_rate": 0.05}), marks=pytest.mark.slow),
    ],
    ids=["xql", "running", "a KL held", "klxql"],
)
def test_a_v_a_thousand_beta_from_its_place_goes_there(settings, reward):
    """With the running normaliser, the logarithm of a mean weight of 0 made the first of these NaN. How fast it goes is the network's matter."""
    means = course(settings, reward)
    share = np.array(means) / (2.0 * reward)
    assert (np.diff(share) > -0.05).all()
    assert share[0] > 0.0
    assert 0.2 < share[-1] < 1.3


@pytest.mark.parametrize("settings", [XQL(**SMALL), pytest.param(KLXQL(**SMALL), marks=pytest.mark.slow)])
def test_rewards_of_a_thousandth_stay_finite_too(settings):
    course(settings, 1e-3)
