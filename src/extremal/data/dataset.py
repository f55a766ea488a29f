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

from extremal.core.checked import admitted
from extremal.core.errors import DataError
from extremal.core.ranges import Seed
from extremal.core.record import record, static
from extremal.core.types import Batch, SequenceBatch, Spec
from extremal.data.bounds import declared_count, declared_range
from extremal.data.finding import Finding
from extremal.data.invariants import check, column, flag, observed, real
from extremal.data.kinds import Actions, settled
from extremal.data.rows import read_rows
from extremal.data.whole import whole_episodes


@record
class Card:
    """Facts about a dataset besides its numbers. Nothing here changes training, except the declared action range.

    Raises:
        DataError: bounds that are not finite, not in order, or no plain numbers; says which entry.
    """

    name: str = static(default="unnamed")
    environment: str | None = static(default=None)  # id for `extremal.envs.make`; None: no simulator
    reference: str | None = static(default=None)  # D4RL's name for its reference scores
    action_low: tuple[float, ...] | None = static(default=None)  # declared range; None: read from the data
    action_high: tuple[float, ...] | None = static(default=None)
    actions: int | None = static(default=None)  # number of discrete actions; None: continuous
    quantities: bool = static(default=False)  # somebody said that actions are no choices, whatever they look like
    recipe: str = static(default="")  # JSON: how the data came about (generator, seed, versions, source hash)
    findings: tuple[Finding, ...] = static(default=())  # of reading: rows left out, say; `check_dataset` repeats them

    def __post_init__(self) -> None:
        low, high = declared_range(self.action_low, self.action_high)
        plain = {
            "action_low": low,
            "action_high": high,
            "actions": declared_count(self.actions, bounded=low is not None),
        }
        for name, value in plain.items():
            object.__setattr__(self, name, value)


