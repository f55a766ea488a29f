"""Decision Transformer in play: what it still asks for, and what it remembers of an episode."""

from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np

from extremal.algorithms.decision_transformer import AskForReturn
from extremal.distributions import Deterministic

ASK = AskForReturn(target=10.0, return_scale=4.0, context=3)


class Recorder:
    """A policy of one action that keeps what it was shown, and answers with a tenth of the newest observation."""

    observation = action = SimpleNamespace(weight=np.zeros((1, 1)))

    def __call__(self, *shown, newest):
        assert newest
        self.shown = [np.asarray(x) for x in shown]
        return Deterministic(0.1 * shown[0][:, -1:])


def test_the_return_asked_for_falls_by_each_reward_and_a_new_episode_asks_afresh():
    online = SimpleNamespace(pi=Recorder())
    memory, single = ASK.start(online, 2), jnp.float32
    steps = [  # of both episodes: observation, reward of the last action, whether an episode begins
        ([1.0, 5.0], [99.0, 99.0], [True, True]),
        ([2.0, 6.0], [3.0, -1.0], [False, False]),
        ([3.0, 7.0], [0.5, 50.0], [False, True]),
    ]
    for observation, reward, fresh in steps:
        action, memory = ASK(
            online, jnp.asarray(observation, single)[:, None], jnp.asarray(reward), jnp.asarray(fresh), memory
        )
        np.testing.assert_allclose(action[:, 0], 0.1 * np.asarray(observation), rtol=1e-6)
    observation, actions, returns, timestep, valid = online.pi.shown
    np.testing.assert_allclose(observation[..., 0], [[1, 2, 3], [5, 6, 7]])
    np.testing.assert_allclose(actions[..., 0], [[0.1, 0.2, 0.0], [0.5, 0.6, 0.0]], rtol=1e-6)  # the newest is to come
    np.testing.assert_allclose(returns[0], np.asarray([10.0, 7.0, 6.5]) / 4.0)
    assert returns[1, -1] == 10.0 / 4.0
    np.testing.assert_array_equal(valid, [[True, True, True], [False, False, True]])
    np.testing.assert_array_equal(np.where(valid, timestep, 0), [[0, 1, 2], [0, 0, 0]])
