"""The point's physics against closed forms, and the three rewards."""

import math
import warnings

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from extremal.core.errors import ConfigError
from extremal.envs import layout
from extremal.envs.maze import PointMaze, Simulation

MASS = 1000 * 4 / 3 * math.pi * 0.1**3  # a sphere of radius 0.1 and density 1000
STEP = 0.01


def placed(size="umaze", position=(2.8, 1.8), velocity=(0.0, 0.0)):
    simulation = Simulation(layout(size))
    simulation.place(position, velocity)
    return simulation


def test_free_motion_is_implicit_euler_with_damping_one():
    simulation, speed, x = placed(), 0.0, 1.8
    for _ in range(20):
        simulation.step(0.0, 0.5)
        speed = (speed + STEP * 50.0 / MASS) / (1 + STEP / MASS)
        x += STEP * speed
    np.testing.assert_allclose(simulation.state(), [2.8, x, 0.0, speed], atol=1e-9)


def test_forces_are_clipped():
    strong, full = placed(), placed()
    strong.step(0.0, 7.0)
    full.step(0.0, 1.0)
    assert strong.state() == full.state()


def test_speed_is_clipped_before_the_step():
    simulation = placed("large", (0.8, 0.8), (0.0, 9.0))
    simulation.step(0.0, 0.0)
    assert simulation.state()[3] == pytest.approx(5.0 / (1 + STEP / MASS))


def test_walls_stop_the_point_a_radius_before_them():
    simulation = placed()
    for _ in range(300):
        simulation.step(1.0, 0.0)  # down, into the wall below cell (3, 2)
    assert simulation.state()[0] == pytest.approx(3.3 - 0.1, abs=0.01)
    assert abs(simulation.state()[2]) < 1e-3


def test_the_goal_variant_starts_far_away_and_the_others_anywhere():
    far, anywhere = PointMaze("medium", "goal"), PointMaze("medium", "sparse")
    starts = np.array([far.reset(seed=seed)[0][:2] for seed in range(50)])
    assert np.abs(starts - [1, 1]).max() <= 0.1
    cells = {tuple(anywhere.reset(seed=seed)[0][:2].round().astype(int)) for seed in range(400)}
    assert cells == set(layout("medium").free)


@pytest.mark.parametrize(
    ("reward", "outside", "inside"),
    [("sparse", 0.0, 1.0), ("goal", -1.0, 0.0), ("dense", math.exp(-0.8), math.exp(-0.4))],
)
def test_rewards_are_of_the_position_after_the_step(reward, outside, inside):
    maze = PointMaze("umaze", reward)
    maze.reset(seed=0)
    for distance, expected in [(0.8, outside), (0.4, inside)]:
        maze._simulation.place([1.0, 1.0 + distance], [0.0, 0.0])
        observation, value, terminated, truncated, info = maze.step(np.zeros(2, np.float32))
        assert np.hypot(*(observation[:2] - 1.0)) == pytest.approx(distance)
        assert value == pytest.approx(expected)
        assert info["success"] == (distance < 0.5)
        assert terminated == (reward == "goal" and distance < 0.5)
        assert not truncated


@pytest.mark.parametrize(("size", "limit"), [("umaze", 300), ("medium", 600), ("large", 800)])
def test_the_time_limit_truncates(size, limit):
    maze = PointMaze(size, "goal")
    maze.reset(seed=0)
    steps = [maze.step(np.zeros(2, np.float32))[2:4] for _ in range(limit)]
    assert steps[:-1] == [(False, False)] * (limit - 1)
    assert steps[-1] == (False, True)


def test_reaching_the_goal_on_the_last_step_is_terminated_alone():
    maze = PointMaze("umaze", "goal")
    maze.reset(seed=0)
    for _ in range(299):
        maze.step(np.zeros(2, np.float32))
    maze._simulation.place([1.0, 1.0], [0.0, 0.0])
    assert maze.step(np.zeros(2, np.float32))[1:4] == (0.0, True, False)


def test_it_keeps_gymnasiums_contract():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*(infinity|Not able to test|not having been created).*")
        check_env(PointMaze("umaze", "goal"), skip_render_check=True)


def test_an_unknown_reward_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'sparse'"):
        PointMaze("umaze", "spares")
