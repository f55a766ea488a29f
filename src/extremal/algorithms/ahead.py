"""Actions of the behaviour drawn for every next state of the data at once, and looked up at each update: a sampler."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from extremal.core.record import record, static
from extremal.core.types import Batch
from extremal.objectives.sampled import drawn

BLOCK = 256  # rows at a time


@record
class DrawnAhead:
    """A batch is `size` transitions, each with `samples` actions of the network `behaviour` in its next state.

    They are taken, without replacement, from `ahead` actions that `draw` has drawn for that state, which the engine calls
    before the first update and, with `redraw`, after every so many. Nothing may move `behaviour` in between.
    """

    size: int = static()
    samples: int = static()
    ahead: int = static()
    redraw: int | None = static(default=None)
    table: Any = None  # [N or somewhat more, ahead, A], once drawn

    @property
    def length(self) -> int:
        return 1

    def draw(self, online: Any, dataset: Any, key: jax.Array) -> DrawnAhead:
        """The same with a table of fresh draws; works inside a compiled program."""

        def block(number: jax.Array) -> jax.Array:
            row = jnp.minimum(number * BLOCK + jnp.arange(BLOCK, dtype=jnp.int32), dataset.rows - 1)
            state = dataset.row(row).next_observation
            return jnp.moveaxis(drawn(online.behaviour, state, jax.random.fold_in(key, number), self.ahead), 0, 1)

        found = jax.lax.map(block, jnp.arange(-(-dataset.rows // BLOCK), dtype=jnp.int32))
        return dataclasses.replace(self, table=found.reshape(-1, *found.shape[2:]))

    def sample(self, dataset: Any, key: jax.Array) -> Batch:
        pick, choose = jax.random.split(key)
        row = dataset.some(pick, self.size)
        which = jax.random.choice(choose, self.ahead, (self.samples,), replace=False)
        return dataset.row(row)._replace(next_actions=self.table[row[None], which[:, None]])

    def at(self, dataset: Any, row: Any) -> Batch:
        """Without actions: whoever wants some draws them."""
        return dataset.row(row)
