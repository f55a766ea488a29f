"""Maxima of n draws, and the Gumbel process, against closed forms and simulation."""

import numpy as np
import pytest
from scipy import stats

from extremal.reproduce import evt


def test_the_skewness_of_a_gumbel_distribution():
    assert pytest.approx(float(stats.gumbel_r.stats(moments="s")), abs=1e-8) == evt.SKEWNESS
    assert pytest.approx(1.1395, abs=5e-5) == evt.SKEWNESS


@pytest.mark.parametrize("n", [1, 2, 10, 1000])
def test_moments_of_the_largest_exponential(n):
    """It is a sum of independent exponentials of rates 1 ... n, so its cumulants are sums of powers of 1 / k."""
    k = np.arange(1, n + 1)
    mean, deviation, skewness = evt.Maximum.of(evt.SOURCES["exponential"], n).moments()
    assert mean == pytest.approx(np.sum(1 / k), rel=1e-6)
    assert deviation == pytest.approx(np.sqrt(np.sum(1 / k**2)), rel=1e-6)
    assert skewness == pytest.approx(2 * np.sum(1 / k**3.0) / np.sum(1 / k**2.0) ** 1.5, rel=1e-5)


def test_moments_of_the_largest_normal():
    assert evt.Maximum.of(stats.norm, 2).moments()[0] == pytest.approx(1 / np.sqrt(np.pi), abs=1e-9)
    assert evt.Maximum.of(stats.norm, 2).moments()[1] == pytest.approx(np.sqrt(1 - 1 / np.pi), abs=1e-9)
    # Beside the limit of 1.1395 this is the point of the figure: a maximum of few normals is hardly skewed.
    found = [evt.Maximum.of(stats.norm, n).moments()[2] for n in (10, 100, 1000)]
    assert found == pytest.approx([0.4099, 0.6553, 0.7864], abs=5e-5)


def test_the_skewness_of_the_largest_normal_by_simulation():
    """A sample of 400,000 tells the skewness within sqrt(c / n), c = 11 for such tails; four errors are allowed."""
    x = stats.norm.ppf(np.random.default_rng(0).uniform(size=400_000) ** 0.01)
    assert float(stats.skew(x)) == pytest.approx(
        evt.Maximum.of(stats.norm, 100).moments()[2], abs=4 * np.sqrt(11 / 4e5)
    )


def test_a_gumbel_distribution_beats_a_normal_by_the_difference_of_their_entropies():
    """The largest of n Gumbel draws is Gumbel: -E log density is 1 + Euler's constant + log scale."""
    best = 0.5 * np.log(2 * np.pi * np.e * np.pi**2 / 6) - (1 + np.euler_gamma)
    for n in (1, 50):
        assert evt.Maximum.of(stats.gumbel_r, n).gumbel_advantage() == pytest.approx(best, abs=1e-6)


@pytest.mark.parametrize(("name", "n"), [("normal", 4), ("normal", 1000), ("exponential", 10)])
def test_the_advantage_agrees_with_fits_to_draws(name, n):
    source = evt.SOURCES[name]
    value, error = evt.sampled_advantage(source, n, samples=20_000, seed=(5, n))
    assert 0.0 < error < 0.006
    assert evt.Maximum.of(source, n).gumbel_advantage() == pytest.approx(value, abs=4 * error)


def test_the_largest_of_few_normals_is_better_fitted_by_a_normal():
    found = [evt.Maximum.of(stats.norm, n).gumbel_advantage() for n in (2, 4, 10, 100)]
    assert found == sorted(found)
    assert found[2] < 0.0 < found[3]


def test_a_gumbel_error_keeps_its_kind_and_shrinks_by_the_discount():
    random = np.random.default_rng(2)
    rewards = [random.uniform(size=2**k) for k in (4, 3, 2, 1, 0)]
    spread, error = evt.backups(random.gumbel(0.0, 0.5, size=(4000, 32)), rewards, discount=0.8)
    for step in range(6):
        assert spread[step] == pytest.approx(0.5 * 0.8**step, abs=4 * error[step])
        assert error[step] < 0.05 * spread[step]


def test_a_backup_is_reward_and_discounted_maximum():
    z = np.array([[0.0, 2.0], [5.0, 1.0], [1.0, 1.0]])
    spread, _ = evt.backups(z, [np.array([10.0])], discount=0.5)
    assert spread[1] == pytest.approx(np.std([1.0, 2.5, 0.5]) * np.sqrt(6) / np.pi)


def test_the_standardised_limit_has_mean_zero_and_deviation_one():
    told = evt.compute(samples=200, depth=2, sizes=(1, 10))["density"]
    x, gumbel = np.asarray(told["x"]), np.asarray(told["gumbel"])
    assert np.trapezoid(gumbel, x) == pytest.approx(1.0, abs=5e-3)  # 3e-3 of it lie beyond 5 deviations
    assert np.trapezoid(x * gumbel, x) == pytest.approx(0.0, abs=0.02)
