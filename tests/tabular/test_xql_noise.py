"""XQL's Theorem 1, App. A (Gumbel noise in MDPs) and App. B (bounds), by number; where the print is wrong, that it fails.

What is drawn has a fixed seed, and its tests have an interval; wherever an integral or a sum will do, nothing is drawn.
"""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special, stats

from extremal.tabular import log_mean_exp, random_mdp, value_iteration
from extremal.tabular.extreme import gumbel_minimiser
from extremal.tabular.gumbel import gumbel_process, noisy_choice, overestimation, overestimation_bound, partition_margin

for_all = settings(max_examples=25, deadline=None, derandomize=True)
seeds = st.integers(0, 10**6)


# ---- Theorem 1: maxima become Gumbel ------------------------------------------------------------------------------


def gumbel_over_normal(x):
    """The mean log-likelihood of the best Gumbel distribution less that of the best normal one, with its 99.9 % interval.

    The sample's differences are independent, and their mean is normal (Vuong).
    """
    location, scale = stats.gumbel_r.fit(x)
    difference = stats.gumbel_r.logpdf(x, location, scale) - stats.norm.logpdf(x, x.mean(), x.std())
    half = 3.29 * difference.std(ddof=1) / np.sqrt(x.size)
    return difference.mean() - half, difference.mean() + half


def test_theorem_1_maxima_of_exponentials_are_gumbel_and_not_normal():
    x = np.random.default_rng(0).exponential(size=(2000, 500)).max(-1)
    low, high = gumbel_over_normal(x)
    assert (
        0 < low < 0.0906 < high
    )  # nat a sample: (log(pi^3 e / 3)) / 2 - 1 - 0.5772 is that of a Gumbel distribution itself
    assert stats.kstest(x - np.log(500), stats.gumbel_r.cdf).pvalue > 0.01
    assert stats.kstest((x - x.mean()) / x.std(), stats.norm.cdf).pvalue < 1e-6


def test_s2_and_theorem_1_maxima_of_few_normals_are_more_normal_than_gumbel_and_of_many_the_other_way():
    """The law is a limit: at four actions, as in most tables, it does not hold yet."""
    draw = np.random.default_rng(1).normal
    low, high = gumbel_over_normal(draw(size=(4000, 4)).max(-1))
    assert low < -0.0398 < high < 0  # by quadrature; the table has -0.039
    assert gumbel_over_normal(draw(size=(4000, 400)).max(-1))[0] > 0


def maximum_of_normals(n):
    """Mean, deviation and skewness of the largest of n standard normals, by quadrature."""
    density = lambda x: n * np.exp(stats.norm.logpdf(x) + (n - 1) * stats.norm.logcdf(x))  # noqa: E731
    mean = integrate.quad(lambda x: x * density(x), -9, 9, limit=200)[0]
    second, third = (integrate.quad(lambda x, k=k: (x - mean) ** k * density(x), -9, 9, limit=200)[0] for k in (2, 3))
    return mean, np.sqrt(second), third / second**1.5


def test_s2_the_skewness_of_maxima_of_normals_is_far_from_that_of_the_gumbel():
    skewness = [maximum_of_normals(n)[2] for n in (10, 100, 1000)]
    assert skewness == pytest.approx([0.4099, 0.6553, 0.7864], abs=1e-4)
    assert float(stats.gumbel_r.stats(moments="s")) == pytest.approx(1.1395, abs=1e-4)


def test_s2_how_fast_maxima_become_gumbel():
    """The largest distance of distribution functions: of order 1 / n for exponentials, 1 / log n for normals."""
    x = np.linspace(-3.0, 12.0, 3001)

    def distance(n, source):
        if source == "exponential":
            return np.abs(stats.expon.cdf(x + np.log(n)) ** n - stats.gumbel_r.cdf(x)).max()
        b = stats.norm.isf(1 / n)
        return np.abs(stats.norm.cdf(b + x / (n * stats.norm.pdf(b))) ** n - stats.gumbel_r.cdf(x)).max()

    exponential = np.array([distance(n, "exponential") * n for n in (10, 100, 1000)])
    normal = np.array([distance(n, "normal") * np.log(n) for n in (10, 100, 1000)])
    assert np.ptp(exponential) < 0.1 * exponential.mean()
    assert np.ptp(normal) < 0.3 * normal.mean()
    assert distance(1000, "normal") > 5 * distance(100, "exponential")


