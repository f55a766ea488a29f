"""The conservative critic on tables and toy critics, where every penalty has a closed form."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from extremal.core.types import Batch
from extremal.distributions import TanhGaussian
from extremal.networks.heads import Scalar
from extremal.networks.table import PolicyTable, StateActionTable
from extremal.objectives.backup import MaxBackup, PolicyBackup, SoftBackup
from extremal.objectives.conservative import (
    ExactLogSumExp,
    FitConservativeCritic,
    LogSumExp,
    PolicyMean,
    PreviousPolicy,
    TunePenalty,
    Variance,
)

KEY = jax.random.key(0)
ROWS, SIZE = 5, 2
BATCH = Batch(
    observation=jnp.linspace(-1.0, 1.0, ROWS)[:, None],
    action=jnp.linspace(-0.5, 0.5, ROWS * SIZE).reshape(ROWS, SIZE),
    reward=jnp.arange(ROWS, dtype=jnp.float32),
    next_observation=jnp.linspace(0.0, 2.0, ROWS)[:, None],
    terminated=jnp.asarray([0.0, 0.0, 1.0, 0.0, 0.0]),
)


class Nets(NamedTuple):
    q: Any
    pi: Any
    log_alpha: Any = None
    log_penalty: Any = None
    behaviour: Any = None


def policy(observation: jax.Array) -> TanhGaussian:
    """Its mean is the observation in both dimensions, its deviation 0.5 before tanh."""
    mean = jnp.broadcast_to(observation, (observation.shape[0], SIZE))
    return TanhGaussian(mean, jnp.full_like(mean, math.log(0.5)))


def critic(slope: float, level: float = 0.0):
    """Two critics, level + slope * sum(a) and twice that; the slope may be moved."""
    return lambda observation, action: jnp.stack([k * (level + slope * action.sum(-1)) for k in (1.0, 2.0)])


def nets(slope=0.0, level=0.0, **more) -> Nets:
    return Nets(q=critic(slope, level), pi=policy, **more)


# ---- penalties -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("samples", [1, 10])
def test_a_constant_critic_weighs_the_actions_as_their_number_says(samples):
    """Only the volume is left of the integral: log 2^A = 2 log 2 for uniform actions, and in the mean for the policy's."""
    found = LogSumExp(samples=samples)(nets(level=3.0), nets(), BATCH, KEY)
    assert found.shape == (2, ROWS)
    many = LogSumExp(samples=20_000)(nets(level=3.0), nets(), BATCH, KEY)
    np.testing.assert_allclose(many, np.asarray([[3.0], [6.0]]) + 2 * math.log(2.0) + np.zeros(ROWS), atol=0.1)


def test_the_published_estimator_has_thirty_terms_and_divides_by_none():
    """Of a critic that ignores the state: actions of the next state's policy come in, and log 3 n on top."""
    n, same = 4000, BATCH._replace(next_observation=BATCH.observation)
    plain = LogSumExp(samples=n)(nets(0.5), nets(), same, KEY)
    published = LogSumExp(samples=n, published=True)(nets(0.5), nets(), same, KEY)
    np.testing.assert_allclose(np.mean(published - plain, axis=1), math.log(3.0 * n), atol=0.1)
    few = LogSumExp(samples=10, published=True)
    moved = few(nets(0.5), nets(), BATCH, KEY) - few(nets(0.5), nets(), same, KEY)
    assert np.abs(np.asarray(moved)).max() > 0.01  # the next state matters to it
    paper = LogSumExp(samples=10)
    np.testing.assert_array_equal(
        paper(nets(0.5), nets(), BATCH, KEY), paper(nets(0.5), nets(), same, KEY)
    )  # and not to the paper's


def test_rho_var_and_the_policys_mean_against_their_integrals():
    n = 20_000
    draws = np.tanh(
        np.asarray(BATCH.observation)[:, :, None] + 0.5 * np.random.default_rng(0).normal(size=(ROWS, SIZE, n))
    )
    total = draws.sum(1)  # [B, n]
    mean = PolicyMean(samples=n)(nets(0.5), nets(), BATCH, KEY)
    np.testing.assert_allclose(mean[0], 0.5 * total.mean(-1), atol=0.02)
    rho = PreviousPolicy(samples=n)(nets(0.5), nets(), BATCH, KEY)  # of the second critic Q is the sum of the entries
    np.testing.assert_allclose(rho[1], (total * np.exp(total)).mean(-1) / np.exp(total).mean(-1), atol=0.03)
    var = Variance(samples=n, radius=0.3)(nets(0.5, level=1.0), nets(), BATCH, KEY)
    np.testing.assert_allclose(var[0], 1.0 + math.sqrt(0.3 * 0.25 * 2 / 3), atol=0.02)  # uniform: variance 1/3 each


