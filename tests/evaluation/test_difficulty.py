"""Delta(s, N) from draws: closed forms, no bias but the one that is told, and actions in the units of either model."""

import itertools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from extremal.core.algorithm import Algorithm, Transitions
from extremal.core.errors import ConfigError
from extremal.core.record import record
from extremal.data.transforms import NormaliseObservation, RescaleAction
from extremal.evaluation.difficulty import (
    difficulty,
    drawn_values,
    expected_maximum,
    last_rise,
    order_weights,
    sampled_gap,
)
from extremal.tabular.operators import expected_maximum as of_a_distribution


class Draws(NamedTuple):
    """Uniform on [-1, 1], or a few numbers one as likely as another, in B states."""

    rows: int
    numbers: Any = None

    def samples(self, key, count):
        if self.numbers is None:
            return jax.random.uniform(key, (count, self.rows, 1), minval=-1.0, maxval=1.0)
        return jax.random.choice(key, self.numbers, (count, self.rows, 1))


@record
class Model:
    numbers: Any = None

    def __call__(self, observation):
        return Draws(observation.shape[0], self.numbers)


@record
class Slope:
    """Q_k(s, a) = s a and s a + 1: within 2 s of its best, evenly."""

    def __call__(self, observation, action):
        q = observation[:, 0] * action[:, 0]
        return jnp.stack([q, q + 1.0])


class Networks(NamedTuple):
    q: Any = None
    behaviour: Any = None


def algorithm(*prepare: Any) -> Algorithm:
    return Algorithm(networks=None, steps=(), slow={}, sampler=Transitions(size=1), prepare=prepare)


# ---- arithmetic -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_the_weights_count_the_choices_of_n_draws(count):
    values = np.random.default_rng(0).normal(size=(6, 4))
    choices = [values[list(chosen)].max(axis=0) for chosen in itertools.combinations(range(6), count)]
    np.testing.assert_allclose(expected_maximum(values, count), np.mean(choices, axis=0), rtol=1e-12)


def test_the_weights_add_up_to_one_however_many_draws_there_are():
    for draws, count in ((10_000, 1), (10_000, 100), (10_000, 9_999), (1, 1)):
        weights = order_weights(draws, count)
        assert weights.sum() == pytest.approx(1.0, rel=1e-10)
        assert np.count_nonzero(weights) <= draws - count + 1


def test_the_expected_maximum_of_all_values_of_a_distribution_is_the_limit_of_the_exact_one():
    q = np.asarray([0.0, 1.0, 5.0])
    values = np.repeat(q, [20_000, 50_000, 30_000])
    for count in (1, 2, 7):
        exact = of_a_distribution(q, np.asarray([0.2, 0.5, 0.3]), parameter=count)
        assert expected_maximum(values, count) == pytest.approx(exact, rel=1e-4)


def test_of_even_values_delta_is_the_range_over_one_more_than_n_less_what_the_draws_miss():
    values = 3.0 * np.random.default_rng(1).uniform(size=(400, 4000))
    samples = (1, 2, 5, 20, 100, 400)
    found = sampled_gap(values, samples)
    for k, count in enumerate(samples):
        expected = 3.0 / (count + 1) - 3.0 / 401
        assert abs(found[:, k].mean() - expected) < 4.0 * found[:, k].std() / np.sqrt(4000) + 1e-12
    assert np.all(found >= 0.0)
    assert np.all(np.diff(found, axis=1) <= 0.0)


def test_the_last_doubling_tells_how_far_the_best_may_still_rise():
    even = 3.0 * np.random.default_rng(2).uniform(size=(400, 4000))
    assert last_rise(even) == pytest.approx(3.0 / 201 - 3.0 / 401, rel=0.1)
    assert last_rise(np.ones((8, 2))) == 0.0
    rare = np.zeros((400, 1))
    rare[0] = 1.0  # half of the draws show it every second time
    assert last_rise(rare) == pytest.approx(0.5)


def test_too_few_draws_are_refused():
    with pytest.raises(ConfigError, match="best of 5 cannot be told from 4 draws"):
        sampled_gap(np.zeros((4, 1)), [5])
    with pytest.raises(ConfigError, match="at least 2"):
        last_rise(np.zeros((1, 1)))


# ---- critics and models -----------------------------------------------------------------------------------------------


def test_delta_of_a_critic_and_a_model_is_the_closed_form():
    both = algorithm(), Networks(q=Slope(), behaviour=Model())
    states = np.repeat(np.float32([[1.0], [2.0]]), 100, axis=0)
    found = difficulty(both, both, states, np.arange(200) // 10, samples=(1, 3, 9), draws=500)
    told = found.to_json()
    assert (told["states"], told["episodes"], told["draws"]) == (200, 20, 500)
    for row in told["delta"]:
        exact = 3.0 * (1.0 / (row["samples"] + 1) - 1.0 / 501)  # ranges 2 and 4, on average 3
        assert row["mean"] == pytest.approx(exact, rel=0.05)
        assert row["low"] < exact < row["high"]
        assert row["tenth"] < row["median"] < row["ninetieth"] < row["largest"]
    assert [row["share"] for row in told["delta"]] == pytest.approx([1.0, 0.5, 0.2], rel=0.05)
    assert found.rise == pytest.approx(3.0 / 251 - 3.0 / 501, rel=0.3)


def test_one_episode_has_no_interval_and_without_n_of_one_there_is_no_share():
    both = algorithm(), Networks(q=Slope(), behaviour=Model())
    told = difficulty(both, both, np.ones((3, 1), np.float32), np.zeros(3), samples=(2,), draws=8).to_json()["delta"][0]
    assert (told["low"], told["high"], told["share"]) == (None, None, None)


def test_a_state_and_an_action_are_told_to_each_in_its_own_units():
    model = algorithm(RescaleAction(centre=np.float32([4.0]), half=np.float32([2.0])))
    judge = algorithm(
        RescaleAction(centre=np.float32([2.0]), half=np.float32([4.0])),
        NormaliseObservation(mean=np.float32([1.0]), deviation=np.float32([2.0])),
    )
    one = Networks(behaviour=Model(numbers=jnp.float32([0.5])))  # 5 in the data's units, 0.75 in the critic's
    seen = [each.prepared(np.float32([[7.0], [-1.0]])) for each in (judge, model)]
    given = (judge, Networks(q=Slope())), (model, one), *seen, jax.random.key(0)
    values = drawn_values(*given, jnp.float32(1.0), draws=2)
    np.testing.assert_allclose(values, [[2.25, -0.75]] * 2, rtol=1e-6)
    mixed = drawn_values(*given, jnp.float32(0.25), draws=2)  # a quarter the smaller, the rest the larger
    np.testing.assert_allclose(mixed, [[3.0, 0.0]] * 2, atol=1e-6)


def test_a_critic_that_diverged_is_refused():
    both = algorithm(), Networks(q=Slope(), behaviour=Model())
    with pytest.raises(ConfigError, match="diverged"):
        difficulty(both, both, np.full((2, 1), np.nan, np.float32), np.arange(2), samples=(1,), draws=4)
