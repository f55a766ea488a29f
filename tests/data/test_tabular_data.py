"""Steps of a finite MDP become one-hot vectors, and come back."""

import dataclasses

import numpy as np
import pytest

from extremal.core.errors import DataError
from extremal.data.dataset import Card, Dataset
from extremal.data.tabular import from_dataset, to_dataset
from extremal.tabular.mdp import random_mdp
from extremal.tabular.sampling import sample

MDP = random_mdp(5, 3, seed=0, terminal=1)
LOGGED = sample(MDP, episodes=20, horizon=6, seed=1)
DATA = to_dataset(LOGGED, states=5, actions=3)


def test_what_went_in_comes_back():
    back = from_dataset(DATA)
    for field in dataclasses.fields(LOGGED):
        np.testing.assert_allclose(getattr(back, field.name), getattr(LOGGED, field.name), rtol=1e-6)


def test_each_row_is_one_hot_and_every_end_is_flagged():
    batch = DATA.row(np.arange(DATA.rows))
    np.testing.assert_array_equal(batch.observation.argmax(axis=1), LOGGED.state)
    np.testing.assert_array_equal(batch.action.argmax(axis=1), LOGGED.action)
    np.testing.assert_array_equal(batch.next_observation.argmax(axis=1), LOGGED.next_state)
    assert {*batch.observation.sum(axis=1), *batch.action.sum(axis=1)} == {1.0}
    assert 0 < DATA.terminated.sum() < DATA.episodes == DATA.terminated.sum() + DATA.truncated.sum()


def test_discrete_actions_come_back_as_they_are():
    rows = {"observation": np.eye(3)[[0, 1, 2]], "action": [1, 0], "reward": [0.0, 1.0]}
    back = from_dataset(Dataset.from_episodes([rows], card=Card(actions=2)))
    assert [back.state.tolist(), back.action.tolist(), back.next_state.tolist()] == [[0, 1], [1, 0], [1, 2]]


@pytest.mark.parametrize(("field", "row", "words"), [("observation", 2, "not one-hot"), ("action", 4, "not one-hot")])
def test_what_is_not_one_hot_is_named_with_its_row(field, row, words):
    value = getattr(DATA, field).copy()
    value[DATA.slot[row] if field == "observation" else row, 1] = 0.5
    with pytest.raises(DataError, match=words) as error:
        from_dataset(DATA.replace(**{field: value}))
    assert (error.value.field, error.value.row) == (field, row)


def test_a_bad_last_observation_is_that_of_the_row_before_it():
    value = DATA.observation.copy()
    value[DATA.slot[-1] + 1] = 1.0
    with pytest.raises(DataError, match="not one-hot") as error:
        from_dataset(DATA.replace(observation=value))
    assert (error.value.field, error.value.row) == ("next_observation", DATA.rows - 1)


def test_images_are_no_states():
    data = Dataset.from_episodes([{"observation": np.zeros((2, 3, 3)), "action": [[1.0]], "reward": [0.0]}])
    with pytest.raises(DataError, match="one one-hot vector a row"):
        from_dataset(data)


def test_a_state_out_of_range_is_refused():
    with pytest.raises(DataError, match=r"not in 0\.\.3"):
        to_dataset(LOGGED, states=4, actions=3)
