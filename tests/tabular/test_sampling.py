"""Logged data: its frequencies are the MDP's, its bookkeeping is whole, and the empirical MDP is what it says."""

import numpy as np
import pytest
from scipy import stats

from extremal.core.errors import ConfigError, DataError
from extremal.tabular import FiniteMDP, maximum, mean, random_mdp, value_iteration
from extremal.tabular.mazes import maze
from extremal.tabular.sampling import Logged, counts, empirical, sample


@pytest.fixture(scope="module")
def mdp():
    return random_mdp(4, 3, seed=2, support=2, branching=3)


@pytest.fixture(scope="module")
def logged(mdp):
    return sample(mdp, episodes=500, horizon=80, seed=0)


def likely(observed, expected):
    """Pearson's test does not refuse the frequencies at one in a thousand; what has no probability was never seen."""
    possible = expected > 0
    assert (observed[~possible] == 0).all()
    return stats.chisquare(observed[possible], expected[possible]).pvalue > 1e-3


def test_frequencies_are_those_of_the_mdp(mdp, logged):
    taken = counts(logged, 4, 3)
    assert taken.sum() == logged.rows == 40_000
    for s in range(4):
        assert likely(taken[s], mdp.behaviour[s] * taken[s].sum())
        for a in np.flatnonzero(mdp.behaviour[s]):
            to = np.bincount(logged.next_state[(logged.state == s) & (logged.action == a)], minlength=4)
            assert likely(to, mdp.transition[s, a] * to.sum())
    first = np.bincount(logged.state[logged.offsets[:-1]], minlength=4)
    assert likely(first, mdp.start * first.sum())


def test_a_policy_other_than_the_behaviour(mdp):
    policy = np.array([[0.1, 0.2, 0.7]] * 4)
    taken = counts(sample(mdp, policy, episodes=200, horizon=50, seed=1), 4, 3).sum(0)
    assert likely(taken, 10_000 * policy[0])


def test_rows_follow_one_another(mdp, logged):
    reward = mdp.reward[logged.state, logged.action, logged.next_state]
    assert (logged.reward == reward).all()
    inner = np.setdiff1d(np.arange(logged.rows - 1), logged.offsets[1:-1] - 1)
    assert (logged.next_state[inner] == logged.state[inner + 1]).all()
    assert np.diff(logged.offsets).tolist() == [80] * 500  # without terminal states all are cut by the horizon
    assert not logged.terminated.any()


def test_episodes_end_in_terminal_states_or_at_the_horizon():
    corridor = maze("S..G").mdp
    logged = sample(corridor, episodes=300, horizon=12, seed=4)
    lengths, last = np.diff(logged.offsets), logged.offsets[1:] - 1
    assert lengths.max() == 12
    assert 3 <= lengths.min() < 12
    assert logged.terminated.sum() == logged.terminated[last].sum() > 0
    assert (lengths[~logged.terminated[last]] == 12).all()
    assert (logged.next_state[logged.terminated] == 3).all()
    assert (logged.state != 3).all()
    assert (logged.reward == logged.terminated).all()


def test_the_same_seed_gives_the_same_rows(mdp):
    one, same, other = (sample(mdp, episodes=3, horizon=20, seed=seed) for seed in (7, 7, 8))
    assert (one.state == same.state).all()
    assert (one.reward == same.reward).all()
    assert (one.state != other.state).any()


def test_starts_in_terminal_states_leave_no_episode():
    twice = maze("S..G").mdp.replace(start=np.array([0.5, 0.0, 0.0, 0.5]))
    logged = sample(twice, episodes=100, horizon=5, seed=0)
    assert 30 < len(logged.offsets) - 1 < 70
    assert logged.offsets[-1] == logged.rows
    with pytest.raises(DataError, match="field 'start': every episode starts in a terminal state"):
        sample(twice.replace(start=np.array([0.0, 0.0, 0.0, 1.0])), episodes=9, horizon=5, seed=0)