@for_all
@given(n=st.integers(2, 10**6), x=st.floats(-2.0, 40.0), beta=st.floats(0.1, 10.0))
def test_theorem_1_the_gumbel_is_max_stable(n, x, beta):
    one, shifted = stats.gumbel_r(scale=beta), stats.gumbel_r(loc=beta * np.log(n), scale=beta)
    assert one.cdf(beta * x) ** n == pytest.approx(shifted.cdf(beta * x), rel=1e-9, abs=1e-300)


def test_theorem_1_as_printed_does_not_hold_for_bounded_variables():
    """Footnote 3 counts them among the exponential tails: but n (1 - max) of uniforms is exponential in the limit."""
    n = 500
    x = np.random.default_rng(2).uniform(size=(2000, n)).max(-1)
    assert stats.kstest(n * (1 - x), stats.expon.cdf).pvalue > 0.01
    assert stats.kstest(x, stats.gumbel_r(*stats.gumbel_r.fit(x)).cdf).pvalue < 1e-6
    assert stats.skew(x) < -1.5
    assert gumbel_over_normal(x)[1] < 0


def test_s1_fits_of_gumbel_errors():
    x = stats.gumbel_r(2.0, 3.0).rvs(10_000, random_state=0)
    location, scale = stats.gumbel_r.fit(x)
    assert location == pytest.approx(2.0, abs=0.095)
    assert scale == pytest.approx(3.0, abs=0.07)
    likelihood = lambda kind, x: kind.logpdf(x, *kind.fit(x)).mean()  # noqa: E731
    assert likelihood(stats.gumbel_r, x) == pytest.approx(-2.676, abs=0.04)  # three standard errors
    assert likelihood(stats.norm, x) == pytest.approx(-2.766, abs=0.04)
    assert likelihood(stats.gumbel_l, x) == pytest.approx(-3.055, abs=0.1)  # its exponential has no variance
    # The residual Q - V of Gumbel regression is x - h = -Gumbel: skewed to the other side.
    assert stats.skew(x) > 0.9
    residual = -stats.gumbel_r(0.0, 3.0).rvs(10_000, random_state=1)
    assert likelihood(stats.gumbel_l, residual) > likelihood(stats.norm, residual) + 0.05
    assert likelihood(stats.norm, residual) > likelihood(stats.gumbel_r, residual) + 0.1


# ---- App. A.1: the Rust-McFadden model ----------------------------------------------------------------------------


@for_all
@given(q=st.lists(st.floats(-4.0, 4.0), min_size=2, max_size=5).map(np.asarray), beta=st.floats(0.2, 3.0))
def test_gumbel_max_trick_the_largest_is_gumbel_at_the_soft_maximum(q, beta):
    v, x = beta * special.logsumexp(q / beta), np.linspace(-3.0, 12.0, 50)
    largest = stats.gumbel_r.cdf(x[:, None], loc=q, scale=beta).prod(-1)
    np.testing.assert_allclose(largest, stats.gumbel_r.cdf(x, loc=v, scale=beta), atol=1e-12)


def noisy_values(mdp, noise):
    """V = E max_a (q + noise), to its fixed point: Eq. (19)."""
    return value_iteration(
        mdp,
        lambda q, weights: noisy_choice(q, noise)[1],
        policy=lambda q, weights: noisy_choice(q, noise)[0],
        tolerance=1e-9,
    )


def test_lemma_a_1_gumbel_noise_of_mean_zero_gives_the_soft_bellman_equations():
    """As printed the noise is Gumbel(0, beta), whose mean is not 0: all values are 0.5772 beta / (1 - discount) too large."""
    mdp, beta = random_mdp(4, 3, seed=7, discount=0.6), 0.8
    count = np.ones((4, 3))  # the soft maximum over actions of weight 1: that of uniform mu and beta log 3
    uniform = lambda q, weights: log_mean_exp(q, count, parameter=beta) + beta * np.log(3)  # noqa: E731
    soft = value_iteration(mdp, uniform)
    centred = noisy_values(mdp, stats.gumbel_r(loc=-np.euler_gamma * beta, scale=beta))
    np.testing.assert_allclose(centred.v, soft.v, atol=1e-8)
    np.testing.assert_allclose(centred.policy, special.softmax(soft.q / beta, axis=-1), atol=1e-8)
    printed = noisy_values(mdp, stats.gumbel_r(scale=beta))
    np.testing.assert_allclose(printed.v - soft.v, np.euler_gamma * beta / (1 - mdp.discount), atol=1e-8)
    np.testing.assert_allclose(printed.policy, centred.policy, atol=1e-8)