@record
class Dataset:
    """N transitions in E episodes, checked at construction.

    Build one by `from_episodes` or `from_rows`; read one by `extremal.load_dataset(id)`.
    """

    observation: Any  # [N + E, *O] float32: T + 1 per episode (float64 where float32 would round a feature away)
    action: Any  # [N, A] float32, or [N] int32 where discrete
    reward: Any  # [N] float32
    terminated: Any  # [N] bool: the MDP ended here, nothing follows (only on an episode's last row)
    truncated: Any  # [N] bool: a limit cut the episode here, its value goes on (only on an episode's last row)
    starts: Any  # [E + 1] int32: first row of each episode, and N
    slot: Any  # [N] int32: where row i finds its observation
    return_to_go: Any = None  # [N] float32: what the episode brings from this row on (`with_returns_to_go`); not hashed
    card: Card = static(default=Card())

    def __post_init__(self) -> None:
        if isinstance(self.action, np.ndarray):  # on the host; traced and device copies were checked before
            check(self)

    # ---- building --------------------------------------------------------------------------------------------------

    @classmethod
    def from_episodes(
        cls, episodes: Sequence[Mapping[str, Any]], *, card: Card | None = None, actions: Actions | None = None
    ) -> Dataset:
        """One mapping per episode: `observation` [T + 1, *O], `action` [T, ...], `reward` [T], and the flags of the end.

        `terminated` and `truncated` are booleans of the episode (default False), or arrays [T] that are set on the last
        row only; where both are set the MDP ended, and `terminated` wins. `actions` as in `from_rows`.
        """
        if not episodes:
            raise DataError("there is no episode", field="episodes")
        fields = ("observation", "action", "reward")
        columns = {name: [_column(e, name, number) for number, e in enumerate(episodes)] for name in fields}
        _check_episodes(columns)
        starts = np.cumsum([0, *map(len, columns["action"])])
        flags = {name: _ends(episodes, name, starts) for name in ("terminated", "truncated")}
        flags["truncated"] &= ~flags["terminated"]
        joined = {name: np.concatenate(values) for name, values in columns.items()}
        joined["observation"] = observed("observation", joined["observation"])
        return cls._of(**joined, **flags, starts=starts, card=card or Card(), actions=actions)

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
        step: Any | None = None,
        card: Card | None = None,
        actions: Actions | None = None,
    ) -> Dataset:
        """A table with one row a step, in time order.

        Args:
            observation: [N, *O]; action: [N, A] or [N]; reward: [N]; terminated, truncated: [N], 0 or 1. Where both are
                set the MDP ended, and `terminated` wins.
            next_observation: [N, *O]. Where neither labels nor complete flags say where episodes end (`data.rows`), one also ends
                where the next row does not go on from here. Without it the last row of an episode that did not terminate
                has no successor and is left out, as in D4RL.
            episode: [N] labels, numbers or strings; an episode ends where the label changes. Without `step` no label may come back.
            step: [N] numbers or times: with `episode` they put its rows in order, without it they must rise until an end.
            actions: "discrete", "continuous", or the number of choices, where nothing declares it: whole numbers and booleans
                of few values are refused until it is said (`data.kinds`).

        Raises:
            DataError: fields of different lengths, NaN, flags that are not 0 or 1, labels that come back, and whatever
                `Dataset` refuses; rows are those of the table.
        """
        given = {"observation": observation, "action": action, "reward": reward, "terminated": terminated, "step": step}
        given |= {"truncated": truncated, "next_observation": next_observation, "episode": episode}
        card, read = card or Card(), read_rows(given)
        card = dataclasses.replace(card, findings=(*card.findings, *read.findings)) if read.findings else card
        columns = {name: value for name, value in read._asdict().items() if name != "findings"}
        return cls._of(**columns, card=card, actions=actions)

    @classmethod
    def _of(cls, observation, action, reward, *, terminated, truncated, starts, card, actions=None) -> Dataset:
        action, card = settled(action, card, actions)
        episode = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
        return cls(
            observation=observation,
            action=action,
            reward=real("reward", column("reward", reward)),
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
        returns = self.returns[self.whole]
        return Spec(
            observation=self.observation.shape[1:],
            action=self.action.shape[1:],
            actions=self.card.actions,
            best_return=float(returns.max()),
            worst_return=float(returns.min()),
        )

    @property
    def lengths(self) -> np.ndarray:
        """[E] steps of each episode."""
        return np.diff(np.asarray(self.starts))

    @property
    def returns(self) -> np.ndarray:
        """[E] undiscounted return of each episode, float64."""
        return np.add.reduceat(np.asarray(self.reward, np.float64), np.asarray(self.starts[:-1]))

    @property
    def whole(self) -> np.ndarray:
        """[E] bool: which episodes the recording did not cut (`data.whole`), so that their returns are those of episodes."""
        last = np.asarray(self.starts)[1:] - 1
        return whole_episodes(
            np.asarray(self.terminated)[last], np.asarray(self.truncated)[last], self.lengths, self.card
        )

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

    def some(self, key: jax.Array, size: int) -> jax.Array:
        """`size` rows drawn uniformly with replacement; works inside a compiled program."""
        return jax.random.randint(key, (size,), 0, self.rows)

    def sample(self, key: jax.Array, size: int) -> Batch:
        """The transitions at so many drawn rows."""
        return self.row(self.some(key, size))

    def window(self, row: Any, length: int) -> SequenceBatch:
        """The `length` steps from `row` [B] on, or as many as the episode still has, on the right; in a program, too.

        Raises:
            DataError: the returns to go were not computed.
        """
        if self.return_to_go is None:
            raise DataError("is not there; windows need `with_returns_to_go()`", field="return_to_go")
        row = jnp.asarray(row, jnp.int32)
        episode = self.slot[row] - row  # every episode before this one has one slot more than rows
        padding = length - jnp.minimum(self.starts[episode + 1] - row, length)
        place = jnp.broadcast_to(jnp.arange(length, dtype=jnp.int32), (*row.shape, length)) - padding[:, None]
        valid, at = place >= 0, row[:, None] + jnp.maximum(place, 0)
        only = lambda x: jnp.where(jnp.expand_dims(valid, tuple(range(2, x.ndim))), x, jnp.zeros((), x.dtype))  # noqa: E731
        return SequenceBatch(
            observation=only(self.observation[self.slot[at]]),
            action=only(self.action[at]),
            return_to_go=only(self.return_to_go[at]),
            timestep=only(at - self.starts[episode][:, None]),
            valid=valid,
        )

    def sample_windows(self, key: jax.Array, size: int, length: int) -> SequenceBatch:
        """`size` windows whose first steps are drawn uniformly over all rows, with replacement; in a program, too."""
        return self.window(self.some(key, size), length)

    # ---- changing --------------------------------------------------------------------------------------------------

    def replace(self, **fields: Any) -> Dataset:
        """A copy with some fields replaced, checked again; other rewards leave no returns to go."""
        if "reward" in fields:
            fields = {"return_to_go": None} | fields
        return dataclasses.replace(self, **fields)

    def with_returns_to_go(self) -> Dataset:
        """A copy that knows for each row what its episode brings from there on, undiscounted."""
        starts, total = np.asarray(self.starts), np.cumsum(np.asarray(self.reward, np.float64))
        before = np.append(0.0, total)[:-1]
        found = np.repeat(total[starts[1:] - 1], self.lengths) - before
        return self.replace(return_to_go=found.astype(np.float32))

    def select(self, episodes: Any) -> Dataset:
        """The episodes with these numbers, in this order."""
        episodes = np.asarray(episodes)
        episodes = np.flatnonzero(episodes) if episodes.dtype == bool else episodes
        if episodes.size == 0:
            raise DataError("the selection holds no episode", field="episodes")
        if (odd := episodes[(episodes < 0) | (episodes >= self.episodes)]).size:
            raise DataError(f"there is no episode {odd[0]}; they are 0 to {self.episodes - 1}", field="episodes")
        first, lengths = np.asarray(self.starts)[episodes], self.lengths[episodes]
        starts = np.append(0, np.cumsum(lengths))
        rows = np.repeat(first - starts[:-1], lengths) + np.arange(starts[-1])
        slots = np.repeat(first + episodes - starts[:-1] - np.arange(len(episodes)), lengths + 1)
        slots = slots + np.arange(starts[-1] + len(episodes))
        return Dataset._of(
            np.asarray(self.observation)[slots],
            np.asarray(self.action)[rows],
            np.asarray(self.reward)[rows],
            terminated=np.asarray(self.terminated)[rows],
            truncated=np.asarray(self.truncated)[rows],
            starts=starts,
            card=self.card,
        )

    def split(self, fraction: float, *, seed: int = 0) -> tuple[Dataset, Dataset]:
        """Two datasets of whole episodes; the second holds about `fraction` of them, and at least one."""
        seed = admitted("seed", seed, Seed)
        if not 0.0 < fraction < 1.0 or self.episodes < 2:
            raise DataError(
                f"cannot hold out {fraction:g} of {self.episodes} episode{'s' * (self.episodes != 1)}; both parts need at least one. "
                "To train on all that there is: --holdout 0 (in Python holdout=0)",
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
        """Sizes, returns (of whole episodes) and ranges, as plain numbers for a report."""
        whole, lengths, action = self.whole, self.lengths, np.asarray(self.action)
        spread = lambda x: {"mean": float(x.mean()), "min": float(x.min()), "max": float(x.max())}  # noqa: E731
        return {
            "rows": self.rows,
            "episodes": self.episodes,
            "observation_shape": list(self.spec.observation),
            "action_shape": list(self.spec.action),
            "discrete_actions": self.card.actions,
            "cut": int(np.sum(~whole)),
            "return": spread(self.returns[whole]),
            "length": spread(lengths),
            "reward": spread(np.asarray(self.reward, np.float64)),
            "action_low": np.min(action, axis=0).tolist(),
            "action_high": np.max(action, axis=0).tolist(),
            "terminated": int(np.sum(self.terminated)),
            "truncated": int(np.sum(self.truncated)),
        }


def _column(episode: Mapping[str, Any], name: str, number: int) -> np.ndarray:
    if name not in episode:
        raise DataError(f"episode {number} has no '{name}'", field=name)
    value = np.asarray(episode[name])
    if value.ndim == 0:
        raise DataError(f"episode {number} has a single number, expected one entry a step", field=name)
    return value


def _check_episodes(columns: Mapping[str, Sequence[np.ndarray]]) -> None:
    for number, (observation, action, reward) in enumerate(zip(*columns.values(), strict=True)):
        if len(action) == 0:
            raise DataError(f"episode {number} has no step", field="action")
        if len(observation) != len(action) + 1 or len(reward) != len(action):
            raise DataError(
                f"episode {number} has {len(action)} actions, {len(reward)} rewards and {len(observation)} observations; "
                "an episode of T steps has T actions, T rewards and T + 1 observations",
                field="observation",
            )
    for name, values in columns.items():
        for number, value in enumerate(values):
            if value.shape[1:] != (expected := values[0].shape[1:]):
                raise DataError(
                    f"episode {number} has shape {value.shape[1:]} a row, episode 0 has {expected}", field=name
                )


def _ends(episodes: Sequence[Mapping[str, Any]], name: str, starts: np.ndarray) -> np.ndarray:
    """[N] bool from one flag an episode, or one a row."""
    flags = np.zeros(starts[-1], bool)
    for number, (episode, start, end) in enumerate(zip(episodes, starts[:-1], starts[1:], strict=True)):
        value = np.asarray(episode.get(name, False))
        if value.shape not in ((), (end - start,)):
            raise DataError(
                f"episode {number} has flags of shape {value.shape}, expected one or {end - start}", field=name
            )
        flags[start if value.ndim else end - 1 : end] = flag(name, value.reshape(-1))
    return flags
