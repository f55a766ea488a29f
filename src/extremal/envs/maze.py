"""D4RL's maze2d on today's MuJoCo: a point that is pushed through a maze."""

# pyright: reportAttributeAccessIssue=false
# (MuJoCo's bindings are compiled and carry no types.)

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import gymnasium
import mujoco
import numpy as np

from extremal.core.errors import nearest
from extremal.envs.layouts import GOAL_RADIUS, Layout, layout

REWARDS = ("sparse", "dense", "goal")
MAX_SPEED = 5.0  # along each axis, before every step


@cache
def _model(maze: Layout) -> mujoco.MjModel:
    return mujoco.MjModel.from_xml_string(maze.physics())


class Simulation:
    """The bare physics: 0.01 s a step. All simulations of one maze share a model."""

    def __init__(self, maze: Layout):
        self.model = _model(maze)
        self.data = mujoco.MjData(self.model)
        self._position, self._velocity, self._control = self.data.qpos, self.data.qvel, self.data.ctrl  # views

    def place(self, position: Sequence[float] | np.ndarray, velocity: Sequence[float] | np.ndarray) -> None:
        """Forget everything and put the point there; position [2], velocity [2]."""
        mujoco.mj_resetData(self.model, self.data)
        self._position[:], self._velocity[:] = position, velocity

    def step(self, x: float, y: float) -> None:
        """Push with forces x and y in [-1, 1] (of 100 N); the simulator clips them."""
        for axis, speed in enumerate(self._velocity.tolist()):
            if not -MAX_SPEED <= speed <= MAX_SPEED:
                self._velocity[axis] = math.copysign(MAX_SPEED, speed)
        self._control[0], self._control[1] = x, y
        mujoco.mj_step(self.model, self.data)

    def state(self) -> list[float]:
        """Position and velocity: x, y, dx/dt, dy/dt."""
        return self._position.tolist() + self._velocity.tolist()


class PointMaze(gymnasium.Env[np.ndarray, np.ndarray]):
    """A point of radius 0.1 in a maze, pushed by two forces.

    Observation [4] float64: position (2), velocity (2). Action [2] in [-1, 1]. `info["success"]`: the position after the
    step lies within 0.5 of the goal, which never moves. An episode is truncated at 300 (umaze), 600 (medium) or 800 (large)
    steps; `limit` may be set to another number.

    The rewards, on the position after the step:
        sparse: 1 within 0.5 of the goal, 0 elsewhere; never terminates, so the return counts the steps spent there.
        dense: exp(-distance to the goal); never terminates.
        goal: 0 and terminated within 0.5 of the goal, -1 elsewhere.
    With `sparse` and `dense` an episode starts in any free cell; with `goal` always in the one farthest from the goal. Either
    way with U(-0.1, 0.1) added to the cell's indices and a velocity of 0.1 N(0, 1).

    Source: [fu2020] maze2d (sparse, dense); AntMaze's reward less one (goal).
    Differs from the paper: `goal` in this maze is ours.
    """

    metadata = {"render_modes": []}  # noqa: RUF012

    def __init__(self, size: str, reward: str):
        if reward not in REWARDS:
            raise nearest(reward, REWARDS, kind="maze reward")
        self.layout = layout(size)
        self.limit: int | None = self.layout.limit  # steps until an episode is truncated; None: never
        self.reward = reward
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (4,), np.float64)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)
        self._simulation = Simulation(self.layout)
        self._goal = self.layout.goal.tolist()
        self._steps = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        free = self.layout.free
        cell = self.layout.start_cell if self.reward == "goal" else free[self.np_random.integers(len(free))]
        position = np.array(cell) + self.np_random.uniform(-0.1, 0.1, 2)
        self._simulation.place(position, 0.1 * self.np_random.standard_normal(2))
        self._steps = 0
        return np.array(self._simulation.state()), {"success": bool(self.layout.within_goal(position))}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        self._simulation.step(float(action[0]), float(action[1]))
        self._steps += 1
        state = self._simulation.state()
        distance = math.hypot(state[0] - self._goal[0], state[1] - self._goal[1])
        success = distance <= GOAL_RADIUS
        reward = math.exp(-distance) if self.reward == "dense" else float(success) - (self.reward == "goal")
        terminated = success and self.reward == "goal"
        truncated = not terminated and self.limit is not None and self._steps >= self.limit
        return np.array(state), reward, terminated, truncated, {"success": success}
