"""After how many steps the task of a dataset stops an episode, where that is known."""

from __future__ import annotations

from typing import Any

from extremal.core.errors import ConfigError
from extremal.data.dataset import Card
from extremal.data.loaders.reference import step_limit
from extremal.envs.naming import LIMIT, parsed


def step_limit_of(card: Card) -> int | None:
    """Steps after which the task of `card` stops an episode: D4RL's registration, else that of Gymnasium; None if unknown."""
    if (limit := step_limit(card.reference)) is not None:
        return limit
    try:
        named = parsed(card.environment or "")
    except ConfigError:  # the check of data asks for no simulator
        return None
    return named.arguments[LIMIT] if LIMIT in named.arguments else _registered(named.id)


def _registered(name: str) -> int | None:
    try:
        import gymnasium
    except ImportError:
        return None
    spec: Any = gymnasium.registry.get(name)
    return spec and spec.max_episode_steps
