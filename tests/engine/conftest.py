"""A toy for the engine, which knows nothing of losses: two numbers, each pulled towards the batch's rewards."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from extremal.core.algorithm import Algorithm, Step, Transitions
from extremal.core.optimiser import SGD, Polyak
from extremal.core.record import record
from extremal.data.dataset import Dataset
from extremal.networks.heads import Scalar


class Numbers(NamedTuple):
    b: Scalar
    a: Scalar


@record
class TwoNumbers:
    def init(self, key: jax.Array) -> Numbers:
        one, two = jax.random.split(key)
        return Numbers(b=Scalar(x=jax.random.normal(one)), a=Scalar(x=jax.random.normal(two)))


@record
class Follow:
    """(b - reward)^2 / 2, or (a - b - noise)^2 / 2: `b` is trained first, then `a`."""

    leader: bool

    def __call__(self, online: Any, target: Any, batch: Any, key: Any, earlier: Any) -> Any:
        reward = jnp.mean(batch.reward)
        error = jnp.where(self.leader, online.b() - reward, online.a() - target.b() - 0.1 * jax.random.normal(key))
        return 0.5 * error**2, {"error": error}


def toy(rate: float = 0.1, **when: Any) -> Algorithm:
    return Algorithm(
        networks=TwoNumbers(),
        steps=(
            Step(trains="b", objective=Follow(leader=True), optimiser=SGD(learning_rate=rate)),
            Step(trains="a", objective=Follow(leader=False), optimiser=SGD(learning_rate=rate), **when),
        ),
        slow={"b": Polyak(rate=0.5)},
        sampler=Transitions(size=4),
    )


@pytest.fixture(scope="session")
def make_toy():
    return toy


@pytest.fixture(scope="session")
def data() -> Dataset:
    random = np.random.default_rng(0)
    return Dataset.from_episodes(
        [
            {
                "observation": random.normal(size=(6, 2)).astype(np.float32),
                "action": random.uniform(-1, 1, size=(5, 1)).astype(np.float32),
                "reward": random.normal(size=5).astype(np.float32),
                "terminated": True,
            }
            for _ in range(4)
        ]
    ).device()
