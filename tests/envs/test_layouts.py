"""Facts of D4RL's maps, and the geometry that the report draws."""

from xml.etree import ElementTree

import numpy as np
import pytest

from extremal.core.errors import ConfigError
from extremal.envs import SIZES, layout
from extremal.envs.layouts import Layout


@pytest.mark.parametrize(
    ("size", "shape", "free", "goal", "start", "limit"),
    [
        ("umaze", (5, 5), 7, (1, 1), (3, 1), 300),
        ("medium", (8, 8), 26, (6, 6), (1, 1), 600),
        ("large", (9, 12), 46, (7, 9), (7, 1), 800),
    ],
)
def test_facts_of_the_maps(size, shape, free, goal, start, limit):
    maze = layout(size)
    assert maze.wall.shape == shape
    assert len(set(maze.free)) == len(maze.free) == free
    assert maze.free[-1] == maze.goal_cell == goal
    assert maze.start_cell == start
    assert maze.limit == limit
    border = np.ones(shape, bool)
    border[1:-1, 1:-1] = False
    assert maze.wall[border].all()


@pytest.mark.parametrize("size", SIZES)
def test_every_free_cell_is_reached_and_distances_are_shortest(size):
    maze = layout(size)
    steps = maze.distances(maze.goal_cell)
    assert set(steps) == set(maze.free)
    for (row, column), far in steps.items():
        beside = [
            steps[c] for c in [(row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)] if c in steps
        ]
        assert far == 0 or min(beside) == far - 1


def test_wall_rectangles_and_cell_centres_tile_the_maze():
    maze = layout("medium")
    assert maze.walls.shape == (maze.wall.sum(), 4)
    middles = maze.walls[:, :2] + 0.5 * maze.walls[:, 2:]
    centres = np.array([maze.centre(cell) for cell in maze.free])
    everything = np.concatenate([middles, centres])
    np.testing.assert_allclose(np.unique(everything[:, 0]), np.arange(8) - 0.2)
    assert len(np.unique(everything.round(6), axis=0)) == 64
    np.testing.assert_allclose(maze.centre((1, 1)), [0.8, 0.8])


def test_the_goal_region_is_a_closed_disc_around_the_indices_of_its_cell():
    maze = layout("medium")
    np.testing.assert_array_equal(maze.goal, [6.0, 6.0])
    positions = np.array([[6.0, 5.5], [6.0, 5.49], [5.7, 5.7]])
    np.testing.assert_array_equal(maze.within_goal(positions), [True, False, True])


def test_the_physics_are_d4rls_point_among_boxes():
    """D4RL's maze2d: a sphere of 0.1 at a cell's corner plus 1.2, boxes of half-size 0.5, 0.01 s a step, gears of 100."""
    maze = Layout(size="own", rows=("###", "#G#", "#O#", "###"), limit=5)
    assert (maze.goal_cell, maze.free, maze.start_cell) == ((1, 1), ((2, 1), (1, 1)), (2, 1))
    model = ElementTree.fromstring(maze.physics())
    boxes = model.findall("worldbody/geom")
    assert {tuple(map(float, box.attrib["pos"].split())) for box in boxes} == {
        (r + 1.0, c + 1.0, 0.0) for r in range(4) for c in range(3) if not (c == 1 and r in (1, 2))
    }
    assert {box.attrib["size"] for box in boxes} == {"0.5 0.5 0.2"}
    (body,) = model.findall("worldbody/body")
    assert body.attrib["pos"] == "1.2 1.2 0"
    assert body.find("geom").attrib["size"] == "0.1"
    assert [joint.attrib["axis"] for joint in body.findall("joint")] == ["1 0 0", "0 1 0"]
    assert {motor.attrib["gear"] for motor in model.findall("actuator/motor")} == {"100"}
    assert model.find("option").attrib["timestep"] == "0.01"
    assert model.find("default/joint").attrib["damping"] == "1"


def test_an_unknown_size_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'medium'"):
        layout("medum")
