"""Mazes drawn as text, as finite MDPs: U-maze (IQL), serpentine (XQL), stitching, cliff.

`#` is a wall, `.` a free cell, `S` a start, `G` a goal (terminal), `C` a cliff: who enters it is put back on a start.
Actions are up, right, down, left; a step into a wall or out of the map stays where it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from extremal.core.errors import ConfigError
from extremal.tabular.mdp import FiniteMDP
from extremal.tabular.operators import maximum
from extremal.tabular.solvers import value_iteration

MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))

U_MAZE = """
#######
#....G#
#.#####
#....S#
#######
"""
SERPENTINE = """
#######
#G....#
#####.#
#.....#
#.#####
#.....#
#####.#
#S....#
#######
"""
STITCHING = """
#########
#S..#..G#
#...#...#
#.......#
#...#...#
#S..#..G#
#########
"""
CLIFF = """
############
............
............
............
SCCCCCCCCCCG
############
"""


@dataclass(frozen=True, kw_only=True, eq=False)
class Maze:
    """A drawn maze: its MDP, and where its states are."""

    mdp: FiniteMDP
    cells: np.ndarray
    """[S, 2]: row and column of each state in the text, counted from its top left."""
    text: str

    def grid(self, values: np.ndarray) -> np.ndarray:
        """[rows, columns] of values [S], NaN on walls and cliffs."""
        lines = _lines(self.text)
        drawn = np.full((len(lines), len(lines[0])), np.nan)
        drawn[tuple(self.cells.T)] = values
        return drawn

    @property
    def starts(self) -> np.ndarray:
        """The states that episodes begin in."""
        return np.flatnonzero(self.mdp.start)


def maze(
    text: str,
    *,
    goal: float = 1.0,
    step: float = 0.0,
    cliff: float = -100.0,
    slip: float = 0.0,
    slip_to: Literal["action", "state"] = "action",
    discount: float = 0.95,
    behaviour: np.ndarray | None = None,
) -> Maze:
    """The maze of a text map; rewards are for entering a goal, for any other step, and for entering a cliff.

    With probability `slip` the commanded step is replaced: by a uniform action, or by a jump to a uniform cell (goals
    among them). The behaviour is uniform unless given.
    """
    lines = _lines(text)
    cells = [(y, x) for y, line in enumerate(lines) for x, c in enumerate(line) if c in ".SG"]
    number = {cell: i for i, cell in enumerate(cells)}
    kind = np.array([lines[y][x] for y, x in cells])
    starts = np.flatnonzero(kind == "S")
    if not starts.size:
        raise ConfigError("the map has no start: mark at least one cell with S")
    if not 0.0 <= slip <= 1.0:
        raise ConfigError(f"slip is a probability, not {slip}")
    states = len(cells)
    entered = np.where(kind == "G", goal, step)
    moved, reward = np.zeros((2, states, len(MOVES), states))
    for state, (y, x) in enumerate(cells):
        for action, (dy, dx) in enumerate(MOVES):
            to = (y + dy, x + dx)
            inside = 0 <= to[0] < len(lines) and 0 <= to[1] < len(lines[0])
            fell = inside and lines[to[0]][to[1]] == "C"
            landing = starts if fell else [number.get(to, state)]
            moved[state, action, landing] = 1.0 / len(landing)
            reward[state, action, landing] = cliff if fell else entered[landing]
    transition = moved if not slip else _slipped(moved, slip, slip_to)
    if slip and slip_to == "state" and "C" in text:
        raise ConfigError("slip_to='state' has no meaning on a map with a cliff; use slip_to='action'")
    if slip and "C" in text:  # by which action a cell was reached decides what it paid
        paid = (1.0 - slip) * moved * reward + slip * (moved * reward).mean(1, keepdims=True)
        reward = np.divide(paid, transition, out=np.zeros_like(paid), where=transition > 0)
    elif slip:
        reward = np.broadcast_to(entered, moved.shape)
    mdp = FiniteMDP(
        transition=transition,
        reward=reward,
        discount=discount,
        terminal=kind == "G",
        start=np.isin(np.arange(states), starts) / starts.size,
        behaviour=np.full((states, len(MOVES)), 1.0 / len(MOVES)) if behaviour is None else behaviour,
    )
    return Maze(mdp=mdp, cells=np.array(cells), text=text)


def u_maze(slip_to: Literal["action", "state"] = "state", *, optimal: float = 0.01) -> Maze:
    """IQL's U-maze: slip 0.25, reward 10 for the goal, discount 0.9; the behaviour is uniform but for a share `optimal`.

    The paper says that a random *state* is entered with probability 0.25, and prints neither map nor horizon. With
    slip_to = "action" a uniform action replaces the commanded one. An action of the optimal policy is taken with
    probability `optimal` plus a uniform share of the rest: the population that 1 optimal and 99 uniform trajectories
    of equal length are drawn from.

    Source: [kostrikov2021] Sec. 5.1, Fig. 2.
    """
    uniform = maze(U_MAZE, goal=10.0, slip=0.25, slip_to=slip_to, discount=0.9)
    best = value_iteration(uniform.mdp, maximum).policy
    behaviour = (1.0 - optimal) * uniform.mdp.behaviour + optimal * best
    return Maze(mdp=uniform.mdp.replace(behaviour=behaviour), cells=uniform.cells, text=uniform.text)


def serpentine() -> Maze:
    """XQL's toy grid world: four corridors from the start, bottom left, to the goal, top left.

    The paper prints a picture and no layout; this one has the start and the goal where its words have them, reward 1
    for the goal, no slip, a uniform behaviour and discount 0.95.

    Source: [garg2023] App. D.1, Fig. 4.
    """
    return maze(SERPENTINE)


def stitching() -> Maze:
    """Two rooms and a door: data that crosses from one start to the other goal has to be put together from halves."""
    return maze(STITCHING, discount=0.95)


def cliff() -> Maze:
    """The cliff walk: -1 a step, -100 and back to the start for a fall, discount 0.99.

    Source: [sutton2018] Example 6.6.
    Differs from the paper: discounted (there: undiscounted), and the last step costs 0.
    """
    return maze(CLIFF, goal=0.0, step=-1.0, discount=0.99)


def _lines(text: str) -> list[str]:
    lines = [line.strip() for line in text.strip().splitlines()]
    if not lines or len({len(line) for line in lines}) > 1:
        raise ConfigError("the lines of a map must be of equal length")
    unknown = sorted(set("".join(lines)) - set("#.SGC"))
    if unknown:
        raise ConfigError(f"a map has only the characters # . S G C, not {' '.join(unknown)}")
    return lines


def _slipped(moved: np.ndarray, slip: float, slip_to: str) -> np.ndarray:
    if slip_to not in ("action", "state"):
        raise ConfigError(f"slip_to is 'action' or 'state', not {slip_to!r}")
    other = moved.mean(1, keepdims=True) if slip_to == "action" else 1.0 / moved.shape[-1]
    return (1.0 - slip) * moved + slip * other