NOISES = {
    "gumbel": stats.gumbel_r(scale=1.0),
    "normal": stats.norm(scale=np.pi / np.sqrt(6)),  # of the Gumbel's deviation
    "logistic": stats.logistic(scale=1 / np.sqrt(2)),
    "reversed gumbel": stats.gumbel_l(scale=1.0),
}


@pytest.mark.parametrize("noise", NOISES)
def test_corollary_a_1_1_among_three_actions_gumbel_noise_alone_chooses_by_a_softmax(noise):
    """Under any softmax, at any temperature, the odds of two actions do not depend on the third."""
    odds = []
    for third in (-30.0, 0.0, 1.0, 2.0):
        chance, _ = noisy_choice([0.0, 1.0, third], NOISES[noise])
        odds.append(np.log(chance[1] / chance[0]))
    if noise == "gumbel":
        np.testing.assert_allclose(odds, 1.0, atol=1e-10)
    else:
        assert np.ptp(odds) > 0.05


def test_corollary_a_1_1_as_printed_fails_for_two_actions():
    """Reversed Gumbel noise is not Gumbel, but its differences are logistic too: between two actions it is a softmax."""
    for gap in np.linspace(-5.0, 5.0, 21):
        chance, _ = noisy_choice([0.0, gap], NOISES["reversed gumbel"])
        np.testing.assert_allclose(chance, special.softmax([0.0, gap]), atol=1e-10)
    assert not np.allclose(NOISES["reversed gumbel"].cdf([-1, 0, 1]), stats.gumbel_r.cdf([-1, 0, 1]), atol=0.1)
    chance, _ = noisy_choice([0.0, 1.0, 2.0], NOISES["reversed gumbel"])
    assert np.abs(chance - special.softmax([0.0, 1.0, 2.0])).max() > 0.02


# ---- App. A.2: errors under Bellman backups -----------------------------------------------------------------------


@pytest.mark.parametrize("noise", NOISES)
def test_a_2_errors_of_mean_zero_make_the_expected_maximum_too_large(noise):
    """Eq. (24); most where the actions are equal, and never below 0."""
    centre = float(NOISES[noise].mean())
    excess = []
    for gap in (0.0, 0.5, 2.0, 30.0):
        q = np.array([0.0, gap, 0.0])
        excess.append(float(noisy_choice(q, NOISES[noise])[1]) - centre - gap)
    assert excess == sorted(excess, reverse=True)
    assert excess[0] > 0.5
    assert excess[-1] == pytest.approx(0.0, abs=1e-9)


def chains(discount=0.8):
    """Three actions a state, each to a state of its own, so that Z is independent over the actions of a state."""
    mdp = random_mdp(6, 3, seed=11, discount=discount, branching=1)
    to = (np.arange(6)[:, None] + np.arange(3)) % 6
    return mdp.replace(transition=np.eye(6)[to], reward=mdp.reward.mean(-1)), to


def test_a_2_1_gumbel_process_has_soft_bellman_locations_and_scales_that_shrink_by_the_discount():
    """By simulation; after each backup the estimators are shuffled, separately for each (s, a), as in Sec. 3.1."""
    mdp, to = chains()
    random, size, steps = np.random.default_rng(0), 20_000, 3
    location = random.normal(size=(6, 3))
    locations, scales = gumbel_process(mdp, location, scale=1.5, steps=steps)
    np.testing.assert_allclose(scales, 1.5 * 0.8 ** np.arange(4), rtol=1e-14)
    z = random.gumbel(location[..., None], 1.5, (6, 3, size))
    for step in range(steps):
        z = mdp.reward[..., None] + 0.8 * z.max(1)[to]
        fits = [
            stats.kstest(z[s, a], stats.gumbel_r(locations[step + 1, s, a], scales[step + 1]).cdf).pvalue
            for s, a in itertools.product(range(6), range(3))
        ]
        assert min(fits) > 1e-3 / len(fits)
        if step == 0:  # the test can tell: had the scale not shrunk, or the location moved by a tenth
            wrong = [(locations[1, 0, 0], scales[0]), (locations[1, 0, 0] + 0.1, scales[1])]
            assert all(stats.kstest(z[0, 0], stats.gumbel_r(*law).cdf).pvalue < 1e-6 for law in wrong)
        z = random.permuted(z, axis=-1)


