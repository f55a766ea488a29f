"""A policy's action of one observation as NumPy calls: the same as the compiled program's, for every method without a memory."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from extremal.algorithms.registry import METHODS
from extremal.core.host import on_host
from extremal.core.policy import Policy
from extremal.core.types import Spec
from extremal.data.transforms import NormaliseObservation, RescaleAction

SPEC = Spec(observation=(5,), action=(3,), best_return=1.0, worst_return=0.0)
PREPARE = (
    RescaleAction(centre=np.float32([1.0, 0.0, -2.0]), half=np.float32([0.5, 2.0, 1.0])),
    NormaliseObservation(mean=np.arange(5, dtype=np.float32), deviation=np.full(5, 2.0, np.float32)),
)


def trained(name: str) -> Policy | None:
    settings = dataclasses.replace(METHODS[name].default, width=8, depth=2)
    algorithm = dataclasses.replace(settings.algorithm(SPEC, updates=1), prepare=PREPARE)
    return None if algorithm.remembers else Policy(algorithm, algorithm.init(jax.random.key(0)).online)


@pytest.mark.parametrize("name", METHODS)
def test_one_observation_gives_what_many_give(name):
    policy = trained(name)
    if policy is None:
        pytest.skip("it remembers its episode, and acts through a player")
    observation = np.random.default_rng(0).normal(0.0, 3.0, size=(20, 5))
    many = policy.act(observation)
    one = [policy.act(x) for x in observation]
    assert policy._single is not None
    assert policy._single[0] is not None, "there is no form in NumPy of what this policy does"
    assert {(x.shape, x.dtype) for x in one} == {((3,), np.dtype(np.float32))}
    np.testing.assert_allclose(one, many, rtol=1e-5, atol=1e-6)
    one[0][:] = 7.0  # it is the caller's own
    np.testing.assert_allclose(policy.act(observation[0]), many[0], rtol=1e-5, atol=1e-6)


MATRIX = jnp.asarray(np.random.default_rng(1).normal(size=(4, 4)), jnp.float32)
FUNCTIONS = {
    "arithmetic": lambda x: jax.nn.sigmoid(-x) * x**3 / (1.0 + jnp.square(x)),
    "roots": lambda x: jax.lax.rsqrt(jnp.exp(x)) + jnp.sqrt(jnp.exp(x)) - jnp.log(jnp.exp(x)),
    "a product after a broadcast": lambda x: jnp.broadcast_to(jnp.sum(x, axis=1, keepdims=True), (1, 4)) @ MATRIX,
    "parts": lambda x: jnp.concatenate(jnp.split(x, 2, axis=1)[::-1], axis=1).reshape(2, 2).sum(axis=1),
    "known alone": lambda x: jnp.broadcast_to(jnp.tanh(MATRIX[:1]), (3, 4)),
    "clipped": lambda x: jnp.clip(x, -0.5, jnp.broadcast_to(jnp.max(MATRIX, axis=0), (1, 4))),
    "a column": lambda x: jnp.broadcast_to(x[:, :, None], (1, 4, 2)).squeeze(0),
}


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_each_operation_is_jax_s(function):
    with jax.numpy_rank_promotion("allow"):
        host = on_host(function, (1, 4))
        assert host is not None
        for seed in range(3):
            x = np.random.default_rng(seed).normal(size=(1, 4)).astype(np.float32)
            expected = np.asarray(function(jnp.asarray(x)))
            found = host(x)
            assert found.shape == expected.shape
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_what_is_not_known_has_no_form_in_numpy():
    assert on_host(lambda x: jnp.sort(x), (1, 4)) is None


def test_only_what_the_action_depends_on_is_called():
    host = on_host(lambda x: jnp.split(x @ MATRIX, 2, axis=1)[0] + 0.0 * MATRIX[:1, :2], (1, 4))
    assert host is not None
    assert len(host._calls) == 3  # product, first half, sum
