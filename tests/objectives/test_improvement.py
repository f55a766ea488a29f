"""How a policy improves: each objective against the policy that is known to minimise it (rows A1, A3 and G8)."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize, stats
from toys import Networks as Implicit
from toys import OneAction, OnePolicy, OneValue, SquashedPolicy, TwoCritics, batch

from extremal.core.record import record
from extremal.distributions import Gaussian, TanhGaussian
from extremal.networks.heads import Scalar
from extremal.networks.table import PolicyTable
from extremal.objectives.actor import (
    DeterministicImprovement,
    RegularisedImprovement,
    SoftCloning,
    SoftImprovement,
    TuneEntropy,
)
from extremal.objectives.policy import OwnAdvantageCloning
from extremal.objectives.statistic import Gumbel
from extremal.objectives.value import FitValue

KEY = jax.random.key(5)
ROWS = 20_000


class Networks(NamedTuple):
    pi: Any
    q: Any
    log_alpha: Any = Scalar(x=jnp.log(0.3))
    behaviour: Any = None


@record
class Narrow:
    """N(mean, exp(log_std)) in every state."""

    mean: Any
    log_std: Any

    def __call__(self, observation, *, dropout=None, key=None):
        shape = (observation.shape[0], 1)
        return Gaussian(jnp.broadcast_to(self.mean, shape), jnp.broadcast_to(self.log_std, shape))


def fit(objective, online, target, data, *, metrics=None, key=KEY):
    loss = lambda online: objective(online, target, data, key, metrics or {})  # noqa: E731
    (value, told), slope = jax.value_and_grad(loss, has_aux=True)(online)
    return float(value), {name: float(x) for name, x in told.items()}, slope


def divergence(mean, deviation, other, width):
    """KL of two normals, and its slopes in the mean and in the logarithm of the deviation of the first."""
    value = np.log(width / deviation) + (deviation**2 + (mean - other) ** 2) / (2 * width**2) - 0.5
    return value, (mean - other) / width**2, deviation**2 / width**2 - 1


# ---- SAC ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mean", "deviation"), [(0.2, 0.5), (0.5, 0.5), (0.2, 0.3)])
def test_the_policy_that_sac_wants_is_exp_q_over_alpha(mean, deviation):
    """With Q = alpha log density of tanh N(0.2, 0.5) the loss is alpha times the divergence from it, which tanh keeps."""
    best = TanhGaussian(jnp.full((1, 1), 0.2), jnp.full((1, 1), np.log(0.5)))
    q = TwoCritics(above=0.7, function=lambda observation, action: 0.3 * best.log_prob(action))
    pi = SquashedPolicy(mean=jnp.full(1, mean), log_std=jnp.full(1, np.log(deviation)))
    networks = Networks(pi=pi, q=q)
    loss, metrics, slope = fit(SoftImprovement(), networks, networks, batch(np.zeros(ROWS)))
    value, in_mean, in_log_std = divergence(mean, deviation, 0.2, 0.5)
    error = 5 * 0.3 * 2.0 / ROWS**0.5  # the log ratio and its slopes deviate by less than 2
    assert loss == pytest.approx(0.3 * value, abs=error)
    assert float(slope.pi.mean[0]) == pytest.approx(0.3 * in_mean, abs=error)
    assert float(slope.pi.log_std[0]) == pytest.approx(0.3 * in_log_std, abs=error)
    assert loss == pytest.approx(0.3 * metrics["log_prob"] - metrics["q"], rel=1e-4, abs=1e-6)


def test_the_lower_critic_is_the_one_that_counts():
    action = OneAction(action=jnp.full(1, 0.25))
    squashed = SquashedPolicy(mean=jnp.arctanh(action.action), log_std=jnp.full(1, -20.0))
    for above, lower in ((0.7, 0.25), (-0.7, -0.45)):
        networks = Networks(pi=squashed, q=TwoCritics(above=above))
        assert fit(SoftImprovement(), networks, networks, batch([0.0]))[1]["q"] == pytest.approx(lower, abs=1e-5)


def test_a_warm_start_goes_to_the_logged_actions_and_keeps_its_entropy():
    """alpha log pi(a') - log pi(a) of tanh N(m, s): with u before tanh, log pi = -z^2 / 2 - log s - log(1 - tanh(u)^2)."""
    m, s, alpha = 0.2, 0.5, 0.3
    logged = np.asarray([0.9, -0.5, 0.1, 0.6])
    pi = SquashedPolicy(mean=jnp.full(1, m), log_std=jnp.full(1, np.log(s)))
    networks = Networks(pi=pi, q=None)
    loss, metrics, slope = fit(SoftCloning(), networks, networks, batch(logged))

    noise = np.asarray(jax.random.normal(KEY, (4, 1)), np.float64)[:, 0]
    own = np.tanh(m + s * noise)
    density = lambda z, action: -(z**2) / 2 - np.log(s) - np.log(2 * np.pi) / 2 - np.log(1 - action**2)  # noqa: E731
    z = (np.arctanh(logged) - m) / s
    expected = {"log_prob": density(noise, own).mean(), "cloned": density(z, logged).mean()}
    assert metrics == pytest.approx(expected, rel=1e-4)
    assert loss == pytest.approx(alpha * expected["log_prob"] - expected["cloned"], rel=1e-4)
    in_mean = alpha * np.mean(2 * own) - np.mean(z / s)
    in_log_std = alpha * np.mean(2 * own * s * noise - 1) - np.mean(z**2 - 1)
    assert float(slope.pi.mean[0]) == pytest.approx(in_mean, rel=1e-4)
    assert float(slope.pi.log_std[0]) == pytest.approx(in_log_std, rel=1e-4)


@pytest.mark.parametrize(("log_prob", "sign"), [(-1.5, 1), (-2.5, -1), (-2.0, 0)])
def test_the_weight_of_entropy_falls_where_there_is_more_than_asked_for(log_prob, sign):
    networks = Networks(pi=None, q=None)
    earlier = {"pi/log_prob": jnp.float32(log_prob)}
    loss, metrics, slope = fit(TuneEntropy(target=2.0), networks, networks, batch([0.0]), metrics=earlier)
    assert loss == pytest.approx(-0.3 * (log_prob + 2.0))
    assert float(slope.log_alpha.x) == pytest.approx(loss)
    assert np.sign(-loss) == sign  # alpha grows against its slope: where the entropy -log_prob is below 2
    assert metrics["entropy_weight"] == pytest.approx(0.3)


# ---- TD3 and TD3+BC -----------------------------------------------------------------------------------------------

GOAL = TwoCritics(above=-5.0, function=lambda observation, action: -((action[:, 0] - 1.0) ** 2))


def test_td3_follows_the_first_critic():
    networks = Networks(pi=OneAction(action=jnp.full(1, 0.5)), q=GOAL)
    loss, metrics, slope = fit(DeterministicImprovement(), networks, networks, batch([0.0, 0.2]))
    assert (loss, float(slope.pi.action[0])) == pytest.approx((0.25, -1.0))
    assert metrics == pytest.approx({"q": -0.25, "distance": (0.25 + 0.09) / 2})


@pytest.mark.parametrize(("logged", "weight"), [(0.0, 1.0), (0.0, 0.25), (0.5, 0.5)])
def test_a3_td3bc_stands_between_the_logged_action_and_the_best(logged, weight):
    """For Q = -(pi - 1)^2: pi = (a + w) / (1 + w), where w = cloning / mean |Q| is a constant of the loss."""
    best = (logged + weight) / (1 + weight)
    cloning = weight * (1 - best) ** 2
    for action in (best, best - 0.02, best + 0.02):
        networks = Networks(pi=OneAction(action=jnp.full(1, action)), q=GOAL)
        loss, metrics, slope = fit(DeterministicImprovement(cloning=cloning), networks, networks, batch([logged]))
        assert metrics == pytest.approx({"q": -((action - 1) ** 2), "distance": (action - logged) ** 2}, rel=1e-4)
        assert loss == pytest.approx(cloning + (action - logged) ** 2, rel=1e-4)
        in_action = 2 * cloning / (action - 1) ** 2 * (action - 1) + 2 * (action - logged)
        assert float(slope.pi.action[0]) == pytest.approx(in_action, abs=1e-4)
        assert action != best or in_action == pytest.approx(0.0, abs=1e-9)


def test_td3bc_divides_by_the_mean_magnitude_of_q_and_not_by_that_of_its_mean():
    """Q = s a in the states 2, -1, 0.5: mean |Q| is 7/6 |a| and mean Q is a / 2."""
    states, logged, action, cloning = np.asarray([2.0, -1.0, 0.5]), np.asarray([0.4, -0.2, 0.1]), 0.6, 2.5
    q = TwoCritics(above=-5.0, function=lambda observation, action: observation[:, 0] * action[:, 0])
    networks = Networks(pi=OneAction(action=jnp.full(1, action)), q=q)
    rows = batch(logged, observation=states[:, None])
    loss, metrics, slope = fit(DeterministicImprovement(cloning=cloning), networks, networks, rows)
    values, apart = states * action, action - logged
    scale = cloning / np.abs(values).mean()
    assert abs(values.mean()) < 0.5 * np.abs(values).mean()
    assert metrics == pytest.approx({"q": values.mean(), "distance": np.mean(apart**2)}, rel=1e-5)
    assert loss == pytest.approx(-scale * values.mean() + np.mean(apart**2), rel=1e-5)
    assert float(slope.pi.action[0]) == pytest.approx(-scale * states.mean() + 2 * apart.mean(), rel=1e-4)


# ---- AWAC ---------------------------------------------------------------------------------------------------------

LOGGED = np.asarray([0.0, 1.0, -0.5, 0.75])
SLOW = TwoCritics(function=lambda observation, action: -action[:, 0])  # AWAC's weights do not look at it


@pytest.mark.parametrize("own", [0.25, 3.0])
@pytest.mark.parametrize("softmax", [False, True])
def test_awac_clones_by_how_far_an_action_surpasses_the_policys_own(softmax, own):
    online = Networks(pi=OnePolicy(mean=jnp.full(1, 0.3)), q=TwoCritics(above=jnp.float32(-0.5)))
    target = Networks(pi=OneAction(action=jnp.full(1, own)), q=SLOW)
    objective = OwnAdvantageCloning(inverse_temperature=2.0, max_weight=2.0, batch_softmax=softmax)
    loss, metrics, slope = fit(objective, online, target, batch(LOGGED))
    advantage = LOGGED - min(own, 1.0)
    weight = np.exp(2.0 * advantage)
    weight = weight / weight.mean() if softmax else np.minimum(weight, 2.0)
    log_prob = stats.norm(0.3, 1.0).logpdf(LOGGED)
    assert loss == pytest.approx(-np.mean(weight * log_prob), rel=1e-5)
    assert float(slope.pi.mean[0]) == pytest.approx(-np.mean(weight * (LOGGED - 0.3)), rel=1e-4)
    assert (float(slope.q.x), float(slope.q.above)) == (0.0, 0.0)
    share = weight.sum() ** 2 / (weight**2).sum() / 4
    expected = {"log_prob": log_prob.mean(), "weight": weight.mean(), "advantage": advantage.mean()}
    expected |= {"effective_share": share} | ({} if softmax else {"at_bound": np.mean(weight >= 2.0)})
    assert metrics == pytest.approx(expected, rel=1e-5)
    shifted = online._replace(q=TwoCritics(x=jnp.float32(20.0), above=jnp.float32(-0.5)))
    assert fit(objective, shifted, target, batch(LOGGED))[0] == pytest.approx(loss, rel=1e-4)


@pytest.mark.parametrize("softmax", [False, True])
def test_a1_awac_on_a_bandit(softmax):
    """Q = (0, 1, 3) under (0.5, 0.3, 0.2): the soft policy; cloning where weights are equal; the best where they are not."""
    behaviour, soft = (0.5, 0.3, 0.2), (0.093763, 0.152925, 0.753312)
    q = lambda observation, action: (action @ jnp.asarray([0.0, 1.0, 3.0]))[None]  # noqa: E731
    with jax.enable_x64(True):
        target = Networks(pi=OneAction(action=jnp.eye(3)[1]), q=q)
        rows = jnp.eye(3)[np.repeat(np.arange(3), [5, 3, 2])]
        data = batch(np.zeros(10))._replace(action=rows, observation=jnp.ones((10, 1)))

        def cloned(inverse_temperature):
            objective = OwnAdvantageCloning(
                inverse_temperature=inverse_temperature, max_weight=1e30, batch_softmax=softmax
            )
            loss = lambda x: objective(Networks(pi=PolicyTable(logits=x[None]), q=q), target, data, None, {})[0]  # noqa: E731
            both = jax.jit(jax.value_and_grad(loss))
            scale = float(both(np.zeros(3))[0])  # weights of very different sizes end at one tolerance
            found = optimize.minimize(
                lambda x: tuple(np.asarray(y) / scale for y in both(x)), np.zeros(3), jac=True, options={"gtol": 1e-9}
            )
            return np.asarray(jax.nn.softmax(found.x))

        np.testing.assert_allclose(cloned(1.0), soft, atol=1e-6)
        np.testing.assert_allclose(cloned(1e-4), behaviour, atol=1e-3)
        np.testing.assert_allclose(cloned(20.0), (0.0, 0.0, 1.0), atol=1e-3)


# ---- Onestep ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mean", "deviation"), [(0.2, 0.005**0.5), (0.25, 0.1), (0.1, 0.05)])
def test_reverse_kl_wants_the_behaviour_times_exp_q(mean, deviation):
    """N(0.1, 0.1) and Q = -(a - 0.3)^2 / 2 at an inverse temperature of 100: N(0.2, sqrt 0.005)."""
    square = lambda observation, action: -((action[:, 0] - 0.3) ** 2) / 2  # noqa: E731
    behaviour = Narrow(mean=jnp.float32(0.1), log_std=jnp.log(0.1))
    pi = Narrow(mean=jnp.float32(mean), log_std=jnp.log(jnp.float32(deviation)))
    online = Networks(pi=pi, q=SLOW, behaviour=None)
    target = Networks(pi=None, q=TwoCritics(above=0.1, function=square), behaviour=behaviour)
    objective = RegularisedImprovement(inverse_temperature=100.0)
    loss, metrics, slope = fit(objective, online, target, batch(np.zeros(ROWS)))
    apart, in_mean, in_log_std = divergence(mean, deviation, 0.1, 0.1)
    error = lambda x: 5 * x / ROWS**0.5  # noqa: E731
    assert metrics["divergence"] == pytest.approx(apart, abs=error(2.0))
    q = -((mean - 0.3) ** 2 + deviation**2) / 2
    assert metrics["q"] == pytest.approx(q, abs=error(0.03))
    assert loss == pytest.approx(apart - 100.0 * q, abs=error(3.0))
    in_mean, in_log_std = in_mean + 100.0 * (mean - 0.3), in_log_std + 100.0 * deviation**2
    assert float(slope.pi.mean) == pytest.approx(in_mean, abs=error(20.0))
    assert float(slope.pi.log_std) == pytest.approx(in_log_std, abs=error(4.0))
    if mean == 0.2:
        assert (in_mean, in_log_std) == pytest.approx((0.0, 0.0), abs=1e-6)


def test_an_action_out_of_range_is_scored_at_the_edge():
    away = Narrow(mean=jnp.float32(3.0), log_std=jnp.float32(-9.0))
    networks = Networks(pi=away, q=TwoCritics(above=0.5), behaviour=away)
    _, metrics, _ = fit(RegularisedImprovement(inverse_temperature=1.0), networks, networks, batch([0.0]))
    assert metrics == {"divergence": 0.0, "q": 1.0}


# ---- X-SAC's value ------------------------------------------------------------------------------------------------


def test_g8_the_gumbel_value_of_a_normal_policy():
    """Q = -(a - m)^2 / 2 of actions from N(m + 1, 1) at beta 1: V = -log(2) / 2 - 1 / 4 is where the slope is zero."""
    value, m = -np.log(2.0) / 2 - 0.25, 0.4
    assert value == pytest.approx(-0.5965736, abs=1e-7)
    action = np.random.default_rng(0).normal(m + 1.0, 1.0, 400_000)
    q = TwoCritics(above=1.0, function=lambda observation, action: -((action[:, 0] - m) ** 2) / 2)
    slopes = []
    for v in (value - 0.01, value, value + 0.01):
        networks = Implicit(v=OneValue(x=jnp.float32(v)), q=q)
        objective = FitValue(statistic=Gumbel(beta=1.0, clip=float("inf")))
        slopes.append(float(fit(objective, networks, networks, batch(action))[2].v.x))
    error = 5 * np.std(np.exp(-((action - m) ** 2) / 2 - value)) / len(action) ** 0.5
    assert abs(slopes[1]) < error < 0.008
    assert slopes[0] < -0.008 + error
    assert slopes[2] > 0.008 - error
