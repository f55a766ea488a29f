"""Divergences of a policy from a model of the behaviour: closed forms, slopes, and the critic that is trained for the dual forms."""

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toys import batch

from extremal.core.record import record, static
from extremal.distributions import Gaussian, TanhGaussian
from extremal.networks.autoregressive import Autoregressive
from extremal.networks.heads import Scalar
from extremal.networks.table import PolicyTable
from extremal.objectives.divergence import KL, MMD, Adaptive, Dual, FitDiscriminator, Fixed

KEY = jax.random.key(4)
ROWS = 2000
OBSERVATION = jnp.zeros((ROWS, 1))


class Networks(NamedTuple):
    pi: Any = None
    behaviour: Any = None
    discriminator: Any = None
    log_multiplier: Any = Scalar(x=jnp.zeros(()))


@record
class Normal:
    """tanh of N(mean, exp(log_std)), or that itself."""

    mean: Any  # []
    log_std: Any = math.log(0.2)
    squashed: bool = static(default=True)

    def __call__(self, observation):
        shape = (observation.shape[0], 1)
        kind = TanhGaussian if self.squashed else Gaussian
        return kind(jnp.broadcast_to(self.mean, shape), jnp.broadcast_to(self.log_std, shape))


def networks(mean=0.0, **more):
    return Networks(behaviour=Normal(mean=jnp.float32(mean)), **more)


def value_and_slope(divergence, means, constant):
    """Of the mean over the rows, for each of the policy's means; one compilation."""
    loss = lambda mean: jnp.mean(divergence(Normal(mean=mean), constant, OBSERVATION, KEY))  # noqa: E731
    return map(np.asarray, jax.jit(jax.vmap(jax.value_and_grad(loss)))(jnp.asarray(means, jnp.float32)))


def rows_of(divergence, policy, constant):
    return np.asarray(jax.jit(lambda: divergence(policy, constant, OBSERVATION, KEY))())


def test_kl_of_two_squashed_normals_is_that_before_tanh_and_finite_at_the_edge():
    """(m - m')^2 / (2 s^2) with the slope (m - m') / s^2; the log ratio has the deviation |m - m'| / s.

    At a mean of 12 every action is 1 in float32; the behaviour's density is taken inside of that.
    """
    value, slope = value_and_slope(KL(samples=8), [0.15, 12.0], networks())
    assert value[0] == pytest.approx(0.15**2 / (2 * 0.2**2), abs=4 * 0.75 / math.sqrt(8 * ROWS))
    assert slope[0] == pytest.approx(0.15 / 0.2**2, abs=4 * 5.0 / math.sqrt(8 * ROWS))
    assert 0.0 < value[1] < 1e3
    assert np.isfinite(slope[1])


def test_bins_tell_kl_how_far_away_a_policy_is_but_not_where_to_go():
    """A density that is constant within a bin has no slope: what is left is the policy's own entropy."""
    sizes = {"width": 4, "depth": 1, "head_width": 4, "head_depth": 1, "bins": 8}
    model = jax.tree.map(
        lambda x: x + jnp.linspace(0.0, 1.0, x.size).reshape(x.shape), Autoregressive.init(KEY, 1, 1, **sizes)
    )

    def loss(mean, temperature, model, observation):
        constant = Networks(behaviour=lambda observation: model(observation).tempered(temperature))
        return jnp.mean(KL(samples=4)(Normal(mean=mean), constant, observation, KEY))

    many = jax.jit(jax.vmap(jax.value_and_grad(loss), (0, 0, None, None)))
    mean, temperature = jnp.asarray([0.3, 0.9, 0.3, 0.9]), jnp.asarray([1.0, 1.0, jnp.inf, jnp.inf])
    value, slope = map(np.asarray, many(mean, temperature, model, OBSERVATION[:200]))
    np.testing.assert_allclose(slope[:2], slope[2:], rtol=1e-6)  # as beside a uniform behaviour
    assert abs((value[1] - value[0]) - (value[3] - value[2])) > 0.1


def test_kl_of_discrete_actions_is_exact_and_needs_no_luck():
    policy, behaviour = (
        PolicyTable(logits=jnp.log(jnp.asarray([share]))) for share in ([0.1, 0.9, 0.0], [0.5, 0.3, 0.2])
    )
    constant = Networks(behaviour=behaviour)
    for key in (KEY, jax.random.key(7)):
        found = KL()(policy, constant, jnp.ones((3, 1)), key)
        np.testing.assert_allclose(found, 0.1 * math.log(0.2) + 0.9 * math.log(3.0), rtol=1e-5)


