"""A card's bounds are a range, or the card is refused; a range that is read from the data leaves strays out."""

import jax.numpy as jnp
import numpy as np
import pytest

from extremal import Card, DataError, Dataset, load_dataset, save_dataset
from extremal.data.transforms import RescaleAction

R = np.random.default_rng(0)
ROWS = {
    "observation": R.normal(size=(200, 2)),
    "action": R.uniform(-1, 1, size=(200, 2)),
    "reward": R.normal(size=200),
    "terminated": np.arange(200) % 10 == 9,
}
REFUSED = {
    "inverted": ({"action_low": (5.0, 5.0), "action_high": (0.0, 0.0)}, "action_low", "entry 0 is 5"),
    "one entry inverted": ({"action_low": (-1.0, 1.0), "action_high": (1.0, -1.0)}, "action_low", "entry 1 is 1"),
    "equal": ({"action_low": (0.0, 1.0), "action_high": (1.0, 1.0)}, "action_low", "entry 1 is 1"),
    "equal in float32": ({"action_low": (1.0,), "action_high": (1.0 + 1e-12,)}, "action_low", "entry 0"),
    "infinite": ({"action_low": (-1.0, -np.inf), "action_high": (1.0, 1.0)}, "action_low", "entry 1 is -inf"),
    "not a number": ({"action_low": (-1.0, -1.0), "action_high": (1.0, np.nan)}, "action_high", "entry 1 is nan"),
    "beyond float32": ({"action_low": (-1e300,), "action_high": (1e300,)}, "action_low", "entry 0 is -1e\\+300"),
    "one alone": ({"action_low": (-1.0, -1.0)}, "action_low", "without 'action_high'"),
    "other lengths": ({"action_low": (-1.0, -1.0), "action_high": (1.0,)}, "action_high", "has 1 entries"),
    "a single number": ({"action_low": -1.0, "action_high": 1.0}, "action_low", "is -1.0; expected one number"),
    "a table": ({"action_low": np.zeros((2, 2)), "action_high": np.ones((2, 2))}, "action_low", "expected one number"),
    "text": ({"action_low": "01", "action_high": "12"}, "action_low", "is 01; expected one number"),
    "no action": ({"actions": 0}, "actions", "is 0; the number of discrete actions"),
    "half an action": ({"actions": 2.5}, "actions", "is 2.5; the number"),
    "both kinds": ({"actions": 3, "action_low": (0.0,), "action_high": (2.0,)}, "actions", "leave out"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_range_is_refused_with_its_entry(name):
    fields, field, words = REFUSED[name]
    with pytest.raises(DataError, match=words) as error:
        Card(**fields)
    assert error.value.field == field


@pytest.mark.parametrize("kind", [tuple, list, np.array, lambda row: np.array(row, np.float32)])
def test_a_range_is_taken_from_any_row_of_plain_numbers(kind):
    card = Card(action_low=kind([-1, -2]), action_high=kind([1, 2]))
    assert (card.action_low, card.action_high) == ((-1.0, -2.0), (1.0, 2.0))
    assert {type(bound) for bound in (card.action_low or ()) + (card.action_high or ())} == {float}
    fitted = RescaleAction().fit(Dataset.from_rows(**ROWS, card=card))
    np.testing.assert_array_equal(fitted.half, [1.0, 2.0])
    assert hash(card) == hash(Card(action_low=(-1.0, -2.0), action_high=(1.0, 2.0)))


def test_a_card_that_was_written_goes_through_the_same_refusal(tmp_path):
    id = f"npz:{tmp_path}/log.npz"
    save_dataset(Dataset.from_rows(**ROWS, card=Card(action_low=(-1.0, -1.0), action_high=(1.0, 1.0))), id)
    assert load_dataset(id).card.action_high == (1.0, 1.0)
    with np.load(tmp_path / "log.npz") as archive:
        arrays = dict(archive)
    for text, entry in (("[1.0, -3.0]", "entry 1 is -1"), ("[1.0, Infinity]", "entry 1 is inf")):
        arrays["card"] = np.array(str(dict(np.load(tmp_path / "log.npz"))["card"]).replace("[1.0, 1.0]", text))
        np.savez(tmp_path / "other.npz", **arrays)
        with pytest.raises(DataError, match=entry) as error:
            load_dataset(f"npz:{tmp_path}/other.npz")
        assert "other.npz" in str(error.value)


@pytest.mark.parametrize("stray", [-9999.0, 1e6, 250.0, 1e30, np.finfo(np.float32).max])
def test_a_range_that_is_read_from_the_data_leaves_strays_out(stray):
    action = ROWS["action"].astype(np.float32)
    usual = RescaleAction().fit(
        Dataset.from_rows(**ROWS | {"action": np.insert(np.delete(action, 7, axis=0), 0, 0.0, axis=0)})
    )
    action[7, 1] = stray
    data = Dataset.from_rows(**ROWS | {"action": action})
    fitted = RescaleAction().fit(data)
    np.testing.assert_array_equal((fitted.half[1], fitted.centre[1]), (usual.half[1], usual.centre[1]))
    assert fitted.apply(data).action[7, 1] == np.sign(stray)
    assert fitted.apply(data).action[:, 1].std() > 0.5


def test_wide_tails_are_no_strays():
    for draw in (R.standard_t, lambda df, size: R.exponential(size=size), lambda df, size: R.laplace(size=size) ** 3):
        action = np.float32(draw(3, size=(5000, 20)))
        data = Dataset.from_rows(observation=action, action=action, reward=action[:, 0], terminated=np.ones(5000))
        fitted = RescaleAction().fit(data)
        np.testing.assert_allclose(np.add(fitted.centre, fitted.half), action.max(axis=0), rtol=1e-5)


def test_the_two_ends_of_float32_are_a_range():
    most = float(np.finfo(np.float32).max)
    data = Dataset.from_rows(**ROWS, card=Card(action_low=(-most, -1.0), action_high=(most, 1.0)))
    fitted = RescaleAction().fit(data)
    np.testing.assert_array_equal(fitted.half, np.array([most, 1.0], np.float32))
    scaled = fitted.apply(data).action
    np.testing.assert_allclose(np.asarray(fitted.action(jnp.asarray(scaled)))[:, 1], data.action[:, 1], rtol=1e-6)
