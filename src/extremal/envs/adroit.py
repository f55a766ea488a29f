"""The Adroit hand as D4RL scores it."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium_robotics.envs.adroit_hand.adroit_door import AdroitHandDoorEnv

DOOR_LIMIT = 200  # steps of an evaluation episode in D4RL
_HINGE, _REACH = 28, slice(35, 38)  # in the observation: angle of the door; palm less handle


class Door(gymnasium.Wrapper[np.ndarray, np.ndarray, np.ndarray, np.ndarray]):
    """Gymnasium-Robotics' door (observation [39], action [28] in [-1, 1]) with D4RL's reward; no time limit of its own.

    reward = -0.1 |palm - handle| - 0.1 (door - 1.57)^2 - 1e-5 |velocity|^2 + 2 [door > 0.2] + 8 [door > 1] + 10 [door > 1.35]

    Lengths in metres, angles in radians. `info["success"]`: the door stands at 1.35 or wider.

    Source: [fu2020] door-v0; [rajeswaran2018].
    Differs from the paper: observations are today's simulator's. The reward of AdroitHandDoor-v1 itself is not used: since
    Gymnasium-Robotics 1.2.1 it *adds* 0.1 |palm - handle|, which D4RL's reference scores do not contain.
    """

    def __init__(self) -> None:
        super().__init__(AdroitHandDoorEnv())

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        observation, _, terminated, truncated, info = self.env.step(action)
        door, velocity = float(observation[_HINGE]), self.env.unwrapped.data.qvel  # pyright: ignore[reportAttributeAccessIssue]
        reward = -0.1 * np.linalg.norm(observation[_REACH]) - 0.1 * (door - 1.57) ** 2 - 1e-5 * np.sum(velocity**2)
        reward += 2 * (door > 0.2) + 8 * (door > 1.0) + 10 * (door > 1.35)
        return observation, float(reward), terminated, truncated, {**info, "success": bool(info["success"])}


def door(limit: int | None = DOOR_LIMIT) -> gymnasium.Env:
    """The door with D4RL's 200 steps, or another limit; None: without one."""
    return Door() if limit is None else gymnasium.wrappers.TimeLimit(Door(), limit)
