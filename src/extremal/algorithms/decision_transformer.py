"""Decision Transformer: clone actions in the light of what their episode went on to bring, then ask for much."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from extremal.algorithms.settings import OfPreset, Preset, continuous, transforms
from extremal.core.algorithm import Algorithm, Step, Windows
from extremal.core.errors import ConfigError
from extremal.core.optimiser import AdamW, WarmUp
from extremal.core.ranges import Count, NotNegative, Number, Part, Positive
from extremal.core.record import record, static
from extremal.core.types import Spec
from extremal.data.transforms import ReturnsToGo
from extremal.networks.transformer import SequencePolicy
from extremal.objectives.sequence import SequenceCloning


class Networks(NamedTuple):
    pi: SequencePolicy


@record
class SequenceNetworks:
    """Sizes of the transformer."""

    observation: int = static()
    action: int = static()
    width: int = static()
    depth: int = static()
    heads: int = static()
    timesteps: int = static()

    def init(self, key: jax.Array) -> Networks:
        return Networks(
            pi=SequencePolicy.init(
                key,
                self.observation,
                self.action,
                width=self.width,
                depth=self.depth,
                heads=self.heads,
                timesteps=self.timesteps,
            )
        )


class Context(NamedTuple):
    """The last K steps of B episodes, the newest on the right; an episode's last action is 0 until it is chosen."""

    observation: jax.Array  # [B, K, O] prepared
    action: jax.Array  # [B, K, A] in [-1, 1]
    return_to_go: jax.Array  # [B, K] what is still asked for, in the units of rewards
    timestep: jax.Array  # [B] int32, of the newest step


@record
class AskForReturn:
    """The action that belongs to `target`, less what the episode has brought so far.

    Source: [chen2021] Sec. 3, Algorithm 1.
    """

    target: float
    return_scale: float
    context: int = static()

    def start(self, online: Networks, count: int) -> Context:
        observation, action = online.pi.observation.weight.shape[0], online.pi.action.weight.shape[0]
        return Context(
            observation=jnp.zeros((count, self.context, observation)),
            action=jnp.zeros((count, self.context, action)),
            return_to_go=jnp.zeros((count, self.context)),
            timestep=jnp.zeros(count, jnp.int32),
        )

    def __call__(
        self, online: Networks, observation: jax.Array, reward: jax.Array, fresh: jax.Array, memory: Context
    ) -> tuple[jax.Array, Context]:
        still = jnp.where(fresh, self.target, memory.return_to_go[:, -1] - reward)
        newest = jnp.where(fresh, 0, memory.timestep + 1)
        memory = Context(
            observation=_push(memory.observation, observation),
            action=_push(memory.action, jnp.zeros_like(memory.action[:, 0])),
            return_to_go=_push(memory.return_to_go, still),
            timestep=newest,
        )
        shape = memory.return_to_go.shape
        ago = jnp.broadcast_to(jnp.arange(self.context - 1, -1, -1, dtype=jnp.int32), shape)
        timestep = jnp.broadcast_to(newest[:, None], shape) - ago  # below 0: before this episode
        action = online.pi(
            memory.observation,
            memory.action,
            memory.return_to_go / self.return_scale,
            jnp.maximum(timestep, 0),
            timestep >= 0,
            newest=True,
        ).mode()[:, 0]
        return action, memory._replace(action=memory.action.at[:, -1].set(action))


def _push(kept: jax.Array, newest: jax.Array) -> jax.Array:
    """[B, K, ...] with `newest` [B, ...] on the right, the oldest gone."""
    return jnp.concatenate([kept[:, 1:], newest[:, None]], axis=1)


@record
class DT(OfPreset):
    """Decision Transformer: the action is a function of the return asked for and of the last steps.

    Source: [chen2021] Sec. 3, Algorithm 1; App. A.
    """

    target_return: Number | None = None
    """Return asked for when acting; none: the best that was logged."""
    return_scale: Positive | None = None
    """Returns are divided by this before the network sees them; none: the largest of a logged episode, by magnitude."""
    context: Count = static(default=20)
    """Steps of an episode that the network sees at once."""
    learning_rate: Positive = 1e-4
    weight_decay: NotNegative = 1e-4
    """Share of every parameter taken off at an update, times the rate."""
    warm_up: Count = static(default=10_000)
    """Updates in which the rate rises to its full height."""
    max_gradient_norm: Positive | None = 0.25
    """Longest gradient."""
    dropout: Part | None = 0.1
    """Share silenced in training: of the tokens, of the attention, and of what each block adds."""
    width: Count = static(default=128)
    """Numbers in a token."""
    depth: Count = static(default=3)
    """Blocks of attention and hidden layer."""
    heads: Count = static(default=1)
    """Of the attention; they share the width."""
    timesteps: Count = static(default=1000)
    """Steps of an episode that are told apart; later ones count as the last of these."""
    batch_size: Count = static(default=64)
    """Windows of `context` steps."""
    normalise_observation: bool = static(default=True)
    """Observations to zero mean and unit deviation."""

    def algorithm(self, spec: Spec, *, updates: int) -> Algorithm:
        observation, action = continuous(type(self).__name__, spec)
        target, scale = self._check(spec)
        prepare = transforms(normalise_observation=self.normalise_observation)
        return Algorithm(
            networks=SequenceNetworks(
                observation=observation,
                action=action,
                **{name: getattr(self, name) for name in ("width", "depth", "heads", "timesteps")},
            ),
            steps=(
                Step(
                    trains="pi",
                    objective=SequenceCloning(return_scale=scale, dropout=self.dropout),
                    optimiser=AdamW(
                        learning_rate=self.learning_rate,
                        weight_decay=self.weight_decay,
                        schedule=WarmUp(updates=float(self.warm_up)),
                        max_norm=self.max_gradient_norm,
                    ),
                ),
            ),
            slow={},
            sampler=Windows(size=self.batch_size, length=self.context),
            prepare=(*prepare, ReturnsToGo()),
            act=AskForReturn(target=target, return_scale=scale, context=self.context),
        )

    def _check(self, spec: Spec) -> tuple[float, float]:
        """The return to ask for, and what returns are divided by.

        Raises:
            ConfigError: a size that no transformer has, no return to ask for, or none to divide by.
        """
        if self.width % self.heads:
            raise ConfigError(f"DT: {self.heads} heads cannot share a width of {self.width}; choose a divisor of it")
        target = spec.best_return if self.target_return is None else self.target_return
        if target is None:
            raise ConfigError("DT: neither a target_return is set nor a best logged return known; set target_return")
        if self.return_scale is not None:
            return target, self.return_scale
        largest = max((abs(known) for known in (spec.best_return, spec.worst_return) if known is not None), default=0.0)
        if largest == 0.0:
            raise ConfigError("DT: no episode has a return to divide by (all are 0, or not known); set return_scale")
        return target, largest


PRESETS = {
    f"code/{robot}-{which}": Preset(
        settings=DT(target_return=target, return_scale=1000.0), source="[chen2021] published code"
    )
    for robot, targets in {
        "hopper": (3600.0, 1800.0),
        "halfcheetah": (12000.0, 6000.0),
        "walker2d": (5000.0, 2500.0),
    }.items()
    for which, target in zip(("high", "low"), targets, strict=True)
}