@pytest.mark.parametrize("kernel", ["gaussian", "laplacian"])
def test_mmd_grows_with_the_distance_and_its_slope_leads_back(kernel):
    divergence = MMD(samples=5, scale=0.5, kernel=kernel, unbiased=True)
    value, slope = value_and_slope(divergence, [0.0, 1.0, -1.0], networks())
    assert abs(value[0]) < 0.005 < 0.05 < value[1]  # unbiased: 0 of the same distribution
    assert slope[2] < -0.01 < 0.01 < slope[1]


def test_mmd_before_tanh_is_that_of_the_normals():
    """The closed form of B2 with sigma = 0.5, deviations 0.2 and means 0.4 apart, where tanh bends; the root is the root of each row."""
    scale, spread = 0.5, 2 * 0.2**2
    within, between = (
        math.sqrt(scale / (scale + spread)) * math.exp(-(d**2) / (2 * (scale + spread))) for d in (0.0, 0.4)
    )
    given = {"samples": 6, "scale": scale, "kernel": "gaussian", "before_tanh": True}
    policy = Normal(mean=jnp.float32(1.4))
    found = rows_of(MMD(unbiased=True, **given), policy, networks(1.0))
    assert found.mean() == pytest.approx(2 * (within - between), abs=4 * float(found.std()) / ROWS**0.5)
    squared, rooted = (rows_of(MMD(rooted=r, **given), policy, networks(1.0)) for r in (False, True))
    np.testing.assert_allclose(rooted, np.sqrt(squared + 1e-6), rtol=1e-5)


def test_before_tanh_a_policy_at_the_edge_still_feels_the_way_back():
    """At a mean of 2.5 the squashed actions are 0.99, at 10 they are 1: the slope dies, but not that before tanh."""
    squashed, before = (
        list(value_and_slope(MMD(samples=4, scale=20.0, before_tanh=b), [2.5, 10.0], networks(1.5)))[1]
        for b in (False, True)
    )
    assert 0.0 < 5.0 * squashed[0] < before[0]
    assert abs(squashed[1]) < 1e-6 < 0.5 * before[0] < before[1]


# ---- the dual forms -----------------------------------------------------------------------------------------------


@record
class Line:
    """f(s, a) = slope a + level, as an ensemble of one critic."""

    slope: Any
    level: Any = 0.0

    def __call__(self, observation, action):
        return (self.slope * action[:, 0] + self.level)[None]


def test_the_dual_forms_of_a_line():
    """Wasserstein: slope times the distance of the means. KL of a critic that says g = 1: nothing."""
    constant = networks(discriminator=Line(slope=-2.0))
    tanh = lambda mean: np.tanh(mean + 0.2 * np.random.default_rng(0).normal(size=400_000)).mean()  # noqa: E731
    value, slope = value_and_slope(Dual(form="wasserstein", samples=20), [-0.5], constant)
    assert value[0] == pytest.approx(-2.0 * (tanh(-0.5) - tanh(0.0)), abs=4 * 2 * 0.3 / math.sqrt(20 * ROWS))
    assert slope[0] < 0.0  # back to the behaviour
    flat = networks(discriminator=Line(slope=0.0, level=math.log(math.e - 1.0)))
    np.testing.assert_allclose(rows_of(Dual(form="kl"), Normal(mean=jnp.float32(0.5)), flat), 0.0, atol=1e-6)


@partial(jax.jit, static_argnames="form")
def fitted(form, mean, slope_weight, steps):
    """A line that is trained for so many steps of plain gradient descent, and what is then told of it."""
    objective = FitDiscriminator(divergence=Dual(form=form, samples=2), slope_weight=slope_weight)
    pi, rows = Normal(mean=mean, squashed=False), batch(np.zeros(500))
    constant = Networks(pi=pi, behaviour=Normal(mean=jnp.float32(0.0), squashed=False))

    def told(line, key):
        return objective(constant._replace(discriminator=line), constant, rows, key, {})

    def step(number, line):
        slope = jax.grad(lambda line: told(line, jax.random.fold_in(KEY, number))[0])(line)
        return jax.tree.map(lambda x, g: x - 0.1 * g, line, slope)

    line = jax.lax.fori_loop(0, steps, step, Line(slope=jnp.float32(0.1), level=jnp.float32(0.5)))
    return line, told(line, jax.random.key(99))[1]


