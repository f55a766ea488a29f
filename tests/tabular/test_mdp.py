"""Finite MDPs: what they compute, and what they refuse."""

import numpy as np
import pytest

from extremal.core.errors import ConfigError, DataError
from extremal.tabular import FiniteMDP, random_mdp

CHAIN = {  # left and right on three states; the last one is terminal
    "transition": np.array(
        [[[1.0, 0.0, 0.0], [0.2, 0.8, 0.0]], [[1.0, 0.0, 0.0], [0.0, 0.5, 0.5]], [[0.0, 0.0, 1.0], [0.0, 0.0, 1.0]]]
    ),
    "reward": np.array([[0.0, 1.0], [2.0, 3.0], [9.0, 9.0]]),
    "discount": 0.9,
    "terminal": np.array([False, False, True]),
}


def chain(**changes):
    return FiniteMDP(**(CHAIN | changes))


def changed(field, at, value, shape=None):
    array = np.array(CHAIN[field]) if shape is None else np.ones(shape) / shape[-1]
    array[at] = value
    return {field: array}


def test_expectation_and_backup_of_a_chain():
    mdp = chain()
    v = np.array([10.0, 100.0, 1e6])  # a terminal state counts as 0, whatever stands there
    assert mdp.expect(v) == pytest.approx(np.array([[10.0, 82.0], [10.0, 50.0], [0.0, 0.0]]))
    assert mdp.backup(v) == pytest.approx(np.array([[9.0, 74.8], [11.0, 48.0], [0.0, 0.0]]))
    assert (mdp.states, mdp.actions) == (3, 2)


def test_a_reward_of_the_state_that_is_reached_is_averaged():
    reward = np.zeros((3, 2, 3))
    reward[0, 1] = 5.0, -1.0, 7.0
    assert chain(reward=reward).mean_reward[0, 1] == pytest.approx(0.2 * 5.0 - 0.8)


def test_the_chain_under_a_policy():
    steps, reward = chain().under(np.array([[0.25, 0.75], [0.0, 1.0], [0.5, 0.5]]))
    assert steps == pytest.approx(np.array([[0.25 + 0.75 * 0.2, 0.6, 0.0], [0.0, 0.5, 0.0], [0.0, 0.0, 0.0]]))
    assert reward == pytest.approx([0.75, 3.0, 0.0])


def test_defaults():
    mdp = chain()
    assert mdp.start == pytest.approx([0.5, 0.5, 0.0])
    assert mdp.behaviour == pytest.approx(np.full((3, 2), 0.5))
    assert not chain(terminal=None).terminal.any()


def test_sparse_and_dense_mdps_compute_the_same():
    """Where less than a tenth of the steps is possible, a sparse matrix holds them."""
    mdp = random_mdp(60, 3, seed=5, branching=3, terminal=4)
    v = np.random.default_rng(0).standard_normal(60)
    live = np.where(mdp.terminal, 0.0, v)
    expected = np.einsum("ijk,k->ij", mdp.transition, live) * ~mdp.terminal[:, None]
    assert np.count_nonzero(mdp.transition) < 0.1 * mdp.transition.size
    assert mdp.expect(v) == pytest.approx(expected, abs=1e-14)
    steps, _ = mdp.under(mdp.behaviour)
    assert steps @ v == pytest.approx((mdp.behaviour * expected).sum(-1), abs=1e-14)


def test_random_mdps_are_as_asked():
    mdp = random_mdp(7, 5, seed=1, discount=0.5, branching=2, support=3, terminal=2)
    assert mdp.transition.shape == mdp.reward.shape == (7, 5, 7)
    assert ((mdp.transition > 0).sum(-1) == 2).all()
    assert ((mdp.behaviour > 0).sum(-1) == 3).all()
    assert mdp.terminal.tolist() == [False] * 5 + [True] * 2
    assert mdp.discount == 0.5
    assert (mdp.transition != random_mdp(7, 5, seed=2, branching=2).transition).any()
    assert (random_mdp(7, 5, seed=1).transition == random_mdp(7, 5, seed=1).transition).all()


