"""Fitting V: which Q it sees, what the normaliser and extra actions change, and what mini-batches leave of the soft maximum."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize, stats
from toys import Networks, OneValue, TwoCritics, batch

from extremal import XQL
from extremal.core.algorithm import Step
from extremal.core.optimiser import SGD, Adam, Cosine
from extremal.core.types import AgentState
from extremal.networks.heads import Scalar
from extremal.objectives.statistic import Expectile, Gumbel, Mean
from extremal.objectives.value import FitValue, TrackWeight, of_the_others

KEY = jax.random.key(0)
ACTION = [0.0, 1.0, -0.5, 3.0]
GUMBEL = Gumbel(beta=2.0, clip=1.0)
Z = np.asarray(ACTION) / 2.0  # with V = 0: 0, 0.5, -0.25, 1.5


def fit(objective, online, target=None, data=None, key=None):
    """Loss, metrics, and the gradient in every network."""
    target, data = target or online, data or batch(ACTION)
    loss = lambda online: objective(online, target, data, key, {})  # noqa: E731
    (value, metrics), slope = jax.value_and_grad(loss, has_aux=True)(online)
    return float(value), metrics, slope


# ---- statistics ---------------------------------------------------------------------------------------------------


def test_the_weight_of_a_gumbel_is_its_bounded_exponential_and_the_slope_of_its_loss():
    q, head = jnp.asarray(ACTION), jnp.zeros(4)
    np.testing.assert_allclose(GUMBEL.weight(q, head), np.exp(np.minimum(Z, 1.0)), rtol=1e-6)
    slope = jax.vmap(jax.grad(GUMBEL.loss, argnums=1))(q, head)
    np.testing.assert_allclose(slope, (1.0 - GUMBEL.weight(q, head)) / 2.0, rtol=1e-6, atol=1e-7)


def test_the_weight_of_an_expectile_is_the_share_in_its_loss():
    statistic, q, head = Expectile(expectile=0.8), jnp.asarray(ACTION), jnp.full(4, 0.5)
    np.testing.assert_allclose(statistic.weight(q, head), [0.2, 0.8, 0.2, 0.8], rtol=1e-6)
    np.testing.assert_allclose(statistic.loss(q, head), statistic.weight(q, head) * (q - head) ** 2, rtol=1e-6)


@pytest.mark.parametrize("statistic", [GUMBEL, Gumbel(beta=2.0, clip=1.0, batch_max=True), Expectile(expectile=0.8)])
def test_the_value_of_these_statistics_is_the_head_itself(statistic):
    head = jnp.asarray([1.0, -2.0])
    np.testing.assert_array_equal(statistic.value(head), head)


def test_batch_max_is_the_loss_of_the_paper():
    loss = Gumbel(beta=2.0, clip=1.0, batch_max=True).loss(jnp.asarray(ACTION), jnp.zeros(4))
    z = np.clip(Z, -1.0, 1.0)
    np.testing.assert_allclose(loss, np.exp(z - 1.0) - (z + 1.0) * np.exp(-1.0), rtol=1e-5, atol=1e-7)


# ---- the objective ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("above", [-0.5, 0.0, 0.5])
def test_v_is_fitted_to_the_smaller_of_the_slow_critics(above):
    online = Networks(v=OneValue(x=jnp.float32(0.25)), q=TwoCritics(x=jnp.float32(1e3)))
    target = online._replace(q=TwoCritics(x=jnp.float32(0.0), above=jnp.float32(above)))
    loss, metrics, slope = fit(FitValue(statistic=GUMBEL), online, target)
    q = np.asarray(ACTION) + min(above, 0.0)
    z = (q - 0.25) / 2.0
    phi = np.where(z < 1.0, np.exp(z), np.exp(1.0) * z)
    weight = np.exp(np.minimum(z, 1.0))
    assert loss == pytest.approx(np.mean(phi - z - 1.0), rel=1e-5)
    assert float(slope.v.x) == pytest.approx(np.mean(1.0 - weight) / 2.0, rel=1e-4)
    assert float(slope.q.x) == 0.0
    share = weight / np.mean(weight)
    expected = {"mean": 0.25, "advantage": np.mean(q - 0.25), "weight": np.mean(weight)}
    expected |= {
        "kl": np.mean(share * np.log(share)),
        "effective_share": 1 / np.mean(share**2),
        "clipped": np.mean(z >= 1.0),
    }
    assert {name: float(x) for name, x in metrics.items()} == pytest.approx(expected, rel=1e-5)


def test_the_normaliser_scales_the_loss_and_passes_no_gradient():
    online = Networks(log_weight=Scalar(x=jnp.float32(1.5)))
    plain, _, slope = fit(FitValue(statistic=GUMBEL), online)
    objective = FitValue(statistic=GUMBEL, normalised=True)
    loss, _, scaled = fit(objective, online)
    assert loss == pytest.approx(plain * np.exp(-1.5), rel=1e-6)
    assert float(scaled.v.x) == pytest.approx(float(slope.v.x) * np.exp(-1.5), rel=1e-6)
    both = jax.grad(lambda networks: objective(networks, networks, batch(ACTION), None, {})[0])(online)
    assert float(both.log_weight.x) == 0.0
    assert float(both.q.x) != 0.0


def test_track_weight_follows_the_log_of_the_mean_weight():
    online = Networks(log_weight=Scalar(x=jnp.float32(0.5)))
    earlier = {"v/weight": jnp.float32(4.0)}
    loss = lambda online: TrackWeight()(online, online, batch(ACTION), None, earlier)[0]  # noqa: E731
    value, slope = jax.value_and_grad(loss)(online)
    assert float(value) == pytest.approx((0.5 - np.log(4.0)) ** 2 / 2, rel=1e-6)
    assert float(slope.log_weight.x) == pytest.approx(0.5 - np.log(4.0), rel=1e-6)
    assert float(slope.v.x) == 0.0


def test_track_weight_takes_no_logarithm_of_nothing():
    """A mean weight of 0 in float32, as any other below 1, counts as 1."""
    online = Networks(log_weight=Scalar(x=jnp.float32(0.5)))
    for weight in (0.0, 1e-38, 0.9):
        value = TrackWeight()(online, online, batch(ACTION), None, {"v/weight": jnp.float32(weight)})[0]
        assert float(value) == pytest.approx(0.5**2 / 2, rel=1e-6)


# ---- extra actions ------------------------------------------------------------------------------------------------

OUTSIDE = 7.0  # a logged action that no uniform draw from [-1, 1] can be


def logged(observation, action):
    inside = jnp.where(jnp.abs(action[:, 0]) <= 1.0, 0.0, jnp.nan)
    return jnp.where(action[:, 0] == OUTSIDE, 2.0, inside)


def test_extra_actions_lie_in_the_unit_box_and_count_as_many_times_as_they_are():
    online = Networks(q=TwoCritics(function=logged))
    objective = FitValue(statistic=GUMBEL, random_actions=3)
    loss, metrics, _ = fit(objective, online, data=batch([OUTSIDE] * 4), key=KEY)
    assert loss == pytest.approx((np.e - 2.0) / 4, rel=1e-5)  # z = 1 once, z = 0 (no loss) three times
    assert float(metrics["weight"]) == pytest.approx(np.e, rel=1e-5)  # metrics tell of the data alone
    without, _, _ = fit(objective, online, data=batch([OUTSIDE] * 4))
    assert without == pytest.approx(np.e - 2.0, rel=1e-5)


def test_extra_actions_too_are_valued_by_the_lower_critic():
    q = TwoCritics(above=-0.5, function=lambda observation, action: 0.0 * action[:, 0])
    networks = Networks(v=OneValue(x=jnp.zeros(())), q=q)
    loss, _ = FitValue(statistic=Mean(), random_actions=3)(networks, networks, batch([0.3, -0.2]), KEY, {})
    assert float(loss) == pytest.approx(0.25)


def test_extra_actions_are_uniform():
    square = TwoCritics(function=lambda observation, action: (action[:, 0] - 1.0) ** 2)
    objective = FitValue(statistic=Expectile(expectile=0.5), random_actions=20)
    loss, _, _ = fit(objective, Networks(q=square), data=batch(np.ones(500)), key=KEY)
    # With V = 0 the loss is E (a - 1)^4 / 2 = 1.6 over uniform draws, and 0 for the data's own a = 1.
    assert loss == pytest.approx(1.6 * 20 / 21, rel=0.053)  # four standard errors of 10,000 draws


def test_extra_actions_keep_to_their_states():
    states = np.arange(5.0)[:, None]
    here = TwoCritics(function=lambda observation, action: observation[:, 0])
    online = Networks(v=lambda observation: observation[:, 0], q=here)
    objective = FitValue(statistic=GUMBEL, random_actions=3)
    data = batch(np.zeros(5), observation=states)
    assert float(objective(online, online, data, KEY, {})[0]) == 0.0  # each Q meets the V of its own state


def test_the_draws_follow_the_key():
    objective = FitValue(statistic=GUMBEL, random_actions=2)
    one, two, again = (fit(objective, Networks(), key=jax.random.key(k))[0] for k in (0, 1, 0))
    assert one == again != two


# ---- mini-batches -------------------------------------------------------------------------------------------------

ADAM = Adam(learning_rate=1e-3)
BETA = 1 / 3  # of Q ~ N(0, 1): the soft maximum is 1 / (2 beta) = 1.5


def course(statistic, *, by=None, updates, keys, start=1.2, adam=ADAM, size=256, of=lambda normal: normal):
    """[keys, updates] V fitted to fresh batches of Qs, which are a function `of` normals, by Adam."""
    fit_value = FitValue(statistic=statistic, normalised=by == "running", others=by == "others")
    steps = [Step(trains="v", objective=fit_value, optimiser=adam)]
    if by == "running":
        steps.append(Step(trains="log_weight", objective=TrackWeight(), optimiser=SGD(learning_rate=0.01)))
    online = Networks(v=OneValue(x=jnp.float32(start)))
    optimiser = {s.label: s.optimiser.transform().init(getattr(online, s.trains)) for s in steps}

    def train(key):
        def update(state, index):
            data, metrics = batch(of(jax.random.normal(jax.random.fold_in(key, index), (size,)))), {}
            for step in steps:
                state, found = step.take(state, data, key, metrics)
                metrics |= found
            return state, state.online.v.x

        first = AgentState(online=online, target={}, optimiser=optimiser)
        return jax.lax.scan(update, first, jnp.arange(updates))[1]

    return np.asarray(jax.jit(jax.vmap(train))(jax.random.split(KEY, keys)))


def settled(statistic, *, updates, **options):
    """The mean over the last third of the updates and the keys."""
    return float(np.mean(course(statistic, updates=updates, **options)[:, -(updates // 3) :]))


estimators = pytest.mark.parametrize(
    ("statistic", "by", "value"),
    [
        (Gumbel(beta=BETA, clip=jnp.inf), "others", 1.5),
        (Gumbel(beta=BETA, clip=jnp.inf), "running", 1.5),
        (Gumbel(beta=BETA, clip=jnp.inf), None, 1.5),
        (Gumbel(beta=BETA, clip=8.0), "others", 1.472),  # what the tangent beyond the default clip costs
        (Gumbel(beta=BETA, clip=7.0, batch_max=True), None, 1.272),
        (Gumbel(beta=BETA, clip=7.0, batch_max=True, clamp="above"), None, 1.22),
    ],
    ids=["other rows", "running normaliser", "plain", "default clip", "batch maximum", "clamped from above"],
)


@estimators
def test_what_mini_batches_leave_of_the_soft_maximum_in_short(statistic, by, value):
    assert settled(statistic, by=by, updates=12_000, keys=1) == pytest.approx(value, abs=0.02)


@pytest.mark.slow
@estimators
def test_what_mini_batches_leave_of_the_soft_maximum(statistic, by, value):
    assert settled(statistic, by=by, updates=30_000, keys=2) == pytest.approx(value, abs=0.01)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("far", [-1e3, 1e3])
def test_from_a_thousand_beta_away_v_comes_to_the_closed_form_and_does_not_turn_back(scale, far):
    """Beta 1, and Qs of which 1 in 10 is better by `scale`, less 1000."""
    exact = np.logaddexp(np.log(0.9), np.log(0.1) + scale) - 1000.0
    settings = XQL()
    assert settings.normaliser == "others"
    (v,) = course(
        Gumbel(beta=settings.beta, clip=settings.clip),
        by="others",
        updates=4000,
        keys=1,
        start=exact + far,
        adam=Adam(learning_rate=1.0, schedule=Cosine(horizon=4000.0)),
        of=lambda normal: jnp.where(normal > float(stats.norm.isf(0.1)), scale, 0.0) - 1000.0,
    )
    assert np.isfinite(v).all()
    distance = np.abs(v - exact)
    on_its_way = distance[: np.argmax(distance < 20.0)]
    assert len(on_its_way) > 500
    assert (np.diff(on_its_way) < 0.0).all()
    assert np.mean(v[-200:]) == pytest.approx(exact, abs=0.2)  # four deviations of what it still sways by


@pytest.mark.slow
def test_a_running_average_comes_too_late():
    """From 30 beta below, in steps of 0.03: slopes of exp(clip), before the average knows of them, stay in Adam's second moment."""

    def settles(by):
        (v,) = course(
            Gumbel(beta=1.0, clip=8.0), by=by, updates=12_000, keys=1, start=-30.0, adam=Adam(learning_rate=0.03)
        )
        smooth = np.convolve(v, np.full(50, 0.02), "valid")
        return int(np.flatnonzero(np.abs(smooth - 0.5) > 0.3)[-1]) + 1

    assert settles("others") < 1200  # 1,000 steps is the way itself
    assert settles("running") > 6000


