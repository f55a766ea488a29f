"""The numbers of the figures of IQL and EMaQ: closed forms, and what the captions say of them."""

import numpy as np
import pytest

from extremal.losses.value import expectile_regression
from extremal.reproduce import emaq, iql, iql_maze
from extremal.tabular import expectile, maximum, value_iteration
from extremal.tabular.mazes import STITCHING, maze


@pytest.mark.parametrize("level", [0.1, 0.5, 0.9, 0.99])
def test_expectiles_of_a_uniform(level):
    fine = (np.arange(20_000) + 0.5) / 10_000 - 1.0
    assert iql.of_uniform(level) == pytest.approx(expectile(fine, np.ones(20_000), parameter=level), abs=1e-6)


def test_the_loss_is_the_library_s():
    error = np.linspace(-2, 2, 9, dtype=np.float32)
    for level in (0.5, 0.9):
        told = expectile_regression(error, expectile=level)
        assert iql.loss(error, level) == pytest.approx(np.asarray(told), rel=1e-6)


def test_the_figure_of_expectiles_has_those_of_a_normal_and_of_a_uniform():
    pytest.importorskip("sklearn", reason="needs scikit-learn")
    numbers = iql.compute(points=400, levels=(0.7, 0.9), fitted_levels=(0.9,), knots=5)
    assert numbers["normal"]["expectiles"] == pytest.approx({0.7: 0.33712, 0.9: 0.86159}, abs=1e-5)
    lines, regression = numbers["regression"]["by_level"][0.9], numbers["regression"]
    middle = 2 * np.asarray(lines["exact"]) - np.asarray(regression["maximum"])  # an expectile of 0.9 is half-way up
    assert np.abs(np.asarray(lines["fitted"]) - lines["exact"]).max() < 0.25 * np.ptp(lines["exact"])
    np.testing.assert_allclose(middle, iql.centre(np.asarray(regression["x"])), atol=1e-9)
    error = np.asarray(numbers["loss"]["error"])
    np.testing.assert_allclose(numbers["loss"]["by_level"][0.9], np.where(error < 0, 0.1, 0.9) * error**2)


def test_the_u_maze_s_captions():
    told = iql_maze.compute(seeds=4, horizon=500)["mazes"]
    for slip_to, one_step in (("state", False), ("action", True)):
        earned = told[slip_to]["earned"]
        assert 0.5 < earned["one step"] <= earned["IQL"] <= 1.0 + 1e-9
        assert (earned["one step"] > 0.999) is one_step
        for name in ("one step", "IQL"):  # of data set 0: an optimal policy earns all, and the map has no wrong arrow
            assert told[slip_to][name]["right"].all() == (told[slip_to][name]["earned"] > 1.0 - 1e-9)
    assert told["action"]["visits"].sum() > 3 * told["state"]["visits"].sum()  # jumps end episodes early


@pytest.mark.parametrize("chance", [0.01, 0.5])
def test_the_behaviours_take_the_best_action_as_often_as_told(chance):
    best = value_iteration(maze(STITCHING, slip=0.2).mdp, maximum)
    behaviour = emaq.behaviours(best, chance)
    right = best.q == best.q.max(-1, keepdims=True)
    choice = ~right.all(-1)
    assert behaviour.sum(-1) == pytest.approx(np.ones(len(right)))
    assert (behaviour * right).sum(-1)[choice] == pytest.approx(np.full(choice.sum(), chance))


def test_emaq_s_loss_is_under_its_bounds_and_delta_under_its_own():
    told = emaq.compute(samples=(1, 3, 10, 30, 100))
    lost = np.array(told["lost"])
    assert (np.diff(lost) < 0).all()
    for bound in told["bounds"].values():
        assert (lost <= np.array(bound) + 1e-9).all()
    for chance, left in told["left"].items():
        assert (np.array(left) <= (1.0 - chance) ** (np.array(told["samples"]) - 1.0) + 1e-9).all()