def test_it_cannot_be_changed_but_in_a_copy_which_is_checked_again():
    mdp, given = chain(), np.array(CHAIN["reward"])
    with pytest.raises(ValueError, match="read-only"):
        mdp.reward[0, 0] = 1.0
    copy = mdp.replace(discount=0.5)
    assert (copy.discount, mdp.discount) == (0.5, 0.9)
    assert (copy.reward == given).all()
    with pytest.raises(ConfigError, match="discount"):
        mdp.replace(discount=1.0)
    chain(reward=given)
    given[0, 0] = 1.0  # the caller's own array is not locked


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (changed("transition", (1, 0, 0), 0.7), r"field 'transition': row \[1, 0\] sums to 0.7, not to 1; divide it"),
        (
            changed("transition", (1, 0, 1), -0.2),
            r"field 'transition': entry \[1, 0, 1\] is -0.2; a probability cannot",
        ),
        (
            changed("transition", (0, 1, 2), np.nan),
            r"field 'transition': entry \[0, 1, 2\] is nan; every entry must be",
        ),
        (changed("reward", (1, 1), np.inf), r"field 'reward': entry \[1, 1\] is inf; every entry must be finite"),
        (changed("reward", (0, 0), np.nan), r"field 'reward': entry \[0, 0\] is nan; every entry must be finite"),
        (
            changed("behaviour", (2, 0), -0.5, (3, 2)),
            r"field 'behaviour': entry \[2, 0\] is -0.5; a probability cannot",
        ),
        (changed("behaviour", (2, 0), 0.9, (3, 2)), r"field 'behaviour': row \[2\] sums to 1.4, not to 1"),
        ({"behaviour": np.zeros((3, 2))}, r"field 'behaviour': row \[0\] sums to 0, not to 1"),
        (changed("start", 0, 0.9, (3,)), r"field 'start': sums to 1.56666667, not to 1"),
        ({"transition": np.ones((3, 2))}, r"field 'transition': has shape \(3, 2\), not \[states, actions, states\]"),
        ({"transition": np.ones((3, 2, 2)) / 2}, r"field 'transition': has shape \(3, 2, 2\)"),
        ({"transition": np.ones((0, 2, 0))}, r"field 'transition': has shape \(0, 2, 0\)"),
        ({"reward": np.zeros((2, 3))}, r"field 'reward': has shape \(2, 3\), not \(3, 2\) or with 3 more"),
        ({"behaviour": np.ones((2, 3)) / 3}, r"field 'behaviour': has shape \(2, 3\), not \(3, 2\)"),
        ({"start": np.ones(2) / 2}, r"field 'start': has shape \(2,\), not \(3,\)"),
        ({"terminal": np.zeros(2, bool)}, r"field 'terminal': has shape \(2,\), not \(3,\)"),
        ({"terminal": np.ones(3, bool)}, r"field 'terminal': every state is terminal; some state must be left"),
    ],
    ids=str,
)
def test_what_is_no_mdp_is_refused(change, words):
    with pytest.raises(DataError, match=words):
        chain(**change)


@pytest.mark.parametrize("discount", [1.0, -0.1, 1.5, np.nan])
def test_a_discount_out_of_range_is_refused(discount):
    with pytest.raises(ConfigError, match=r"discount must be in \[0, 1\), not " + str(discount)):
        chain(discount=discount)


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (np.ones((2, 3)) / 3, r"field 'policy': has shape \(2, 3\), not \(3, 2\)"),
        (np.full((3, 2), 0.6), r"field 'policy': row \[0\] sums to 1.2, not to 1"),
        (np.array([[0.5, 0.5], [2.0, -1.0], [1.0, 0.0]]), r"field 'policy': entry \[1, 1\] is -1.0"),
        (np.array([[0.5, 0.5], [np.nan, 1.0], [1.0, 0.0]]), r"field 'policy': entry \[1, 0\] is nan"),
    ],
    ids=["shape", "sum", "negative", "nan"],
)
def test_what_is_no_policy_is_refused(policy, words):
    with pytest.raises(DataError, match=words):
        chain().under(policy)
