import json

import numpy as np
import pytest

from extremal.core.errors import RunError
from extremal.report.runs import curves, names, read_run, read_runs


def test_a_run_is_read_back(maze_runs):
    run = read_run(maze_runs[0])
    assert run.method == "XQL"
    assert run.judge is not None
    assert run.judge[1] == "success_rate"
    assert run.reached == 30_000
    assert [group.replicas for group in run.groups] == [(0, 1, 2)]
    assert np.isnan(run.evaluations["score"]).all()  # empty cells
    assert run.maze is not None
    assert run.maze["value"].shape == (80, 80)


def test_replicas_of_a_sweep_are_grouped_by_what_was_swept(make_run, tmp_path):
    run = read_run(make_run(tmp_path / "s", "xql", overrides=[{"beta": b} for b in (0.5, 2.0, 0.5)], maze=False))
    assert {group.label: group.replicas for group in run.groups} == {"beta 0.5": (0, 2), "beta 2": (1,)}


def test_curves_are_means_of_episodes_with_gaps_as_nan():
    columns = {
        "update": np.array([1.0, 1, 1, 2, 3]),
        "replica": np.array([0.0, 0, 1, 1, 0]),
        "return": np.array([1.0, 3, 5, 7, np.nan]),
    }
    updates, values = curves(columns, "return", (0, 1))
    np.testing.assert_array_equal(updates, [1, 2])
    np.testing.assert_array_equal(values, [[2, np.nan], [5, 7]])
    assert curves(columns, "score", (0, 1))[1].shape == (2, 0)


def test_runs_of_one_method_are_told_apart_by_folder(make_run, tmp_path, maze_runs):
    other = make_run(tmp_path / "again", "xql", maze=False)
    assert names(read_runs([*maze_runs[:2], other])) == ["XQL (xql)", "IQL", "XQL (again)"]


def test_an_unfinished_run_has_no_results(make_run, tmp_path):
    path = make_run(tmp_path / "run", "iql")
    for name in ("summary.json", "evaluations.csv", "maze.npz", "metrics.csv"):
        (path / name).unlink()
    run = read_run(path)
    assert (run.results, run.judge, run.maze, run.reached) == ([], None, None, 0)


def damage(name, text):
    def apply(path):
        (path / name).write_text(text)

    return apply


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda path: (path / "config.json").unlink(), "is no run directory: it has no config.json"),
        (damage("config.json", '{"method": "xql"'), "config.json is damaged"),
        (damage("config.json", "[1]"), "config.json is damaged: it holds list, expected dict"),
        (damage("config.json", json.dumps({"method": "xql", "dataset": {}})), "config.json has no 'replicas'"),
        (damage("summary.json", ""), "summary.json is damaged"),
        (
            damage("metrics.csv", "update,replica,v/loss\n1,0,2.0\n2,0\n"),
            "metrics.csv, line 3: 2 cells, the header has 3",
        ),
        (
            damage("evaluations.csv", "update,replica\n1,zero\n"),
            "evaluations.csv, line 2: replica is 'zero', expected a number",
        ),
        (damage("maze.npz", "PK"), "maze.npz is damaged"),
    ],
)
def test_a_damaged_run_is_refused_by_file(make_run, tmp_path, break_it, words):
    path = make_run(tmp_path / "run", "xql")
    break_it(path)
    with pytest.raises(RunError, match=words):
        read_run(path)


def test_no_run_is_no_report():
    with pytest.raises(RunError, match="no run was given"):
        read_runs([])