def test_the_inverse_of_the_logged_density_is_the_prior():
    """App. A: logged by a density in proportion to exp(-a) in each entry, the prior is in proportion to exp(a): mean coth 1 - 1."""

    class Falling(NamedTuple):
        def log_prob(self, action):
            return -action.sum(-1)

    target = nets(behaviour=lambda observation: Falling())
    found = Variance(samples=20_000, radius=0.3, prior="inverse")(nets(0.5, level=1.0), target, BATCH, KEY)
    mean, variance = 1 / math.tanh(1.0) - 1.0, 1.0 - 1.0 / math.sinh(1.0) ** 2
    np.testing.assert_allclose(found[0], 1.0 + 0.5 * 2 * mean + math.sqrt(0.3 * 0.25 * 2 * variance), atol=0.02)


def test_the_policy_that_is_pushed_down_is_the_last_updates():
    """`target.pi` is the policy that the step before left, and no gradient of the critic's goes into it."""
    for penalty in (PolicyMean(samples=3), PreviousPolicy(samples=3), LogSumExp(samples=3)):
        moved = nets()._replace(pi=lambda o: policy(o + 1.0))
        assert not np.allclose(penalty(nets(0.5), nets(), BATCH, KEY), penalty(nets(0.5), moved, BATCH, KEY))
        np.testing.assert_array_equal(
            penalty(nets(0.5), nets(), BATCH, KEY), penalty(moved._replace(q=critic(0.5)), nets(), BATCH, KEY)
        )


def test_discrete_actions_are_summed_exactly():
    values = jnp.asarray([[[0.0, 1.0, 3.0], [2.0, 2.0, 2.0]]])
    eye = jnp.eye(3)
    batch = Batch(jnp.eye(2), eye[:2], jnp.zeros(2), jnp.eye(2), jnp.zeros(2))
    online = Nets(q=StateActionTable(values=values), pi=PolicyTable(logits=jnp.zeros((2, 3))))
    found = ExactLogSumExp()(online, online, batch, KEY)
    np.testing.assert_allclose(found, [[np.log(1 + np.e + np.e**3), 2 + np.log(3)]], rtol=1e-6)


# ---- the objective -------------------------------------------------------------------------------------------------


def fit(**more) -> FitConservativeCritic:
    given = {"penalty": PolicyMean(samples=2), "backup": PolicyBackup(), "discount": 0.9, "weight": 2.0}
    return FitConservativeCritic(**(given | more))


def test_the_loss_is_the_weighted_gap_and_half_the_square():
    online, target = nets(level=1.0), nets(level=4.0)
    y = np.asarray(BATCH.reward + 0.9 * (1.0 - BATCH.terminated) * 4.0)
    square = ((1.0 - y) ** 2).mean() + ((2.0 - y) ** 2).mean()
    loss, metrics = fit()(online, target, BATCH, KEY, {})
    assert float(loss) == pytest.approx(0.5 * square, rel=1e-5)  # of a constant critic the gap is 0
    assert float(metrics["gap"]) == pytest.approx(0.0, abs=1e-6)
    whole, _ = fit(square=1.0)(online, target, BATCH, KEY, {})
    assert float(whole) == pytest.approx(square, rel=1e-5)
    pushed, metrics = fit(data_term=False)(online, target, BATCH, KEY, {})
    assert float(pushed) == pytest.approx(2.0 * (1.0 + 2.0) + 0.5 * square, rel=1e-5)  # Eq. 1: nothing pushes up
    assert float(metrics["gap"]) == pytest.approx(0.0, abs=1e-6)  # which is told with what it leaves out
    floored, _ = fit(floor=0.7)(online, target, BATCH, KEY, {})
    assert float(floored) == pytest.approx(2.0 * (0.7 + 0.7) + 0.5 * square, rel=1e-5)
    uneven = jnp.asarray([[1.0, -3.0, 2.0, -9.0, 0.0], [0.0, 5.0, -2.0, -2.0, 0.0]])  # each row counts by itself
    floored, _ = fit(penalty=lambda *given: uneven, data_term=False, floor=-2.0)(online, target, BATCH, KEY, {})
    assert float(floored) == pytest.approx(2.0 * (-1.0 / 5 + 1.0 / 5) + 0.5 * square, rel=1e-5)
    above = uneven + jnp.asarray([[1.0], [2.0]])  # of critics that say 1 and 2
    floored, metrics = fit(penalty=lambda *given: above, floor=-2.0)(online, target, BATCH, KEY, {})
    assert float(floored) == pytest.approx(2.0 * (-1.0 / 5 + 1.0 / 5) + 0.5 * square, rel=1e-5)
    assert float(metrics["gap"]) == pytest.approx(0.0, abs=1e-6)
    tuned = target._replace(log_penalty=Scalar(x=jnp.log(3.0)))
    heavier, _ = fit(data_term=False)(online, tuned, BATCH, KEY, {})
    assert float(heavier) == pytest.approx(3.0 * 2.0 * 3.0 + 0.5 * square, rel=1e-5)


