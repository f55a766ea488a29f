"""Facts of D4RL's maps, and the geometry that the report draws."""

import numpy as np
import pytest

from extremal.core.errors import ConfigError
from extremal.envs import SIZES, layout


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


def test_an_unknown_size_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'medium'"):
        layout("medum")
