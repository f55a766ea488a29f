"""Rows of data from a policy in a simulator: many episodes at once, told apart by nothing but their number.

Episode e begins and acts by its own random numbers, of the seed and e. The data is episodes 0, 1, 2, ... in this order, cut
at the number of rows, whichever of them ended first: to take them as they end would favour short ones.

    slot 0    ├── episode 0 ──┤├─ 3 ─┤├──── 5 ────
    slot 1    ├─ 1 ─┤├─────── 4 ───────┤             (4 is cut here, 5 was not needed)
    slot 2    ├──── 2 ────┤
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from extremal.core.errors import SpecError
from extremal.data.actors import Actor, sizes
from extremal.envs.make import make

Progress = Callable[[int, int], None]  # rows that are simulated so far, rows in all

# Episodes at once. Four rows by 256 x 256 weights are the largest product that OpenBLAS gives to one thread: more rows make
# its threads wait for each other, which on a busy machine costs ten times what they save.
SLOTS = 4
_BLOCK = 1_000  # rounds between two reports of progress


class Collected(NamedTuple):
    """What a policy did."""

    episodes: list[dict[str, Any]]  # as `Dataset.from_episodes` takes them; the last one may be cut
    returns: np.ndarray  # undiscounted, of the episodes that the task or its own limit ended
    clipped: float  # share of action entries that were clipped to [-1, 1]


def collect(
    environment: str, actor: Actor, rows: int, seed: Sequence[int], *, progress: Progress | None = None
) -> Collected:
    """`rows` steps of `actor` in the simulator `environment`. The same arguments give the same numbers.

    An action entry outside [-1, 1] is clipped before it is carried out and recorded, so the reward is that of the recorded
    action. An episode that the task did not end is `truncated`: by the simulator's limit, or where the rows were full.

    Raises:
        SpecError: the actor takes other observations or gives other actions than the simulator.
        MissingExtraError: the simulator is not installed.
    """
    environments = [make(environment) for _ in range(min(SLOTS, rows))]
    try:
        episodes = _simulate(environments, actor, rows, seed, progress)
    finally:
        for simulator in environments:
            simulator.close()
    counts = [episode.steps for episode in episodes]
    counts[-1] = rows - sum(counts[:-1])
    kept = [episode.rows(count) for episode, count in zip(episodes, counts, strict=True)]
    entries = np.concatenate([episode.action[:count] for episode, count in zip(episodes, counts, strict=True)])
    whole = [e.reward for e, count in zip(episodes, counts, strict=True) if e.ended and e.steps == count]
    return Collected(kept, np.array([reward.sum() for reward in whole]), float(np.mean(np.abs(entries) > 1.0)))


def _simulate(
    environments: list[Any], actor: Actor, rows: int, seed: Sequence[int], progress: Progress | None
) -> list[_Episode]:
    """The episodes that hold the first `rows` rows, in order; all but the last are at an end."""
    limit = _check(environments[0], actor)
    started: list[_Episode] = []
    slots: list[_Episode | None] = [None] * len(environments)
    finished = held = steps = rounds = 0  # episodes 0 to `finished` are at an end and have `held` rows
    while True:
        while finished < len(started) and started[finished].ended:
            held, finished = held + started[finished].steps, finished + 1
        if held >= rows or (finished < len(started) and held + started[finished].steps >= rows):
            break
        for slot, episode in enumerate(slots):
            if episode is None or episode.ended:
                slots[slot] = None  # no further one is begun once those before it have all the rows
                if steps < rows:
                    slots[slot] = begun = _Episode(environments[slot], limit, [*seed, len(started)])
                    started.append(begun)
        running = [episode for episode in slots if episode is not None]
        observation = np.stack([episode.observation[episode.steps] for episode in running])
        noise = np.stack([episode.noise[episode.steps] for episode in running])
        for episode, action in zip(running, actor(observation, noise), strict=True):
            episode.step(action)
        steps, rounds = steps + len(running), rounds + 1
        if progress is not None and rounds % _BLOCK == 0:
            progress(min(steps, rows), rows)
    if progress is not None:
        progress(rows, rows)
    ends = np.cumsum([episode.steps for episode in started])
    return started[: int(np.searchsorted(ends, rows)) + 1]


def _check(environment: Any, actor: Actor) -> int:
    """The simulator's limit of steps; the actor must fit the simulator."""
    expected = (environment.observation_space.shape[0], environment.action_space.shape[0])
    if (given := sizes(actor)) not in (None, expected):
        raise SpecError(f"the policy takes and gives {given} numbers, the simulator gives and takes {expected}")
    return environment.spec.max_episode_steps


class _Episode:
    """One episode as it goes."""

    def __init__(self, environment: Any, limit: int, seed: Sequence[int]):
        random = np.random.default_rng(seed)
        first, _ = environment.reset(seed=int(random.integers(2**31)))
        self.environment, self.steps = environment, 0
        self.terminated = self.ended = False
        self.noise = random.standard_normal((limit, *environment.action_space.shape))
        self.observation, self.reward = np.empty((limit + 1, len(first))), np.empty(limit)
        self.action = np.empty_like(self.noise)  # as the policy chose it
        self.observation[0] = first

    def step(self, action: np.ndarray) -> None:
        """One step with the clipped action."""
        now, self.steps = self.steps, self.steps + 1
        self.action[now] = action
        outcome = self.environment.step(np.clip(action, -1.0, 1.0))
        self.observation[self.steps], self.reward[now], self.terminated, truncated, _ = outcome
        self.ended = bool(self.terminated or truncated)
        if self.ended:  # most episodes of a poor policy are far shorter than the limit
            self.observation = self.observation[: self.steps + 1].copy()
            self.action, self.reward = self.action[: self.steps].copy(), self.reward[: self.steps].copy()
            self.noise = self.noise[:0]

    def rows(self, count: int) -> dict[str, Any]:
        """Its first `count` steps, as float32."""
        terminated = bool(self.terminated) and count == self.steps
        return {
            "observation": self.observation[: count + 1].astype(np.float32),
            "action": np.clip(self.action[:count], -1.0, 1.0).astype(np.float32),
            "reward": self.reward[:count].astype(np.float32),
            "terminated": terminated,
            "truncated": not terminated,
        }