def test_a_2_1_gumbel_process_needs_independent_actions():
    """Where two actions lead to one state, Z is the same under both, and the next maximum is no soft maximum of two."""
    mdp = random_mdp(2, 2, seed=0, discount=0.8, branching=1)
    mdp = mdp.replace(transition=np.eye(2)[[[1, 1], [0, 0]]], reward=np.zeros((2, 2)))
    random, size = np.random.default_rng(3), 20_000
    locations, scales = gumbel_process(mdp, np.zeros((2, 2)), scale=1.0, steps=2)
    z = random.gumbel(size=(2, 2, size))
    for _ in range(2):
        z = 0.8 * z.max(1)[[[1, 1], [0, 0]]]
    assert stats.kstest(z[0, 0], stats.gumbel_r(locations[2, 0, 0], scales[2]).cdf).pvalue < 1e-6
    alone = stats.gumbel_r(0.8 * locations[1, 0, 0], scales[2])  # of one action
    assert stats.kstest(z[0, 0], alone.cdf).pvalue > 0.01


def test_a_2_1_gumbel_process_collapses_onto_the_hard_maximum_at_t_times_the_discount_to_the_t():
    """As printed the bias contracts by the discount; from no bias at all it first grows, to t discount^t beta log actions."""
    mdp, _ = chains()
    best = value_iteration(mdp).q
    locations, scales = gumbel_process(mdp, best, scale=1.5, steps=120)
    bias = np.abs(locations - best).max((1, 2))
    t = np.arange(121)
    assert (bias <= t * 0.8**t * 1.5 * np.log(3) + 1e-9).all()
    assert bias[0] == 0
    assert bias[1] > 0.2
    assert bias[-1] < 1e-8
    assert scales[-1] < 1e-11
    equal = mdp.replace(reward=np.full((6, 3), 0.2))  # all actions as good: the bound is attained
    locations, _ = gumbel_process(equal, np.ones((6, 3)), scale=1.5, steps=120)
    np.testing.assert_allclose(locations[:, 0, 0] - 1.0, t * 0.8**t * 1.5 * np.log(3), atol=1e-11)


def test_sec_3_1_errors_added_anew_at_every_update_stay_nearer_to_a_normal():
    """As printed they become Gumbel in the limit of t. That holds for errors that are made once, and only passed on."""
    random, size = np.random.default_rng(0), 100_000
    fresh, once = np.zeros((4, size)), random.normal(size=(4, size))
    for step in range(25):  # 0.9^25 of the first error is left
        new = 0.9 * (fresh + random.normal(size=fresh.shape)).max(0)
        fresh = random.permuted(np.tile(new, (4, 1)), axis=-1)
        if step < 4:  # the largest of 4^4 draws
            passed = 0.9 * once.max(0)
            once = random.permuted(np.tile(passed, (4, 1)), axis=-1)
    assert gumbel_over_normal(fresh[0])[1] < -0.01
    assert gumbel_over_normal(once[0])[0] > 0.01


# ---- App. B.1: overestimation -------------------------------------------------------------------------------------


@for_all
@given(seed=seeds, beta=st.floats(0.05, 5.0))
def test_lemma_b_1_the_estimate_is_above_the_value_and_below_twice_the_printed_bound(seed, beta):
    """For unbiased estimates that stay within [-Q_max, Q_max]: Q_max with a probability that has Q as its mean, or -Q_max."""
    random = np.random.default_rng(seed)
    q, mu = random.uniform(-1, 1, 4), random.dirichlet(np.ones(4))
    outcome = np.array(list(itertools.product((-1.0, 1.0), repeat=4)))
    chance = np.where(outcome > 0, (1 + q) / 2, (1 - q) / 2).prod(-1)
    estimate = chance @ gumbel_minimiser(outcome, mu, parameter=beta)
    assert (
        gumbel_minimiser(q, mu, parameter=beta) - 1e-12 <= estimate <= mu @ q + overestimation(1.0, beta=beta) + 1e-12
    )
    assert overestimation(1.0, beta=beta) <= overestimation_bound(1.0, beta=beta)


