"""The one abstraction: an algorithm is a short tuple of steps, plus slow copies and an acting rule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from extremal.core.errors import ConfigError
from extremal.core.optimiser import Adam, Optimiser, Polyak, descend
from extremal.core.record import record, static
from extremal.core.types import AgentState, Batch, Metrics, Objective, Transform


@record
class Step:
    """One network, what it minimises, and how."""

    trains: str = static()  # field of `online` to differentiate; every other network is a constant
    objective: Objective
    optimiser: Optimiser = Adam()
    repeat: int = static(default=1)  # updates per pass, each on a fresh batch

    def take(self, state: AgentState, batch: Batch, key: jax.Array, earlier: Metrics) -> tuple[AgentState, Metrics]:
        """One update of `trains`; its metrics come back as `<trains>/<metric>`."""
        name, online = self.trains, state.online

        def loss(params: Any) -> tuple[jax.Array, Metrics]:
            moving = online._replace(**{name: params})
            return self.objective(moving, online._replace(**state.target), batch, key, earlier)

        params = getattr(online, name)
        (value, metrics), gradient = jax.value_and_grad(loss, has_aux=True)(params)
        params, follow = descend(self.optimiser, gradient, state.optimiser[name], params)
        state = state._replace(online=online._replace(**{name: params}), optimiser={**state.optimiser, name: follow})
        return state, {f"{name}/{k}": v for k, v in {"loss": value, **metrics}.items()}


@record
class Transitions:
    """A batch is `size` single transitions, drawn uniformly with replacement."""

    size: int = static()

    def sample(self, dataset: Any, key: jax.Array) -> Batch:
        return dataset.sample(key, self.size)


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
    steps before, so that nothing is computed twice.
    """

    networks: Any
    steps: tuple[Step, ...]
    slow: Mapping[str, Polyak]
    sampler: Transitions
    prepare: tuple[Transform, ...] = ()
    act: Any = Greedy()

    def init(self, key: jax.Array) -> AgentState:
        """Fresh networks, slow copies equal to them, and optimiser states."""
        online = self.networks.init(key)
        for name in {step.trains for step in self.steps} | set(self.slow):
            if not hasattr(online, name):
                raise ConfigError(
                    f"a step or slow copy names the network {name!r}; there are {', '.join(online._fields)}"
                )
        return AgentState(
            online=online,
            target={name: jax.tree.map(jnp.copy, getattr(online, name)) for name in self.slow},  # state is donated
            optimiser={s.trains: s.optimiser.transform().init(getattr(online, s.trains)) for s in self.steps},
        )

    def update(self, state: AgentState, dataset: Any, key: jax.Array) -> tuple[AgentState, Metrics]:
        """One pass over the steps on one batch (a repeated step draws a fresh one each further time)."""
        pick, spend = jax.random.split(key)
        batch = self.sampler.sample(dataset, pick)
        metrics: Metrics = {}
        for number, step in enumerate(self.steps):
            found: Metrics = {}
            for turn in range(step.repeat):
                fresh = batch if turn == 0 else self.sampler.sample(dataset, jax.random.fold_in(pick, turn))
                noise = jax.random.fold_in(jax.random.fold_in(spend, number), turn)
                state, found = step.take(state, fresh, noise, metrics)
            metrics = {**metrics, **found}
        target = {n: polyak.follow(state.target[n], getattr(state.online, n)) for n, polyak in self.slow.items()}
        return state._replace(target=target), metrics

    def measure(self, state: AgentState, batch: Batch) -> Metrics:
        """Every step's loss and metrics on `batch`, with nothing updated and nothing random: for held-out data."""
        metrics: Metrics = {}
        target = state.online._replace(**state.target)
        for step in self.steps:
            loss, found = step.objective(state.online, target, batch, None, metrics)
            metrics = {**metrics, **{f"{step.trains}/{k}": v for k, v in {"loss": loss, **found}.items()}}
        return metrics

    def action(self, online: Any, observation: jax.Array) -> jax.Array:
        """[B, A] actions in the environment's units for raw observations [B, O]."""
        action = self.act(online, self.prepared(observation))
        for transform in reversed(self.prepare):
            action = transform.action(action)
        return action

    def prepared(self, observation: jax.Array) -> jax.Array:
        """Raw observations as the networks see them."""
        for transform in self.prepare:
            observation = transform.observation(observation)
        return observation
