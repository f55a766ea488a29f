"""A verdict on two programs' seeds: the interval by hand and by SciPy, and the word that belongs to it."""

import math

import numpy as np
import pytest
import scipy.stats

from extremal.bench.scores.verdict import Welch, verdict, welch


def test_the_interval_is_welchs_by_hand():
    difference, low, high, freedom = welch([1.0, 2.0, 3.0, 4.0], [0.0, 2.0, 4.0, 6.0], 0.9)
    one, other = (5 / 3) / 4, (20 / 3) / 4  # variances of the means
    assert difference == -0.5
    assert freedom == pytest.approx((one + other) ** 2 / (one**2 / 3 + other**2 / 3))
    assert freedom == pytest.approx(4.4118, abs=1e-4)
    half = scipy.stats.t.ppf(0.95, freedom) * math.sqrt(one + other)
    assert (low, high) == (pytest.approx(-0.5 - half), pytest.approx(-0.5 + half))


@pytest.mark.parametrize("level", [0.9, 0.95])
def test_the_interval_is_scipys(level):
    random = np.random.default_rng(0)
    ours, theirs = random.normal(50.0, 3.0, 5), random.normal(45.0, 9.0, 7)
    known = scipy.stats.ttest_ind(ours, theirs, equal_var=False)
    found, expected = welch(ours, theirs, level), known.confidence_interval(level)
    assert found[1:3] == (pytest.approx(expected.low), pytest.approx(expected.high))
    assert found.freedom == pytest.approx(known.df)


def test_seeds_that_all_agree_have_an_interval_of_no_width():
    assert welch([3.0] * 4, [1.0] * 4, 0.9) == (2.0, 2.0, 2.0, math.inf)


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [
        (0.1, 5.0, "better"),
        (5.0, 60.0, "better"),  # however wide: which is better is known
        (-9.9, 9.9, "no worse"),
        (0.0, 3.0, "no worse"),
        (-10.0, 9.0, "overlap"),  # it may be worse by ten
        (-12.0, 7.9, "overlap"),
        (-9.0, 11.1, "too few to tell"),
        (-15.0, 5.1, "too few to tell"),
        (-9.9, -0.1, "worse, by less than 10"),
        (-10.0, -0.1, "worse"),
        (-60.0, -5.0, "worse"),
    ],
)
def test_the_word_for_an_interval_in_points(low, high, word):
    assert verdict(Welch((low + high) / 2, low, high, 8.0)) == word


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [(1.0, 400.0, "better"), (-400.0, -1.0, "worse"), (-3.0, 300.0, "overlap"), (-3.0, -1.0, "worse")],
)
def test_returns_without_a_score_have_no_margin(low, high, word):
    assert verdict(Welch((low + high) / 2, low, high, 8.0), points=False) == word
