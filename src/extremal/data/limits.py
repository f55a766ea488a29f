"""After how many steps the task of a dataset stops an episode, where that is known."""

from __future__ import annotations

from typing import Any

from extremal.data.dataset import Card
from extremal.data.loaders.reference import step_limit


def step_limit_of(card: Card) -> int | None:
    """Steps after which the task of `card` stops an episode: D4RL's registration, else that of Gymnasium; None if unknown."""
    if (limit := step_limit(card.reference)) is not None:
        return limit
    name, _, settings = (card.environment or "").partition("?")
    for setting in settings.split("&"):
        key, _, value = setting.partition("=")
        if key == "max_episode_steps" and value.isdecimal():
            return int(value)
    return _registered(name)


def _registered(name: str) -> int | None:
    try:
        import gymnasium
    except ImportError:
        return None
    spec: Any = gymnasium.registry.get(name)
    return spec and spec.max_episode_steps
