"""Mazes drawn as text: where steps lead, what they pay, and which maps are refused."""

import numpy as np
import pytest

from extremal.core.errors import ConfigError, DataError
from extremal.tabular import maximum, mean, returned, value_iteration
from extremal.tabular.mazes import MOVES, cliff, maze, serpentine, stitching, u_maze

UP, RIGHT, DOWN, LEFT = range(4)
CORRIDOR = "S.G"


def test_steps_walls_and_the_goal_of_a_corridor():
    mdp = maze(CORRIDOR, goal=5.0, step=-0.1, discount=0.5).mdp
    assert mdp.terminal.tolist() == [False, False, True]
    assert mdp.start.tolist() == [1.0, 0.0, 0.0]
    for action, to in ((UP, 0), (RIGHT, 1), (DOWN, 0), (LEFT, 0)):  # out of the map: stay
        assert mdp.transition[0, action].argmax() == to
    assert (mdp.transition.max(-1) == 1.0).all()
    assert mdp.mean_reward[1] == pytest.approx([-0.1, 5.0, -0.1, -0.1])
    assert value_iteration(mdp, maximum).v == pytest.approx([-0.1 + 0.5 * 5.0, 5.0, 0.0])
    assert len(MOVES) == mdp.actions


def test_cells_are_numbered_by_rows_and_drawn_back():
    drawn = maze("#S#\n..G")
    assert drawn.cells.tolist() == [[0, 1], [1, 0], [1, 1], [1, 2]]
    grid = drawn.grid(np.array([1.0, 2.0, 3.0, 4.0]))
    assert np.isnan(grid[0, [0, 2]]).all()
    assert grid[0, 1] == 1.0
    assert grid[1].tolist() == [2.0, 3.0, 4.0]
    assert drawn.starts.tolist() == [0]


def test_slip_of_the_action_and_of_the_state():
    straight, action, state = (
        maze(CORRIDOR, slip=slip, slip_to=to).mdp for slip, to in ((0, "action"), (0.4, "action"), (0.4, "state"))
    )
    assert straight.transition[0, RIGHT].tolist() == [0.0, 1.0, 0.0]
    assert action.transition[0, RIGHT] == pytest.approx([0.3, 0.7, 0.0])  # three of four actions stay
    assert state.transition[0, RIGHT] == pytest.approx([0.4 / 3, 0.6 + 0.4 / 3, 0.4 / 3])
    assert state.mean_reward[0, UP] == pytest.approx(0.4 / 3)  # a jump onto the goal pays as any other way there


def test_a_fall_from_the_cliff_leads_to_the_start_and_costs():
    mdp = maze("..\nSC", cliff=-50.0, step=-1.0).mdp
    assert mdp.transition[2, RIGHT].tolist() == [0.0, 0.0, 1.0]
    assert mdp.mean_reward[2] == pytest.approx([-1.0, -50.0, -1.0, -1.0])
    slipping = maze("..\nSC", cliff=-50.0, step=-1.0, slip=0.2).mdp
    assert slipping.mean_reward[2, RIGHT] == pytest.approx(0.85 * -50.0 + 0.15 * -1.0)
    assert slipping.mean_reward[2, LEFT] == pytest.approx(0.05 * -50.0 + 0.95 * -1.0)


@pytest.mark.parametrize(
    ("drawn", "value"),
    [(serpentine(), 0.95**21), (cliff(), -(1 - 0.99**12) / 0.01)],  # 22 steps, the last one pays; 13, the last is free
    ids=["serpentine", "cliff"],
)
def test_the_shortest_way_through_a_maze(drawn, value):
    assert value_iteration(drawn.mdp, maximum).v[drawn.starts] == pytest.approx(value, abs=1e-9)


def test_the_rooms_have_two_starts_and_two_goals_and_one_door():
    drawn = stitching()
    assert len(drawn.starts) == drawn.mdp.terminal.sum() == 2
    walled = maze(drawn.text.replace("#.......#", "#...#...#"))
    assert (value_iteration(drawn.mdp, maximum).v[drawn.starts] > 0.1).all()
    assert (value_iteration(walled.mdp, maximum).v[walled.starts] == 0).all()


def test_the_behaviour_of_the_u_maze_is_uniform_but_for_a_share():
    drawn = u_maze("action")
    best = value_iteration(drawn.mdp, maximum).policy
    assert drawn.mdp.behaviour == pytest.approx(0.99 * 0.25 + 0.01 * best)
    assert (drawn.mdp.states, drawn.mdp.discount) == (11, 0.9)
    uniform = u_maze("action", optimal=0.0).mdp
    assert uniform.behaviour == pytest.approx(np.full((11, 4), 0.25))
    assert value_iteration(uniform, mean).v.max() < value_iteration(drawn.mdp, mean).v.max()
    assert returned(drawn.mdp, best) > returned(drawn.mdp, drawn.mdp.behaviour)


@pytest.mark.parametrize(
    ("text", "more", "words"),
    [
        ("..G", {}, "the map has no start: mark at least one cell with S"),
        ("S.G\n..", {}, "the lines of a map must be of equal length"),
        ("", {}, "the lines of a map must be of equal length"),
        ("S.X?", {}, r"a map has only the characters # \. S G C, not \? X"),
        (CORRIDOR, {"slip": 1.5}, "slip is a probability, not 1.5"),
        (CORRIDOR, {"slip": -0.1}, "slip is a probability, not -0.1"),
        (CORRIDOR, {"slip": 0.1, "slip_to": "cell"}, "slip_to is 'action' or 'state', not 'cell'"),
        ("SC", {"slip": 0.1, "slip_to": "state"}, "slip_to='state' has no meaning on a map with a cliff"),
        (CORRIDOR, {"discount": 1.0}, r"discount must be in \[0, 1\), not 1.0"),
    ],
)
def test_bad_maps_are_refused(text, more, words):
    with pytest.raises(ConfigError, match=words):
        maze(text, **more)


def test_a_reward_that_is_not_finite_is_refused():
    with pytest.raises(DataError, match=r"field 'reward': entry .* is inf"):
        maze(CORRIDOR, goal=np.inf)
