"""What a critic claims: a critic that is right promises what comes true, in its own units; the gap has the sign of Eq. (10)."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import extremal
from extremal.core.algorithm import Algorithm, Step, Transitions
from extremal.core.policy import Policy
from extremal.core.record import record
from extremal.core.types import Batch, Spec
from extremal.data.transforms import NormaliseObservation, ScaleReward, ShiftReward
from extremal.evaluation.claims import SAMPLES, discounted_returns, gap_expansion, policy_value, predicted_values
from extremal.evaluation.rollout import rollout
from extremal.objectives.backup import PolicyBackup
from extremal.objectives.critic import FitCritic

DISCOUNT = 0.9
OFFSET = jnp.array([[0.5], [0.0], [2.0]])  # of an ensemble of three: the second is the smallest


@record
class Peak:
    """Q_k(s, a) = OFFSET_k - sign |a - s|^2: best (or, with sign -1, worst) where a = s."""

    sign: float = 1.0

    def __call__(self, observation, action):
        return OFFSET - self.sign * jnp.sum((action - observation) ** 2, axis=-1)[None]


@record
class Left:
    """The value of `left` more rewards of `each`, whatever the action."""

    each: float

    def __call__(self, observation, action):
        left = observation[None, :, 0]
        return OFFSET + self.each * (1 - DISCOUNT**left) / (1 - DISCOUNT)


@record
class Still:
    def __call__(self, online, observation):
        return jnp.zeros((len(observation), 1))


class Networks(NamedTuple):
    q: Any


def algorithm(*prepare: Any) -> Algorithm:
    step = Step(trains="q", objective=FitCritic(backup=PolicyBackup(), discount=DISCOUNT))
    return Algorithm(networks=None, steps=(step,), slow={}, sampler=Transitions(size=1), prepare=prepare, act=Still())


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_gap_is_the_best_of_uniform_actions_less_the_logged_one(sign):
    random = np.random.default_rng(0)
    observation = random.uniform(-0.5, 0.5, (64, 2)).astype(np.float32)
    batch = Batch(observation, observation, np.zeros(64), observation, np.zeros(64))  # logged where the peak is
    found = float(gap_expansion(Networks(Peak(sign=sign)), batch))
    uniform = np.asarray(jax.random.uniform(jax.random.key(0), (SAMPLES, 64, 2), minval=-1.0, maxval=1.0))
    distance = ((uniform - observation) ** 2).sum(axis=-1)  # [N, B]
    assert found == pytest.approx(np.mean(np.max(-sign * distance, axis=0)), rel=1e-5)
    assert found < 0.0 if sign > 0 else found > 0.0


class Countdown:
    """A counter that is reset to a number from 1 to 9; every step brings 2."""

    def __new__(cls):
        import gymnasium

        class Environment(gymnasium.Env):
            observation_space = gymnasium.spaces.Box(0.0, 9.0, (1,), np.float32)
            action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)

            def reset(self, *, seed=None, options=None):
                super().reset(seed=seed)
                self.left = int(self.np_random.integers(1, 10))
                return np.array([self.left], np.float32), {}

            def step(self, action):
                self.left -= 1
                return np.array([self.left], np.float32), 2.0, self.left == 0, False, {}

        return Environment()


def test_a_critic_that_is_right_promises_what_comes_true():
    moved = (ScaleReward(scale=5.0, spread=np.float32(4.0)), ShiftReward(shift=0.5))
    counting, online = algorithm(*moved), Networks(Left(each=2.0 * 5.0 / 4.0 + 0.5))
    episodes = rollout(Policy(counting, online), Countdown, episodes=20, seed=0)
    promised = predicted_values(counting, online, episodes.starts)
    assert len(np.unique(episodes.lengths)) > 4
    np.testing.assert_allclose(promised, discounted_returns(counting, episodes.rewards), rtol=1e-5)
    plain = discounted_returns(algorithm(), episodes.rewards)
    np.testing.assert_allclose(plain, 2.0 * (1 - DISCOUNT**episodes.lengths) / (1 - DISCOUNT), rtol=1e-6)


def test_first_states_are_prepared_as_the_networks_see_them():
    scaled = NormaliseObservation(mean=np.float32([1.0]), deviation=np.float32([2.0]))
    raw = np.float32([[3.0], [7.0]])
    promised = predicted_values(algorithm(scaled), Networks(Left(each=1.0)), raw)
    np.testing.assert_allclose(
        promised, policy_value(algorithm(), Networks(Left(each=1.0)), (raw - 1.0) / 2.0), rtol=1e-6
    )


def test_only_what_trains_a_critic_claims_something():
    spec = Spec(observation=(3,), action=(1,))
    assert extremal.BC().algorithm(spec, updates=10).discount is None
    assert float(extremal.IQL(discount=0.7).algorithm(spec, updates=10).discount) == 0.7
