"""Value losses: golden values and gradients, and the closed form of the number that each of them finds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, special

from extremal.losses.value import (
    batch_max_gumbel_regression,
    density_ratio,
    expectile_regression,
    gumbel_regression,
    kl_ball_regression,
)

SAMPLES = 8


@jax.jit
def gumbel_slope(v, x, weight, beta, clip):
    return jax.grad(lambda v: jnp.sum(weight * gumbel_regression(x - v, beta=beta, clip=clip)))(v)


@jax.jit
def expectile_slope(v, x, weight, expectile):
    return jax.grad(lambda v: jnp.sum(weight * expectile_regression(x - v, expectile=expectile)))(v)


def minimiser(slope, x, weight, *settings):
    """Where the slope of the convex loss is zero, between the smallest and the largest x; call it in float64."""
    x, weight = jnp.asarray(x, float), jnp.asarray(weight, float)
    low, high = float(x.min()), float(x.max())
    value = lambda v: float(slope(v, x, weight, *settings))  # noqa: E731
    return optimize.brentq(value, low, high, xtol=1e-13, rtol=1e-14, maxiter=500) if low < high else low


def soft_maximum(x, weight, beta):
    return beta * special.logsumexp(np.asarray(x) / beta, b=weight)


# ---- golden values ------------------------------------------------------------------------------------------------


def test_gumbel_golden_values_and_gradients():
    error = jnp.asarray([-2.0, 0.0, 1.5, 12.0])  # z = -1, 0, 0.75, 6 and a clip of 5
    loss = gumbel_regression(error, beta=2.0, clip=5.0)
    np.testing.assert_allclose(loss, [0.36787944, 0.0, 0.36700002, 289.8263182], rtol=2e-6)
    slope = jax.vmap(jax.grad(lambda e: gumbel_regression(e, beta=2.0, clip=5.0)))(error)
    np.testing.assert_allclose(slope, [-0.31606028, 0.0, 0.55850001, 73.70657955], rtol=2e-6)


def test_batch_max_golden_values_and_gradients():
    error = jnp.asarray([-2.0, 0.0, 1.5])  # z = -1, 0, 0.75; the peak is 0.75
    loss = lambda e: batch_max_gumbel_regression(e, beta=2.0, clip=7.0)  # noqa: E731
    np.testing.assert_allclose(loss(error), [0.17377394, 0.0, 0.17335853], rtol=2e-6, atol=1e-7)
    slope = jax.grad(lambda e: jnp.sum(loss(e)))(error)
    np.testing.assert_allclose(slope, [-0.14929630, 0.0, 0.26381672], rtol=2e-6, atol=1e-7)
    low = batch_max_gumbel_regression(jnp.asarray([-3.0, -2.0]), beta=1.0, clip=7.0)  # all below -1: the peak is -1
    np.testing.assert_allclose(low, [5.57189894, 3.08616127], rtol=2e-6)
    far = batch_max_gumbel_regression(jnp.asarray([-50.0, 50.0]), beta=1.0, clip=7.0)  # z = -7, 7; the peak is 7
    np.testing.assert_allclose(far, [0.00547212, 0.99270495], rtol=2e-6)


def test_batch_max_clamped_from_above_alone():
    """By hand: z = -50 stays, its slope is -exp(-7); beyond 7 nothing changes; within the clip both clamps are one loss."""
    loss = lambda e: batch_max_gumbel_regression(e, beta=1.0, clip=7.0, from_below=False)  # noqa: E731
    error = jnp.asarray([-50.0, 50.0])
    np.testing.assert_allclose(loss(error), [0.04468222, 0.99270495], rtol=2e-6)  # (50 - 1) exp(-7), 1 - 8 exp(-7)
    slope = jax.grad(lambda e: jnp.sum(loss(e)))(error)
    np.testing.assert_allclose(slope, [-0.00091188, 0.0], rtol=2e-5, atol=1e-9)
    within = jnp.asarray([-6.5, -1.0, 3.0])
    np.testing.assert_array_equal(loss(within), batch_max_gumbel_regression(within, beta=1.0, clip=7.0))


def test_expectile_golden_values_and_gradients():
    error = jnp.asarray([-2.0, -0.5, 0.0, 0.5, 3.0])
    loss = lambda e: expectile_regression(e, expectile=0.7)  # noqa: E731
    np.testing.assert_allclose(loss(error), [1.2, 0.075, 0.0, 0.175, 6.3], rtol=1e-6)
    np.testing.assert_allclose(jax.vmap(jax.grad(loss))(error), [-1.2, -0.3, 0.0, 0.7, 4.2], rtol=1e-6)


# ---- the soft maximum ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("beta", [0.1, 1.0, 10.0, 1000.0])
def test_gumbel_regression_finds_the_log_mean_exponential(beta):
    x = np.random.default_rng(0).normal(1.0, 2.0, 50)
    weight = np.full(50, 1 / 50)
    with jax.enable_x64(True):
        v = minimiser(gumbel_slope, x, weight, beta, jnp.inf)
    assert v == pytest.approx(soft_maximum(x, weight, beta), abs=1e-8)


@pytest.mark.parametrize("beta", [0.5, 1.0, 4.0])
def test_gumbel_regression_of_known_distributions(beta):
    mean, deviation, mode = 0.3, 1.2, -0.4
    normal, normal_weight = special.roots_hermitenorm(60)
    exponential, exponential_weight = special.roots_laguerre(40)
    uniform, uniform_weight = special.roots_legendre(40)
    with jax.enable_x64(True):
        find = lambda x, weight: minimiser(gumbel_slope, x, weight / weight.sum(), beta, jnp.inf)  # noqa: E731
        v = find(mean + deviation * normal, normal_weight)
        assert v == pytest.approx(mean + deviation**2 / (2 * beta), abs=1e-8)
        v = find(mode + beta * np.log(exponential), exponential_weight)  # h - Gumbel(0, beta)
        assert v == pytest.approx(mode, abs=1e-8)
        v = find((uniform + 1) / 2, uniform_weight)
        assert v == pytest.approx(beta * np.log(beta * np.expm1(1 / beta)), abs=1e-8)


numbers = st.lists(st.floats(-10.0, 10.0, width=32), min_size=SAMPLES, max_size=SAMPLES)
temperatures = st.floats(0.1, 10.0)


@settings(max_examples=40, deadline=None)
@given(x=numbers, beta=temperatures, factor=st.floats(1.5, 10.0))
def test_the_soft_maximum_lies_between_mean_and_maximum_and_falls_with_beta(x, beta, factor):
    x, weight = np.asarray(x), np.full(SAMPLES, 1 / SAMPLES)
    with jax.enable_x64(True):
        sharp, soft = (minimiser(gumbel_slope, x, weight, b, jnp.inf) for b in (beta, beta * factor))
    assert x.mean() - 1e-9 <= soft <= sharp + 1e-9 <= x.max() + 2e-9
    if np.ptp(x) > 0.1:
        assert soft < sharp


@settings(max_examples=30, deadline=None)
@given(x=numbers)
def test_the_soft_maximum_tends_to_the_maximum_and_to_the_mean(x):
    x, weight = np.asarray(x), np.full(SAMPLES, 1 / SAMPLES)
    with jax.enable_x64(True):
        cold, hot = (minimiser(gumbel_slope, x, weight, b, jnp.inf) for b in (0.05, 1e5))
    assert x.max() - 0.05 * np.log(SAMPLES) - 1e-9 <= cold <= x.max() + 1e-9
    assert hot == pytest.approx(x.mean(), abs=1e-3)  # the first term is var / (2 beta), at most 100 / 2e5


@settings(max_examples=30, deadline=None)
@given(x=numbers, beta=temperatures, shift=st.floats(-50.0, 50.0), scale=st.floats(0.1, 10.0))
def test_the_soft_maximum_moves_with_its_units(x, beta, shift, scale):
    x, weight = np.asarray(x), np.full(SAMPLES, 1 / SAMPLES)
    with jax.enable_x64(True):
        v = minimiser(gumbel_slope, x, weight, beta, jnp.inf)
        moved = minimiser(gumbel_slope, scale * x + shift, weight, scale * beta, jnp.inf)
    assert moved == pytest.approx(scale * v + shift, abs=1e-8)


def test_far_from_its_clip_the_loss_is_half_a_square():
    with jax.enable_x64(True):
        z = np.concatenate([np.linspace(-0.003, -1e-4, 30), np.linspace(1e-4, 0.003, 30)])
        ratio = gumbel_regression(jnp.asarray(1e3 * z), beta=1e3, clip=5.0) / (z**2 / 2)
    np.testing.assert_allclose(ratio, 1.0, atol=1.001e-3)  # 1 + z / 3


@settings(max_examples=60, deadline=None)
@given(z=st.floats(-20.0, 30.0), step=st.floats(0.01, 5.0), clip=st.floats(0.5, 8.0))
def test_the_loss_is_convex_smooth_at_the_clip_and_never_negative(z, step, clip):
    with jax.enable_x64(True):
        loss = lambda z: gumbel_regression(jnp.asarray(z), beta=1.0, clip=clip)  # noqa: E731
        left, here, right = (float(loss(z + k * step)) for k in (-1, 0, 1))
        assert min(left, here, right) >= -1e-12
        assert here <= (left + right) / 2 + 1e-9 * abs(right)
        below, above = (float(jax.grad(loss)(clip + e)) for e in (-1e-9, 1e-9))
        assert float(jax.grad(loss)(clip)) == pytest.approx(np.expm1(clip), rel=1e-12)
        assert below == pytest.approx(above, rel=1e-8)


# ---- no dead zone -------------------------------------------------------------------------------------------------


def test_the_default_loss_has_no_dead_zone():
    slope = jax.grad(lambda v: gumbel_regression(100.0 - v, beta=1.0, clip=5.0))(0.0)
    assert float(slope) == pytest.approx(1.0 - np.exp(5.0), rel=1e-6)


def test_the_clamp_of_the_paper_has_a_dead_zone():
    loss = lambda v: jnp.mean(batch_max_gumbel_regression(jnp.full(4, 100.0) - v, beta=1.0, clip=7.0))  # noqa: E731
    assert float(jax.grad(loss)(0.0)) == 0.0
    assert float(jax.grad(loss)(200.0)) == 0.0
    assert float(jax.grad(loss)(94.0)) != 0.0


@pytest.mark.parametrize("sign", [-1.0, 1.0])
@pytest.mark.parametrize("clip", [5.0, 10.0, 50.0, 1e4, np.inf])
def test_float32_stays_finite_far_out_whatever_the_clip(clip, sign):
    error = sign * jnp.asarray([1e2, 1e3, 1e4], jnp.float32)
    for loss in (
        lambda e: gumbel_regression(e, beta=1.0, clip=clip).sum(),
        lambda e: batch_max_gumbel_regression(e, beta=1.0, clip=clip).sum(),
        lambda e: kl_ball_regression(e, beta=1.0, kappa=0.4, clip=clip).sum(),
        lambda e: density_ratio(e, beta=1.0, clip=clip).sum(),
        lambda e: expectile_regression(e, expectile=0.9).sum(),
    ):
        value, slope = jax.value_and_grad(loss)(error)
        assert value.dtype == jnp.float32
        assert np.isfinite(value)
        assert np.isfinite(slope).all()


def test_far_out_the_slope_still_points_to_q():
    """V is raised towards a Q above it and lowered towards one below it, however far."""
    slope = jax.vmap(jax.grad(lambda e: gumbel_regression(e, beta=1.0)))
    below, above = (np.asarray(slope(sign * jnp.asarray([1e2, 1e3, 1e4], jnp.float32))) for sign in (-1.0, 1.0))
    np.testing.assert_array_equal(below, -1.0)
    assert (above > 1e30).all()


def test_without_a_clip_the_loss_is_the_paper_s_as_far_as_float32_goes():
    z = np.array([3.0, 40.0, 75.0])
    loss = gumbel_regression(jnp.asarray(z, jnp.float32), beta=1.0)
    np.testing.assert_allclose(loss, np.exp(z) - z - 1.0, rtol=1e-5)


def test_a_density_ratio_is_the_slope_of_the_loss_and_bounded():
    error = jnp.asarray([-3.0, 0.0, 2.0, 40.0])
    ratio = density_ratio(error, beta=2.0, clip=5.0)
    np.testing.assert_allclose(ratio, np.exp([-1.5, 0.0, 1.0, 5.0]), rtol=1e-6)
    slope = jax.vmap(jax.grad(lambda e: gumbel_regression(e, beta=2.0, clip=5.0)))(error)
    np.testing.assert_allclose(2.0 * slope, ratio - 1.0, rtol=1e-6, atol=1e-7)


# ---- expectiles ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("share", "expectile", "known"), [(0.5, 0.9, 0.9), (0.1, 0.95, 0.678571)])
def test_expectile_of_a_coin(share, expectile, known):
    with jax.enable_x64(True):
        v = minimiser(expectile_slope, [0.0, 1.0], [1 - share, share], expectile)
    assert v == pytest.approx(expectile * share / (expectile * share + (1 - expectile) * (1 - share)), abs=1e-10)
    assert v == pytest.approx(known, abs=1e-6)


@pytest.mark.parametrize(("expectile", "known"), [(0.7, 0.604356), (0.9, 0.75), (0.95, 0.813395)])
def test_expectile_of_the_uniform(expectile, known):
    x = (np.arange(20_000) + 0.5) / 20_000
    with jax.enable_x64(True):
        assert minimiser(expectile_slope, x, np.full(x.size, 1 / x.size), expectile) == pytest.approx(known, abs=1e-5)


@pytest.mark.parametrize(("expectile", "known"), [(0.7, 0.33712), (0.8, 0.54916), (0.9, 0.86159), (0.95, 1.14017)])
def test_expectile_of_the_normal(expectile, known):
    x = np.linspace(-10.0, 10.0, 20_001)
    weight = np.exp(-(x**2) / 2)
    with jax.enable_x64(True):
        v = minimiser(expectile_slope, x, weight / weight.sum(), expectile)
    assert v == pytest.approx(known, abs=1e-5)


def test_the_half_expectile_is_the_mean():
    x = np.random.default_rng(1).exponential(2.0, 40)
    with jax.enable_x64(True):
        assert minimiser(expectile_slope, x, np.full(40, 1 / 40), 0.5) == pytest.approx(x.mean(), abs=1e-10)
