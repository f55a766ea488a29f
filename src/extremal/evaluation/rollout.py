"""Let a policy act in a simulator, many episodes side by side."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from extremal.core.checked import admitted
from extremal.core.errors import ConfigError, DivergedError, SpecError
from extremal.core.policy import Policy
from extremal.core.ranges import Count, Seed, Whole
from extremal.envs.make import make
from extremal.envs.vectors import shape
from extremal.evaluation.steps import reset, step
from extremal.evaluation.success import Report, judged

if TYPE_CHECKING:
    import gymnasium

MAX_STEPS = 10_000  # of an episode: one that its simulator does not end is cut there
Act = Callable[[np.ndarray], Any]  # observations [B, *O] -> actions [B, *A]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Episodes:
    """What E episodes brought, in the order of their numbers."""

    returns: np.ndarray  # [E] float64, undiscounted
    lengths: np.ndarray  # [E] int, steps
    success: np.ndarray | None  # [E] bool, reported at any step; None: no rate can be given
    success_rule: str  # how episodes without a report were counted, or why there is no rate; '': nothing to say
    reports: tuple[Report, ...]  # [E] what `success` rests on
    steps_to_goal: np.ndarray  # [E] float64, steps until success was first reported; NaN: it was not
    capped: np.ndarray  # [E] bool: cut at `max_steps`, before the simulator ended it
    max_steps: int
    starts: np.ndarray  # [E, *O] floats of the simulator's precision, the first observation of each
    rewards: tuple[np.ndarray, ...]  # [T] float64 of each
    trajectories: tuple[np.ndarray, ...]  # observations [T + 1, *O] of the first episodes


def together(parts: Sequence[Episodes]) -> tuple[Episodes, ...]:
    """The same episodes of several policies in one simulator, with one rule of success for all of them."""
    success, rule = judged([report for part in parts for report in part.reports])
    ends = np.cumsum([len(part.reports) for part in parts])[:-1]
    shares = [None] * len(parts) if success is None else np.split(success, ends)
    return tuple(
        dataclasses.replace(part, success=share, success_rule=rule) for part, share in zip(parts, shares, strict=True)
    )


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
    report: Report = dataclasses.field(default_factory=Report)
    capped: bool = False

    def add(self, observation: np.ndarray, reward: float, info: Mapping[str, Any]) -> None:
        self.rewards.append(reward)
        self.report.add(info, len(self.rewards))
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
    max_steps: int = MAX_STEPS,
) -> Episodes:
    """Run `episodes` episodes, `parallel` at a time.

    Args:
        act: a policy, or a function: actions [B, *A] in the environment's units for observations [B, *O] of the simulator's
            own floats, at least float32. B is always min(parallel, episodes), so a compiled policy compiles once; rows whose
            episode is over hold what was seen last, and their actions are not used. Actions are clipped to the bounds of the
            action space. Dictionaries are flattened as the loaders flatten them (`extremal.envs.vectors`).
        environment: a name for `extremal.envs.make`, or a function that makes a Gymnasium environment.
        seed: episode e is reset with a seed made of (seed, e): its course depends neither on `parallel` nor on the other
            episodes, as long as a row of actions depends on its own row of observations alone.
        keep: how many of the first episodes' trajectories to keep.
        max_steps: an episode that the simulator has not ended by then is cut there, and `capped` says so.

    Raises:
        ConfigError: fewer than one episode or step, or an unknown environment.
        SpecError: the actions do not fit the environment, or it gives something else than Gymnasium's environments do.
        SimulatorError: the environment failed.
        DivergedError: an action is NaN or infinite.
    """
    episodes, parallel = admitted("episodes", episodes, Count), admitted("parallel", parallel, Count)
    seed, keep = admitted("seed", seed, Seed), admitted("keep", keep, Whole)
    max_steps = admitted("max_steps", max_steps, Count)
    create = environment if callable(environment) else lambda: make(environment)
    simulators: list[gymnasium.Env] = []
    try:
        simulators += [create() for _ in range(min(parallel, episodes))]
        if len({id(simulator) for simulator in simulators}) < len(simulators):
            raise ConfigError("the function gave the same environment twice; it must make a new one at each call")
        finished = _run(act, simulators, episodes, seed, keep, max_steps)
    finally:
        for simulator in simulators:
            simulator.close()
    finished.sort(key=lambda e: e.number)
    reports = tuple(e.report for e in finished)
    success, rule = judged(reports)
    return Episodes(
        returns=np.array([sum(e.rewards) for e in finished]),
        lengths=np.array([len(e.rewards) for e in finished]),
        success=success,
        success_rule=rule,
        reports=reports,
        steps_to_goal=np.array([r.reached for r in reports], np.float64),
        capped=np.array([e.capped for e in finished], bool),
        max_steps=max_steps,
        starts=np.stack([e.start for e in finished]),
        rewards=tuple(np.array(e.rewards) for e in finished),
        trajectories=tuple(np.stack(e.path) for e in finished if e.path is not None),
    )


def _run(
    act: Act | Policy, simulators: Sequence[gymnasium.Env], episodes: int, seed: int, keep: int, max_steps: int
) -> list[_Running]:
    observations = np.zeros((len(simulators), *shape(simulators[0].observation_space)), np.float32)
    rewards, fresh = np.zeros(len(simulators), np.float32), np.zeros(len(simulators), bool)
    player = act.start(len(simulators)) if isinstance(act, Policy) else _Stateless(act)
    waiting = iter(range(episodes))
    running: dict[int, _Running] = {}
    finished: list[_Running] = []

    def begin(slot: int) -> None:
        """Start the next episode here, if one is left."""
        nonlocal observations
        running.pop(slot, None)
        if (number := next(waiting, None)) is not None:
            seen = reset(simulators[slot], seed=episode_seed(seed, number))
            observations = observations.astype(np.result_type(observations, seen), copy=False)
            observations[slot], fresh[slot] = seen, True
            start = observations[slot].copy()
            running[slot] = _Running(number, start, [start] if number < keep else None)

    for slot in range(len(simulators)):
        begin(slot)
    while running:
        actions = _valid(player.act(observations.copy()), simulators)
        fresh[:] = False
        for slot, episode in list(running.items()):
            brought = step(simulators[slot], actions[slot])
            observations[slot], rewards[slot] = brought.observation, brought.reward
            episode.add(observations[slot].copy(), brought.reward, brought.info)
            ended = brought.terminated or brought.truncated
            episode.capped = not ended and len(episode.rewards) >= max_steps
            if ended or episode.capped:
                finished.append(episode)
                begin(slot)
        player.receive(rewards, fresh)
    return finished


def episode_seed(seed: int, number: int) -> int:
    """The seed with which episode `number` of a run is reset."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])


def _valid(actions: Any, simulators: Sequence[gymnasium.Env]) -> np.ndarray:
    """The actions as the simulators take them: of their type, within their bounds."""
    space, actions = simulators[0].action_space, np.asarray(actions)
    expected = (len(simulators), *(space.shape or ()))
    if actions.shape != expected:
        raise SpecError(f"the policy's actions have shape {actions.shape}, the environment expects {expected}")
    if not np.isfinite(actions).all():
        raise DivergedError("the policy's actions are NaN or infinite; it cannot be evaluated")
    if not hasattr(space, "low") and actions.dtype.kind not in "biu":
        raise SpecError(f"the policy's actions are quantities, the environment takes choices: {space}")
    low, high = getattr(space, "low", None), getattr(space, "high", None)
    return actions if low is None else np.clip(actions, low, high).astype(space.dtype)
