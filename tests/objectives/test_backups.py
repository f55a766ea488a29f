"""What follows a transition under a policy: whose action, which critic, what is taken off, and where noise is cut."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats
from toys import OneAction, OnePolicy, SquashedPolicy, TwoCritics, batch

from extremal.core.record import record
from extremal.networks.heads import Scalar
from extremal.objectives.backup import MaxBackup, PolicyBackup, SmoothedBackup, SoftBackup

KEY = jax.random.key(3)
ROWS = 4000
DATA = batch(np.zeros(ROWS))


class Networks(NamedTuple):
    pi: Any
    q: Any = TwoCritics()  # Q_1(s, a) = a, Q_2 = Q_1 + above
    log_alpha: Any = Scalar(x=jnp.log(0.3))


@record
class Opposed:
    """Q_1(s, a) = a, Q_2 = -a, and others above both."""

    others: int = 0

    def __call__(self, observation, action):
        a = action[:, 0]
        return jnp.stack([a, -a, *(jnp.abs(a) + n for n in range(self.others))])


def near(found, mean):
    """The mean of `found` [B], to five standard errors."""
    found = np.asarray(found, np.float64)
    assert found.mean() == pytest.approx(mean, abs=5 * found.std() / len(found) ** 0.5)


# ---- SAC ----------------------------------------------------------------------------------------------------------

MEAN, DEVIATION = 0.2, 0.5


def squashed_density(action):
    return stats.norm(MEAN, DEVIATION).logpdf(np.arctanh(action)) - np.log(1 - action**2)


@pytest.mark.parametrize("above", [0.5, -0.5])
def test_sac_takes_the_weighted_log_density_off_the_lower_q(above):
    pi = SquashedPolicy(mean=jnp.full(1, MEAN), log_std=jnp.full(1, np.log(DEVIATION)))
    networks = Networks(pi=pi, q=TwoCritics(above=above))
    free = networks._replace(log_alpha=Scalar(x=jnp.float32(-jnp.inf)))
    action = np.asarray(SoftBackup()(free, DATA, KEY), np.float64) - min(above, 0.0)
    value = SoftBackup()(networks, DATA, KEY)
    np.testing.assert_allclose(value, action + min(above, 0.0) - 0.3 * squashed_density(action), atol=2e-4)
    density = lambda a: np.exp(squashed_density(a))  # noqa: E731
    near(value, integrate.quad(lambda a: density(a) * (a + min(above, 0) - 0.3 * squashed_density(a)), -1, 1)[0])


# ---- AWAC and CQL -------------------------------------------------------------------------------------------------


def test_an_action_of_the_policy_is_clipped_to_the_range_and_its_lower_q_taken():
    networks = Networks(pi=OnePolicy(mean=jnp.full(1, 0.3)), q=TwoCritics(above=-0.5))
    value = np.asarray(PolicyBackup()(networks, DATA, KEY)) + 0.5
    assert (value.min(), value.max()) == (-1.0, 1.0)
    normal = stats.norm(0.3, 1.0)
    near(value == 1.0, normal.sf(1.0))
    near(value, integrate.quad(lambda a: a * normal.pdf(a), -1, 1)[0] + normal.sf(1.0) - normal.cdf(-1.0))


@pytest.mark.parametrize(("samples", "mean"), [(1, 0.0), (3, 0.846284), (10, 1.538753)])
def test_the_largest_of_several_actions(samples, mean):
    near(MaxBackup(samples=samples)(Networks(pi=OnePolicy(mean=jnp.zeros(1))), DATA, KEY), mean)


def test_the_maximum_is_each_critics_own_before_the_lowest_is_taken():
    found = MaxBackup(samples=3)(Networks(pi=OnePolicy(mean=jnp.zeros(1)), q=Opposed()), DATA, KEY)
    drawn = np.random.default_rng(0).normal(size=(200_000, 3))
    near(found, np.mean(np.minimum(drawn.max(axis=1), -drawn.min(axis=1))))
    assert np.max(found) > 0.0  # the lowest Q of any one action is at most 0


# ---- TD3 ----------------------------------------------------------------------------------------------------------


def test_td3_smooths_over_clipped_noise_within_the_range():
    smoothed = lambda action, noise: np.asarray(  # noqa: E731
        SmoothedBackup(noise=noise, clip=0.5)(Networks(pi=OneAction(action=jnp.full(1, action))), DATA, KEY)
    )
    np.testing.assert_array_equal(smoothed(0.2, 0.0), np.float32(0.2))
    value = smoothed(0.2, 0.4)
    np.testing.assert_allclose([value.min(), value.max()], [-0.3, 0.7], rtol=1e-6)
    near(np.isclose(value, 0.7), stats.norm.sf(0.5 / 0.4))
    near(value, 0.2)
    assert smoothed(0.9, 0.4).max() == 1.0


# ---- ensembles ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("critics", [2, 4, 10, 20])
@pytest.mark.parametrize("backup", [PolicyBackup(), SoftBackup(), SmoothedBackup(noise=0.0, clip=0.5)])
def test_of_any_number_of_critics_the_lowest_is_taken(critics, backup):
    pi = SquashedPolicy(mean=jnp.full(1, -0.4), log_std=jnp.full(1, -30.0))
    networks = Networks(pi=pi, q=Opposed(others=critics - 2), log_alpha=Scalar(x=jnp.float32(-jnp.inf)))
    np.testing.assert_allclose(backup(networks, batch([0.0]), KEY), np.tanh(-0.4), rtol=1e-5)