@pytest.mark.parametrize("data_term", [True, False])
@pytest.mark.parametrize(
    "penalty",
    [
        LogSumExp(samples=3),
        LogSumExp(samples=3, published=True),
        PreviousPolicy(samples=3),
        PolicyMean(samples=3),
        Variance(samples=3, radius=0.5),
    ],
    ids=["H", "published", "rho", "policy", "variance"],
)
def test_the_gap_that_tunes_a_weight_is_blind_to_a_constant(penalty, data_term):
    """So that no threshold on it holds Q itself: of Q + 100 it is that of Q, with the data term in the loss and without."""
    gap = lambda level: fit(penalty=penalty, data_term=data_term)(  # noqa: E731
        Nets(q=lambda o, a: jnp.stack([k * a.sum(-1) + level for k in (1.0, 2.0)]), pi=policy), nets(), BATCH, KEY, {}
    )[1]["gap"]
    assert float(gap(100.0)) == pytest.approx(float(gap(0.0)), abs=1e-3)
    assert abs(float(gap(0.0))) > 0.05


def test_what_follows_a_transition_is_of_the_present_policy_and_not_of_the_one_before():
    """CQL(rho): the copy behind, `target.pi`, is lowered; the target of the Bellman error is Q of an action of `online.pi`."""
    online, target = nets(1.0), nets(1.0)._replace(pi=lambda o: policy(o + 1.0))
    seen = []

    class Told:
        def __call__(self, target, batch, key):
            seen.append(target.pi(batch.observation).mean)
            return jnp.zeros(ROWS)

    fit(penalty=PreviousPolicy(samples=2), backup=Told())(online, target, BATCH, KEY, {})
    np.testing.assert_array_equal(seen[0], policy(BATCH.observation).mean)


def test_c5_the_tables_fixed_point_of_cql_h():
    """C5: where the loss has no slope, Q = T - alpha (softmax(Q) / mu - 1); without the half, alpha / 2."""
    mu = np.asarray([[0.5, 0.3, 0.2]])
    t = np.asarray([[0.3, 1.0, -0.5]])
    for square, weight in ((0.5, 1.0), (1.0, 0.5)):
        q = t.copy()
        for _ in range(3000):
            q += 0.1 * (t - weight * (np.exp(q) / np.exp(q).sum() / mu - 1.0) - q)
        rows = np.repeat(np.arange(3), [50, 30, 20])
        batch = Batch(
            observation=jnp.ones((100, 1)),
            action=jnp.eye(3)[rows],
            reward=jnp.asarray(t[0][rows], jnp.float32),
            next_observation=jnp.ones((100, 1)),
            terminated=jnp.ones(100),
        )
        objective = fit(penalty=ExactLogSumExp(), square=square, weight=1.0)

        def loss(values, objective=objective, batch=batch):
            online = Nets(q=StateActionTable(values=values), pi=PolicyTable(logits=jnp.zeros((1, 3))))
            return objective(online, online._replace(q=StateActionTable(values=jnp.zeros((1, 1, 3)))), batch, KEY, {})[
                0
            ]

        slope = jax.grad(loss)(jnp.asarray(q[None], jnp.float32))
        np.testing.assert_allclose(slope, 0.0, atol=2e-6)
        assert np.abs(np.asarray(jax.grad(loss)(jnp.asarray(t[None], jnp.float32)))).max() > 0.1


def test_the_threshold_is_read_on_the_gap_or_on_the_weighted_gap():
    """Both conventions: the weight stands still where gap = tau, or where weight * gap = tau."""
    online = nets(log_penalty=Scalar(x=jnp.zeros(())))
    for scale, gap in ((1.0, 5.0), (5.0, 1.0)):
        slope = lambda gap, scale=scale: jax.grad(  # noqa: E731
            lambda x: TunePenalty(threshold=5.0, scale=scale)(
                online._replace(log_penalty=Scalar(x=x)), None, BATCH, None, {"q/gap": jnp.float32(gap)}
            )[0]
        )(jnp.zeros(()))
        assert float(slope(gap)) == 0.0
        assert float(slope(gap + 1.0)) < 0.0 < float(slope(gap - 1.0))  # descent moves the weight the other way


# ---- what follows --------------------------------------------------------------------------------------------------


def test_the_backups_of_a_critic_that_prefers_large_actions():
    """All are of the smaller critic; the entropy's cost is taken off once; the best of many beats one."""
    target = nets(level=4.0, log_alpha=Scalar(x=jnp.log(0.5)))
    _, log_prob = policy(BATCH.next_observation).sample_with_log_prob(KEY)
    np.testing.assert_allclose(PolicyBackup()(target, BATCH, KEY), 4.0)
    np.testing.assert_allclose(SoftBackup()(target, BATCH, KEY), 4.0 - 0.5 * log_prob, rtol=1e-6)
    rising = nets(1.0, level=10.0)
    one, many = PolicyBackup()(rising, BATCH, KEY), MaxBackup(samples=50)(rising, BATCH, KEY)
    assert (np.asarray(many) >= np.asarray(one) - 1e-6).mean() > 0.7
    assert float(jnp.mean(many - one)) > 0.3
    assert (np.asarray(many) <= 12.0).all()
