"""Rollouts: the same episodes whatever runs beside them, and the accounting."""

import itertools

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from extremal.core.errors import ConfigError, DivergedError, SpecError
from extremal.core.policy import Policy
from extremal.evaluation.rollout import episode_seed, rollout


class Countdown(gymnasium.Env):
    """Starts at a number from 1 to 9 drawn by the seed and ends after as many steps; the reward is the clipped action."""

    def __init__(self, succeeds=None):
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float64)
        self.action_space = gymnasium.spaces.Box(-2.0, 2.0, (1,), np.float32)
        self.succeeds = succeeds
        self.steps = self.closed = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.left = int(self.np_random.integers(1, 10))
        return np.array([self.left, seed], np.float64), {}

    def step(self, action):
        assert action.dtype == np.float32
        assert self.left > 0
        self.left -= 1
        self.steps += 1
        info = {} if self.succeeds is None else {"success": self.left == self.succeeds}
        return np.array([self.left, 0.0]), float(action[0]), self.left == 0, False, info

    def close(self):
        self.closed += 1


def ones(observation):
    return np.ones((len(observation), 1))


def steer(observation):
    """A deterministic policy of the maze, row by row."""
    return np.sin(7.0 * observation[:, :2]) + np.cos(3.0 * observation[:, 2:])


@pytest.mark.parametrize("parallel", [1, 3, 50])
def test_the_result_does_not_depend_on_parallel(parallel):
    run = lambda parallel: rollout(steer, "pointmaze-umaze-goal", episodes=7, seed=5, parallel=parallel, keep=3)  # noqa: E731
    one, other = run(7), run(parallel)
    np.testing.assert_array_equal(one.returns, other.returns)
    np.testing.assert_array_equal(one.lengths, other.lengths)
    np.testing.assert_array_equal(one.success, other.success)
    for a, b in zip(one.trajectories, other.trajectories, strict=True):
        np.testing.assert_array_equal(a, b)


def test_returns_lengths_and_trajectories():
    episodes = rollout(ones, Countdown, episodes=12, seed=0, parallel=4, keep=2)
    expected = [int(np.random.default_rng(episode_seed(0, e)).integers(1, 10)) for e in range(12)]
    np.testing.assert_array_equal(episodes.lengths, expected)
    np.testing.assert_array_equal(episodes.returns, expected)
    assert episodes.returns.dtype == np.float64
    assert episodes.success is None
    assert np.isnan(episodes.steps_to_goal).all()
    assert [t.shape for t in episodes.trajectories] == [(n + 1, 2) for n in expected[:2]]
    np.testing.assert_array_equal(episodes.trajectories[0][:, 0], np.arange(expected[0], -1, -1))
    np.testing.assert_array_equal(episodes.starts[:, 0], expected)
    assert [list(r) for r in episodes.rewards] == [[1.0] * n for n in expected]


def test_success_counts_at_any_step():
    episodes = rollout(ones, lambda: Countdown(succeeds=4), episodes=30, seed=1, parallel=8)
    np.testing.assert_array_equal(episodes.success, episodes.lengths > 4)
    assert len(np.unique(episodes.success)) == 2
    np.testing.assert_array_equal(episodes.steps_to_goal, np.where(episodes.success, episodes.lengths - 4.0, np.nan))


def test_seeds_differ():
    lengths = [rollout(ones, Countdown, episodes=20, seed=seed).lengths for seed in (0, 1)]
    assert (lengths[0] != lengths[1]).any()
    assert len({episode_seed(seed, e) for seed in range(20) for e in range(20)}) == 400


def test_one_batch_size_no_wasted_step_and_everything_closed():
    simulators, sizes = [], []

    def create():
        simulators.append(Countdown())
        return simulators[-1]

    def act(observation):
        assert observation.dtype == np.float64  # as the simulator gives them
        sizes.append(len(observation))
        return ones(observation)

    episodes = rollout(act, create, episodes=11, seed=0, parallel=4)
    assert set(sizes) == {4}
    assert len(simulators) == 4
    assert sum(s.steps for s in simulators) == episodes.lengths.sum()
    assert [s.closed for s in simulators] == [1] * 4


def test_actions_are_clipped_to_the_bounds():
    episodes = rollout(lambda o: -7.0 * ones(o), Countdown, episodes=3, seed=0)
    np.testing.assert_array_equal(episodes.returns, -2.0 * episodes.lengths)


def test_discrete_actions_pass_as_they_are():
    episodes = rollout(lambda o: (o[:, 2] > 0).astype(np.int64), "CartPole-v1", episodes=4, seed=0)
    assert (episodes.returns == episodes.lengths).all()
    assert episodes.returns.min() > 15


@pytest.mark.parametrize(
    ("act", "error", "message"),
    [
        (lambda o: np.ones(len(o)), SpecError, r"shape \(3,\), the environment expects \(3, 1\)"),
        (lambda o: np.full((len(o), 1), np.nan), DivergedError, "NaN"),
    ],
)
def test_actions_that_cannot_be_taken_are_refused_and_simulators_closed(act, error, message):
    simulators = []

    def create():
        simulators.append(Countdown())
        return simulators[-1]

    with pytest.raises(error, match=message):
        rollout(act, create, episodes=3, seed=0)
    assert [s.closed for s in simulators] == [1] * 3


def test_impossible_requests_are_refused():
    with pytest.raises(ConfigError, match="episodes is 0, expected int from 1 up"):
        rollout(ones, Countdown, episodes=0, seed=0)

    def create():
        environment = Countdown()
        environment.observation_space = gymnasium.spaces.MultiBinary(2)
        return environment

    with pytest.raises(SpecError, match=r"MultiBinary\(2\); only Box and dictionaries of Box"):
        rollout(ones, create, episodes=1, seed=0)


class Recording:
    """Stands for a method that remembers: keeps what it was told with each observation."""

    remembers = True

    def __init__(self):
        self.told = []

    def prepared(self, observation):
        return observation

    def start(self, online, count):
        return jnp.zeros(count)

    def play(self, online, observation, reward, fresh, memory):
        jax.debug.callback(lambda *told: self.told.append(tuple(map(np.array, told))), observation, reward, fresh)
        return jnp.ones((observation.shape[0], 1)), memory


jax.tree_util.register_static(Recording)


@pytest.mark.parametrize("parallel", [1, 4])
def test_a_policy_that_remembers_is_told_rewards_and_where_episodes_begin(parallel):
    recording = Recording()
    episodes = rollout(Policy(recording, None), Countdown, episodes=9, seed=3, parallel=parallel)
    jax.effects_barrier()
    begun = 0
    for (seen, _, _), (observation, reward, fresh) in itertools.pairwise(recording.told):
        running = seen[:, 0] > 0
        np.testing.assert_array_equal(reward[running], 1.0)
        np.testing.assert_array_equal(fresh, running & (seen[:, 0] == 1) & (observation[:, 0] > 0))
        begun += fresh.sum()
    first = recording.told[0]
    assert first[2].all()
    np.testing.assert_array_equal(first[1], 0.0)
    assert begun + parallel == 9 == len(episodes.lengths)