def test_the_others_of_a_batch_are_what_its_rows_are_not_in():
    weight = np.arange(24.0, dtype=np.float32)  # eighths of three rows: their sums are 3, 12, 21, ..., 66
    sums = np.arange(3.0, 67.0, 9.0)
    np.testing.assert_allclose(of_the_others(jnp.asarray(weight)), np.repeat((276.0 - sums) / 21.0, 3), rtol=1e-6)
    several = jnp.asarray(np.stack([weight - 1.0, weight + 1.0]))  # actions a state: all of a row count together
    np.testing.assert_allclose(of_the_others(several), of_the_others(jnp.asarray(weight)), rtol=1e-6)
    np.testing.assert_allclose(of_the_others(jnp.asarray([1.0, 3.0, 5.0])), [4.0, 3.0, 2.0])
    np.testing.assert_allclose(of_the_others(jnp.asarray([0.0, 0.0, 0.1, 1e-9])), 1.0)
    np.testing.assert_array_equal(of_the_others(jnp.asarray([4.0])), [1.0])
    ten = of_the_others(jnp.asarray([1e30, *np.ones(9)], jnp.float32))  # no difference of large numbers
    np.testing.assert_allclose(ten[:1], 1.0)


def test_each_row_s_loss_is_divided_by_the_weights_of_others_and_these_pass_no_gradient():
    objective = FitValue(statistic=GUMBEL, others=True)
    loss, _, slope = fit(objective, Networks())
    weight, phi = np.exp(np.minimum(Z, 1.0)), np.where(Z < 1.0, np.exp(Z), np.e * Z)
    scale = (weight.sum() - weight) / 3
    assert loss == pytest.approx(np.mean((phi - Z - 1.0) / scale), rel=1e-5)
    assert float(slope.v.x) == pytest.approx(np.mean((1.0 - weight) / scale) / 2.0, rel=1e-5)


def test_the_bias_of_the_batch_maximum_is_that_of_its_slope():
    """In NumPy: V where the slope is zero on average; 1.272 for the paper's two clamps, 1.22 with the upper one alone."""
    q = np.random.default_rng(0).normal(size=(5000, 256))

    def slope(v, low):
        z = (q - v) / BETA
        inside = (z > low) & (z < 7.0)
        z = np.clip(z, low, 7.0)
        peak = np.maximum(z.max(axis=1, keepdims=True), -1.0)
        return np.mean(inside * (np.exp(z - peak) - np.exp(-peak)))

    assert optimize.brentq(slope, 1.0, 1.5, args=(-7.0,), xtol=1e-4) == pytest.approx(1.272, abs=0.01)
    assert optimize.brentq(slope, 1.0, 1.5, args=(-np.inf,), xtol=1e-4) == pytest.approx(1.22, abs=0.01)
