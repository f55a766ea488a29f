"""The mazes' data: the controller, the trajectory, its three readings, and the cache."""

import json

import numpy as np
import pytest

from extremal.core.errors import ConfigError
from extremal.data import cache, pointmaze
from extremal.envs import layout
from extremal.envs.maze import Simulation
from extremal.evaluation.rollout import rollout

ROWS = 4000


@pytest.fixture(scope="module")
def variants():
    return {v: pointmaze.generate(f"pointmaze-umaze-{v}", rows=ROWS, seed=3) for v in ("sparse", "dense", "goal")}


def stream(data):
    """Observations [rows + 1, 4], actions [rows, 2]: the trajectory put together again."""
    return np.concatenate([data.observation[data.slot], data.observation[-1:]]), data.action


def test_the_controller_pushes_to_the_next_waypoint_and_says_when_it_is_there():
    """From (3, 1) to the goal at (1, 1) the way is around the wall; waypoints but the last are moved by -U(0, 0.2)."""
    controller = pointmaze.Controller(layout("umaze"), np.random.default_rng(5))
    moved = -0.2 * np.random.default_rng(5).random((6, 2))
    way = np.asarray([(3, 2), (3, 3), (2, 3), (1, 3), (1, 2), (1, 1)], float)
    way[:-1] += moved[:-1]
    push = lambda at, to, speed: np.clip(10 * (to - at) - speed, -1.0, 1.0)  # noqa: E731

    speed, first = np.asarray([0.3, -0.2]), way[0] - (0.02, 0.03)
    for at, to in (
        (np.asarray([3.0, 1.0]), way[0]),
        (way[0] - (0.06, -0.15), way[0]),
        (first, way[0]),
        (first, way[0]),  # there, and at rest: from now on the next
        (first, way[1]),
    ):
        x, y, there = controller.act([*at, *speed], (1.0, 1.0))
        assert not there
        np.testing.assert_allclose([x, y], push(at, to, speed), atol=1e-12)
    goal = np.asarray([1.04, 0.97])
    assert not controller.act([*goal, *speed], (1.0, 1.0))[2]  # still fast
    x, y, there = controller.act([*goal, *speed], (1.0, 1.0))
    assert there
    np.testing.assert_allclose([x, y], push(goal, np.ones(2), speed), atol=1e-12)


def test_the_variants_are_readings_of_one_trajectory(variants):
    for data in variants.values():
        for one, other in zip(stream(data), stream(variants["sparse"]), strict=True):
            np.testing.assert_array_equal(one, other)
        assert data.rows == ROWS
        observation, _ = stream(data)
        np.testing.assert_array_equal(
            data.observation[data.slot + 1], observation[1:]
        )  # nothing jumps between episodes


def test_rewards_and_ends_of_every_row(variants):
    observation, _ = stream(variants["sparse"])
    distance = np.hypot(*(observation[:, :2].astype(np.float64) - layout("umaze").goal).T)
    np.testing.assert_array_equal(variants["sparse"].reward, distance[:-1] <= 0.5)
    np.testing.assert_allclose(variants["dense"].reward, np.exp(-distance[:-1]), rtol=1e-6)
    np.testing.assert_array_equal(variants["goal"].reward, (distance[1:] <= 0.5) - 1.0)
    np.testing.assert_array_equal(variants["goal"].terminated, distance[1:] <= 0.5)
    assert variants["goal"].terminated.any()
    assert not variants["sparse"].terminated.any()
    assert not any(data.truncated.any() for data in variants.values())


def test_episodes_are_trips_and_the_goal_variant_cuts_them_at_the_goal(variants):
    sparse, goal = variants["sparse"], variants["goal"]
    assert 10 < sparse.episodes < 200
    cuts = np.flatnonzero(goal.terminated) + 1
    np.testing.assert_array_equal(goal.starts, np.unique(np.concatenate([sparse.starts, cuts])))


def test_the_trajectory_is_what_the_simulator_makes_of_the_actions(variants):
    observation, action = stream(variants["sparse"])
    simulation = Simulation(layout("umaze"))
    simulation.place(observation[0, :2], observation[0, 2:])
    for row in range(50):  # float32 of a chaotic motion: only the beginning can agree
        np.testing.assert_allclose(simulation.state(), observation[row], atol=1e-3)
        simulation.step(*action[row].tolist())


def test_the_noise_has_a_standard_deviation_of_a_half_before_clipping(monkeypatch):
    first = lambda: np.stack([pointmaze.generate("pointmaze-umaze-goal", rows=1, seed=s).action[0] for s in range(100)])  # noqa: E731
    monkeypatch.setattr(pointmaze, "_BLOCK", 1)
    noisy = first()
    monkeypatch.setattr(pointmaze, "NOISE", 0.0)
    clean = first()
    full = np.abs(clean) == 1.0
    short = 1.0 - (noisy * clean)[full]  # what noise took off a full push; half of it pushes further out
    assert np.mean(short == 0.0) == pytest.approx(0.5, abs=0.15)
    assert np.sqrt(np.mean(short[short > 0] ** 2)) == pytest.approx(0.5, rel=0.2)


def test_the_seed_decides_and_fewer_rows_are_a_beginning():
    make = lambda seed, rows: pointmaze.generate("pointmaze-medium-sparse", rows=rows, seed=seed)  # noqa: E731
    long, short = make(0, 600), make(0, 300)
    assert make(0, 600).hash() == long.hash() != make(1, 600).hash()
    np.testing.assert_array_equal(long.action[:300], short.action)
    np.testing.assert_array_equal(long.observation[:250], short.observation[:250])


