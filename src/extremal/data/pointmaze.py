"""Logged data from a maze: a noisy controller wanders from goal to goal, and every row is then scored for one fixed goal.

One trajectory is simulated for a size, a number of rows and a seed; the reward variants are three readings of it. The goals
that the controller pursued are not the evaluation's, so what it did must be pieced together from parts of many trips.

    the trajectory    s0 ── s1 ── s2 ── s3 ── s4 ── s5 ── s6      one motion, never reset
    pursued goal      A     A     A     B     B     B             a change of goal ends an episode, with neither flag set
    `goal` variant                            ✓                   s5 lies in the evaluation's goal: terminated, episode ends
    episodes          └──── 0 ────┘     └─── 1 ──┘  └ 2 ┘
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from importlib.metadata import version

import numpy as np

from extremal.core.checked import admitted
from extremal.core.errors import nearest, require
from extremal.core.ranges import Count, Seed
from extremal.data import cache
from extremal.data.dataset import Card, Dataset
from extremal.envs.layouts import MOVES, Cell, Layout, layout
from extremal.envs.make import MAZES

Progress = Callable[[int, int], None]  # rows that are simulated so far, rows in all

NAMES = MAZES
ROWS = 1_000_000
NOISE = 0.5  # standard deviation of what is added to the controller's action
GENERATOR = 1  # raised when the same seed gives other numbers
_BLOCK = 10_000  # rows between two reports of progress
_REFERENCES = {"sparse": "maze2d-{}-v1", "dense": "maze2d-{}-dense-v1", "goal": None}


class Controller:
    """Steers to a goal cell by cell: action = clip(10 (waypoint - position) - velocity, -1, 1).

    It plans when the goal's cell changes, and only then: a shortest path over the cells, from the cell that the position
    rounds to, each waypoint but the last moved by -U(0, 0.2) on both axes. It goes on to the next waypoint within 0.1 of one.

    Source: [fu2020] maze2d.
    Differs from the paper: the path is found by breadth-first search, which is what the greedy rollout of the original's
    50 sweeps of Q-iteration amounts to (ties fall to the same moves).
    """

    def __init__(self, maze: Layout, rng: np.random.Generator):
        self._maze, self._rng = maze, rng
        self._distances = {cell: maze.distances(cell) for cell in maze.free}
        self._target: Cell = (-1, -1)  # none yet
        self._waypoints: list[tuple[float, float]] = []
        self._previous: tuple[float, float] = (0.0, 0.0)  # position at the call before

    def act(self, state: list[float], goal: tuple[float, float]) -> tuple[float, float, bool]:
        """The two forces in [-1, 1] for x, y, dx/dt, dy/dt, and whether the goal's cell is reached."""
        x, y, vx, vy = state
        if (cell := _cell(*goal)) != self._target:
            self._target, self._previous = cell, _cell(x, y)
            self._waypoints = self._plan(_cell(x, y), cell)
        slow = math.dist((x, y), self._previous) < 0.1  # "speed" is the way since the call before
        self._previous = (x, y)
        arrived = slow and math.dist((x, y), self._target) < 0.1
        wx, wy = self._target if arrived else self._waypoints[0]
        if not arrived and slow and math.dist((x, y), (wx, wy)) < 0.1:
            self._waypoints.pop(0)  # never the last one: to be there is to have arrived
        return _clip(10.0 * (wx - x) - vx), _clip(10.0 * (wy - y) - vy), arrived

    def _plan(self, start: Cell, target: Cell) -> list[tuple[float, float]]:
        steps, cell, path = self._distances[target], start, []
        while cell != target:  # from a wall too, which positions near one can round to
            beside = [(cell[0] + down, cell[1] + right) for down, right in MOVES]
            cell = min((c for c in beside if c in steps), key=lambda c: steps[c])
            path.append(cell)
        shift = -0.2 * self._rng.random((len(path), 2))
        return [(r + a, c + b) for (r, c), (a, b) in zip(path[:-1], shift.tolist(), strict=False)] + [target]


def generate(name: str, *, rows: int = ROWS, seed: int = 0, progress: Progress | None = None) -> Dataset:
    """The dataset `name` (one of `NAMES`), simulated anew. The same arguments give the same numbers.

    An episode is a trip to one goal of the controller; in the `goal` variant it also ends where the point enters the
    evaluation's goal. Rewards are those of `PointMaze`, except that `sparse` and `dense` are read off the row's own
    observation, not the next one.

    Source: [fu2020] maze2d-{umaze,medium,large}-v1 and -dense-v1.
    Differs from the paper: after a change of goal D4RL repeats the last observation once, with an action chosen on it but
    carried out one step later; here every row's action was chosen on the row's own observation. `goal` is ours.
    """
    rows, seed = admitted("rows", rows, Count), admitted("seed", seed, Seed)
    return _relabel(name, _simulate(_size(name), rows, seed, progress), rows, seed)


def load(name: str, *, rows: int = ROWS, seed: int = 0, progress: Progress | None = None) -> Dataset:
    """As `generate`; the trajectory is simulated once and then read from the cache, for all reward variants of a size."""
    size = _size(name)
    key = "pointmaze-" + cache.key(_recipe(size, rows, seed))
    stream = cache.read(key)
    if stream is None:
        stream = _simulate(size, rows, seed, progress)
        cache.write(key, stream)
    return _relabel(name, stream, rows, seed)