def test_the_trained_line_of_wasserstein_is_as_steep_as_the_penalty_lets_it():
    """1 + distance / (2 slope_weight), down towards the policy: means 0.3 apart, and a slope of -1.03."""
    line, told = fitted("wasserstein", -0.3, 5.0, 200)
    assert float(line.slope) == pytest.approx(-1.03, abs=0.01)
    assert float(told["divergence"]) == pytest.approx(0.3 * 1.03, abs=0.02)
    assert float(told["excess"]) == pytest.approx(0.03**2, abs=5e-4)


@record
class Bowl:
    """f(s, a) = 1.5 a^2, whose slope is 3 a."""

    def __call__(self, observation, action):
        return (1.5 * action[:, 0] ** 2)[None]


def test_slopes_are_taken_at_places_between_an_action_of_each():
    point = lambda at: Normal(mean=jnp.float32(at), log_std=-30.0, squashed=False)  # noqa: E731
    online = Networks(pi=point(0.9), behaviour=point(-0.6), discriminator=Bowl())
    objective = FitDiscriminator(divergence=Dual(form="wasserstein"), slope_weight=5.0)
    loss, told = objective(online, online, batch(np.zeros(50)), KEY, {})
    _, place = jax.random.split(KEY)
    at = 0.9 - 1.5 * np.asarray(jax.random.uniform(place, (1, 50, 1)), np.float64)
    excess = np.mean(np.maximum(np.abs(3 * at) - 1, 0.0) ** 2)
    apart = 1.5 * (0.9**2 - 0.6**2)
    assert float(told["excess"]) == pytest.approx(excess, rel=1e-4)
    assert float(loss) == pytest.approx(5.0 * excess - apart, rel=1e-4)


def test_the_penalty_keeps_the_dual_of_kl_flat_and_without_it_it_comes_near_to_kl():
    """KL = 0.3^2 / (2 0.2^2) = 1.125; what a critic with a slope of about 1 can tell of it is less."""
    _, free = fitted("kl", -0.3, 0.0, 1000)
    line, bound = fitted("kl", -0.3, 5.0, 200)
    assert 0.05 < float(bound["divergence"]) < float(free["divergence"]) < 1.125 + 0.1
    assert float(free["divergence"]) > 0.6
    assert abs(float(line.slope)) < 1.5


def test_everything_runs_in_one_program_over_seeds_and_settings():
    """Under jit and vmap; without a key the same draws each time."""
    online = networks(0.0, pi=Normal(mean=jnp.float32(0.5)), discriminator=Line(slope=2.0))
    rows = batch(np.zeros(16))

    def all_of(key, scale, weight):
        found = [d(online.pi, online, rows.observation, key) for d in (KL(), MMD(scale=scale), Dual(form="kl"))]
        fit = FitDiscriminator(divergence=Dual(form="kl"), slope_weight=weight)
        loss, _ = fit(online, online, rows, key, {})
        return jnp.stack(found), loss, fit(online, online, rows, None, {})[1]["divergence"]

    keys, swept = jax.random.split(KEY, 2), jnp.asarray([0.5, 5.0])
    run = jax.jit(jax.vmap(all_of))
    many, turned = run(keys, swept, swept), run(keys[::-1], swept[::-1], swept[::-1])
    for a, b in zip(many, turned, strict=True):
        np.testing.assert_array_equal(a, b[::-1])
    assert np.abs(np.asarray(many[0][0] - many[0][1])).max() > 1e-3
    assert float(many[2][0]) == float(many[2][1])


# ---- weights ------------------------------------------------------------------------------------------------------


def test_a_weight_is_fixed_or_the_exponential_within_its_bounds():
    assert float(Fixed(weight=2.5)(networks())) == 2.5
    tuned = lambda x: Networks(log_multiplier=Scalar(x=jnp.float32(x)))  # noqa: E731
    assert float(Adaptive()(tuned(math.log(3.0)))) == pytest.approx(3.0)
    bounded = Adaptive(least=math.exp(-5.0), largest=500.0)
    assert float(bounded(tuned(-80.0))) == pytest.approx(math.exp(-5.0))
    assert float(bounded(tuned(80.0))) == pytest.approx(500.0, rel=1e-5)
