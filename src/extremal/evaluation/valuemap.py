"""What a policy thinks of a maze, and how it crosses it: the arrays behind the picture of a run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from extremal.core.errors import SpecError
from extremal.core.policy import Policy
from extremal.envs.layouts import SIZES, layout

POINTS = 12  # per cell and axis


def maze_size(environment: str | None) -> str | None:
    """The size of the maze that an environment of ours is named after, or None."""
    parts = (environment or "").partition("?")[0].split("-")  # arguments change the episodes, not the maze
    return parts[1] if len(parts) == 3 and parts[0] == "pointmaze" and parts[1] in SIZES else None


def value_map(policy: Policy, size: str, trajectories: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Walls, V(s) at rest on a fine grid (NaN in walls; left out where the method has no V), and trajectories.

    Args:
        trajectories: observations [T + 1, 4] of episodes; their positions are kept.
    """
    maze = layout(size)
    rows, columns = maze.wall.shape
    low = np.array([-0.7, -0.7])  # the lower corner of cell (0, 0)
    x = low[0] + (np.arange(rows * POINTS) + 0.5) / POINTS
    y = low[1] + (np.arange(columns * POINTS) + 0.5) / POINTS
    paths = [path[:, :2] for path in trajectories]
    drawn = {
        "walls": maze.walls,
        "extent": np.array([low[0], low[0] + rows, low[1], low[1] + columns]),
        "x": x,
        "y": y,
        "trajectories": np.concatenate(paths) if paths else np.zeros((0, 2)),
        "offsets": np.cumsum([0, *map(len, paths)]),
        "goal": maze.goal,
        "start": np.array([path[0] for path in paths]).reshape(-1, 2),
    }
    at = np.stack(np.meshgrid(x, y, indexing="xy"), axis=-1).reshape(-1, 2)  # rows of the picture run along y
    try:
        value = policy.value(np.concatenate([at, np.zeros_like(at)], axis=1)).reshape(len(y), len(x)).astype(float)
    except SpecError:  # behaviour cloning
        return drawn
    value[np.repeat(np.repeat(maze.wall.T, POINTS, axis=0), POINTS, axis=1)] = np.nan
    return drawn | {"value": value}
