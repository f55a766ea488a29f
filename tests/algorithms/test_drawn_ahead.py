"""Actions that are drawn ahead: of the right states, no two the same, and the same however training is cut."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from extremal.algorithms.ahead import BLOCK, DrawnAhead
from extremal.algorithms.emaq import EMaQ
from extremal.core.errors import ConfigError
from extremal.core.record import record
from extremal.core.types import Spec
from extremal.data.dataset import Dataset
from extremal.engine.loop import train
from extremal.engine.replicas import init_replicas, run_keys, stack
from extremal.objectives.backup import SampledBackup
from extremal.objectives.sampled import ExpectedMaximum

SPEC = Spec(observation=(1,), action=(1,))
SMALL = {"width": 8, "depth": 1, "critics": 2, "batch_size": 8, "behaviour_width": 8, "behaviour_depth": 1} | {
    "behaviour_head_width": 8,
    "behaviour_head_depth": 1,
    "behaviour_bins": 5,
}


class Drawer(NamedTuple):
    observation: Any

    def samples(self, key, count):
        """What was observed, and a little that is told apart."""
        return self.observation[None] / 1000 + 1e-5 * jax.random.uniform(key, (count, *self.observation.shape))


@record
class Told:
    """Of every state, actions that say which state it was."""

    def __call__(self, observation):
        return Drawer(observation)


class Networks(NamedTuple):
    behaviour: Any
    q: Any = None


def numbered(rows=BLOCK + 44) -> Dataset:
    """Two episodes whose observations are their places."""
    steps = rows // 2
    return Dataset.from_episodes(
        [
            {
                "observation": np.arange(first, first + steps + 1, dtype=np.float32)[:, None],
                "action": np.zeros((steps, 1), np.float32),
                "reward": np.ones(steps, np.float32),
                "terminated": True,
            }
            for first in (0, steps + 1)
        ]
    )


def test_every_batch_has_actions_of_its_own_next_states_and_no_draw_twice():
    data = numbered().device()
    sampler = DrawnAhead(size=32, samples=3, ahead=5).draw(Networks(Told()), data, jax.random.key(0))
    sample = jax.jit(sampler.sample)
    batches = [sample(data, jax.random.key(k)) for k in range(20)]
    for batch in batches:
        state = np.asarray(batch.next_observation)[None] / 1000
        np.testing.assert_allclose(batch.next_actions, np.broadcast_to(state, (3, 32, 1)), atol=2e-5)
        assert len(np.unique(batch.next_actions[:, 0, 0])) == 3
    seen = {int(s) for batch in batches for s in np.asarray(batch.next_observation)[:, 0]}
    assert len(seen) > 200  # over both blocks of rows
    assert max(seen) > BLOCK
    assert sampler.at(data, np.arange(3)).next_actions is None


def test_the_backup_looks_at_them_and_at_no_others():
    batch = numbered().row(np.arange(2))._replace(next_actions=jnp.asarray([[[0.1], [0.9]], [[0.4], [-0.3]]]))
    critic = lambda observation, action: jnp.stack([action[:, 0], 2.0 * action[:, 0]])  # noqa: E731
    backup = SampledBackup(statistic=ExpectedMaximum(samples=2))
    value = backup(Networks(behaviour=None, q=critic), batch, jax.random.key(0))
    np.testing.assert_allclose(value, [0.4, 0.9])


def states_of(every, *, start=0, states=None, redraw=4, updates=10):
    settings = EMaQ(samples=3, draws_ahead=6, redraw_every=redraw, **SMALL)
    algorithms = stack([settings.algorithm(SPEC, updates=updates)] * 2)
    init, keys = run_keys([0, 1])
    states = init_replicas(algorithms, init) if states is None else states
    data = numbered(40).device()
    return [
        (progress.update, jax.device_get(progress.states))
        for progress in train(algorithms, states, data, keys, updates=updates, every=every, start=start)
    ]


@pytest.mark.slow
def test_where_training_is_cut_and_taken_up_again_changes_nothing():
    """Drawn anew at 4 and 8; cut at 3, 5, 6 and 9, and taken up again from 5, in the midst of a turn."""
    whole, cut = states_of((10,)), states_of((3, 5))
    assert [update for update, _ in whole] == [4, 8, 10]
    again = states_of((10,), start=5, states=jax.tree.map(jnp.asarray, dict(cut)[5]))
    other = states_of((10,), redraw=5)
    leaves = [jax.tree.leaves(found[-1][1].online.q) for found in (whole, cut, again, other)]
    assert all(np.array_equal(a, b) and np.array_equal(a, c) for a, b, c, _ in zip(*leaves, strict=True))
    assert not all(np.array_equal(a, d) for a, _, _, d in zip(*leaves, strict=True))
    assert not np.array_equal(leaves[0][0][0], leaves[0][0][1])  # a replica has draws of its own


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"draws_ahead": 2}, "draws_ahead is 2: at least samples, which is 3"),
        ({"draws_ahead": 6, "redraw_every": 0}, "'redraw_every' is 0, expected int from 1 up"),
        ({"redraw_every": 5}, "give draws_ahead"),
        ({"draws_ahead": 6, "distilled": True}, "distilled proposal moves"),
    ],
)
def test_what_cannot_be_drawn_ahead_is_refused(wrong, words):
    with pytest.raises(ConfigError, match=words):
        dataclasses.replace(EMaQ(samples=3, **SMALL), **wrong).algorithm(SPEC, updates=10)
