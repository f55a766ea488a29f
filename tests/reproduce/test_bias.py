"""Where the slopes of the mini-batch Gumbel estimators are zero on average, against other ways to the same numbers."""

import numpy as np
import pytest
from scipy import integrate, stats

from extremal.losses.value import batch_max_gumbel_regression, gumbel_regression
from extremal.reproduce import bias


def average(function, ratio, v):
    """E function(z) for z = ratio (x - v), x normal, by adaptive quadrature."""
    return integrate.quad(
        lambda x: function(ratio * (x - v)) * stats.norm.pdf(x), -12, 12, limit=400, points=[0, v, 5]
    )[0]


@pytest.mark.parametrize("ratio", [0.5, 1.0, 2.0, 4.0])
def test_the_soft_maximum_of_a_normal_is_half_the_ratio(ratio):
    assert average(np.exp, ratio, bias.exact(ratio)) == pytest.approx(1.0, abs=1e-9)


# To three decimals: rounding takes at most half of the last one.
@pytest.mark.parametrize(
    ("ratio", "flat_7", "flat_5", "tangent_7", "tangent_5"),
    [
        (1.0, 0.500, 0.500, 0.500, 0.500),
        (2.0, 0.997, 0.963, 0.999, 0.983),
        (3.0, 1.414, 1.245, 1.448, 1.343),
        (4.0, 1.688, 1.391, 1.779, 1.578),
    ],
)
def test_values_of_the_clipped_losses(ratio, flat_7, flat_5, tangent_7, tangent_5):
    found = [bias.clamped(ratio, 7.0), bias.clamped(ratio, 5.0), bias.tangent(ratio, 7.0), bias.tangent(ratio, 5.0)]
    assert found == pytest.approx([flat_7, flat_5, tangent_7, tangent_5], abs=5.1e-4)


@pytest.mark.parametrize("ratio", [1.0, 2.5, 4.0])
def test_the_average_slope_is_zero_there(ratio):
    tangent, clamped = bias.tangent(ratio, 5.0), bias.clamped(ratio, 7.0)
    assert average(lambda z: np.exp(min(z, 5.0)) - 1.0, ratio, tangent) == pytest.approx(0.0, abs=1e-6)
    edge = clamped + 7.0 / ratio  # the slope jumps there
    below = integrate.quad(lambda x: np.expm1(ratio * (x - clamped)) * stats.norm.pdf(x), -12, edge, limit=400)[0]
    assert below == pytest.approx(0.0, abs=1e-6)


def test_clamped_at_both_ends_a_symmetric_variable_has_no_bias():
    """The normal that exp tilts mirrors the one at hand, so that the two dead zones take the same mass from both sides."""
    for ratio in (1.0, 4.0):
        v = bias.exact(ratio)
        inside = integrate.quad(
            lambda x, v=v, k=ratio: np.expm1(k * (x - v)) * stats.norm.pdf(x), v - 7 / ratio, v + 7 / ratio, limit=400
        )[0]
        assert inside == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("low", [-7.0, -np.inf])
@pytest.mark.parametrize(("ratio", "batch"), [(1.0, 8), (2.0, 32), (4.0, 256)])
def test_the_integral_over_batches_agrees_with_batches(ratio, batch, low):
    value, error = bias.sampled_batch_max(ratio, batch, samples=300_000, seed=(3, batch), low=low)
    assert 0 < error < 0.02
    assert bias.batch_max(ratio, batch, low=low) == pytest.approx(value, abs=4 * error)


def test_a_batch_of_one_has_its_own_largest():
    """(exp(z) - 1) exp(-max(z, -1)) of a single z, by adaptive quadrature between the clamps."""
    v = bias.batch_max(2.0, 1)
    slope = lambda x: np.expm1(2 * (x - v)) * np.exp(-max(2 * (x - v), -1.0)) * stats.norm.pdf(x)  # noqa: E731
    assert integrate.quad(slope, v - 3.5, v + 3.5, limit=400, points=[v - 0.5])[0] == pytest.approx(0.0, abs=1e-5)


def test_two_numbers_of_the_batch_maximum():
    """N(0, 1), beta = 1/3, 256 a batch: 1.27 by the paper's two clamps, 1.22 where the upper one alone is on."""
    assert bias.batch_max(3.0, 256) == pytest.approx(1.271, abs=6e-4)
    assert bias.batch_max(3.0, 256, low=-np.inf) == pytest.approx(1.218, abs=6e-4)


def test_the_figure_has_these_values_and_draws_that_agree():
    numbers = bias.compute(ratios=(1.0, 3.0), batches=(256,), shown_batches=(32,), samples=20_000)
    np.testing.assert_allclose(numbers["exact"], np.linspace(0.1, 4.0, 40) / 2)
    by_batch = numbers["by_batch"]
    assert by_batch["batch_max"][1] == pytest.approx([1.271], abs=6e-4)
    assert len(numbers["sampled"]) == 4
    for point in (*numbers["sampled"], *by_batch["sampled"]):
        assert point["value"] == pytest.approx(bias.batch_max(point["ratio"], point["batch"]), abs=4 * point["error"])


def test_the_integral_does_not_hang_on_its_nodes(monkeypatch):
    fine = bias.batch_max(3.0, 64)
    monkeypatch.setattr(bias, "NODES", np.polynomial.legendre.leggauss(150))
    assert bias.batch_max(3.0, 64) == pytest.approx(fine, abs=2e-5)


def test_large_batches_lose_the_bias():
    values = [bias.batch_max(1.0, batch) for batch in (2, 8, 32, 128, 512, 4096)]
    assert values == sorted(values)
    assert values[-1] == pytest.approx(bias.exact(1.0), abs=2e-3)


def test_the_slopes_are_those_of_the_library_s_losses():
    """At the V where one batch's slope is zero, the library's losses have no slope either."""
    import jax

    x = np.random.default_rng(0).standard_normal(64).astype(np.float32)
    for loss, root in (
        (lambda v: gumbel_regression(x - v, beta=0.5, clip=5.0).mean(), lambda z: np.exp(np.minimum(z, 5.0)) - 1.0),
        (
            lambda v: batch_max_gumbel_regression(x - v, beta=0.5, clip=7.0).mean(),
            lambda z: np.where(np.abs(z) < 7.0, np.expm1(np.clip(z, -7, 7)), 0.0) * np.exp(-max(z.max(), -1.0)),
        ),
    ):
        for v in (-1.0, 0.3, 1.5):
            expected = -np.mean(root((x.astype(float) - v) / 0.5)) / 0.5
            assert float(jax.grad(loss)(v)) == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_a_normaliser_of_other_batches_leaves_the_exact_value():
    """The slope divided by the mean exponential of the batch before: zero on average where the exact slope is."""
    x = np.random.default_rng(4).standard_normal((20_000, 32))
    v = bias.exact(1.0)
    means = np.exp(1.0 * (x - v)).mean(axis=1)
    slopes = (means[1:] - 1.0) / means[:-1]
    error = slopes.std(ddof=1) / np.sqrt(len(slopes))
    assert abs(slopes.mean()) < 4 * error
    own = (means - 1.0) / means  # of the same batch: far from it
    assert own.mean() < -10 * own.std(ddof=1) / np.sqrt(len(own))
