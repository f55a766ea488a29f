"""Sweeps: which programs a file comes to, what is wrong with one, and that a sweep goes on where it stopped."""

import json

import pytest

import extremal
from extremal.core.errors import ConfigError, ExtremalError
from extremal.runs.sweep import Program, read_sweep, run_sweep, write_sweep


def nothing(name, finished, total):
    pass


@pytest.fixture
def sweep(tmp_path):
    """A sweep file of this text, read."""

    def read(text: str) -> tuple[Program, ...]:
        (tmp_path / "sweep.toml").write_text(text, encoding="utf-8")
        return read_sweep(tmp_path / "sweep.toml")

    return read


def test_numbers_and_seeds_are_replicas_and_everything_else_is_a_program(sweep):
    programs = sweep(
        """
        datasets = ["npz:one.npz", "npz:two.npz"]
        updates = 50
        seeds = [3, 4]
        holdout = 0

        [[method]]
        name = "xql"
        preset = "consistent/hopper-medium-v2"
        beta = [1, 2.5]
        critics = [1, 2]
        clip = 5.0

        [[method]]
        name = "iql"
        datasets = ["npz:two.npz"]
        policy_dropout = ["none", 0.1]
        """
    )
    assert [(p.label, p.dataset, dict(p.swept)) for p in programs] == [
        ("xql critics 1", "npz:one.npz", {"beta": (1, 2.5)}),
        ("xql critics 2", "npz:one.npz", {"beta": (1, 2.5)}),
        ("xql critics 1", "npz:two.npz", {"beta": (1, 2.5)}),
        ("xql critics 2", "npz:two.npz", {"beta": (1, 2.5)}),
        ("iql policy_dropout None", "npz:two.npz", {}),
        ("iql policy_dropout 0.1", "npz:two.npz", {}),
    ]
    known = extremal.preset("xql", "consistent/hopper-medium-v2")
    assert programs[0].settings == type(known)(**{**vars(known), "clip": 5.0, "critics": 1})
    assert programs[0].training == {"updates": 50, "seeds": [3, 4], "holdout": 0}
    assert [p.replicas for p in programs] == [4, 4, 4, 4, 2, 2]
    assert len({p.folder for p in programs}) == 6


def test_a_run_is_found_again_under_another_label(tmp_path):
    """Two figures share the runs that they have in common, whatever each calls them."""
    asked = {"dataset": "npz:one.npz", "training": {"updates": 50, "seeds": 1}}
    one, same = (Program(label=label, settings=extremal.XQL(), **asked) for label in ("EMaQ", "autoregressive, N = 20"))
    other = Program(label="EMaQ", settings=extremal.XQL(beta=2.0), **asked)
    assert one.place(tmp_path) != same.place(tmp_path)
    one.place(tmp_path).mkdir()
    assert one.place(tmp_path) == same.place(tmp_path) == tmp_path / one.folder
    assert other.place(tmp_path) == tmp_path / other.folder


