"""The numbers of CQL's figures against its theorems."""

import numpy as np
import pytest

from extremal.reproduce import cql

SMALL = {"alphas": (1e-3, 0.1, 10.0), "data_sets": 2}


@pytest.fixture(scope="module")
def bounds():
    return cql.compute_bounds(seed=2, **SMALL)


@pytest.mark.parametrize("name", ["Eq. (1)", "Eq. (2)"])
def test_from_the_threshold_on_no_cell_is_too_high(bounds, name):
    again = cql.compute_bounds(seed=2, data_sets=2, alphas=[bounds["made"][name], bounds["assured"][name]])
    assert again["too_high"][name].tolist() == [0.0, 0.0]
    assert bounds["made"][name] < bounds["assured"][name]
    assert bounds["too_high"][name][0] > 0


def test_equation_2_is_nearer_than_equation_1_and_the_bias_grows_with_alpha(bounds):
    first, second = (np.array(bounds["excess"][name]) for name in ("Eq. (1)", "Eq. (2)"))
    assert (first < second).all()
    assert (np.diff(first) < 0).all()
    assert (np.diff(second) < 0).all()


def test_one_iteration_widens_each_gap_by_d_cql_and_cql_h_ends_at_the_log_of_the_shares():
    numbers = cql.compute_gap(seed=1, many=(1e-9, 1e7), iterations=3)
    np.testing.assert_allclose(numbers["first"], numbers["divergence"], atol=1e-9)
    assert (numbers["last"] < 0).any()
    assert numbers["control"] == pytest.approx([numbers["plain"], numbers["limit"]], abs=1e-3)
