"""The episode store: an episode of T steps keeps its T + 1 observations once.

    slot          0    1    2    3  |  4    5    6
    observation   s0   s1   s2   s3 |  s0'  s1'  s2'
    row             0    1    2     |    3    4
    action          a0   a1   a2    |    a0'  a1'
    starts          0                    3              5 (= rows)

Row i reads its observation at `slot[i]` and the next one at `slot[i] + 1`, so no observation is stored twice and the
next observation of an episode's last row is its own, never the first of the episode that follows.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from extremal.core.errors import DataError
from extremal.core.record import record, static
from extremal.core.types import Batch, Spec


@record
class Card:
    """What is known of a dataset besides its numbers. Nothing here changes training, except the declared action range."""

    name: str = static(default="unnamed")
    environment: str | None = static(default=None)  # id for `extremal.envs.make`; None: no simulator
    reference: str | None = static(default=None)  # D4RL's name for its reference scores
    action_low: tuple[float, ...] | None = static(default=None)  # declared range; None: read from the data
    action_high: tuple[float, ...] | None = static(default=None)
    actions: int | None = static(default=None)  # number of discrete actions; None: continuous
    recipe: str = static(default="")  # JSON: how the data came about (generator, seed, versions, source hash)


@record
class Dataset:
    """N transitions in E episodes, checked at construction.

    Build one by `from_episodes` or `from_rows`; read one by `extremal.load_dataset(id)`.
    """

    observation: Any  # [N + E, *O] float32: T + 1 per episode
    action: Any  # [N, A] float32, or [N] int32 where discrete
    reward: Any  # [N] float32
    terminated: Any  # [N] bool: the MDP ended here, nothing follows (only on an episode's last row)
    truncated: Any  # [N] bool: a limit cut the episode here, its value goes on (only on an episode's last row)
    starts: Any  # [E + 1] int32: first row of each episode, and N
    slot: Any  # [N] int32: where row i finds its observation
    card: Card = static(default=Card())

    def __post_init__(self) -> None:
        if isinstance(self.action, np.ndarray):  # on the host; traced and device copies were checked before
            _check(self)

    # ---- building --------------------------------------------------------------------------------------------------

    @classmethod
    def from_episodes(cls, episodes: Sequence[Mapping[str, Any]], *, card: Card | None = None) -> Dataset:
        """One mapping per episode: `observation` [T + 1, *O], `action` [T, ...], `reward` [T], and the flags of the end.

        `terminated` and `truncated` are booleans of the episode (default False), or arrays [T] whose last entry counts.
        """
        if not episodes:
            raise DataError("there is no episode", field="episodes")
        for number, episode in enumerate(episodes):
            for name in ("observation", "action", "reward"):
                if name not in episode:
                    raise DataError(f"episode {number} has no '{name}'", field=name)
            steps, observations = len(episode["action"]), len(episode["observation"])
            if observations != steps + 1 or len(episode["reward"]) != steps:
                raise DataError(
                    f"episode {number} has {steps} actions, {len(episode['reward'])} rewards and {observations} observations; "
                    "an episode of T steps has T actions, T rewards and T + 1 observations",
                    field="observation",
                )
        lengths = np.array([len(e["action"]) for e in episodes])
        if (empty := np.flatnonzero(lengths == 0)).size:
            raise DataError(f"episode {empty[0]} has no step", field="action")
        starts = np.concatenate([[0], np.cumsum(lengths)])
        flags = {name: np.zeros(starts[-1], bool) for name in ("terminated", "truncated")}
        for name, flag in flags.items():
            flag[starts[1:] - 1] = [bool(np.reshape(np.asarray(e.get(name, False)), -1)[-1]) for e in episodes]
        join = lambda name: np.concatenate([np.asarray(e[name]) for e in episodes])  # noqa: E731
        return cls._of(join("observation"), join("action"), join("reward"), starts=starts, card=card, **flags)

    @classmethod
    def from_rows(
        cls,
        *,
        observation: Any,
        action: Any,
        reward: Any,
        terminated: Any,
        truncated: Any | None = None,
        next_observation: Any | None = None,
        episode: Any | None = None,
        card: Card | None = None,
    ) -> Dataset:
        """A table with one row a step, in time order.

        Args:
            observation: [N, *O]; action: [N, A] or [N]; reward: [N]; terminated, truncated: [N], 0 or 1.
            next_observation: [N, *O]. With it an episode also ends where the next row does not go on from here. Without
                it the last row of an episode that did not terminate has no successor and is left out, as in D4RL.
            episode: [N] labels; an episode ends where the label changes.

        Raises:
            DataError: fields of different lengths, NaN, flags that are not 0 or 1, and whatever `Dataset` refuses.
        """
        fields = {"observation": observation, "action": action, "reward": reward, "terminated": terminated}
        optional = {"truncated": truncated, "next_observation": next_observation, "episode": episode}
        fields = {k: np.asarray(v) for k, v in (fields | {k: v for k, v in optional.items() if v is not None}).items()}
        rows = len(fields["action"]) if fields["action"].ndim else 0
        for name, value in fields.items():
            if value.ndim == 0 or len(value) != rows:
                raise DataError(f"has {len(value) if value.ndim else 'no'} rows, 'action' has {rows}", field=name)
        if rows == 0:
            raise DataError("there is no row", field="action")
        observation = fields["observation"]
        terminated = _flag(fields["terminated"], "terminated")
        truncated = _flag(fields.get("truncated", np.zeros(rows, bool)), "truncated")

        last = terminated | truncated
        last[-1] = True
        if episode is not None:
            last[:-1] |= fields["episode"][1:] != fields["episode"][:-1]
        if next_observation is not None:
            follow = fields["next_observation"]
            if follow.shape != observation.shape:
                raise DataError(
                    f"has shape {follow.shape}, 'observation' has {observation.shape}", field="next_observation"
                )
            jump = np.abs(observation[1:].astype(np.float64) - follow[:-1]).reshape(rows - 1, -1)
            last[:-1] |= (jump > 1e-6).any(axis=1)
        else:
            # What follows a last row is unknown: kept where the MDP ended (no value is read there), left out elsewhere.
            follow = np.concatenate([observation[1:], observation[-1:]])
            follow[last] = observation[last]
            gone = last & ~terminated
            truncated[:-1] |= gone[1:] & truncated[1:] & ~last[:-1]  # the cut moves to the row before it
            last[:-1] |= gone[1:] & ~last[:-1]
            keep = ~gone
            if not keep.any():
                raise DataError("no row has a successor: every episode is one step long", field="observation")
            observation, follow, last = observation[keep], follow[keep], last[keep]
            terminated, truncated = terminated[keep], truncated[keep]
            fields["action"], fields["reward"] = fields["action"][keep], fields["reward"][keep]
        ends = np.flatnonzero(last) + 1
        starts = np.concatenate([[0], ends])
        return cls._of(
            np.insert(observation, ends, follow[ends - 1], axis=0),
            fields["action"],
            fields["reward"],
            terminated=terminated,
            truncated=truncated,
            starts=starts,
            card=card,
        )

    @classmethod
    def _of(cls, observation, action, reward, *, terminated, truncated, starts, card) -> Dataset:
        card = card or Card()
        number = lambda name, value, dtype: _numbers(name, value).astype(dtype)  # noqa: E731
        action = number("action", action, np.int32 if card.actions is not None else np.float32)
        if card.actions is None and action.ndim == 1:
            action = action[:, None]
        episode = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
        return cls(
            observation=number("observation", observation, np.float32),
            action=action,
            reward=number("reward", reward, np.float32),
            terminated=terminated,
            truncated=truncated,
            starts=np.asarray(starts, np.int32),
            slot=(np.arange(len(action)) + episode).astype(np.int32),
            card=card,
        )

    # ---- reading ---------------------------------------------------------------------------------------------------

    @property
    def rows(self) -> int:
        return self.action.shape[0]

    @property
    def episodes(self) -> int:
        return self.starts.shape[0] - 1

    @property
    def spec(self) -> Spec:
        return Spec(observation=self.observation.shape[1:], action=self.action.shape[1:], actions=self.card.actions)

    @property
    def lengths(self) -> np.ndarray:
        """[E] steps of each episode."""
        return np.diff(np.asarray(self.starts))

    @property
    def returns(self) -> np.ndarray:
        """[E] undiscounted return of each episode, float64."""
        return np.add.reduceat(np.asarray(self.reward, np.float64), np.asarray(self.starts[:-1]))

    def row(self, row: Any) -> Batch:
        """The transitions at `row` [B]; works inside a compiled program."""
        at = self.slot[row]
        return Batch(
            observation=self.observation[at],
            action=self.action[row],
            reward=self.reward[row],
            next_observation=self.observation[at + 1],
            terminated=self.terminated[row].astype(np.float32),
        )

    def sample(self, key: jax.Array, size: int) -> Batch:
        """`size` transitions drawn uniformly with replacement; works inside a compiled program."""
        return self.row(jax.random.randint(key, (size,), 0, self.rows))

    # ---- changing --------------------------------------------------------------------------------------------------

    def replace(self, **fields: Any) -> Dataset:
        """A copy with some fields replaced, checked again."""
        return dataclasses.replace(self, **fields)

    def select(self, episodes: Any) -> Dataset:
        """The episodes with these numbers, in this order."""
        episodes = np.asarray(episodes)
        if episodes.size == 0:
            raise DataError("the selection holds no episode", field="episodes")
        starts, ends = np.asarray(self.starts[:-1])[episodes], np.asarray(self.starts[1:])[episodes]
        rows = np.concatenate([np.arange(a, b) for a, b in zip(starts, ends, strict=True)])
        slots = np.concatenate([np.arange(a, b + 1) + e for a, b, e in zip(starts, ends, episodes, strict=True)])
        return Dataset._of(
            self.observation[slots],
            self.action[rows],
            self.reward[rows],
            terminated=self.terminated[rows],
            truncated=self.truncated[rows],
            starts=np.concatenate([[0], np.cumsum(ends - starts)]),
            card=self.card,
        )

    def split(self, fraction: float, *, seed: int = 0) -> tuple[Dataset, Dataset]:
        """Two datasets of whole episodes; the second holds about `fraction` of them, and at least one."""
        if not 0.0 < fraction < 1.0 or self.episodes < 2:
            raise DataError(
                f"cannot hold out {fraction:g} of {self.episodes} episodes; both parts need at least one",
                field="episodes",
            )
        order = np.random.default_rng(seed).permutation(self.episodes)
        held = int(np.clip(round(fraction * self.episodes), 1, self.episodes - 1))
        return self.select(np.sort(order[held:])), self.select(np.sort(order[:held]))

    def device(self) -> Dataset:
        """The same dataset with its arrays on the accelerator."""
        return jax.tree.map(jnp.asarray, self)

    # ---- knowing ---------------------------------------------------------------------------------------------------

    def hash(self) -> str:
        """SHA-256 of the numbers (not of the card): the same data has the same hash, whatever file it came from."""
        digest = hashlib.sha256(b"extremal dataset 1")
        for name in ("observation", "action", "reward", "terminated", "truncated", "starts"):
            value = np.ascontiguousarray(getattr(self, name))
            digest.update(f"{name} {value.dtype.str} {value.shape}".encode())
            digest.update(value.data)
        return digest.hexdigest()

    def statistics(self) -> dict[str, Any]:
        """Sizes, returns and ranges, as plain numbers for a report."""
        returns, lengths, action = self.returns, self.lengths, np.asarray(self.action)
        spread = lambda x: {"mean": float(x.mean()), "min": float(x.min()), "max": float(x.max())}  # noqa: E731
        return {
            "rows": self.rows,
            "episodes": self.episodes,
            "observation_shape": list(self.spec.observation),
            "action_shape": list(self.spec.action),
            "discrete_actions": self.card.actions,
            "return": spread(returns),
            "length": spread(lengths),
            "reward": spread(np.asarray(self.reward, np.float64)),
            "action_low": np.min(action, axis=0).tolist(),
            "action_high": np.max(action, axis=0).tolist(),
            "terminated": int(np.sum(self.terminated)),
            "truncated": int(np.sum(self.truncated)),
        }


def _numbers(name: str, value: Any) -> np.ndarray:
    value = np.asarray(value)
    if (
        value.dtype == object
        or not (np.issubdtype(value.dtype, np.number) or value.dtype == bool)
        or np.iscomplexobj(value)
    ):
        raise DataError(f"holds {value.dtype}, not real numbers", field=name)
    return value


def _flag(value: np.ndarray, name: str) -> np.ndarray:
    """[N] bool from 0/1 of any type and shape [N] or [N, 1]."""
    value = _numbers(name, value)
    value = value[:, 0] if value.shape[1:] == (1,) else value
    if value.ndim != 1:
        raise DataError(f"has shape {value.shape}, expected one flag a row", field=name)
    if (odd := np.flatnonzero((value != 0) & (value != 1))).size:
        raise DataError(f"is {value[odd[0]]}, expected 0 or 1", field=name, row=int(odd[0]))
    return value.astype(bool)


def _check(data: Dataset) -> None:
    """The invariants of the store; the first broken one is named with its field and row."""
    rows, episodes = data.action.shape[0], data.starts.shape[0] - 1
    for name, length in [
        ("observation", rows + episodes),
        ("reward", rows),
        ("terminated", rows),
        ("truncated", rows),
        ("slot", rows),
    ]:
        value = getattr(data, name)
        if value.shape[:1] != (length,):
            raise DataError(
                f"has {value.shape[:1]} entries, expected {length} ({rows} rows, {episodes} episodes)", field=name
            )
    for name in ("reward", "terminated", "truncated"):
        if getattr(data, name).ndim != 1:
            raise DataError(f"has shape {getattr(data, name).shape}, expected one number a row", field=name)
    if data.observation.ndim < 2:
        raise DataError("has no feature axis; expected [rows, features]", field="observation")
    if episodes < 1 or data.starts[0] != 0 or data.starts[-1] != rows or (np.diff(data.starts) < 1).any():
        raise DataError(f"must rise from 0 to {rows} in steps of at least one", field="starts")
    for name in ("observation", "action", "reward"):
        value = getattr(data, name)
        if not np.isfinite(value).all():
            bad = int(np.flatnonzero(~np.isfinite(value.reshape(len(value), -1)).all(axis=1))[0])
            if name == "observation":  # told as a row: the slot less the episodes before it
                episode = int(np.searchsorted(data.starts[:-1] + np.arange(episodes), bad, side="right")) - 1
                bad = min(bad - episode, int(data.starts[episode + 1]) - 1)
            raise DataError("is NaN or infinite", field=name, row=bad)
    if (both := np.flatnonzero(data.terminated & data.truncated)).size:
        raise DataError(
            "is set together with 'terminated'; a step ends the MDP or is cut by a limit",
            field="truncated",
            row=int(both[0]),
        )
    inner = np.ones(rows, bool)
    inner[data.starts[1:] - 1] = False
    for name in ("terminated", "truncated"):
        if (odd := np.flatnonzero(getattr(data, name) & inner)).size:
            raise DataError("is set inside an episode; it belongs on the last row", field=name, row=int(odd[0]))
    if (
        data.card.actions is not None
        and (odd := np.flatnonzero((data.action < 0) | (data.action >= data.card.actions))).size
    ):
        raise DataError(
            f"is {data.action[odd[0]]}, expected 0 to {data.card.actions - 1}", field="action", row=int(odd[0])
        )
