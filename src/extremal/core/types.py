"""The shapes that the parts exchange: a batch of transitions, an agent's state, and the protocols between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import jax

from extremal.core.record import record, static

Metrics = dict[str, jax.Array]
Follow = Callable[[str, int, int], None]  # what is at work, how much of it is finished, of how much


class Batch(NamedTuple):
    """B transitions drawn from logged data."""

    observation: jax.Array  # [B, O]
    action: jax.Array  # [B, A]
    reward: jax.Array  # [B]
    next_observation: jax.Array  # [B, O]
    terminated: jax.Array  # [B], 1.0 where the MDP ended; a time limit is not an end
    next_actions: jax.Array | None = None  # [N, B, A] of the behaviour's model, where they were drawn ahead


class SequenceBatch(NamedTuple):
    """B windows of L steps, each from one episode; where the episode ends sooner its steps stand on the right.

    What is not valid is padding, and 0 everywhere.
    """

    observation: jax.Array  # [B, L, O]
    action: jax.Array  # [B, L, A]
    return_to_go: jax.Array  # [B, L], what the episode brings from this step on, undiscounted
    timestep: jax.Array  # [B, L] int32, steps of the episode before this one
    valid: jax.Array  # [B, L] bool


class AgentState(NamedTuple):
    """Everything that an update changes."""

    online: Any  # NamedTuple of networks, by name
    target: Mapping[str, Any]  # slow copies, by the name of the network they follow
    optimiser: Mapping[str, Any]  # Optax states, by the name of the step


@record
class Spec:
    """What a method must know of the data before it builds networks: shapes, the range of an action, some returns."""

    observation: tuple[int, ...] = static()
    action: tuple[int, ...] = static()
    actions: int | None = static(default=None)  # number of discrete actions; None for continuous ones
    best_return: float | None = static(default=None)  # of a whole episode, undiscounted: what a method may be asked for
    worst_return: float | None = static(default=None)


class Objective(Protocol):
    """What one network minimises: `online.<trains>` moves, everything else is constant.

    `target` is the constant networks with the slow copies put in their places, `earlier` the metrics of the steps before.
    `batch` is what the sampler draws: a `Batch`, or a `SequenceBatch`. Without a key nothing is random: no dropout, no
    extra actions (for measuring on held-out data).
    """

    def __call__(
        self, online: Any, target: Any, batch: Any, key: jax.Array | None, earlier: Metrics
    ) -> tuple[jax.Array, Metrics]: ...


class Sampler(Protocol):
    """What a batch is: rows, or windows of rows.

    One that has a `draw(online, dataset, key)` wants to be replaced by what that gives before the first update, and at every
    multiple of its `redraw`, where it has one.
    """

    @property
    def size(self) -> int: ...  # entries of a batch
    @property
    def length(self) -> int: ...  # steps in one entry
    def sample(self, dataset: Any, key: jax.Array) -> Any: ...
    def at(self, dataset: Any, row: Any) -> Any: ...  # the batch whose entries begin at `row` [B]


class Transform(Protocol):
    """A change to the data that is fitted once, saved with the agent, and undone when acting.

    `fit` sees the training episodes only and returns itself with its numbers filled in; `apply` changes a dataset;
    `observation` (of NumPy arrays, on the host) and `action` (of JAX arrays) carry the change over to acting: raw observation
    in, raw action out. `reward` is what becomes of an environment's reward: critics count in its units.
    """

    def fit(self, dataset: Any) -> Transform: ...
    def apply(self, dataset: Any) -> Any: ...
    def observation(self, observation: Any) -> Any: ...
    def action(self, action: Any) -> Any: ...
    def reward(self, reward: Any) -> Any: ...
