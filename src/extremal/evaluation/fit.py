"""Whether a simulator takes what a policy has learned from: found out before its first step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from extremal.core.errors import SpecError
from extremal.core.types import Spec
from extremal.envs.vectors import entries, shape

if TYPE_CHECKING:
    import gymnasium


def check_fit(simulator: gymnasium.Env, spec: Spec, *, name: str, order: Sequence[str] | None = None) -> None:
    """Observations and actions have the shapes and the kind of the data's.

    Args:
        name: of the environment, for messages.
        order: the entries of the data's dictionaries in the order in which they became vectors; None: they were vectors.

    Raises:
        SpecError: they have not; says both.
    """
    advice = "name the environment that the data came from"
    seen = shape(simulator.observation_space)
    if seen != spec.observation:
        raise SpecError(
            f"environment {name!r} has observations of shape {seen}, the dataset of shape {spec.observation}; {advice}"
        )
    _check_order(simulator, name, order)
    space = simulator.action_space
    if spec.actions is None and (space.shape != spec.action or not hasattr(space, "low")):
        raise SpecError(f"environment {name!r} takes actions in {space}, the dataset has {_actions(spec)}; {advice}")
    if spec.actions is not None and getattr(space, "n", None) != spec.actions:
        raise SpecError(f"environment {name!r} takes actions in {space}, the dataset has {_actions(spec)}; {advice}")


def _check_order(simulator: gymnasium.Env, name: str, order: Sequence[str] | None) -> None:
    if order is None and len(entries(simulator.observation_space)) > 1:
        raise SpecError(
            f"environment {name!r} has dictionaries as observations, the dataset has vectors, and nothing says in which order they "
            "were flattened; add wrap=FlattenObservation() where it was the environment's own"
        )
    if order is not None and (other := _order(simulator)) not in ((), tuple(order)):
        raise SpecError(
            f"environment {name!r} flattens its observations in the order {', '.join(other)}, the data were flattened in the "
            f"order {', '.join(order)}; leave FlattenObservation out: dictionaries are flattened here as the data were"
        )


def _actions(spec: Spec) -> str:
    return f"quantities of shape {spec.action}" if spec.actions is None else f"{spec.actions} choices"


def _order(simulator: Any) -> tuple[str, ...]:
    """Entries in the order in which the simulator makes them a vector: ours, or that of Gymnasium's own wrapper around it."""
    import gymnasium

    while isinstance(simulator, gymnasium.Wrapper):
        if isinstance(simulator, gymnasium.wrappers.FlattenObservation):
            return _as_listed(simulator.env.observation_space)
        simulator = simulator.env
    return entries(simulator.observation_space)


def _as_listed(space: Any) -> tuple[str, ...]:
    """Paths of a dictionary's entries in the space's own order."""
    import gymnasium

    if not isinstance(space, gymnasium.spaces.Dict):
        return ()
    inner = {name: _as_listed(part) for name, part in space.spaces.items()}
    return tuple(path for name, paths in inner.items() for path in ([f"{name}.{p}" for p in paths] or [name]))
