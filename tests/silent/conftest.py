"""Logs that are wrong in a way which says nothing by itself, or right in a way that looks wrong."""

import numpy as np
import pytest

from extremal.core.errors import ExtremalError


@pytest.fixture
def labelled():
    """40 labelled episodes of 25 steps of a smooth walk, reward 1 a step, cut at the end: returns of 25."""
    random = np.random.default_rng(0)
    walks = np.cumsum(0.1 * random.normal(size=(40, 26, 3)), axis=1) + random.normal(size=(40, 1, 3))
    row = np.arange(40 * 25)
    return {
        "observation": walks[:, :-1].reshape(-1, 3),
        "next_observation": walks[:, 1:].reshape(-1, 3),
        "action": random.uniform(-1, 1, (1000, 2)),
        "reward": np.ones(1000),
        "terminated": np.zeros(1000, bool),
        "truncated": row % 25 == 24,
        "episode": row // 25,
    }


@pytest.fixture
def refusal():
    """The sentence with which a call is refused."""

    def sentence(call) -> str:
        with pytest.raises(ExtremalError) as error:
            call()
        return str(error.value)

    return sentence
