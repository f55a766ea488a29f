"""What the operator atlas shows, as statements about its numbers."""

import numpy as np
import pytest

from extremal.reproduce.operators import compute

NUMBERS = compute()
Q, WEIGHTS = np.asarray(NUMBERS["q"]), np.asarray(NUMBERS["weights"])
CURVES = {name: np.asarray(values) for name, values in NUMBERS["curves"].items()}


@pytest.mark.parametrize("name", CURVES)
def test_every_curve_rises(name):
    assert np.all(np.diff(CURVES[name]) >= -1e-10)


@pytest.mark.parametrize("name", sorted(CURVES.keys() - {"quantile"}))
def test_all_but_the_quantile_lie_between_mean_and_maximum(name):
    assert NUMBERS["mean"] - 1e-10 <= CURVES[name].min()
    assert CURVES[name].max() <= NUMBERS["maximum"] + 1e-10


def test_the_soft_expected_maximum_lies_below_the_other_and_stops_short_of_the_maximum():
    assert np.all(CURVES["soft_expected_maximum"] < CURVES["expected_maximum"])
    assert NUMBERS["marks"]["soft_expected_maximum"]["value"][-1] < NUMBERS["boltzmann"] < NUMBERS["maximum"]
    tilted = WEIGHTS * np.exp(Q)
    assert NUMBERS["boltzmann"] == pytest.approx(tilted @ Q / tilted.sum())


def test_the_entropic_value_at_risk_is_above_the_quantile_of_its_level():
    assert np.all(CURVES["kl_ball"] >= CURVES["quantile"] - 1e-10)


def test_values_that_are_known():
    assert NUMBERS["mean"] == pytest.approx(WEIGHTS @ Q)
    marks = {name: dict(zip(m["parameter"], m["value"], strict=True)) for name, m in NUMBERS["marks"].items()}
    assert marks["log_mean_exp"][1.0] == pytest.approx(np.log(WEIGHTS @ np.exp(Q)))
    assert marks["quantile"][0.5] == 1.0
    assert marks["expectile"][0.5] == pytest.approx(NUMBERS["mean"])
    below = np.cumsum(WEIGHTS) ** 3
    assert marks["expected_maximum"][3] == pytest.approx(Q @ np.diff(below, prepend=0.0))
    assert marks["kl_ball"][3.0] < NUMBERS["maximum"]  # log 25 = 3.2 is where it gets there
