"""The door's reward against D4RL's reference score of a random policy."""

import numpy as np
import pytest

from extremal.evaluation.rollout import rollout


def test_a_random_hand_scores_d4rls_reference():
    rng = np.random.default_rng(0)
    episodes = rollout(lambda o: rng.uniform(-1, 1, (len(o), 28)), "adroit-door", episodes=5, seed=0, parallel=5)
    # D4RL: -56.5; with the sign of Gymnasium-Robotics' own reward it would be about -45. The spread of an episode is 0.8.
    assert episodes.returns.mean() == pytest.approx(-56.5, abs=2.0)
    assert (episodes.lengths == 200).all()
    assert episodes.success is not None
    assert not episodes.success.any()
