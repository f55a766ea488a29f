"""`critics` is a number on every method that has critics: so many are made, trained and followed by slow copies."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from extremal.algorithms.registry import METHODS
from extremal.core.types import Batch, Spec

SPEC = Spec(observation=(3,), action=(2,))
WITH_CRITICS = [name for name, method in METHODS.items() if hasattr(method.default, "critics")]
ROWS = Batch(jnp.zeros((6, 3)), jnp.zeros((6, 2)), jnp.zeros(6), jnp.ones((6, 3)), jnp.zeros(6))


class Rows:
    """A dataset that is one batch."""

    def sample(self, key, size):
        return ROWS


def test_the_methods_with_critics_are_these():
    assert {"xql", "iql", "sac", "td3", "td3bc", "awac", "onestep", "cql"} <= set(WITH_CRITICS)


@pytest.mark.parametrize("critics", [2, 4, 10, 20])
@pytest.mark.parametrize("name", WITH_CRITICS)
def test_as_many_critics_as_are_asked_for(name, critics):
    settings = dataclasses.replace(METHODS[name].default, critics=critics, width=4, depth=1)
    algorithm = settings.algorithm(SPEC, updates=10)
    state = jax.eval_shape(algorithm.init, jax.random.key(0))
    assert len(state.online.q.members) == len(state.target["q"].members) == critics
    if critics == 4:
        after, _ = jax.eval_shape(lambda s: algorithm.update(s, Rows(), jax.random.key(1), 0), state)
        assert jax.tree.structure(after) == jax.tree.structure(state)


@pytest.mark.slow
def test_each_of_eight_critics_begins_and_learns_by_itself():
    algorithm = dataclasses.replace(METHODS["sac"].default, critics=8, width=4, depth=1).algorithm(SPEC, updates=10)
    state = algorithm.init(jax.random.key(0))
    after, metrics = jax.jit(lambda s: algorithm.update(s, Rows(), jax.random.key(1), 0))(state)
    assert np.isfinite(list(metrics.values())).all()
    for networks in (state.online.q, after.online.q):
        weights = {np.asarray(member.layers[0].weight).tobytes() for member in networks.members}
        assert len(weights) == 8
    for before, moved in zip(state.online.q.members, after.online.q.members, strict=True):
        assert not np.array_equal(before.layers[-1].bias, moved.layers[-1].bias)
