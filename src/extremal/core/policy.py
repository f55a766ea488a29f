"""A trained agent as a user meets it: raw observations in, actions in the environment's units out."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from extremal.core.algorithm import Algorithm
from extremal.core.checked import admitted
from extremal.core.errors import SpecError
from extremal.core.host import Host, on_host
from extremal.core.ranges import Count
from extremal.core.types import Spec


@jax.jit
def _act(algorithm: Algorithm, online: Any, observation: jax.Array) -> jax.Array:
    return algorithm.action(online, observation)


@jax.jit
def _play(
    algorithm: Algorithm, online: Any, observation: jax.Array, reward: jax.Array, fresh: jax.Array, memory: Any
) -> tuple[jax.Array, Any]:
    return algorithm.play(online, observation, reward, fresh, memory)


@jax.jit
def _value(algorithm: Algorithm, online: Any, observation: jax.Array) -> jax.Array | None:
    return algorithm.value(online, observation)


class Policy:
    """Networks with the algorithm that made them. `algorithm.prepare` is fitted, so scaling is undone here.

    With the `spec` of the data that they learned from, observations of another shape are refused.
    """

    def __init__(self, algorithm: Algorithm, online: Any, spec: Spec | None = None):
        self.algorithm, self.online, self.spec = algorithm, online, spec
        self._single: tuple[Host | None] | None = None  # the way to act on one observation, once it is known

    def act(self, observation: Any) -> np.ndarray:
        """Actions [B, A] (or [A]) for raw observations [B, O] (or [O]), within the range that the data had or declared.

        Raises:
            SpecError: observations of another shape, or not finite; or the method remembers its episode, and acts through
                `start` only.
        """
        if self.algorithm.remembers:
            raise SpecError(
                "this method acts on what it remembers of an episode; begin one by `player = policy.start()`, then in turn "
                "`player.act(observation)` and `player.receive(reward)`"
            )
        seen, single = self.seen(observation)
        if not single:
            return np.asarray(_act(self.algorithm, self.online, jnp.asarray(seen)))
        if self._single is None:
            self._single = (on_host(lambda x: self.algorithm.action(self.online, x), seen.shape),)
        if (host := self._single[0]) is not None:  # a compiled program's call would cost more than the action
            return np.array(host(seen)[0])
        return np.asarray(_act(self.algorithm, self.online, jnp.asarray(seen)))[0]

    def start(self, count: int | None = None) -> Player:
        """Begin `count` episodes side by side (none: a single one, without a leading axis); serves every method."""
        return Player(self, admitted("count", count, Count | None))

    def value(self, observation: Any) -> np.ndarray:
        """State values [B] (or []) for raw observations [B, O] (or [O]), as the critic counts: of the value network, or Q of
        the action taken.

        Raises:
            SpecError: observations of another shape, or not finite; or the method has neither (behaviour cloning).
        """
        seen, single = self.seen(observation)
        value = _value(self.algorithm, self.online, jnp.asarray(seen))
        if value is None:
            raise SpecError("this method learns no values; only methods with a network `v` or a critic `q` give them")
        return np.asarray(value)[0] if single else np.asarray(value)

    def seen(self, observation: Any) -> tuple[np.ndarray, bool]:
        """Raw observations as the networks see them, [B, O] float32; and whether it was a single one, [O].

        Raises:
            SpecError: they are no numbers, of another shape than the data's, or not finite.
        """
        given = _numbers(observation, "an observation")
        shape = (given.shape[-1:] or (1,)) if self.spec is None else self.spec.observation
        single = given.shape == shape
        if not (single or (given.shape[1:] == shape and len(given))):
            one, many = _told(shape), _told(("B", *shape))
            raise SpecError(
                f"observations have shape {given.shape}; the policy learned from such of shape {one}: give one {one}, or "
                f"several {many}"
            )
        with np.errstate(over="ignore"):  # of what is beyond float32 is told below
            seen = self.algorithm.prepared(given)
        if not np.isfinite(seen).all():
            raise SpecError(_odd("the observation", given, seen))
        return (seen[None] if single else seen), single


class Player:
    """A policy in some episodes side by side, and what it remembers of each. `act` and `receive` take turns."""

    def __init__(self, policy: Policy, count: int | None):
        self.policy, self.count = policy, count
        rows = 1 if count is None else count
        self._reward, self._fresh = np.zeros(rows, np.float32), np.ones(rows, bool)
        self._told = True
        self._memory = policy.algorithm.start(policy.online, rows) if policy.algorithm.remembers else None

    def act(self, observation: Any) -> np.ndarray:
        """Actions [count, A] (or [A]) for the raw observations [count, O] (or [O]) that the episodes have come to.

        Raises:
            SpecError: the method remembers its episodes and was not told what the last action brought, or the
                observations are not one an episode, or not finite.
        """
        observation = _numbers(observation, "an observation")
        if observation.ndim != (1 if self.count is None else 2) or self.count not in (None, len(observation)):
            raise SpecError(f"observations have shape {observation.shape}, the player has {len(self._reward)} episodes")
        if not self.policy.algorithm.remembers:
            return self.policy.act(observation)
        if not self._told:
            raise SpecError("tell the player what its last action brought, by `receive(reward)`, before it acts again")
        seen, _ = self.policy.seen(observation)
        given = jnp.asarray(seen), jnp.asarray(self._reward), jnp.asarray(self._fresh)
        action, self._memory = _play(self.policy.algorithm, self.policy.online, *given, self._memory)
        self._told = False
        action = np.asarray(action)
        return action[0] if self.count is None else action

    def receive(self, reward: Any, fresh: Any = False) -> None:
        """The rewards of the last actions, [count] or one number; and where (`fresh`) the next observation begins an episode.

        Raises:
            SpecError: rewards that are not finite, another number of either than there are episodes, or no action before.
        """
        if self._told and self._memory is not None:
            raise SpecError("a reward is what an action brought: let the player act before it is told of one")
        reward = self._each(_numbers(reward, "a reward"), np.float32, "rewards")
        if not np.isfinite(reward).all():
            raise SpecError(_odd("the reward", reward, reward))
        self._fresh = self._each(_numbers(fresh, "`fresh`"), bool, "`fresh`")
        self._reward, self._told = reward, True

    def _each(self, value: np.ndarray, kind: type, name: str) -> np.ndarray:
        """[count] from that many, or from one for all."""
        if value.shape not in ((), (1,), self._reward.shape):
            raise SpecError(
                f"{name}: shape {value.shape} for {len(self._reward)} episodes; give one number, or one each"
            )
        with np.errstate(over="ignore"):
            return np.broadcast_to(value.astype(kind), self._reward.shape)


def _numbers(value: Any, name: str) -> np.ndarray:
    """Real numbers as an array of the type that they come in."""
    try:
        array = np.asarray(value)
    except ValueError as error:  # rows of unequal length
        raise SpecError(f"{name} is no array of numbers: {error}") from error
    if np.ma.is_masked(value):
        raise SpecError(
            f"{name} has masked entries, which are no numbers; leave such rows out, or fill them in as the log did"
        )
    if array.dtype.kind not in "fiub":
        raise SpecError(f"{name} is an array of numbers, and this is {type(value).__name__} of type {array.dtype}")
    return array


def _odd(name: str, given: np.ndarray, seen: np.ndarray) -> str:
    """The first number that is not finite, or not in the networks' float32, and where it stands."""
    at = tuple(map(int, np.argwhere(~np.isfinite(seen))[0]))
    where = [f"row {at[0]}", *(f"entry {i}" for i in at[1:])] if given.ndim > 1 else [f"entry {i}" for i in at]
    finite = "finite, and beyond float32" if np.isfinite(given[at]) else "not finite"
    return f"{name} is {given[at]} at {', '.join(where) or 'its only number'}, which is {finite}; give finite numbers"


def _told(shape: tuple[Any, ...]) -> str:
    """As Python writes a shape."""
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"