def controller_returns(size: str, episodes: int, seed: int, *, replan: bool) -> np.ndarray:
    """[episodes] returns of the controller without noise, in the environment with the sparse reward.

    With `replan` a new controller plans in every episode. Without, one controller lives through all of them, and since the
    goal never changes it plans once and then pushes straight at the goal: so did D4RL when it took its reference scores.
    """
    require("mujoco", extra="envs", purpose="simulation")
    from extremal.envs.maze import PointMaze

    environment = PointMaze(size, "sparse")
    maze, rng, returns = environment.layout, np.random.default_rng(seed), np.zeros(episodes)
    goal = (float(maze.goal[0]), float(maze.goal[1]))
    controller = Controller(maze, rng)
    for episode in range(episodes):
        controller = Controller(maze, rng) if replan else controller
        observation, _ = environment.reset(seed=int(rng.integers(2**31)))
        truncated = False
        while not truncated:
            x, y, _ = controller.act(observation.tolist(), goal)
            observation, reward, _, truncated, _ = environment.step(np.array([x, y]))
            returns[episode] += reward
    return returns


def _simulate(size: str, rows: int, seed: int, progress: Progress | None) -> dict[str, np.ndarray]:
    """The trajectory: observation [rows + 1, 4], action [rows, 2], and where the pursued goal changed after a row [rows]."""
    require("mujoco", extra="envs", purpose="generating data")
    from extremal.envs.maze import Simulation

    maze = layout(size)
    starts, goals, plans, noises = (np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(4))
    simulation, controller = Simulation(maze), Controller(maze, plans)
    simulation.place(_somewhere(maze, starts), 0.1 * starts.standard_normal(2))
    observation = np.empty((rows + 1, 4), np.float32)
    action, changed = np.empty((rows, 2), np.float32), np.zeros(rows, bool)

    state, goal, steps = simulation.state(), _somewhere(maze, goals), 0
    for first in range(0, rows, _BLOCK):
        noise = (NOISE * noises.standard_normal((_BLOCK, 2))).tolist()
        for row in range(first, min(first + _BLOCK, rows)):
            x, y, arrived = controller.act(state, goal)
            dx, dy = noise[row - first]
            x, y = _clip(x + dx), _clip(y + dy)
            observation[row], action[row] = state, (x, y)
            simulation.step(x, y)
            state = simulation.state()
            steps += 1
            if arrived or steps > maze.limit:
                changed[row], goal, steps = True, _somewhere(maze, goals), 0
        if progress is not None:
            progress(min(first + _BLOCK, rows), rows)
    observation[rows] = state
    return {"observation": observation, "action": action, "changed": changed}


def _relabel(name: str, stream: dict[str, np.ndarray], rows: int, seed: int) -> Dataset:
    _, size, variant = name.split("-")
    maze, observation = layout(size), stream["observation"]
    distance = np.linalg.norm(observation[:, :2] - maze.goal, axis=1)
    reached = maze.within_goal(observation[:, :2])
    terminated = reached[1:] if variant == "goal" else np.zeros(rows, bool)
    reward = {"sparse": reached[:-1], "dense": np.exp(-distance[:-1]), "goal": reached[1:] - 1.0}[variant]
    reference = _REFERENCES[variant]
    return Dataset.from_rows(
        observation=observation[:-1],
        action=stream["action"],
        reward=reward.astype(np.float32),
        terminated=terminated,
        next_observation=observation[1:],
        episode=np.concatenate([[0], np.cumsum(stream["changed"][:-1])]),
        card=Card(
            name=name,
            environment=name,
            reference=reference and reference.format(size),
            action_low=(-1.0, -1.0),
            action_high=(1.0, 1.0),
            recipe=json.dumps(_recipe(size, rows, seed) | {"reward": variant}),
        ),
    )


def _recipe(size: str, rows: int, seed: int) -> dict[str, object]:
    """Everything that the numbers depend on."""
    require("mujoco", extra="envs", purpose="generating data")
    return {
        "generator": "extremal.data.pointmaze",
        "version": GENERATOR,
        "size": size,
        "rows": rows,
        "seed": seed,
        "noise": NOISE,
        "physics": hashlib.sha256(layout(size).physics().encode()).hexdigest(),
        "mujoco": version("mujoco"),
        "numpy": version("numpy"),
    }


def _size(name: str) -> str:
    if name not in NAMES:
        raise nearest(name, NAMES, kind="dataset")
    return name.split("-")[1]


def _somewhere(maze: Layout, rng: np.random.Generator) -> tuple[float, float]:
    """A free cell's indices with U(-0.1, 0.1) added: where the point starts, or its next goal."""
    row, column = maze.free[rng.integers(len(maze.free))]
    shift = rng.uniform(-0.1, 0.1, 2)
    return row + float(shift[0]), column + float(shift[1])


def _cell(x: float, y: float) -> Cell:
    return round(x), round(y)


def _clip(force: float) -> float:
    return min(max(force, -1.0), 1.0)
