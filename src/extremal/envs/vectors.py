"""Observations as vectors: the one order in which dictionaries are flattened, when data are read and when a policy acts."""

from __future__ import annotations

from typing import Any

import numpy as np

from extremal.core.errors import SpecError

_GOAL = ["achieved_goal", "desired_goal", "observation"]


def entries(space: Any) -> tuple[str, ...]:
    """Which arrays of an observation make its vector, in order, as paths like 'body.position'; none for a plain array.

    Names are sorted, however the space orders them, and so at every level. A goal dictionary (`observation`, `achieved_goal`,
    `desired_goal`) gives [observation, desired_goal].

    Raises:
        SpecError: the space, or an entry, is neither a box nor a dictionary.
    """
    import gymnasium

    if isinstance(space, gymnasium.spaces.Box):
        return ()
    if not isinstance(space, gymnasium.spaces.Dict) or not space.spaces:
        raise SpecError(f"observations lie in {space}; only Box and dictionaries of Box are supported")
    paths = []
    for name in _names(space):
        inner = entries(space[name])
        paths += [f"{name}.{path}" for path in inner] if inner else [name]
    return tuple(paths)


def shape(space: Any) -> tuple[int, ...]:
    """Of the array that `flattened` makes of one observation.

    Raises:
        SpecError: as `entries`.
    """
    if not entries(space):
        return space.shape
    return (sum(int(np.prod(shape(space[name]))) for name in _names(space)),)


def flattened(space: Any, value: Any) -> np.ndarray:
    """An observation of `space` as an array, or many with leading axes: a box as it is, a dictionary as [..., D].

    Raises:
        SpecError: as `entries`.
    """
    if not entries(space):
        return np.asarray(value)
    parts = []
    for name in _names(space):
        part = flattened(space[name], value[name])
        leading = part.shape[: part.ndim - len(shape(space[name]))]
        parts.append(part.reshape(*leading, -1))
    return np.concatenate(parts, axis=-1)


def _names(space: Any) -> list[str]:
    names = sorted(space.spaces)
    return ["observation", "desired_goal"] if names == _GOAL else names
