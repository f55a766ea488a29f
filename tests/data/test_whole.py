"""Episodes that the recording cut: their returns are nobody's, and nothing takes them for an episode's."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from extremal.algorithms.decision_transformer import DT
from extremal.data import mujoco
from extremal.data.check import check_dataset
from extremal.data.dataset import Card, Dataset
from extremal.data.transforms import BestEpisodes, ReturnsToGo, ScaleReward, prepare

SHARES = Card(reference="hopper-medium-expert-v2", recipe=json.dumps({"generator": "extremal.data.mujoco"}))
T, L, N = "terminated", "truncated", "neither"  # how an episode ends


def log(*episodes, card=None):
    """One episode per (steps, flag), or (steps, flag, reward of a step), which is 1."""
    return Dataset.from_episodes(
        [
            {
                "observation": np.arange(steps + 1.0)[:, None],
                "action": np.zeros((steps, 1)),
                "reward": np.full(steps, *reward or (1.0,)),
                "terminated": flag == T,
                "truncated": flag == L,
            }
            for steps, flag, *reward in episodes
        ],
        card=card,
    )


@pytest.mark.parametrize(
    ("episodes", "cut"),
    [
        ([(5, T), (9, T), (3, N)], [2]),  # the table stops
        ([(5, T), (9, T), (12, N)], [2]),
        ([(5, T), (9, T), (3, L)], [2]),  # others lasted longer, so no limit was there
        ([(5, T), (9, T), (9, L)], []),
        ([(10, L), (10, L), (3, L)], [2]),  # the limit is 10
        ([(10, L), (3, L)], [1]),
        ([(10, L), (10, L), (10, L)], []),
        ([(10, L), (7, L), (3, L)], []),  # limits that differ, as of a person who stops
        ([(3, L), (10, L), (10, L)], []),  # in the middle a flag is taken at its word
        ([(10, L), (4, N), (10, L), (6, T)], [1]),  # flags say why others ended
        ([(10, N), (10, N), (4, T), (3, N)], [3]),  # limits that no flag tells
        ([(10, N), (8, N), (4, T), (3, N)], []),
        ([(10, N), (8, N), (3, N)], []),  # nothing is flagged: each is what was called an episode
        ([(3, N)], []),
        ([(3, L)], []),
    ],
)
def test_which_episodes_are_cut(episodes, cut):
    assert np.flatnonzero(~log(*episodes).whole).tolist() == cut


def test_in_simulated_shares_an_episode_is_whole_at_the_limit_or_at_its_end():
    data = log((400, T), (1000, L), (200, L), (1000, L), (999, L), card=SHARES)
    assert data.whole.tolist() == [True, True, False, True, False]
    assert log((7, L), (9, L), card=SHARES).whole.all()  # none would be left


def test_a_table_that_stops_within_an_episode():
    """As D4RL's files do: the row without a successor is left out, and the episode is cut."""
    flags = {"terminated": [0, 0, 1, 0, 0, 0, 0, 0], "truncated": [0, 0, 0, 0, 0, 1, 0, 0]}
    columns = {"observation": np.arange(8.0)[:, None], "action": np.zeros((8, 1)), "reward": np.ones(8)}
    data = Dataset.from_rows(**columns, **flags)
    assert data.lengths.tolist() == [3, 2, 1]
    assert data.whole.tolist() == [True, True, False]


def test_the_range_of_returns_is_that_of_whole_episodes():
    assert ScaleReward(scale=1000.0).fit(log((4, T), (10, T), (1, N))).spread == 6.0
    assert ScaleReward(scale=1000.0).fit(log((4, T), (10, T), (2, N, 50.0))).spread == 6.0  # nor is it the best
    (fitted,), prepared = prepare([ScaleReward(scale=12.0)], log((4, T), (10, T), (1, N)))
    assert fitted.spread == 6.0
    np.testing.assert_array_equal(prepared.reward, 2.0)  # of the cut one, too


