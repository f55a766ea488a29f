"""A simulator as it is told to be: what it returns is looked at once, and whatever is odd has a name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from extremal.core.errors import ExtremalError, SimulatorError, SpecError
from extremal.envs.vectors import flattened, shape
from extremal.evaluation.success import flag

if TYPE_CHECKING:
    import gymnasium


class Step(NamedTuple):
    """What one action brought."""

    observation: np.ndarray  # [*O] floats of the simulator's precision, at least float32
    reward: float
    terminated: bool
    truncated: bool
    info: Mapping[str, Any]


def reset(simulator: gymnasium.Env, *, seed: int) -> np.ndarray:
    """The first observation of an episode, [*O] floats.

    Raises:
        SpecError: it is not of the simulator's space, or there is more or less than an observation and `info`.
        SimulatorError: the simulator failed.
    """
    observation, _ = _parts(lambda: simulator.reset(seed=seed), "reset", ("observation", "info"))
    return _seen(simulator, observation)


def step(simulator: gymnasium.Env, action: Any) -> Step:
    """Take an action.

    Raises:
        SpecError: what comes back is not an observation of the simulator's space, a finite reward, two flags and a dictionary.
        SimulatorError: the simulator failed.
    """
    observation, reward, terminated, truncated, info = _parts(lambda: simulator.step(action), "step", Step._fields)
    if not isinstance(info, Mapping):
        raise SpecError(f"the environment's step gave {_shown(info)} for info; expected a dictionary")
    return Step(
        _seen(simulator, observation),
        _reward(reward),
        _flag("terminated", terminated),
        _flag("truncated", truncated),
        info,
    )


def _parts(call: Callable[[], Any], name: str, parts: tuple[str, ...]) -> tuple[Any, ...]:
    try:
        given = call()
    except ExtremalError:
        raise
    except Exception as error:
        raise SimulatorError(f"the environment failed in its {name}: {type(error).__name__}: {error}") from error
    if not isinstance(given, tuple) or len(given) != len(parts):
        count = f"a tuple of {len(given)}" if isinstance(given, tuple) else f"a {type(given).__name__}"
        raise SpecError(
            f"the environment's {name} gave {count}; Gymnasium's gives ({', '.join(parts)}): wrap an environment of old Gym"
        )
    return given


def _seen(simulator: gymnasium.Env, observation: Any) -> np.ndarray:
    """An observation as an array of floats: of the simulator's precision, and at least float32."""
    space = simulator.observation_space
    try:
        value = flattened(space, observation)
    except (TypeError, ValueError, LookupError) as error:
        raise SpecError(f"the environment gave the observation {_shown(observation)}, its space is {space}") from error
    if value.shape != (expected := shape(space)):
        raise SpecError(f"the environment gave an observation of shape {value.shape}, its space says {expected}")
    if value.dtype.kind not in "biuf":
        raise SpecError(f"the environment gave an observation of {value.dtype}; expected numbers")
    return value if value.dtype.kind == "f" else value.astype(np.float32)


def _reward(value: Any) -> float:
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in "biuf" or not np.isfinite(array).all():
        raise SpecError(f"the environment gave the reward {_shown(value)}; expected a finite number")
    return float(array.item())


def _flag(name: str, value: Any) -> bool:
    if (found := flag(value)) is None:
        raise SpecError(f"the environment gave {_shown(value)} for {name}; expected true or false")
    return found


def _shown(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:77]}..."