@pytest.mark.parametrize(("episodes", "horizon"), [(0, 5), (5, 0)])
def test_no_episodes_are_refused(mdp, episodes, horizon):
    with pytest.raises(ConfigError, match=f"episodes and horizon must be at least 1, not {episodes} and {horizon}"):
        sample(mdp, episodes=episodes, horizon=horizon, seed=0)


def test_joined_data_has_the_episodes_of_both(mdp):
    one, two = sample(mdp, episodes=3, horizon=5, seed=1), sample(mdp, episodes=2, horizon=7, seed=2)
    both = one.joined(two)
    assert both.offsets.tolist() == [0, 5, 10, 15, 22, 29]
    assert (both.state == np.concatenate([one.state, two.state])).all()
    assert (counts(both, 4, 3) == counts(one, 4, 3) + counts(two, 4, 3)).all()


def test_the_empirical_mdp_is_recovered_from_its_own_frequencies():
    """Data whose frequencies are exactly the probabilities gives back the MDP."""
    rows = [(0, 0, 1.0, 1)] * 3 + [(0, 0, 1.0, 0)] + [(0, 1, 2.0, 2)] * 4 + [(1, 1, -1.0, 0)] * 2
    state, action, reward, to = (np.array(column) for column in zip(*rows, strict=True))
    ended = to == 2
    logged = Logged(state=state, action=action, reward=reward, next_state=to, terminated=ended, offsets=np.arange(11))
    found = empirical(logged, 4, 2, discount=0.8)
    assert found.transition[0, 0] == pytest.approx([0.25, 0.75, 0.0, 0.0])
    assert found.transition[0, 1] == pytest.approx([0.0, 0.0, 1.0, 0.0])
    assert found.mean_reward[:2] == pytest.approx(np.array([[1.0, 2.0], [0.0, -1.0]]))
    assert found.behaviour[:2] == pytest.approx(np.array([[0.5, 0.5], [0.0, 1.0]]))
    assert found.transition[1, 0].tolist() == [0.0, 1.0, 0.0, 0.0]  # never taken: outside of the support
    assert found.terminal.tolist() == [False, False, True, True]  # the end, and what was never seen
    assert found.start == pytest.approx([0.8, 0.2, 0.0, 0.0])


def test_the_empirical_mdp_and_its_values_converge(mdp):
    few, many = (
        empirical(sample(mdp, episodes=episodes, horizon=100, seed=3), 4, 3, discount=0.9) for episodes in (20, 2000)
    )

    def errors(found: FiniteMDP):
        support = mdp.behaviour > 0
        assert ((found.behaviour > 0) == support).all()
        return [
            np.abs(found.transition - mdp.transition)[support].max(),
            np.abs(found.behaviour - mdp.behaviour).max(),
            *(np.abs(value_iteration(found, op).v - value_iteration(mdp, op).v).max() for op in (mean, maximum)),
        ]

    rough, fine = errors(few), errors(many)
    assert max(fine[:2]) < 0.02
    assert max(fine[2:]) < 0.15
    assert sum(fine) < sum(rough) / 2
    best = value_iteration(mdp, maximum).v
    surprise = np.abs(many.backup(best) - mdp.backup(best))[mdp.behaviour > 0].max()
    assert fine[3] <= surprise / (1 - 0.9) + 1e-9  # the simulation lemma


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("state", 4, r"field 'state', row 2: is 4, not in 0\.\.3"),
        ("action", -1, r"field 'action', row 2: is -1, not in 0\.\.2"),
        ("next_state", 9, r"field 'next_state', row 2: is 9, not in 0\.\.3"),
        ("terminated", True, r"field 'terminated', row 2: ends in state \d, from which other rows go on"),
    ],
)
def test_rows_that_cannot_be_are_refused_by_number(mdp, field, value, words):
    good = sample(mdp, episodes=5, horizon=50, seed=5)
    column = np.array(getattr(good, field))
    column[2] = value
    names = ("state", "action", "reward", "next_state", "terminated", "offsets")
    bad = Logged(**{name: column if name == field else getattr(good, name) for name in names})
    with pytest.raises(DataError, match=words):
        empirical(bad, 4, 3, discount=0.9)
