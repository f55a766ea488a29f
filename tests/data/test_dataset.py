"""The episode store: its diagram, its rules for tables, and that nothing changes on the way through."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extremal.core.errors import DataError
from extremal.data.dataset import Card, Dataset


@pytest.fixture
def dataset(episodes):
    return Dataset.from_episodes(episodes)


def test_layout_is_the_diagram(dataset, episodes):
    np.testing.assert_array_equal(dataset.starts, [0, 3, 4, 8])
    np.testing.assert_array_equal(dataset.slot, [0, 1, 2, 4, 6, 7, 8, 9])
    np.testing.assert_array_equal(dataset.terminated, np.arange(8) == 2)
    np.testing.assert_array_equal(dataset.truncated, np.arange(8) == 3)
    batch = dataset.row(np.arange(8))
    np.testing.assert_array_equal(batch.observation, np.concatenate([e["observation"][:-1] for e in episodes]))
    np.testing.assert_array_equal(batch.next_observation, np.concatenate([e["observation"][1:] for e in episodes]))
    assert (dataset.rows, dataset.episodes, dataset.lengths.tolist()) == (8, 3, [3, 1, 4])
    np.testing.assert_allclose(dataset.returns, [e["reward"].astype(np.float64).sum() for e in episodes])


def test_a_table_with_successors_keeps_every_row(dataset, rows):
    assert Dataset.from_rows(**rows).hash() == dataset.hash()


def test_a_jump_between_rows_ends_an_episode(dataset, rows):
    del rows["episode"]
    rows["truncated"][:] = False
    read = Dataset.from_rows(**rows)
    np.testing.assert_array_equal(read.starts, dataset.starts)
    assert not read.truncated.any()


def test_rows_without_successor_are_left_out(rows):
    del rows["next_observation"]
    read = Dataset.from_rows(**rows)
    # The terminated episode keeps its 3 rows, the one of a single cut step goes, the last one loses its fourth row.
    assert read.lengths.tolist() == [3, 3]
    np.testing.assert_array_equal(read.action, rows["action"][[0, 1, 2, 4, 5, 6]])
    np.testing.assert_array_equal(read.row(np.array([5])).next_observation[0], rows["observation"][7])
    assert read.terminated.tolist() == [False, False, True, False, False, False]


def test_the_cut_moves_with_the_row_that_is_left_out(rows):
    del rows["next_observation"]
    rows["truncated"][7] = True
    assert Dataset.from_rows(**rows).truncated.tolist() == [False] * 5 + [True]


def test_terminated_wins_where_both_are_set(rows):
    rows["truncated"][2] = True
    read = Dataset.from_rows(**rows)
    assert read.terminated[2]
    assert not read.truncated[2]


@pytest.mark.parametrize(
    ("change", "field", "row", "message"),
    [
        ({"reward": lambda v: v[:-1]}, "reward", None, "has 7 rows, 'action' has 8"),
        ({"reward": lambda v: np.float32(1)}, "reward", None, "has no rows"),
        ({"observation": lambda v: v.astype("U9")}, "observation", None, "not real numbers"),
        ({"observation": lambda v: v.astype(object)}, "observation", None, "not real numbers"),
        ({"reward": lambda v: v.astype(complex)}, "reward", None, "not real numbers"),
        ({"reward": lambda v: np.where(np.arange(8) == 5, np.nan, v)}, "reward", 5, "NaN"),
        ({"action": lambda v: np.where(np.arange(8)[:, None] == 6, np.inf, v)}, "action", 6, "infinite"),
        ({"reward": lambda v: np.where(np.arange(8) == 1, 1e300, v.astype(float))}, "reward", 1, "too large"),
        ({"terminated": lambda v: v * 2}, "terminated", 2, "expected 0 or 1"),
        ({"terminated": lambda v: np.where(v, np.nan, 0.0)}, "terminated", 2, "is nan"),
        ({"terminated": lambda v: np.stack([v, v], 1)}, "terminated", None, "one number a row"),
        ({"next_observation": lambda v: v[:, :2]}, "next_observation", None, "has shape"),
        ({"episode": lambda v: np.where(v == 2, 0, v)}, "episode", 4, "comes back"),
        ({"episode": lambda v: np.where(v == 2, np.nan, v)}, "episode", None, "no NaN"),
        ({"reward": lambda v: np.stack([v, v], 1)}, "reward", None, "one number a row"),
        ({"action": lambda v: v[:, :0]}, "action", None, "expected [rows, action entries]"),
        ({"observation": lambda v: v[:, 0], "next_observation": lambda v: v[:, 0]}, "observation", None, "features"),
    ],
)
def test_bad_tables_are_refused(rows, change, field, row, message):
    with pytest.raises(DataError) as error:
        Dataset.from_rows(**{name: change.get(name, lambda v: v)(value) for name, value in rows.items()})
    assert (error.value.field, error.value.row) == (field, row)
    assert message in str(error.value)


def test_an_empty_table_is_refused():
    with pytest.raises(DataError, match="there is no row"):
        Dataset.from_rows(observation=np.zeros((0, 3)), action=np.zeros((0, 1)), reward=[], terminated=[])


def test_one_step_episodes_without_successors_are_refused(rows):
    del rows["next_observation"]
    with pytest.raises(DataError, match="no row has a successor"):
        Dataset.from_rows(**rows | {"terminated": np.zeros(8), "episode": np.arange(8)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"observation": np.zeros((3, 3))}, "episode 1 has 1 actions"),
        ({"observation": np.zeros((2, 4))}, "episode 1 has shape"),
        ({"action": np.zeros((0, 2))}, "episode 1 has no step"),
        ({"reward": 1.0}, "episode 1 has a single number"),
        ({"terminated": [True, False]}, "flags of shape"),
        ({"terminated": 0.5}, "expected 0 or 1"),
    ],
)
def test_bad_episodes_are_refused(episodes, change, message):
    episodes[1] |= change
    with pytest.raises(DataError, match=message):
        Dataset.from_episodes(episodes)


def test_an_end_inside_an_episode_is_refused(episodes):
    episodes[2]["terminated"] = [False, True, False, False]
    with pytest.raises(DataError, match="inside an episode") as error:
        Dataset.from_episodes(episodes)
    assert error.value.row == 5


def test_missing_parts_of_episodes_are_refused(episodes):
    del episodes[2]["reward"]
    with pytest.raises(DataError, match="episode 2 has no 'reward'"):
        Dataset.from_episodes(episodes)
    with pytest.raises(DataError, match="no episode"):
        Dataset.from_episodes([])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"starts": np.array([0, 3, 3, 8], np.int32)}, "must rise"),
        ({"starts": np.array([1, 3, 4, 8], np.int32)}, "must rise"),
        ({"slot": np.arange(8, dtype=np.int32)}, "must be the row plus"),
        ({"truncated": np.zeros(7, bool)}, "expected 8 entries"),
        ({"reward": np.zeros(8)}, "holds float64"),
        ({"terminated": np.zeros(8, np.int32)}, "holds int32"),
        ({"observation": np.zeros((8, 3), np.float32)}, "expected 11 entries"),
        ({"truncated": np.arange(8) == 2}, "together with 'terminated'"),
        ({"card": Card(action_low=(-1.0,), action_high=(1.0,))}, "the card declares 1 entries"),
    ],
)
def test_construction_checks_the_invariants(dataset, change, message):
    with pytest.raises(DataError, match=message):
        dataset.replace(**change)


@pytest.mark.parametrize(("slot", "row"), [(0, 0), (3, 2), (5, 3), (10, 7)])
def test_nan_in_an_observation_is_told_as_a_row(dataset, slot, row):
    observation = dataset.observation.copy()
    observation[slot, 1] = np.nan
    with pytest.raises(DataError, match="NaN") as error:
        dataset.replace(observation=observation)
    assert (error.value.field, error.value.row) == ("observation", row)


def test_discrete_actions_are_whole_and_within_their_number(rows):
    card = Card(actions=3)
    read = Dataset.from_rows(**rows | {"action": np.arange(8.0)[:, None] % 3}, card=card)
    assert read.action.dtype == np.int32
    assert read.spec.action == ()
    for wrong in (0.5, 3, -1):
        with pytest.raises(DataError, match="whole number from 0 to 2") as error:
            Dataset.from_rows(**rows | {"action": np.where(np.arange(8) == 4, wrong, 0)}, card=card)
        assert error.value.row == 4


def test_select_takes_whole_episodes_in_order(dataset, episodes):
    expected = Dataset.from_episodes([episodes[2], episodes[0]]).hash()
    assert dataset.select([2, 0]).hash() == expected
    assert dataset.device().select([2, 0]).hash() == expected
    assert dataset.select(np.array([True, False, True])).lengths.tolist() == [3, 4]
    for wrong in ([], [3], [-1]):
        with pytest.raises(DataError, match="episode"):
            dataset.select(wrong)


def test_split_parts_the_episodes(dataset):
    train, held = dataset.split(0.3, seed=1)
    assert (train.episodes, held.episodes) == (2, 1)
    assert sorted([*train.returns, *held.returns]) == sorted(dataset.returns)
    assert dataset.split(0.3, seed=1)[1].hash() == held.hash()
    with pytest.raises(DataError, match="both parts"):
        dataset.split(1.0)
    with pytest.raises(DataError, match="both parts"):
        held.split(0.5)


def test_hash_sees_numbers_only(dataset):
    assert dataset.replace(card=Card(name="other")).hash() == dataset.hash()
    assert dataset.device().hash() == dataset.hash()
    assert dataset.replace(reward=dataset.reward + np.float32(1)).hash() != dataset.hash()
    assert dataset.replace(truncated=np.zeros(8, bool)).hash() != dataset.hash()


def test_statistics_are_plain_numbers(dataset):
    figures = dataset.statistics()
    assert figures["rows"] == 8
    assert figures["length"] == {"mean": 8 / 3, "min": 1.0, "max": 4.0}
    assert (figures["terminated"], figures["truncated"]) == (1, 1)
    np.testing.assert_allclose(figures["action_low"], dataset.action.min(axis=0))


def test_sample_works_inside_a_compiled_program(dataset):
    batch = jax.jit(lambda data, key: data.sample(key, 64))(dataset.device(), jax.random.key(0))
    assert batch.observation.shape == batch.next_observation.shape == (64, 3)
    known = {tuple(row) for row in np.asarray(dataset.action)}
    assert {tuple(row) for row in np.asarray(batch.action)} == known  # 64 draws of 8 rows see all of them
    ended = np.asarray(dataset.action)[2]
    np.testing.assert_array_equal(np.asarray(batch.terminated) == 1.0, (np.asarray(batch.action) == ended).all(axis=1))


lengths = st.lists(st.integers(1, 5), min_size=1, max_size=6)


@settings(max_examples=40, deadline=None)
@given(lengths=lengths, ends=st.lists(st.sampled_from(["terminated", "truncated", ""]), min_size=6, max_size=6))
def test_rows_and_episodes_tell_the_same(lengths, ends):
    random = np.random.default_rng(sum(lengths))
    log = [
        {
            "observation": random.normal(size=(n + 1, 2)),
            "action": random.normal(size=(n, 1)),
            "reward": random.normal(size=n),
        }
        | ({end: True} if end else {})
        for n, end in zip(lengths, ends, strict=False)
    ]
    data = Dataset.from_episodes(log)
    batch = data.row(np.arange(data.rows))
    again = Dataset.from_rows(
        observation=batch.observation,
        action=batch.action,
        reward=batch.reward,
        terminated=batch.terminated,
        truncated=data.truncated,
        next_observation=batch.next_observation,
        episode=np.repeat(np.arange(data.episodes), data.lengths),
    )
    assert again.hash() == data.hash()
    assert data.select(np.arange(data.episodes)).hash() == data.hash()
    order = random.permutation(data.episodes)
    assert data.select(order).select(np.argsort(order)).hash() == data.hash()
