"""The bounds of sampling error, by simulation with random counts, and the thresholds' corner cases."""

import numpy as np
import pytest
from problems import bandit

from extremal.core.errors import ConfigError, DataError
from extremal.tabular import FiniteMDP, policy_evaluation
from extremal.tabular.conservative import policy_backup
from extremal.tabular.conservative_bounds import (
    backup_constant,
    gap_threshold,
    lag_margin,
    pointwise_threshold,
    return_error,
    reward_constant,
    sampling_error,
    transition_constant,
    value_threshold,
)
from extremal.tabular.conservative_features import least_squares
from extremal.tabular.sampling import counts, empirical, sample

FAILURE = 0.1


def rough():
    """Two states to stay in by action 0, of reward -1 and 1, and a coin to toss by action 1: backups as far apart as they can be."""
    transition = np.array([[[0.99, 0.01], [0.5, 0.5]], [[0.01, 0.99], [0.5, 0.5]]])
    reward = np.broadcast_to([-1.0, 1.0], (2, 2, 2))
    return FiniteMDP(transition=transition, reward=reward, discount=0.9, behaviour=np.array([[0.5, 0.5], [0.5, 0.5]]))


@pytest.fixture(scope="module")
def errors():
    """Of 300 data sets of trajectories: counts, and the errors of the backup of V^pi, the rewards and the transitions."""
    mdp = rough()
    policy = np.array([[0.99, 0.01], [0.99, 0.01]])
    true = policy_evaluation(mdp, policy).q
    found = []
    for seed in range(300):
        log = sample(mdp, episodes=6, horizon=8, seed=seed)
        taken, data = counts(log, 2, 2), empirical(log, 2, 2, discount=0.9)
        if (taken == 0).any():
            continue
        found.append(
            (
                taken,
                np.abs(policy_backup(data, policy, true) - true),
                np.abs(data.mean_reward - mdp.mean_reward),
                np.abs(data.transition - mdp.transition).sum(-1),
            )
        )
    assert len(found) > 280
    return found


def broken(found, shrunk):
    """The share of data sets in which any bound is broken, with the constants divided by `shrunk`."""
    counted = np.zeros(3)
    for taken, backup, reward, transition in found:
        bounds = (
            sampling_error(taken, reward_bound=1.0, discount=0.9, failure=FAILURE),
            reward_constant(taken, reward_bound=1.0, failure=FAILURE) / np.sqrt(taken),
            transition_constant(taken, failure=FAILURE) / np.sqrt(taken),
        )
        for each, (made, bound) in enumerate(zip((backup, reward, transition), bounds, strict=True)):
            counted[each] += (made > bound / shrunk).any()
    return counted / len(found)


def test_the_bounds_hold_in_simulation_with_the_chance_that_they_state(errors):
    assert (broken(errors, 1.0) <= FAILURE).all()


def test_constants_a_fraction_as_large_are_broken_more_often_than_stated(errors):
    assert (broken(errors, 3.0) > FAILURE).all()


def test_the_constants_by_hand():
    taken = np.array([[3, 1], [7, 0]])
    union = np.log(4 * 7 * 8 / 0.05)
    assert backup_constant(taken, failure=0.05) == pytest.approx(np.sqrt(2 * (np.log(2) + union)))
    assert reward_constant(taken, reward_bound=3.0, failure=0.05) == 3.0 * backup_constant(taken, failure=0.05)
    assert transition_constant(taken, failure=0.05) == pytest.approx(np.sqrt(2 * (np.log(2) + union)))  # 2^2 - 2 = 2
    five = transition_constant(np.ones((5, 2)), failure=0.05)
    assert five == pytest.approx(np.sqrt(2 * (np.log(30) + np.log(10 * 2 / 0.05))))
    assert transition_constant([[4, 4]], failure=0.05) == 0.0
    error = sampling_error(taken, reward_bound=3.0, discount=0.9, failure=0.05)
    assert error[1, 1] == pytest.approx(60.0)
    assert error[0, 0] == pytest.approx(backup_constant(taken, failure=0.05) * 30 / np.sqrt(3))


def test_more_data_needs_a_smaller_alpha():
    policy, behaviour = np.array([[0.7, 0.3]]), np.array([[0.5, 0.5]])
    alphas = [
        (pointwise_threshold(error, policy, behaviour), value_threshold(error, policy, behaviour))
        for error in (
            sampling_error(np.full((1, 2), n), reward_bound=1.0, discount=0.9, failure=0.05)
            for n in (10, 1000, 100_000)
        )
    ]
    assert alphas == sorted(alphas, reverse=True)


def test_thresholds_without_error_or_without_distance():
    half = np.full((1, 2), 0.5)
    assert pointwise_threshold(0.0, half, half) == 0.0
    assert value_threshold(0.0, half, half) == 0.0
    assert value_threshold(0.1, half, half) == np.inf
    assert gap_threshold(half, half, half, half).tolist() == [np.inf]
    assert lag_margin(half, half, half).tolist() == [0.0]


def test_what_they_refuse():
    with pytest.raises(ConfigError, match="failure must be above 0 and below 1"):
        backup_constant(np.ones((2, 2)), failure=1.0)
    with pytest.raises(ConfigError, match="reward_bound must be above 0"):
        sampling_error(np.ones((2, 2)), reward_bound=0.0, discount=0.9, failure=0.1)
    mdp = bandit([0.0, 1.0], behaviour=[0.5, 0.5])
    known = {"reward_constant": 1.0, "transition_constant": 1.0, "reward_bound": 1.0}
    with pytest.raises(DataError, match="is 0 in state 0, which the policy visits"):
        return_error(mdp, mdp.behaviour, np.zeros((2, 2)), **known)
    with pytest.raises(DataError, match="dependent on the states and actions of the data"):
        least_squares(mdp, mdp.behaviour, np.zeros((2, 2)), np.ones((2, 2, 2)), [1.0, 0.0])