METHOD = '[[method]]\nname = "bc"\n'
DATA = 'datasets = ["npz:x.npz"]\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("datasets = [", "is no sweep file"),
        (DATA, "names no method"),
        (DATA + "method = 3", "names no method"),
        (METHOD, "method 1: datasets is .*at least one id"),
        ("datasets = 3\n" + METHOD, "method 1: datasets is 3"),
        (DATA + "update = 3\n" + METHOD, "unknown entry.*'update'.*'updates'"),
        (DATA + "updates = 1.5\n" + METHOD, "updates is 1.5"),
        (DATA + "updates = true\n" + METHOD, "updates is True"),
        (DATA + "seeds = 0\n" + METHOD, "seeds"),
        (DATA + 'seeds = ["a"]\n' + METHOD, "seeds is .*a list of seeds"),
        (DATA + "[[method]]\nname = 3\n", "method 1: it has no name"),
        (DATA + METHOD + 'preset = ["a", "b"]\n', "method 1: preset is .*begin a table for each"),
        (DATA + METHOD + "width = [[1], [2]]\n", "'width' is .1., expected int"),
        (DATA + '[[method]]\nwidth = 3\n', "method 1: it has no name"),
        (DATA + '[[method]]\nname = "bcc"\n', "method 1: unknown method 'bcc'.*'bc'"),
        (DATA + '[[method]]\nname = "xql"\npreset = "consistent/hoper-medium-v2"\n', "preset"),
        (DATA + METHOD + "widht = 3\n", "unknown BC setting 'widht'.*'width'"),
        (DATA + METHOD + "width = [3, 0.5]\n", "'width' is 0.5, expected int"),
        (DATA + METHOD + "width = []\n", "at least one value"),
        (DATA + METHOD + "learning_rate = [1, 1.0]\n", "each once"),
        (DATA + METHOD + METHOD, "the same run twice"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file_is_told(sweep, text, words):
    with pytest.raises(ConfigError, match=words):
        sweep(text)


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.toml is no sweep file"):
        read_sweep(tmp_path / "none.toml")


def test_nothing_is_trained_where_a_data_set_cannot_be_read(sweep, data, tmp_path):
    extremal.save_dataset(data, f"npz:{tmp_path / 'good.npz'}")
    programs = sweep(
        f'datasets = ["npz:{tmp_path / "good.npz"}", "npz:{tmp_path / "none.npz"}"]\nupdates = 5\n' + METHOD
    )
    with pytest.raises(ExtremalError, match=r"none\.npz"):
        run_sweep(programs, tmp_path / "out", follow=nothing)
    assert not (tmp_path / "out").exists()


def test_a_sweep_goes_on_where_it_stopped_and_its_numbers_are_those_of_its_runs(sweep, small_maze, tmp_path):
    programs = sweep(
        f'datasets = ["{small_maze}"]\nupdates = 10\nseeds = 1\nepisodes = 1\nevaluate_every = 10\n'
        + METHOD
        + "width = 8\nbatch_size = 16\ndepth = [1, 2]\nlearning_rate = [1e-3, 1e30]\n"
    )
    out = tmp_path / "out"
    run_sweep(programs[:1], out, follow=nothing)
    first = {path: path.stat().st_mtime_ns for path in out.glob("runs/*/checkpoints/*")}
    told = []
    runs = run_sweep(programs, out, follow=lambda name, *_: told.append(name))
    assert set(told) == {"2 of 2: bc depth 2, maze.npz"}
    assert first.items() <= {path: path.stat().st_mtime_ns for path in out.glob("runs/*/checkpoints/*")}.items()
    entries = write_sweep(programs, runs, out)
    assert json.loads((out / "sweep.json").read_text("utf-8")) == entries
    assert (out / "sweep.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    rates = [1e-3, 1e30]
    assert [e["settings"] for e in entries] == [{"depth": d, "learning_rate": r} for d in (1, 2) for r in rates]
    for entry in entries:
        assert (entry["mean"] is None) == (entry["settings"]["learning_rate"] > 1)  # which diverges
        assert entry["metric"] == "success_rate"
        results = json.loads((out / entry["run"] / "summary.json").read_text("utf-8"))["results"]
        mine = [r for r in results if r["metric"] == "success_rate" and r["overrides"] == {"learning_rate": 1e-3}]
        assert entry["mean"] in (None, mine[0]["mean"])


def test_what_diverges_before_its_first_evaluation_and_what_differs_by_its_preset_have_entries(
    sweep, small_maze, tmp_path
):
    small = METHOD + "width = 8\nbatch_size = 16\n"
    head = f'datasets = ["{small_maze}"]\nupdates = 10\nepisodes = 1\nevaluate_every = 10\n'
    programs = sweep(head + small + small + "depth = 1\nlearning_rate = 1e30\n")
    entries = write_sweep(programs, run_sweep(programs, tmp_path, follow=nothing), tmp_path)
    assert [(e["settings"], e["metric"]) for e in entries] == [
        ({"learning_rate": 3e-4, "depth": 2}, "success_rate"),
        ({"learning_rate": 1e30, "depth": 1}, "success_rate"),
    ]
    assert (entries[0]["mean"] is None, entries[1]["mean"]) == (False, None)
    assert (tmp_path / "sweep.png").exists()
