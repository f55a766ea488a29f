"""Let a policy act in a simulator, many episodes side by side."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from extremal.core.checked import admitted
from extremal.core.errors import DivergedError, SpecError
from extremal.core.policy import Policy
from extremal.core.ranges import Count, CountOrNone, Seed
from extremal.envs.make import make

if TYPE_CHECKING:
    import gymnasium

Act = Callable[[np.ndarray], Any]  # observations [B, *O] -> actions [B, *A]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Episodes:
    """What E episodes brought, in the order of their numbers."""

    returns: np.ndarray  # [E] float64, undiscounted
    lengths: np.ndarray  # [E] int, steps
    success: np.ndarray | None  # [E] bool, seen at any step; None: the environment does not report it
    steps_to_goal: np.ndarray  # [E] float64, steps until success was first seen; NaN: it was not
    starts: np.ndarray  # [E, *O] float32, the first observation of each
    rewards: tuple[np.ndarray, ...]  # [T] float64 of each
    trajectories: tuple[np.ndarray, ...]  # observations [T + 1, *O] of the first episodes


@dataclasses.dataclass
class _Stateless:
    """A function of observations, as a player that remembers nothing."""

    act: Act

    def receive(self, reward: np.ndarray, fresh: np.ndarray) -> None:
        """What it brought changes nothing."""


@dataclasses.dataclass
class _Running:
    """An episode under way."""

    number: int
    start: np.ndarray
    path: list[np.ndarray] | None  # its observations, where they are kept
    rewards: list[float] = dataclasses.field(default_factory=list)
    success: bool | None = None
    reached: float = np.nan  # steps until success was first seen

    def add(self, observation: np.ndarray, reward: float, info: dict[str, Any]) -> None:
        self.rewards.append(reward)
        if "success" in info:
            if info["success"] and not self.success:
                self.reached = len(self.rewards)
            self.success = bool(self.success) or bool(info["success"])
        if self.path is not None:
            self.path.append(observation)


def rollout(
    act: Act | Policy,
    environment: str | Callable[[], gymnasium.Env],
    *,
    episodes: int,
    seed: int,
    parallel: int = 50,
    keep: int = 0,
) -> Episodes:
    """Run `episodes` episodes, `parallel` at a time.

    Args:
        act: a policy, or a function: actions [B, *A] in the environment's units for observations [B, *O] float32. B is always min(parallel, episodes),
            so a compiled policy compiles once; rows whose episode is over hold what was seen last, and their actions are
            not used. Actions are clipped to the bounds of the action space.
        environment: a name for `extremal.envs.make`, or a function that makes a Gymnasium environment with an end.
        seed: episode e is reset with a seed made of (seed, e): its course depends neither on `parallel` nor on the other
            episodes, as long as a row of actions depends on its own row of observations alone.
        keep: how many of the first episodes' trajectories to keep.

    Raises:
        ConfigError: fewer than one episode, or an unknown environment.
        SpecError: the actions do not fit the environment, or its observations are not plain arrays.
        DivergedError: an action is NaN or infinite.
    """
    episodes, parallel = admitted("episodes", episodes, Count), admitted("parallel", parallel, Count)
    seed, keep = admitted("seed", seed, Seed), admitted("keep", keep, CountOrNone)
    create = environment if callable(environment) else lambda: make(environment)
    simulators: list[gymnasium.Env] = []
    try:
        simulators += [create() for _ in range(min(parallel, episodes))]
        finished = _run(act, simulators, episodes, seed, keep)
    finally:
        for simulator in simulators:
            simulator.close()
    finished.sort(key=lambda e: e.number)
    success = [e.success for e in finished]
    return Episodes(
        returns=np.array([sum(e.rewards) for e in finished]),
        lengths=np.array([len(e.rewards) for e in finished]),
        success=None if None in success else np.array(success, bool),
        steps_to_goal=np.array([e.reached for e in finished], np.float64),
        starts=np.stack([e.start for e in finished]),
        rewards=tuple(np.array(e.rewards) for e in finished),
        trajectories=tuple(np.stack(e.path) for e in finished if e.path is not None),
    )


def _run(act: Act | Policy, simulators: Sequence[gymnasium.Env], episodes: int, seed: int, keep: int) -> list[_Running]:
    observations = np.zeros((len(simulators), *_shape(simulators[0])), np.float32)
    rewards, fresh = np.zeros(len(simulators), np.float32), np.zeros(len(simulators), bool)
    player = act.start(len(simulators)) if isinstance(act, Policy) else _Stateless(act)
    waiting = iter(range(episodes))
    running: dict[int, _Running] = {}
    finished: list[_Running] = []

    def begin(slot: int) -> None:
        """Start the next episode here, if one is left."""
        running.pop(slot, None)
        if (number := next(waiting, None)) is not None:
            observation, _ = simulators[slot].reset(seed=episode_seed(seed, number))
            observations[slot], fresh[slot] = observation, True
            start = observations[slot].copy()
            running[slot] = _Running(number, start, [start] if number < keep else None)

    for slot in range(len(simulators)):
        begin(slot)
    while running:
        actions = _valid(player.act(observations.copy()), simulators)
        fresh[:] = False
        for slot, episode in list(running.items()):
            observation, reward, terminated, truncated, info = simulators[slot].step(actions[slot])
            observations[slot], rewards[slot] = observation, reward
            episode.add(observations[slot].copy(), float(reward), info)
            if terminated or truncated:
                finished.append(episode)
                begin(slot)
        player.receive(rewards, fresh)
    return finished


def episode_seed(seed: int, number: int) -> int:
    """The seed with which episode `number` of a run is reset."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])


def _shape(simulator: gymnasium.Env) -> tuple[int, ...]:
    shape = simulator.observation_space.shape
    if shape is None:
        kind = type(simulator.observation_space).__name__
        raise SpecError(f"the environment's observations are a {kind}, not an array; wrap it in FlattenObservation")
    return shape


def _valid(actions: Any, simulators: Sequence[gymnasium.Env]) -> np.ndarray:
    """The actions as the simulators take them: of their type, within their bounds."""
    space, actions = simulators[0].action_space, np.asarray(actions)
    expected = (len(simulators), *(space.shape or ()))
    if actions.shape != expected:
        raise SpecError(f"the policy's actions have shape {actions.shape}, the environment expects {expected}")
    if not np.isfinite(actions).all():
        raise DivergedError("the policy's actions are NaN or infinite; it cannot be evaluated")
    low, high = getattr(space, "low", None), getattr(space, "high", None)
    return actions if low is None else np.clip(actions, low, high).astype(space.dtype)