def test_what_is_known_of_returns_is_of_whole_episodes():
    data = log((4, T), (10, T), (2, N, 50.0))
    assert (data.spec.best_return, data.spec.worst_return) == (10.0, 4.0)
    assert data.statistics()["return"] == {"mean": 7.0, "min": 4.0, "max": 10.0}
    assert (data.statistics()["cut"], data.statistics()["episodes"]) == (1, 3)
    report = check_dataset(data)
    assert (report.figures["return"]["max"], report.figures["ends"]["cut"]) == (10.0, 1)
    (note,) = (finding for finding in report.findings if finding.code == "end-without-reason")
    assert "1 of them by the end of the recording: their returns are not known" in note.advice


def test_the_check_says_which_truncated_episodes_no_limit_ended():
    known = lambda data: [f for f in check_dataset(data).findings if f.code == "cut-by-recording"]  # noqa: E731
    (note,) = known(log((10, L), (10, L), (3, L)))
    assert note.says.startswith("1 of 3 episodes was still going on where the recording stopped")
    assert note.rows == (22,)
    assert known(log((4, T), (10, T), (10, L))) == []


def test_the_best_episodes_are_whole_ones_as_long_as_there_are_any():
    data = log((5, T, -1.0), (5, T, -2.0), (2, N, -1.0))  # every step costs, so that the cut one seems best
    assert BestEpisodes(fraction=0.5).apply(data).reward.tolist() == [-1.0] * 5
    assert BestEpisodes(fraction=1.0).apply(data).rows == 12


def test_a_return_that_nobody_knows_is_not_asked_for_and_not_learned_from():
    data = log((4, T), (10, T), (2, N, 50.0))
    algorithm = DT(width=8, heads=1, depth=1).algorithm(data.spec, updates=10)
    assert algorithm.act.target == 10.0
    assert algorithm.act.return_scale == 10.0
    prepared = ReturnsToGo().apply(data)
    assert prepared.lengths.tolist() == [4, 10]
    assert prepared.return_to_go is not None
    assert prepared.return_to_go.tolist() == [4.0, 3.0, 2.0, 1.0, *range(10, 0, -1)]
    assert ReturnsToGo().apply(log((4, N))).rows == 4  # nothing else is there


@pytest.mark.slow
def test_the_range_on_the_hopper_is_that_of_published_code():
    """Of the policies at EXTREMAL_DATA; contacts grow from last bits, so a processor of another kind has other episodes."""
    if not (source := os.environ.get("EXTREMAL_DATA")):
        pytest.skip("needs published policies, at EXTREMAL_DATA")
    pytest.importorskip("mujoco", reason="needs MuJoCo")
    data = mujoco.build("hopper-medium", Path(source))
    assert data.whole.tolist() == [*[True] * (data.episodes - 1), False]
    assert float(ScaleReward(scale=1000.0).fit(data).spread) == pytest.approx(_published(data, 1000))
    if data.hash().startswith(
        "f91fccae38176fad"
    ):  # the build of the documentation; with the cut episode it would be 3148.6
        assert float(ScaleReward(scale=1000.0).fit(data).spread) == pytest.approx(2640.2, abs=0.05)
    both = mujoco.build("hopper-medium-expert", Path(source), rows=20_000)
    assert (~both.whole).sum() == 2
    assert both.whole.sum() == sum(part["episodes"] for part in json.loads(both.card.recipe)["policies"])


def _published(data, limit):
    """The range as a re-implementation counts it: episodes that terminated, or have as many steps as the limit."""
    total, steps, returns = 0.0, 0, []
    for reward, ended in zip(data.reward.tolist(), data.terminated.tolist(), strict=True):
        total, steps = total + reward, steps + 1
        if ended or steps == limit:
            returns.append(total)
            total, steps = 0.0, 0
    return max(returns) - min(returns)
