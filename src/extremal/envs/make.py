"""Names of environments, and the simulators behind them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from extremal.core.errors import ConfigError, ExtremalError, require
from extremal.envs import neorl2, registered
from extremal.envs.layouts import SIZES
from extremal.envs.naming import LIMIT, MADE_IN_PYTHON, Wrapper, parsed

if TYPE_CHECKING:
    import gymnasium

MAZES = tuple(f"pointmaze-{size}-{reward}" for size in SIZES for reward in ("sparse", "dense", "goal"))
NAMES = (*MAZES, "adroit-door")  # ours; everything else is NeoRL-2's, or an id of Gymnasium

WRAPPERS = (
    "ClipAction",
    "ClipReward",
    "DelayObservation",
    "FilterObservation",
    "FlattenObservation",
    "FrameStackObservation",
    "GrayscaleObservation",
    "MaxAndSkipObservation",
    "RecordEpisodeStatistics",
    "RepeatAction",
    "RescaleAction",
    "RescaleObservation",
    "ResizeObservation",
    "StickyAction",
    "TimeAwareObservation",
    "TimeLimit",
)
"""Gymnasium's wrappers that plain arguments say all of: no functions, and nothing fitted while data were collected."""


def make(environment: str, *, imports: bool = True) -> gymnasium.Env:
    """A simulator: one of `NAMES`, `neorl2:TASK`, or any id of Gymnasium; Gymnasium-Robotics' are known where it is installed.

    Args:
        environment: a name, with arguments and wrappers as `extremal.envs.naming` writes them; `module:Env-v0` imports the
            module, which registers the id.
        imports: whether such a module may be imported; false for names that a file says.

    Raises:
        ConfigError: an unknown name or argument, or one that Gymnasium refuses.
        MissingExtraError: a simulator is not installed.
        SimulatorError: another interpreter cannot make it.
    """
    require("gymnasium", extra="envs", purpose="simulation")
    if environment.startswith(MADE_IN_PYTHON):
        raise ConfigError(
            f"the environment was made by a function in Python, {environment.removeprefix(MADE_IN_PYTHON)}; give it again, by "
            "`environment=` in Python, or name another"
        )
    named = parsed(environment)
    made = _simulator(environment, named.id, named.arguments, imports)
    try:
        for wrapper in named.wrappers:
            made = _wrapped(environment, made, wrapper)
    except ExtremalError:
        made.close()
        raise
    return made


def make_vector(environment: str, count: int) -> gymnasium.vector.VectorEnv:
    """`count` simulators that step together, one after the other in this process."""
    if count < 1:
        raise ConfigError(f"cannot make {count} environments; at least one is needed")
    gymnasium = require("gymnasium", extra="envs", purpose="simulation")
    return gymnasium.vector.SyncVectorEnv([lambda: make(environment)] * count)


def _simulator(environment: str, id: str, arguments: Mapping[str, Any], imports: bool) -> gymnasium.Env:
    ours = id in NAMES or id.startswith(neorl2.PREFIX)
    if not ours:
        module, colon, name = id.rpartition(":")
        if colon:
            registered.load(module, environment, imports=imports)
        return registered.make(name, arguments, environment, known=NAMES)
    if odd := [name for name in arguments if name != LIMIT]:
        raise ConfigError(f"the environment {id!r} takes no argument '{odd[0]}'; it takes {LIMIT}")
    if id.startswith(neorl2.PREFIX):
        return neorl2.simulator(id.removeprefix(neorl2.PREFIX), arguments)
    if id in MAZES:
        require("mujoco", extra="envs", purpose=f"the environment '{id}'")
        from extremal.envs.maze import PointMaze

        maze = PointMaze(*id.split("-")[1:])
        maze.limit = arguments.get(LIMIT, maze.limit)
        return maze
    require("gymnasium_robotics", extra="robotics", purpose=f"the environment '{id}'")
    from extremal.envs.adroit import DOOR_LIMIT, door

    return door(arguments.get(LIMIT, DOOR_LIMIT))


def _wrapped(environment: str, made: gymnasium.Env, wrapper: Wrapper) -> gymnasium.Env:
    import gymnasium

    if wrapper.name not in WRAPPERS:
        raise ConfigError(
            f"the environment {environment!r} names a wrapper that cannot be made from its name: {wrapper}; "
            f"those that can are {', '.join(WRAPPERS)}"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the precision of bounds
            return getattr(gymnasium.wrappers, wrapper.name)(made, **wrapper.arguments)
    except Exception as error:
        raise ConfigError(f"the environment {environment!r}: {wrapper} cannot be put around it: {error}") from error