def test_the_card_tells_environment_reference_and_recipe(variants):
    cards = {name: data.card for name, data in variants.items()}
    assert [cards[v].reference for v in ("sparse", "dense", "goal")] == [
        "maze2d-umaze-v1",
        "maze2d-umaze-dense-v1",
        None,
    ]
    assert cards["goal"].environment == cards["goal"].name == "pointmaze-umaze-goal"
    assert cards["goal"].action_low == (-1.0, -1.0)
    recipe = json.loads(cards["goal"].recipe)
    assert (recipe["rows"], recipe["seed"], recipe["reward"]) == (ROWS, 3, "goal")
    assert {"mujoco", "numpy", "physics", "version"} <= set(recipe)


def test_progress_is_told_up_to_the_end():
    told = []
    pointmaze.generate("pointmaze-umaze-goal", rows=10_500, progress=lambda *at: told.append(at))
    assert told == [(10_000, 10_500), (10_500, 10_500)]


def test_bad_requests_are_refused():
    with pytest.raises(ConfigError, match="did you mean 'pointmaze-large-goal'"):
        pointmaze.load("pointmaze-larg-goal")
    with pytest.raises(ConfigError, match="rows is 0, expected int from 1 up"):
        pointmaze.generate("pointmaze-umaze-goal", rows=0)


def test_loading_simulates_once_for_all_variants(tmp_path, monkeypatch):
    monkeypatch.setenv("EXTREMAL_CACHE", str(tmp_path))
    simulated = []
    load = lambda variant, **other: pointmaze.load(  # noqa: E731
        f"pointmaze-umaze-{variant}", rows=500, progress=lambda *_: simulated.append(variant), **other
    )
    data = load("goal")
    assert simulated == ["goal"]
    assert load("goal").hash() == data.hash() == pointmaze.generate("pointmaze-umaze-goal", rows=500).hash()
    load("dense")
    assert simulated == ["goal"]
    load("goal", seed=1)
    assert simulated == ["goal", "goal"]
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".npz", ".npz"]  # and no half-written file


def test_a_damaged_cache_is_told_of_and_made_again(tmp_path, monkeypatch):
    monkeypatch.setenv("EXTREMAL_CACHE", str(tmp_path))
    load = lambda: pointmaze.load("pointmaze-umaze-goal", rows=500)  # noqa: E731
    expected = load().hash()
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], b""):
        path.write_bytes(damaged)
        with pytest.warns(UserWarning, match="damaged"):
            assert load().hash() == expected
        assert load().hash() == expected  # made again, without a warning


def test_a_cache_with_other_numbers_is_not_trusted(tmp_path, monkeypatch):
    monkeypatch.setenv("EXTREMAL_CACHE", str(tmp_path))
    path = cache.write("a", {"x": np.arange(4.0)})
    with np.load(path) as file:
        stored = dict(file)
    stored["x"][2] = 9.0
    np.savez(path, **stored)
    with pytest.warns(UserWarning, match="damaged"):
        assert cache.read("a") is None
    assert cache.read("b") is None


# Means and standard errors of 200 episodes of an independent implementation. D4RL's own: 161.86, 277.39, 273.99.
RETURNS = [
    ("umaze", False, 169.9, 9.0),
    ("medium", False, 248.6, 18.0),
    ("large", False, 296.8, 24.0),
    ("umaze", True, 218.9, 4.0),
    ("medium", True, 421.1, 6.5),
    ("large", True, 548.9, 9.0),
]


def agree(returns, mean, error, *, errors=2):
    """Within so many standard errors of the difference."""
    mine = returns.std(ddof=1) / len(returns) ** 0.5
    assert returns.mean() == pytest.approx(mean, abs=errors * np.hypot(mine, error))


@pytest.mark.parametrize(("size", "replan", "mean", "error"), RETURNS)
def test_returns_of_the_controller_on_a_few_episodes(size, replan, mean, error):
    agree(pointmaze.controller_returns(size, 40, 1, replan=replan), mean, error, errors=3)


@pytest.mark.slow
@pytest.mark.parametrize(("size", "replan", "mean", "error"), RETURNS)
def test_returns_of_the_controller(size, replan, mean, error):
    agree(pointmaze.controller_returns(size, 200, 1, replan=replan), mean, error)


@pytest.mark.slow
@pytest.mark.parametrize(("size", "mean", "error"), [("umaze", 35.0, 4.5), ("medium", 12.7, 4.5), ("large", 12.3, 4.5)])
def test_returns_of_random_actions(size, mean, error):
    rng = np.random.default_rng(0)
    name = f"pointmaze-{size}-sparse"
    agree(rollout(lambda o: rng.uniform(-1, 1, (len(o), 2)), name, episodes=200, seed=0).returns, mean, error)


@pytest.mark.slow
@pytest.mark.parametrize(("size", "trips", "share"), [("umaze", 12_460, 0.077), ("medium", 5_850, 0.024)])
def test_trips_and_time_at_the_goal(size, trips, share):
    data = pointmaze.generate(f"pointmaze-{size}-sparse", rows=400_000)
    assert data.episodes / 0.4 == pytest.approx(trips, rel=0.04)
    assert data.reward.mean() == pytest.approx(share, rel=0.15)
