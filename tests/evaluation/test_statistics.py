import numpy as np
import pytest
from scipy import stats

from extremal.core.errors import DataError
from extremal.evaluation.statistics import Summary, band, grouped_error, grouped_interval, interval, iqm, summarise


def test_iqm_is_the_trimmed_mean_where_a_quarter_is_whole():
    x = np.random.default_rng(0).normal(size=(3, 12))
    np.testing.assert_allclose(iqm(x), stats.trim_mean(x, 0.25, axis=-1), rtol=1e-14)


def test_iqm_of_a_uniform_grid_approaches_its_integral():
    quantiles = (np.arange(1001) + 0.5) / 1001
    assert iqm(quantiles**2) == pytest.approx((0.75**3 - 0.25**3) / 3 / 0.5, abs=1e-6)


@pytest.mark.parametrize(
    ("values", "expected"),
    [([5.0], 5.0), ([1.0, 3.0], 2.0), ([0.0, 3.0, 9.0], (0.25 * 0 + 3 + 0.25 * 9) / 1.5), ([0, 1, 2, 3, 100], 2.0)],
)
def test_iqm_of_few_values_by_hand(values, expected):
    assert iqm(values) == pytest.approx(expected)


def test_one_broken_seed_moves_the_iqm_less_than_the_mean():
    values = np.array([90.0, 91.0, 92.0, 93.0, 94.0, 95.0, 96.0, -1000.0])
    assert iqm(values) > 90 > values.mean()


def test_summary_is_deterministic_and_holds_its_mean():
    scores = np.random.default_rng(1).normal(50, 10, size=10)
    first, second = summarise(scores), summarise(scores)
    assert first == second
    assert first.low is not None
    assert first.high is not None
    assert first.low < first.mean < first.high
    assert first.mean == pytest.approx(scores.mean())
    assert first.seeds == 10


def test_interval_is_near_the_normal_one_for_many_seeds():
    scores = np.random.default_rng(2).normal(0, 1, size=400)
    low, high = interval(scores) or (0.0, 0.0)
    half = 1.96 * scores.std() / 20
    np.testing.assert_allclose([low, high], [scores.mean() - half, scores.mean() + half], atol=0.02)


def test_a_higher_level_is_wider():
    scores = np.arange(8.0)
    narrow, wide = interval(scores, level=0.5), interval(scores, level=0.99)
    assert narrow is not None
    assert wide is not None
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_tasks_are_strata():
    offsets = np.array([0.0, 1000.0])  # the difference between tasks is no uncertainty of a seed
    scores = np.random.default_rng(3).normal(size=(6, 2)) + offsets
    low, high = interval(scores) or (0.0, 0.0)
    assert high - low < 2.0
    assert low < scores.mean() < high


def test_interval_of_the_iqm():
    scores = np.array([0.0, 50.0, 50.0, 50.0, 50.0, 50.0, 50.0, 1000.0])
    of_iqm, of_mean = interval(scores, statistic=iqm), interval(scores)
    assert of_iqm is not None
    assert of_mean is not None
    assert of_iqm[1] - of_iqm[0] < of_mean[1] - of_mean[0]


def test_one_seed_has_no_interval_and_says_so():
    summary = summarise([3.5])
    assert summary == Summary(mean=3.5, iqm=3.5, low=None, high=None, seeds=1)
    assert "no interval" in str(summary)


def test_equal_seeds_have_an_interval_of_no_width():
    assert summarise([1.0, 1.0, 1.0])[2:4] == (1.0, 1.0)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([], "shape"),
        ([[[1.0]]], "shape"),
        (3.0, "shape"),
        ([1.0, np.nan], "row 1.*diverged"),
        ([[1.0, np.inf]], "row 0"),
    ],
)
def test_what_has_no_summary_is_refused(values, words):
    with pytest.raises(DataError, match=words):
        summarise(values)


def test_band_leaves_out_points_that_one_seed_reached():
    curves = np.array([[1.0, 2.0, 3.0, np.nan], [2.0, 4.0, np.nan, np.nan], [3.0, 6.0, 5.0, 1.0]])
    low, high = band(curves)
    assert low[0] < 2.0 < high[0]
    np.testing.assert_allclose([low[2], high[2]], [3.0, 5.0])
    assert np.isnan(low[3])
    assert np.isnan(high[3])
    np.testing.assert_allclose([2 * low[0], 2 * high[0]], [low[1], high[1]])  # the same draws at every point


def test_an_interval_over_groups_is_that_of_the_groups_means_where_they_are_of_one_size():
    random = np.random.default_rng(3)
    of_group = random.normal(size=(200, 2))
    values = np.repeat(of_group, 5, axis=0) + 1e-6 * random.normal(size=(1000, 2))
    found = grouped_interval(values, np.repeat(np.arange(200), 5), resamples=4000)
    assert found is not None
    half = 1.96 * of_group.std(axis=0, ddof=1) / np.sqrt(200)
    for end, sign in zip(found, (-1.0, 1.0), strict=True):
        np.testing.assert_allclose(end - of_group.mean(axis=0), sign * half, rtol=0.12)


def test_a_group_counts_by_its_rows_and_one_group_has_no_interval():
    found = grouped_interval([0.0, 0.0, 0.0, 4.0], [7, 7, 7, 2])
    assert found is not None
    assert (float(found[0]), float(found[1])) == (0.0, 4.0)
    assert grouped_interval([1.0, 2.0], [5, 5]) is None


def test_the_error_of_a_mean_over_groups_is_that_of_their_means():
    """Rows that are the same within their group tell no more than the groups do."""
    means = np.array([0.3, 1.9, 0.7, 1.1])
    values, group = np.repeat(means, 50), np.repeat([4, 7, 8, 20], 50)
    assert grouped_error(values, group) == pytest.approx(means.std(ddof=1) / 2.0)
    assert grouped_error(values, np.zeros(200)) is None
    alone = np.random.default_rng(0).exponential(size=400)
    assert grouped_error(alone, np.arange(400)) == pytest.approx(alone.std(ddof=1) / 20.0)


def test_the_error_of_a_mean_over_groups_is_what_new_groups_make_of_it():
    """Over 400 draws of 30 groups of unequal sizes."""
    random = np.random.default_rng(1)
    found, told = [], []
    for _ in range(400):
        group = np.repeat(np.arange(30), random.integers(1, 20, size=30))
        values = random.exponential(size=30)[group] + 0.5 * random.normal(size=len(group))
        found.append(values.mean())
        told.append(grouped_error(values, group))
    assert np.mean(told) == pytest.approx(np.std(found), rel=0.15)
