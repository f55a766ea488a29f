"""Tables look up what one-hot vectors point at, and are fitted to it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from extremal.core.errors import SpecError
from extremal.networks.table import PolicyTable, StateActionTable, StateTable

RANDOM = np.random.default_rng(0)
STATE, ACTION = RANDOM.integers(5, size=20), RANDOM.integers(3, size=20)
OBSERVATION, ONE_HOT = np.eye(5, dtype=np.float32)[STATE], np.eye(3, dtype=np.float32)[ACTION]


@pytest.mark.parametrize("shape", [(5,), (5, 2)])
def test_a_state_table_gives_the_row_of_the_state(shape):
    values = RANDOM.normal(size=shape).astype(np.float32)
    np.testing.assert_array_equal(StateTable(values=jnp.asarray(values))(OBSERVATION), values[STATE])


def test_a_state_action_table_gives_the_entry_of_each_member():
    values = RANDOM.normal(size=(2, 5, 3)).astype(np.float32)
    q = StateActionTable(values=jnp.asarray(values))(OBSERVATION, ONE_HOT)
    np.testing.assert_array_equal(q, values[:, STATE, ACTION])


def test_only_the_entries_looked_up_have_a_gradient():
    table = StateActionTable(values=jnp.zeros((1, 5, 3)))
    slope = jax.grad(lambda table: jnp.sum(table(OBSERVATION[:4], ONE_HOT[:4])))(table).values[0]
    counts = np.zeros((5, 3))
    np.add.at(counts, (STATE[:4], ACTION[:4]), 1.0)
    np.testing.assert_array_equal(slope, counts)


def test_a_policy_table_is_a_distribution_for_each_state():
    counts = RANDOM.integers(0, 9, size=(5, 3)) + np.asarray([1, 0, 1])
    with np.errstate(divide="ignore"):
        policy = PolicyTable(logits=jnp.asarray(np.log(counts), jnp.float32))
    found = policy(OBSERVATION, key=jax.random.key(0)).log_prob(ONE_HOT)
    np.testing.assert_allclose(np.exp(found), (counts / counts.sum(axis=1, keepdims=True))[STATE, ACTION], rtol=1e-5)


def test_a_policy_table_has_no_dropout():
    with pytest.raises(SpecError, match="no hidden units"):
        PolicyTable(logits=jnp.zeros((5, 3)))(OBSERVATION, dropout=0.1)
