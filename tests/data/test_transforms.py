"""Transforms: there and back, fitted numbers, plain data, and the order of preparation."""

import itertools
import json

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extremal.core.errors import ConfigError, DataError
from extremal.data.dataset import Card, Dataset
from extremal.data.transforms import (
    BestEpisodes,
    MultiplyReward,
    NormaliseObservation,
    RescaleAction,
    ScaleReward,
    ShiftReward,
    UnitOfReturns,
    discounted_returns,
    from_json,
    prepare,
    to_json,
)


def dataset(rewards=((1.0, 2.0), (0.5,), (3.0, -1.0, 4.0)), *, card=None, seed=0):
    """One episode per row of rewards; the third action feature never varies."""
    rng = np.random.default_rng(seed)
    episodes = [
        {
            "observation": rng.normal(5.0, 2.0, (len(reward) + 1, 3)),
            "action": np.column_stack([rng.uniform(-3.0, 5.0, (len(reward), 2)), np.full(len(reward), 0.25)]),
            "reward": np.asarray(reward),
            "terminated": True,
        }
        for reward in rewards
    ]
    return Dataset.from_episodes(episodes, card=card)


# ---- actions ------------------------------------------------------------------------------------------------------


def test_actions_are_rescaled_from_the_observed_range_and_back():
    data = dataset()
    fitted = RescaleAction().fit(data)
    scaled = fitted.apply(data).action
    np.testing.assert_allclose(scaled[:, :2].min(axis=0), -1.0, atol=1e-6)
    np.testing.assert_allclose(scaled[:, :2].max(axis=0), 1.0, atol=1e-6)
    np.testing.assert_array_equal(scaled[:, 2], 0.0)  # of a constant feature its one value comes back
    np.testing.assert_allclose(fitted.action(jnp.asarray(scaled)), data.action, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(fitted.action(jnp.ones((1, 3)))[0], [*data.action[:, :2].max(axis=0), 0.25], rtol=1e-6)


def test_the_declared_range_goes_before_the_observed_one_and_clips():
    card = Card(action_low=(-1.0, -10.0, 0.0), action_high=(2.0, 10.0, 1.0))
    data = dataset(card=card)
    fitted = RescaleAction().fit(data)
    np.testing.assert_allclose(fitted.centre, [0.5, 0.0, 0.5])
    np.testing.assert_allclose(fitted.half, [1.5, 10.0, 0.5])
    expected = np.clip((data.action - [0.5, 0.0, 0.5]) / [1.5, 10.0, 0.5], -1.0, 1.0)
    np.testing.assert_allclose(fitted.apply(data).action, expected, rtol=1e-6)
    assert np.abs(expected[:, 0]).max() == 1.0  # some of the data was outside
    back = fitted.action(jnp.asarray(fitted.apply(data).action))
    np.testing.assert_allclose(back, np.clip(data.action, card.action_low, card.action_high), rtol=1e-5, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(low=st.floats(-100.0, 100.0, width=32), size=st.floats(0.125, 100.0, width=32), share=st.floats(0.0, 1.0))
def test_any_action_within_a_declared_range_comes_back(low, size, share):
    card = Card(action_low=(low,), action_high=(low + size,))
    action = np.float32([[low], [low + share * size], [low + size]])
    data = Dataset.from_rows(
        observation=np.zeros((3, 1)), action=action, reward=np.zeros(3), terminated=np.ones(3), card=card
    )
    fitted = RescaleAction().fit(data)
    scaled = fitted.apply(data).action
    assert np.abs(scaled).max() <= 1.0
    np.testing.assert_allclose(fitted.action(jnp.asarray(scaled)), action, atol=2e-6 * (abs(low) + size))


# ---- observations -------------------------------------------------------------------------------------------------


def test_observations_get_zero_mean_and_unit_deviation_in_training_and_in_acting():
    data = dataset()
    fitted = NormaliseObservation().fit(data)
    raw = np.asarray(data.observation, np.float64)
    states = raw[data.slot]
    expected = (raw - states.mean(axis=0)) / (states.std(axis=0) + 1e-3)
    np.testing.assert_allclose(fitted.apply(data).observation, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(fitted.observation(jnp.asarray(data.observation)), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(fitted.action(jnp.ones(3)), 1.0)


def test_a_constant_observation_stays_finite():
    rows = {"reward": np.zeros(4), "terminated": np.ones(4), "action": np.zeros((4, 1))}
    data = Dataset.from_rows(observation=np.full((4, 2), 7.0), **rows)
    np.testing.assert_array_equal(NormaliseObservation().fit(data).apply(data).observation, 0.0)


# ---- rewards ------------------------------------------------------------------------------------------------------


def test_rewards_are_divided_by_the_range_of_returns():
    data = dataset()  # returns 3, 0.5, 6
    fitted = ScaleReward(scale=1000.0).fit(data)
    assert float(fitted.spread) == 5.5
    scaled = fitted.apply(data)
    np.testing.assert_allclose(scaled.reward, data.reward * (1000.0 / 5.5), rtol=1e-6)
    assert np.ptp(scaled.returns) == pytest.approx(1000.0, rel=1e-6)
    assert scaled.reward.dtype == np.float32


def test_equal_returns_cannot_be_divided_by_their_range():
    with pytest.raises(DataError, match=r"same return.*drop `reward_range`"):
        ScaleReward(scale=1.0).fit(dataset([(1.0, 1.0), (2.0,)]))


def test_rewards_are_shifted_step_by_step():
    data = dataset()
    shifted = ShiftReward(shift=-1.0).fit(data).apply(data)
    np.testing.assert_allclose(shifted.reward, data.reward - 1.0)
    np.testing.assert_allclose(shifted.returns, data.returns - data.lengths)
    assert shifted.reward.dtype == np.float32


def test_a_factor_and_a_shift_make_any_affine_change():
    data = dataset([(0.0, 1.0), (0.0,), (1.0, 0.0, 1.0)])
    for factor, shift, expected in ((4.0, -2.0, (data.reward - 0.5) * 4.0), (10.0, -5.0, data.reward * 10.0 - 5.0)):
        _, changed = prepare((MultiplyReward(factor=factor), ShiftReward(shift=shift)), data)
        np.testing.assert_array_equal(changed.reward, expected)
        assert changed.reward.dtype == np.float32


# ---- the best episodes --------------------------------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 6), min_size=1, max_size=12),
    fraction=st.floats(0.01, 1.0),
    seed=st.integers(0, 1000),
)
def test_the_best_episodes_are_those_of_a_brute_force(lengths, fraction, seed):
    rng = np.random.default_rng(seed)
    data = dataset([np.round(rng.normal(size=n), 2) for n in lengths], seed=seed)
    ranked = sorted(range(data.episodes), key=lambda e: (-data.returns[e], e))  # the earlier one of two equals
    kept, steps = [], 0
    for episode in ranked:
        if kept and steps + lengths[episode] > fraction * sum(lengths):
            break
        kept.append(episode)
        steps += lengths[episode]
    best = BestEpisodes(fraction=fraction).apply(data)
    assert best.hash() == data.select(sorted(kept)).hash()
    assert best.rows <= max(fraction * data.rows, lengths[ranked[0]])


def test_a_tenth_of_equal_episodes_is_a_tenth():
    data = dataset([(float(number),) * 5 for number in range(20)])
    best = BestEpisodes(fraction=0.1).apply(data)
    np.testing.assert_array_equal(best.returns, [90.0, 95.0])


# ---- all of them --------------------------------------------------------------------------------------------------

EVERY = (
    BestEpisodes(fraction=0.7),
    RescaleAction(),
    ScaleReward(scale=10.0),
    MultiplyReward(factor=0.3),
    ShiftReward(shift=-0.3),
    NormaliseObservation(),
)


@pytest.mark.parametrize("transform", EVERY, ids=lambda t: type(t).__name__)
def test_a_fitted_transform_is_plain_data_and_comes_back_exactly(transform):
    data = dataset(seed=3)
    fitted = transform.fit(data)
    again = from_json(json.loads(json.dumps(to_json(fitted))))
    assert type(again) is type(fitted)
    assert again.apply(data).hash() == fitted.apply(data).hash()
    x = jnp.asarray(np.random.default_rng(0).normal(size=(4, 3)), jnp.float32)
    np.testing.assert_array_equal(again.action(x), fitted.action(x))
    np.testing.assert_array_equal(again.observation(x), fitted.observation(x))
    for name, value in vars(fitted).items():
        if isinstance(value, np.ndarray | np.generic):
            assert getattr(again, name).dtype == value.dtype
            np.testing.assert_array_equal(getattr(again, name), value)
        else:
            assert getattr(again, name) == value


def test_an_unknown_transform_is_answered_with_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'ScaleReward'"):
        from_json({"kind": "ScaleRewards", "scale": 1.0})


@pytest.mark.parametrize("transform", EVERY, ids=lambda t: type(t).__name__)
def test_a_transform_leaves_its_input_and_all_other_fields_alone(transform):
    data = dataset()
    before = data.hash()
    after = transform.fit(data).apply(data)
    assert data.hash() == before
    changed = {"RescaleAction": "action", "NormaliseObservation": "observation"}.get(type(transform).__name__, "reward")
    if not isinstance(transform, BestEpisodes):
        for name in {"observation", "action", "reward", "terminated", "truncated", "starts", "slot"} - {changed}:
            np.testing.assert_array_equal(getattr(after, name), getattr(data, name))
        assert not np.array_equal(getattr(after, changed), getattr(data, changed))


def test_each_transform_is_fitted_to_what_the_one_before_it_left():
    data = dataset([(1.0, 2.0), (0.5,), (3.0, -1.0, 4.0), (9.0, 0.0)])
    shift, scale = ShiftReward(shift=-1.0), ScaleReward(scale=1.0)
    assert float(prepare((shift, scale), data)[0][1].spread) == pytest.approx(7.5)  # returns 1, -0.5, 3, 7
    assert float(prepare((scale, shift), data)[0][0].spread) == pytest.approx(8.5)  # returns 3, 0.5, 6, 9
    fitted, after = prepare((BestEpisodes(fraction=0.7), RescaleAction(), NormaliseObservation()), data)
    kept = data.select([2, 3])  # returns 6 and 9: five steps of eight
    np.testing.assert_allclose(fitted[1].centre[:2], (kept.action.min(0) + kept.action.max(0))[:2] / 2, rtol=1e-6)
    np.testing.assert_allclose(fitted[2].mean, kept.observation[kept.slot].mean(axis=0), rtol=1e-6)
    assert after.rows == kept.rows
    np.testing.assert_allclose(after.observation[after.slot].mean(axis=0), 0.0, atol=1e-5)


# ---- the unit of returns --------------------------------------------------------------------------------------------


def unequal(scale=1.0, ended=True, shift=0.0):
    random = np.random.default_rng(4)
    return Dataset.from_episodes(
        [
            {
                "observation": random.normal(size=(n + 1, 1)),
                "action": random.uniform(-1, 1, size=(n, 1)),
                "reward": np.float32(shift) + np.float32(scale) * random.normal(1.0, 2.0, size=n).astype(np.float32),
                "terminated": ended,
            }
            for n in (1, 7, 3, 12)
        ]
    )


def test_discounted_returns_are_those_of_each_episode():
    dataset = unequal()
    expected = []
    for first, last in itertools.pairwise(dataset.starts):
        reward = np.asarray(dataset.reward[first:last], np.float64)
        expected += [np.sum(0.9 ** np.arange(len(reward) - t) * reward[t:]) for t in range(len(reward))]
    np.testing.assert_allclose(discounted_returns(dataset, 0.9), expected, rtol=1e-12)


def test_rewards_times_a_power_of_two_are_counted_alike_to_the_last_bit():
    fitted = UnitOfReturns(discount=0.99).fit(unequal())
    counted = fitted.apply(unequal()).reward
    assert np.log2(fitted.unit) == np.round(np.log2(fitted.unit))
    assert 0.7 < np.std(discounted_returns(fitted.apply(unequal()), 0.99)) < 1.42
    for power in (-10, 10):
        other = unequal(2.0**power)
        np.testing.assert_array_equal(UnitOfReturns(discount=0.99).fit(other).apply(other).reward, counted)


def test_where_nothing_ends_shifted_rewards_have_the_same_unit():
    """A cut episode counts as if it went on: every return moves by shift / (1 - discount)."""
    data, moved = (unequal(ended=False, shift=shift) for shift in (0.0, 5.0))
    beyond = [float(np.mean(d.reward, dtype=np.float64)) / 0.01 for d in (data, moved)]
    there, here = (discounted_returns(d, 0.99, beyond=b) for d, b in zip((moved, data), reversed(beyond), strict=True))
    np.testing.assert_allclose(there - here, 500.0, rtol=1e-4)
    assert UnitOfReturns(discount=0.99).fit(moved).unit == UnitOfReturns(discount=0.99).fit(data).unit
    assert UnitOfReturns(discount=0.99).fit(unequal(shift=5.0)).unit > UnitOfReturns(discount=0.99).fit(unequal()).unit


def test_data_that_brings_the_same_everywhere_has_no_unit():
    with pytest.raises(DataError, match="same discounted return"):
        UnitOfReturns(discount=0.99).fit(unequal(0.0))
