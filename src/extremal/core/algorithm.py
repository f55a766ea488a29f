"""The one abstraction: an algorithm is a short tuple of steps, plus slow copies and an acting rule."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from extremal.core.checked import Checked
from extremal.core.errors import ConfigError
from extremal.core.optimiser import Adam, Optimiser, Polyak, descend
from extremal.core.ranges import Count, Whole
from extremal.core.record import record, static
from extremal.core.types import AgentState, Batch, Metrics, Objective, Sampler, SequenceBatch, Transform


@record
class Step(Checked):
    """One network, what it minimises, and how."""

    trains: str = static()  # field of `online` to differentiate; every other network is a constant
    objective: Objective
    optimiser: Optimiser = Adam()
    repeat: Count = static(default=1)  # updates per pass
    fresh: bool = static(default=True)  # each of these on a batch of its own; or all on the pass's, with the same draws
    name: str = static(default="")  # of its metrics and its optimiser state; default: `trains`
    every: Count = static(default=1)  # taken at every so many updates (TD3's policy: 2), counted from `start`
    start: Whole = static(default=0)  # first update at which it is taken
    stop: Whole | None = static(default=None)  # first update at which it is taken no more
    tiles: Count = static(default=1)  # parts of equal size in which a CPU takes the rows of a batch, see `tiles_of`

    @property
    def label(self) -> str:
        return self.name or self.trains

    @property
    def always(self) -> bool:
        return self.every == 1 and self.start == 0 and self.stop is None

    def due(self, index: jax.Array) -> jax.Array:
        """Whether it is taken at update `index`."""
        running = (index >= self.start) & ((index - self.start) % self.every == 0)
        return running if self.stop is None else running & (index < self.stop)

    def take(self, state: AgentState, batch: Any, key: jax.Array, earlier: Metrics) -> tuple[AgentState, Metrics]:
        """One update of `trains`; its metrics come back as `<label>/<metric>`."""
        trains, label, online = self.trains, self.label, state.online

        def loss(params: Any, batch: Any, key: jax.Array) -> tuple[jax.Array, Metrics]:
            moving = online._replace(**{trains: params})
            return self.objective(moving, online._replace(**state.target), batch, key, earlier)

        params = getattr(online, trains)
        (value, metrics), gradient = self._slope(loss, params, batch, key)
        params, follow = descend(self.optimiser, gradient, state.optimiser[label], params)
        state = state._replace(online=online._replace(**{trains: params}), optimiser={**state.optimiser, label: follow})
        return state, {f"{label}/{k}": v for k, v in {"loss": value, **metrics}.items()}

    def _slope(self, loss: Any, params: Any, batch: Any, key: jax.Array) -> Any:
        """Loss and metrics, and the gradient: of the whole batch, or the mean over its tiles where they divide it."""
        both = partial(jax.value_and_grad(loss, has_aux=True), params)
        rows = len(jax.tree.leaves(batch)[0])
        if self.tiles == 1 or rows % self.tiles or jax.default_backend() != "cpu":
            return both(batch, key)
        parts = jax.tree.map(lambda x: x.reshape(self.tiles, -1, *x.shape[1:]), batch)
        nothing = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(both, batch, key))
        add = lambda total, part: (jax.tree.map(jnp.add, total, both(*part)), None)  # noqa: E731
        total, _ = jax.lax.scan(add, nothing, (parts, jax.random.split(key, self.tiles)))
        return jax.tree.map(lambda x: x / self.tiles, total)


TILE = 2048  # rows


def tiles_of(batch: int, actions: int) -> int:
    """Into how many parts a batch is best taken apart, where `actions` rows of a network belong to each of its own.

    With too many rows at once, what lies between two matrix products leaves a CPU's caches, on the way there and again on the way
    back. The objective has to be a mean over the batch, and so have its metrics.
    """
    whole = (tiles for tiles in range(1, batch) if batch % tiles == 0 and batch // tiles * actions <= TILE)
    return next(whole, batch)


@record
class Transitions(Checked):
    """A batch is `size` single transitions, drawn uniformly with replacement."""

    size: Count = static()

    @property
    def length(self) -> int:
        return 1

    def sample(self, dataset: Any, key: jax.Array) -> Batch:
        return dataset.sample(key, self.size)

    def at(self, dataset: Any, row: Any) -> Batch:
        return dataset.row(row)


@record
class Windows(Checked):
    """A batch is `size` windows of up to `length` steps of one episode; where one begins is drawn uniformly over all rows.

    So an episode is drawn in proportion to its steps, and its step t is in min(t + 1, `length`) of the windows.

    Source: [chen2021] (its published code).
    """

    size: Count = static()
    length: Count = static()

    def sample(self, dataset: Any, key: jax.Array) -> SequenceBatch:
        return dataset.sample_windows(key, self.size, self.length)

    def at(self, dataset: Any, row: Any) -> SequenceBatch:
        return dataset.window(row, self.length)


@record
class Greedy:
    """Act with the mode of the policy network, within the bounds of a rescaled action."""

    def __call__(self, online: Any, observation: jax.Array) -> jax.Array:
        return jnp.clip(online.pi(observation).mode(), -1.0, 1.0)


@record
class Algorithm:
    """Networks, the steps that train them in this order, their slow copies, and what is done to data before and after.

    `networks` is a record with `init(key) -> NamedTuple of networks`. Each step sees what the previous ones left;
    `target` is the constant networks with the slow copies put in their places; `earlier` holds the metrics of the
    steps before, so that nothing is computed twice. `act` is called with the networks and prepared observations; one that
    has a `start(online, count)` remembers its episodes, and is called as `play` calls it.
    """

    networks: Any
    steps: tuple[Step, ...]
    slow: Mapping[str, Polyak]
    sampler: Sampler
    prepare: tuple[Transform, ...] = ()
    act: Any = Greedy()

    def init(self, key: jax.Array, given: Mapping[str, Any] | None = None) -> AgentState:
        """Fresh networks, slow copies equal to them, and optimiser states.

        Args:
            given: networks by name that were fitted before (a model of the behaviour), in the places of fresh ones.
        """
        online = self.networks.init(key)._replace(**(given or {}))
        labels = [step.label for step in self.steps]
        if len(set(labels)) < len(labels):
            raise ConfigError(f"two steps have one name among {', '.join(labels)}; give the second a `name`")
        for name in {step.trains for step in self.steps} | set(self.slow):
            if not hasattr(online, name):
                raise ConfigError(
                    f"a step or slow copy names the network {name!r}; there are {', '.join(online._fields)}"
                )
        return AgentState(
            online=online,
            target={name: jax.tree.map(jnp.copy, getattr(online, name)) for name in self.slow},  # state is donated
            optimiser={s.label: s.optimiser.transform().init(getattr(online, s.trains)) for s in self.steps},
        )

    @property
    def draws_ahead(self) -> bool:
        """Whether its sampler is to be replaced, by `drawn_ahead`, before the first update."""
        return hasattr(self.sampler, "draw")

    def drawn_ahead(self, online: Any, dataset: Any, key: jax.Array) -> Algorithm:
        """The same with what its sampler wants drawn from the networks before updates begin."""
        return dataclasses.replace(self, sampler=self.sampler.draw(online, dataset, key))  # type: ignore[attr-defined]

    def update(
        self, state: AgentState, dataset: Any, key: jax.Array, index: jax.Array | int
    ) -> tuple[AgentState, Metrics]:
        """Update number `index`: one pass over the steps that are due, on one batch (a repeated step may draw fresh ones).

        The metrics of a step that is not due are 0 (`due` tells); its network and its optimiser stay as they are.
        """
        pick, spend = jax.random.split(key)
        batch, before = self.sampler.sample(dataset, pick), state.online
        metrics: Metrics = {}
        for number, step in enumerate(self.steps):
            run = partial(self._run, step, dataset, batch, pick, jax.random.fold_in(spend, number), metrics)
            if step.always:
                state, found = run(state)
            else:
                nothing = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(run, state)[1])
                state, found = jax.lax.cond(step.due(jnp.asarray(index)), run, partial(_skip, nothing), state)
            metrics = {**metrics, **found}
        target = {
            name: polyak.follow(state.target[name], getattr(before if polyak.behind else state.online, name), index)
            for name, polyak in self.slow.items()
        }
        return state._replace(target=target), metrics

    def _run(
        self, step: Step, dataset: Any, batch: Batch, pick: jax.Array, spend: jax.Array, earlier: Metrics, state: Any
    ) -> tuple[AgentState, Metrics]:
        found: Metrics = {}
        for turn in range(step.repeat):
            another = turn if step.fresh else 0
            rows = batch if another == 0 else self.sampler.sample(dataset, jax.random.fold_in(pick, another))
            state, found = step.take(state, rows, jax.random.fold_in(spend, another), earlier)
        return state, found

    def due(self, index: jax.Array) -> dict[str, jax.Array]:
        """By step, whether it is taken at update `index`."""
        return {step.label: step.due(index) for step in self.steps}

    def measure(self, state: AgentState, batch: Any) -> Metrics:
        """Every step's loss and metrics on `batch`, with nothing updated and nothing random: for held-out data."""
        metrics: Metrics = {}
        target = state.online._replace(**state.target)
        for step in self.steps:
            loss, found = step.objective(state.online, target, batch, None, metrics)
            metrics = {**metrics, **{f"{step.label}/{k}": v for k, v in {"loss": loss, **found}.items()}}
        return metrics

    def action(self, online: Any, observation: jax.Array) -> jax.Array:
        """[B, A] actions in the environment's units for prepared observations [B, O]."""
        return self._raw(self.act(online, observation))

    @property
    def remembers(self) -> bool:
        """Whether an action depends on more of the episode than the observation: then `start` and `play` serve."""
        return hasattr(self.act, "start")

    def start(self, online: Any, count: int) -> Any:
        """What is remembered of `count` episodes before their first steps."""
        return self.act.start(online, count)

    def play(
        self, online: Any, observation: jax.Array, reward: jax.Array, fresh: jax.Array, memory: Any
    ) -> tuple[jax.Array, Any]:
        """Actions [B, A] as of `action`, and what is remembered from here on.

        Args:
            reward: [B] what the last action brought; fresh: [B] bool, an episode begins here and what was before is over.
        """
        action, memory = self.act(online, observation, reward, fresh, memory)
        return self._raw(action), memory

    def first_action(self, online: Any, observation: jax.Array) -> jax.Array:
        """[B, A] what the networks do in prepared observations [B, O] that begin an episode, within [-1, 1]."""
        if not self.remembers:
            return self.act(online, observation)
        rows = len(observation)
        memory = self.start(online, rows)
        return self.act(online, observation, jnp.zeros(rows), jnp.ones(rows, bool), memory)[0]

    def _raw(self, action: jax.Array) -> jax.Array:
        """Actions of the networks in the environment's units."""
        for transform in reversed(self.prepare):
            action = transform.action(action)
        return action

    @property
    def discount(self) -> Any:
        """Of the step that trains the critic `q`; none where there is no critic."""
        return next((step.objective.discount for step in self.steps if step.trains == "q"), None)  # type: ignore[attr-defined]

    def value(self, online: Any, observation: jax.Array) -> jax.Array | None:
        """[B] values of prepared observations: of the network `v`, or else Q of the action taken; none without a critic."""
        statistic = next((step.objective.statistic for step in self.steps if step.trains == "v"), None)  # type: ignore[attr-defined]
        if statistic is not None:
            return statistic.value(online.v(observation))
        return self.own_value(online, observation) if hasattr(online, "q") else None

    def own_value(self, online: Any, observation: jax.Array) -> jax.Array:
        """[B] the least Q, over critics, of the action that is taken in prepared observations [B, O]."""
        return jnp.min(online.q(observation, self.first_action(online, observation)), axis=0)

    def counted(self, reward: Any) -> Any:
        """Rewards of the environment in the units in which a critic counts them."""
        for transform in self.prepare:
            reward = transform.reward(reward)
        return reward

    def prepared(self, observation: Any) -> np.ndarray:
        """Raw observations [..., O] as the networks see them, float32.

        On the host, and never in a program: what is far from 0 is centred in the precision that it comes in.
        """
        for transform in self.prepare:
            observation = transform.observation(observation)
        return np.asarray(observation, np.float32)


def _skip(nothing: Metrics, state: AgentState) -> tuple[AgentState, Metrics]:
    return state, nothing