def test_lemma_b_1_as_printed_is_too_small_everywhere():
    """At Q_max / beta = 10: the gap reaches 16.0, over log cosh = 9.31. The largest gap is above the print at every beta."""
    share = 1 / 20
    value = gumbel_minimiser([10.0, -10.0], [share, 1 - share], parameter=1.0)
    gap = value - 10.0 * (2 * share - 1)
    assert gap == pytest.approx(16.0, abs=0.01)
    assert gap > np.log(np.cosh(10.0)) + 6
    assert gap <= overestimation(10.0, beta=1.0) <= overestimation_bound(10.0, beta=1.0)
    for largest in np.geomspace(0.02, 100.0, 60):
        printed = overestimation_bound(largest, beta=1.0) / 2
        assert printed < overestimation(largest, beta=1.0) <= 2 * printed


def test_lemma_b_1_needs_a_bounded_estimate():
    """Q = 0, so Q_max may be as small as one likes, but normal errors: E V comes near sigma^2 / (2 beta) all the same."""
    estimates = np.random.default_rng(0).normal(size=(2000, 200))
    above = gumbel_minimiser(estimates, np.ones(200), parameter=1.0).mean()
    assert above > 0.4
    assert overestimation_bound(0.1, beta=1.0) < 0.02


def test_lemma_b_1_the_limits_of_the_bias():
    """As printed it is Q_max at beta = 0, and Q_max^2 / (2 beta) for large beta: the first is half of what it may be."""
    assert overestimation(1.0, beta=1e-6) == pytest.approx(2.0, abs=1e-4)
    assert overestimation(1.0, beta=1e4) == pytest.approx(1 / 2e4, rel=1e-6)
    bias = [overestimation(1.0, beta=beta) for beta in np.geomspace(1e-3, 1e3, 50)]
    assert bias == sorted(bias, reverse=True)


# ---- App. B.2: concentration --------------------------------------------------------------------------------------

LAWS = {
    "two points": lambda random, size: random.choice([-1.0, 1.0], size),
    "rare large": lambda random, size: np.where(random.random(size) < 0.03, 1.0, -1.0),
    "uniform": lambda random, size: random.uniform(-1, 1, size),
}
PARTITIONS = {
    "two points": lambda beta: np.cosh(1 / beta),
    "rare large": lambda beta: 0.03 * np.exp(1 / beta) + 0.97 * np.exp(-1 / beta),
    "uniform": lambda beta: beta * np.sinh(1 / beta),
}


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("beta", [0.25, 1.0])
def test_lemma_b_2_both_bounds_hold_with_at_least_the_promised_probability(law, beta):
    """By simulation: the number of 4000 samples beyond the bound is no larger than delta allows, at one in ten thousand."""
    samples, repeats = 20, 4000
    x = LAWS[law](np.random.default_rng(5), (repeats, samples))
    partition = PARTITIONS[law](beta)
    estimate = gumbel_minimiser(x, np.ones(samples), parameter=beta)
    for delta in (0.01, 0.1, 0.5):
        margin = partition_margin(1.0, beta=beta, samples=samples, delta=delta)
        beyond = np.exp(estimate / beta) > partition + margin
        further = estimate > beta * np.log(partition) + beta * margin / partition
        assert (further <= beyond).all()  # log(1 + x) <= x: the second bound is the wider one
        assert beyond.sum() <= stats.binom.isf(1e-4, repeats, delta)


def test_lemma_b_2_the_bound_is_no_more_than_twice_too_wide():
    """For two points the chance is a sum: below delta at the margin, and above it at half the margin."""
    n, beta = 400, 1.0
    count = np.arange(n + 1)
    mean = (count * np.exp(1 / beta) + (n - count) * np.exp(-1 / beta)) / n
    for delta in (0.02, 0.1):
        margin = partition_margin(1.0, beta=beta, samples=n, delta=delta)
        beyond = lambda share: stats.binom.pmf(count, n, 0.5)[mean - np.cosh(1 / beta) > share * margin].sum()  # noqa: B023, E731
        assert beyond(1.0) <= delta < beyond(0.5)


def test_lemma_b_2_the_estimates_are_consistent_at_the_rate_of_the_margin():
    errors = []
    for n in (100, 1600, 25_600):
        x = np.random.default_rng(n).uniform(-1, 1, (200, n))
        error = gumbel_minimiser(x, np.ones(n), parameter=0.5) - 0.5 * np.log(0.5 * np.sinh(2.0))
        errors.append(np.sqrt((error**2).mean()) / partition_margin(1.0, beta=0.5, samples=n, delta=0.1))
    assert np.ptp(errors) < 0.25 * np.mean(errors)  # four times fewer for sixteen times the samples
