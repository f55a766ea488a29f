"""The mazes as text. A cell is (row, column); the point's first coordinate runs along the rows, its second along the columns.

    column  0 1 2 3 4
    row 0   # # # # #       # wall, O free, G free and the goal of the evaluation
    row 1   # G O O #
    row 2   # # # O #       The centre of cell (row, column) lies at position (row - 0.2, column - 0.2): D4RL sets the point
    row 3   # O O O #       down 0.2 beyond its cell's corner of the world, and counts positions from there.
    row 4   # # # # #

No simulator is needed here: the report draws walls from it, the controller plans on it.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from functools import cache, cached_property

import numpy as np

from extremal.core.errors import nearest

Cell = tuple[int, int]

OFFSET = 0.2  # a cell's index less the position of its centre
RADIUS = 0.1  # of the point
GOAL_RADIUS = 0.5  # positions at most this far from the goal have reached it
MOVES = ((0, -1), (0, 1), (-1, 0), (1, 0))  # in the order in which D4RL's planner breaks ties

_UMAZE = """
#####
#GOO#
###O#
#OOO#
#####
"""
_MEDIUM = """
########
#OO##OO#
#OO#OOO#
##OOO###
#OO#OOO#
#O#OO#O#
#OOO#OG#
########
"""
_LARGE = """
############
#OOOO#OOOOO#
#O##O#O#O#O#
#OOOOOO#OOO#
#O####O###O#
#OO#O#OOOOO#
##O#O#O#O###
#OO#OOO#OGO#
############
"""
_MAPS = {"umaze": (_UMAZE, 300), "medium": (_MEDIUM, 600), "large": (_LARGE, 800)}
SIZES = tuple(_MAPS)


@dataclasses.dataclass(frozen=True)
class Layout:
    """One maze. Positions are in the units of the observation's first two numbers.

    Source: [fu2020] maze2d: the maps and step limits of maze2d-{umaze,medium,large}-v1.
    """

    size: str
    rows: tuple[str, ...]  # one string a row of cells
    limit: int  # steps of an episode

    @cached_property
    def wall(self) -> np.ndarray:
        """[rows, columns] bool."""
        return np.array([[tile == "#" for tile in row] for row in self.rows])

    @cached_property
    def goal_cell(self) -> Cell:
        return next((r, row.index("G")) for r, row in enumerate(self.rows) if "G" in row)

    @cached_property
    def goal(self) -> np.ndarray:
        """[2] the evaluation's goal: the indices of its cell, as in D4RL (0.2 off the cell's centre on both axes)."""
        return np.array(self.goal_cell, np.float64)

    @cached_property
    def free(self) -> tuple[Cell, ...]:
        """The free cells row by row, the goal's cell last (the order in which D4RL draws them)."""
        cells = [(int(r), int(c)) for r, c in np.argwhere(~self.wall)]
        return (*(cell for cell in cells if cell != self.goal_cell), self.goal_cell)

    @cached_property
    def start_cell(self) -> Cell:
        """The free cell with the longest shortest path to the goal."""
        steps = self.distances(self.goal_cell)
        return max(self.free, key=lambda cell: steps[cell])

    @cached_property
    def walls(self) -> np.ndarray:
        """[walls, 4] rectangles (lower corner, then width and height, always 1) of the walls; the point's edge stops there."""
        corner = np.argwhere(self.wall) - OFFSET - 0.5
        return np.concatenate([corner, np.ones_like(corner)], axis=1)

    def centre(self, cell: Cell) -> np.ndarray:
        """[2] position of a cell's centre."""
        return np.array(cell, np.float64) - OFFSET

    def within_goal(self, position: np.ndarray) -> np.ndarray:
        """[...] bool for positions [..., 2]: at most 0.5 from the goal."""
        return np.linalg.norm(np.asarray(position, np.float64) - self.goal, axis=-1) <= GOAL_RADIUS

    def distances(self, cell: Cell) -> dict[Cell, int]:
        """Steps of the shortest path to `cell` from every free cell, over cells that share a side."""
        steps, queue = {cell: 0}, deque([cell])
        while queue:
            row, column = queue.popleft()
            for down, right in MOVES:
                beside = (row + down, column + right)
                if not self.wall[beside] and beside not in steps:
                    steps[beside] = steps[row, column] + 1
                    queue.append(beside)
        return steps

    def physics(self) -> str:
        """The MuJoCo model: a sphere on two slide joints among boxes.

        Source: [fu2020] maze2d.
        Differs from the paper: there is no floor. It has no friction and the point cannot move vertically, so the
        motion is the same.
        """
        boxes = "".join(
            f'<geom type="box" pos="{r + 1} {c + 1} 0" size="0.5 0.5 0.2"/>' for r, c in np.argwhere(self.wall)
        )
        joints = "".join(
            f'<joint name="{n}" type="slide" axis="{axis}"/>' for n, axis in (("x", "1 0 0"), ("y", "0 1 0"))
        )
        motors = "".join(f'<motor joint="{n}" ctrlrange="-1 1" ctrllimited="true" gear="100"/>' for n in "xy")
        return (
            '<mujoco><compiler inertiafromgeom="true" angle="radian"/>'
            '<option timestep="0.01" gravity="0 0 0" iterations="20" integrator="Euler"/>'
            '<default><joint damping="1" limited="false"/>'
            '<geom friction="0.5 0.1 0.1" density="1000" margin="0.002" condim="1" contype="2" conaffinity="1"/></default>'
            f'<worldbody><body pos="{1 + OFFSET} {1 + OFFSET} 0">'
            f'<geom type="sphere" size="{RADIUS}" contype="1"/>{joints}</body>{boxes}</worldbody>'
            f"<actuator>{motors}</actuator></mujoco>"
        )


@cache
def layout(size: str) -> Layout:
    """The maze of this size: 'umaze', 'medium' or 'large'.

    >>> layout("umaze").free[:2], layout("umaze").start_cell
    (((1, 2), (1, 3)), (3, 1))

    Raises:
        ConfigError: an unknown size.
    """
    if size not in _MAPS:
        raise nearest(size, SIZES, kind="maze size")
    text, limit = _MAPS[size]
    return Layout(size=size, rows=tuple(text.split()), limit=limit)
