"""The door's reward against D4RL's reference score of a random policy."""

from types import SimpleNamespace

import gymnasium
import numpy as np
import pytest

from extremal.evaluation.rollout import rollout


@pytest.mark.parametrize(
    ("door", "bonus"), [(0.1, 0.0), (0.2, 0.0), (0.3, 2.0), (1.0, 2.0), (1.2, 10.0), (1.35, 10.0), (1.5, 20.0)]
)
def test_the_reward_is_d4rls_of_hand_door_and_speed(door, bonus):
    """A palm 0.5 m from the handle, speeds whose squares sum to 25: -0.05 - (door - 1.57)^2 / 10 - 0.00025 + bonus."""
    pytest.importorskip("gymnasium_robotics", reason="needs Gymnasium-Robotics")
    from extremal.envs.adroit import Door

    observation = np.zeros(39)
    observation[28], observation[35:38] = door, (0.3, 0.0, -0.4)

    class Inner(gymnasium.Env):
        data = SimpleNamespace(qvel=np.asarray([3.0, -4.0]))

        def step(self, action):
            return observation, 123.0, False, False, {"success": door >= 1.35}

    wrapper = Door.__new__(Door)
    gymnasium.Wrapper.__init__(wrapper, Inner())
    _, reward, terminated, truncated, told = wrapper.step(np.zeros(28))
    assert reward == pytest.approx(-0.05 - (door - 1.57) ** 2 / 10 - 0.00025 + bonus, abs=1e-12)
    assert (terminated, truncated, told["success"]) == (False, False, door >= 1.35)


def test_a_random_hand_scores_d4rls_reference():
    rng = np.random.default_rng(0)
    episodes = rollout(lambda o: rng.uniform(-1, 1, (len(o), 28)), "adroit-door", episodes=5, seed=0, parallel=5)
    # D4RL: -56.5; with the sign of Gymnasium-Robotics' own reward it would be about -45. The spread of an episode is 0.8.
    assert episodes.returns.mean() == pytest.approx(-56.5, abs=2.0)
    assert (episodes.lengths == 200).all()
    assert episodes.success is not None
    assert not episodes.success.any()
