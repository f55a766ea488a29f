"""The second proposal: what is drawn from both, which of it the ensemble prefers, and that this is cloned."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toys import batch

from extremal.core.record import record
from extremal.distributions import Gaussian
from extremal.objectives.distil import Distil
from extremal.objectives.ensemble import Mixed
from extremal.objectives.sampled import ExpectedMaximum, proposed

KEY = jax.random.key(3)
STATES = np.asarray([0.2, -0.4, 0.1])
DRAWS = ExpectedMaximum(samples=4)


@record
class Around:
    """N(observation + shift, 0.3)."""

    shift: Any

    def __call__(self, observation, *, dropout=None, key=None):
        mean = observation + self.shift
        return Gaussian(mean, jnp.full_like(mean, np.log(0.3)))


class Networks(NamedTuple):
    q: Any
    behaviour: Any = Around(shift=0.1)
    distilled: Any = Around(shift=-0.1)


def q(observation, action):
    """Two critics that prefer different actions; the lower of them is best in between."""
    best = jnp.asarray([[0.5], [-0.1]])
    return -jnp.abs(action[None, :, 0] - best) * jnp.asarray([[1.0], [2.0]])


def by_hand():
    """[8, 3] four draws of each proposal, the behaviour's first."""
    keys = jax.random.split(KEY)
    noise = [np.asarray(jax.random.normal(key, (4, 3, 1)), np.float64)[..., 0] for key in keys]
    drawn = [STATES + shift + 0.3 * e for shift, e in zip((0.1, -0.1), noise, strict=True)]
    return np.clip(np.concatenate(drawn), -1.0, 1.0)


def test_as_many_actions_are_drawn_from_each_proposal():
    networks, observation = Networks(q=q), jnp.asarray(STATES[:, None], jnp.float32)
    both = proposed(networks, "behaviour+distilled", DRAWS, observation, KEY)
    np.testing.assert_allclose(both[..., 0], by_hand(), rtol=1e-5, atol=1e-6)
    alone = proposed(networks, "behaviour", DRAWS, observation, KEY)
    np.testing.assert_array_equal(alone, DRAWS.draw(networks.behaviour, observation, KEY))


@pytest.mark.parametrize("weight", [1.0, 0.0])
def test_the_action_of_which_the_slow_ensemble_says_most_is_cloned(weight):
    slow, online = Networks(q=q), Networks(q=lambda *given: -q(*given))
    objective = Distil(
        statistic=DRAWS, ensemble=Mixed(weight=weight), proposal="behaviour+distilled", network="distilled"
    )
    rows = batch(np.zeros(3), observation=STATES[:, None])
    loss, metrics = objective(online, slow, rows, KEY, {})

    action = by_hand()
    each = np.stack([-np.abs(action - 0.5), -2 * np.abs(action + 0.1)])
    said = each.min(axis=0) if weight else each.max(axis=0)
    best = action[said.argmax(axis=0), np.arange(3)]
    log_prob = -(((best - STATES + 0.1) / 0.3) ** 2) / 2 - np.log(0.3) - np.log(2 * np.pi) / 2
    assert float(loss) == pytest.approx(-log_prob.mean(), rel=1e-4)
    assert float(metrics["log_prob"]) == pytest.approx(log_prob.mean(), rel=1e-4)
