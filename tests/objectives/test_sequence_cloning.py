"""Cloning of windows: which steps count, and in what units the network sees returns."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest

from extremal.core.types import SequenceBatch
from extremal.distributions import Deterministic
from extremal.objectives.sequence import SequenceCloning

VALID = np.asarray([[False, True, True], [True, True, True]])


class Networks(NamedTuple):
    pi: object


def as_its_return(observation, action, return_to_go, timestep, valid, *, dropout, key):
    """The same number in each of two entries: the return to go as the network sees it."""
    return Deterministic(jnp.broadcast_to(return_to_go[..., None], action.shape))


def test_the_square_is_over_steps_that_are_no_padding_and_returns_are_scaled():
    rng = np.random.default_rng(0)
    action, returns = rng.uniform(-1, 1, (2, 3, 2)), rng.normal(0.0, 500.0, (2, 3))
    single = lambda x: jnp.asarray(x, jnp.float32)  # noqa: E731
    rows = SequenceBatch(
        single(np.zeros((2, 3, 1))), single(action), single(returns), jnp.zeros((2, 3), jnp.int32), jnp.asarray(VALID)
    )
    networks = Networks(pi=as_its_return)
    loss, metrics = SequenceCloning(return_scale=1000.0)(networks, networks, rows, None, {})
    square = np.mean((returns[..., None] / 1000.0 - action) ** 2, axis=-1)
    assert float(loss) == pytest.approx(square[VALID].mean(), rel=1e-5)
    assert float(metrics["newest"]) == pytest.approx(square[:, -1].mean(), rel=1e-5)
    assert float(metrics["valid"]) == pytest.approx(5 / 6)
