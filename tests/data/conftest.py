"""Small logs of known shape, as the formats lay them out."""

import numpy as np
import pytest

LENGTHS = (3, 1, 4)  # the first episode terminates, the second is cut, the third just stops


@pytest.fixture
def episodes():
    """Three episodes with three observation features and two action entries."""
    random = np.random.default_rng(0)
    return [
        {
            "observation": random.normal(size=(steps + 1, 3)).astype(np.float32),
            "action": random.uniform(-1, 1, size=(steps, 2)).astype(np.float32),
            "reward": random.normal(size=steps).astype(np.float32),
            "terminated": number == 0,
            "truncated": number == 1,
        }
        for number, steps in enumerate(LENGTHS)
    ]


@pytest.fixture
def rows(episodes):
    """The same log with one row a step, every column of Extremal's own naming."""
    flag = lambda name: np.concatenate([[False] * (len(e["action"]) - 1) + [e[name]] for e in episodes])  # noqa: E731
    join = lambda part: np.concatenate([part(e) for e in episodes])  # noqa: E731
    return {
        "observation": join(lambda e: e["observation"][:-1]),
        "action": join(lambda e: e["action"]),
        "reward": join(lambda e: e["reward"]),
        "terminated": flag("terminated"),
        "truncated": flag("truncated"),
        "next_observation": join(lambda e: e["observation"][1:]),
        "episode": np.repeat(np.arange(len(episodes)), LENGTHS),
    }
