"""A message says what was found, and what to write instead."""

import warnings
from pathlib import Path

import numpy as np
import pytest

import extremal
from extremal import cli
from extremal.algorithms.registry import METHODS
from extremal.cli.commands import _COMMANDS
from extremal.core.errors import nearest
from extremal.data.ids import load_dataset
from extremal.report.runs import Run, names


def refused(call, *words) -> str:
    with pytest.raises(extremal.ExtremalError) as error:
        call(*words)
    return str(error.value)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


# ---- ids ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "way"),
    [
        (
            "hospital.csv",
            "pandas.read_csv('hospital.csv').to_parquet('hospital.parquet'), and give parquet:hospital.parquet",
        ),
        ("ward.tsv", "pandas.read_csv('ward.tsv', sep='\\t')"),
        ("hospital.csv.gz", "pandas.read_csv('hospital.csv.gz').to_parquet('hospital.parquet')"),
        ("BIG.CSV", "pandas.read_csv('BIG.CSV')"),
        ("hospital.xlsx", "pandas.read_excel('hospital.xlsx')"),
        ("steps.jsonl", "pandas.read_json('steps.jsonl', lines=True)"),
        ("replay.pkl", "a pickle is never opened"),
        ("buffer.pt", "a pickle is never opened"),
        ("obs.npy", "numpy.savez('log.npz', observation=..."),
        ("log.npz", "npz:log.npz or neorl2:log.npz"),
        ("log.parquet", "parquet:log.parquet"),
        ("log.h5", "d4rl:log.h5 or d3rlpy:log.h5"),
    ],
)
def test_a_file_for_an_id_is_told_apart_from_one_that_is_not_there(here, name, way):
    missing = refused(load_dataset, name)
    (here / name).write_bytes(b"")
    present = refused(load_dataset, name)
    assert missing.startswith(f"there is no file '{name}' here; ")
    assert present.startswith(f"'{name}' is a file; ")
    assert way in missing
    assert way in present
    assert "pointmaze" not in present + missing  # no list of names


def test_a_line_of_pandas_makes_of_a_table_what_is_read(here):
    pandas = pytest.importorskip("pandas", reason="needs pandas")
    pytest.importorskip("pyarrow", reason="needs PyArrow")
    steps = {
        "observation_0": np.arange(6.0),
        "action_0": np.linspace(-1, 1, 6),
        "reward": 1.0,
        "terminated": [0, 0, 1] * 2,
    }
    pandas.DataFrame(steps).to_csv("hospital.csv", index=False)
    line = refused(load_dataset, "hospital.csv").split("pandas, ")[1].split(", and give ")[0]
    exec(line, {"pandas": pandas})
    assert load_dataset("parquet:hospital.parquet").rows == 6


def test_folders_and_prefixes_are_told_apart(here):
    (here / "parts").mkdir()
    (here / "run").mkdir()
    (here / "run" / "config.json").write_text("{}")
    assert "parquet:parts for a folder of Parquet files" in refused(load_dataset, "parts")
    assert "is the folder of a run, not data" in refused(load_dataset, "run")
    assert "there is no file 'parts/none' here" in refused(load_dataset, "parts/none")
    assert "is empty" in refused(load_dataset, "")
    assert "no kind of dataset 'csv': CSV is not read yet" in refused(load_dataset, "csv:hospital.csv")
    assert "did you mean 'npz'" in refused(load_dataset, "npzz:hospital.csv")


# ---- unknown names --------------------------------------------------------------------------------------------------------


def test_an_unknown_preset_lists_those_that_hold_the_word_in_a_column():
    lines = refused(extremal.preset, "xql", "tuned").splitlines()
    assert lines[0] == "unknown xql preset 'tuned'; with it in their names:"
    assert all("/tuned/" in line and line.startswith("  ") for line in lines[1:-1])
    assert lines[-1].endswith("more, `extremal algorithms xql` lists them all")


@pytest.mark.parametrize("call", [lambda: extremal.preset("xql", "zzz"), lambda: load_dataset("zzz")])
def test_of_many_known_names_two_dozen_are_shown_each_on_a_line(call):
    lines = refused(call).splitlines()
    assert len(lines) == 26
    assert max(map(len, lines)) < 80
    assert lines[-1].startswith("  ... and ")


def test_few_names_stay_in_a_line_and_case_is_forgiven():
    assert str(nearest("zzz", "abcdefgh", kind="letter")) == "unknown letter 'zzz'; known: a, b, c, d, e, f, g, h"
    assert refused(lambda: load_dataset("HOPPER-MEDIUM")).startswith(
        "unknown dataset 'HOPPER-MEDIUM'; did you mean 'hopper-medium'"
    )
    assert "did you mean 'XQL'" in str(nearest("xql", ["XQL", "BC"], kind="method"))
    assert str(nearest("", ["a"], kind="method")) == "unknown method ''; known: a"


# ---- training on one episode ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [{}, {"holdout": 0.3}])
def test_a_single_episode_cannot_be_held_out_and_is_told_how_to_train(tmp_path, share):
    random = np.random.default_rng(0)
    episode = {
        "observation": random.normal(size=(13, 2)),
        "action": random.uniform(-1, 1, (12, 1)),
        "reward": np.arange(12.0),
    }
    data = extremal.Dataset.from_episodes([episode])
    method = extremal.BC(width=8, batch_size=8)
    said = refused(lambda: extremal.train(method, data, updates=2, out=tmp_path / "run", unchecked=True, **share))
    assert "of 1 episode; both parts need at least one. To train on all that there is: --holdout 0" in said
    assert not (tmp_path / "run" / "config.json").exists()
    run = extremal.train(method, data, updates=2, out=tmp_path / "run", unchecked=True, holdout=0)
    assert run.summary["results"] is not None


# ---- help -----------------------------------------------------------------------------------------------------------------


def _all_commands():
    for name, of in _COMMANDS.items():
        yield from ([name, below] for below in of) if isinstance(of, dict) else [[name]]
    yield from (["train", method] for method in METHODS)
    yield ["train", "--resume", "x"]


@pytest.mark.parametrize("words", list(_all_commands()), ids=" ".join)
def test_help_says_what_goes_in_each_place(words, capsys):
    with pytest.raises(SystemExit):
        cli.main([*words, "--help"])
    shown = capsys.readouterr().out
    assert not [word for word in ("{None}", "STR", "INT", "FLOAT") if word in shown]


def test_places_are_named_by_their_meaning(capsys):
    with pytest.raises(SystemExit):
        cli.main(["train", "xql", "--help"])
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for place in (
        "--dataset ID",
        "--out PATH",
        "--seeds N...",
        "--holdout SHARE",
        "--beta NUMBER...",
        "--preset PRESET",
    ):
        assert place in shown


# ---- warnings -------------------------------------------------------------------------------------------------------------


def test_warnings_of_dependencies_are_not_shown_and_ours_are_one_line(monkeypatch, capsys):
    from extremal.cli.process import _show

    monkeypatch.setattr(warnings, "showwarning", _show)
    package = extremal.__path__[0]
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        monkeypatch.setattr(warnings, "showwarning", _show)
        for category, message, file in (
            (DeprecationWarning, "old", "/site/gymnasium/envs.py"),
            (UserWarning, "old too", "/site/minari/data.py"),
            (FutureWarning, "on our account", f"{package}/envs/make.py"),
            (DeprecationWarning, "on our account", f"{package}/envs/make.py"),
            (UserWarning, "\x1b[33mWARN: The environment is out of date\x1b[0m", f"{package}/envs/make.py"),
            (UserWarning, "the cached file x is damaged and is not used", f"{package}/data/pointmaze.py"),
        ):
            warnings.warn_explicit(message, category, file, 1)
    assert capsys.readouterr().err == "warning: the cached file x is damaged and is not used\n"


# ---- names of runs --------------------------------------------------------------------------------------------------------


def _run(folder: str, method: str = "bc", data: str = "log", swept: tuple[str, ...] = (), **settings) -> Run:
    replicas = [{"seed": 0, "overrides": {name: settings[name] for name in swept}}]
    config = {"method": method, "replicas": replicas, "dataset": {"name": data}, "settings": settings}
    return Run(Path(folder), config, {}, [], {}, {}, None, None)


def test_runs_of_one_method_are_called_by_what_differs():
    shapes = [_run("log-bc-width-64-3fe1", width=64, depth=2), _run("log-bc-width-256-77aa", width=256, depth=2)]
    assert names(shapes) == ["BC, width 64", "BC, width 256"]
    assert names([*shapes, _run("x", method="iql", width=9)]) == ["BC, width 64", "BC, width 256", "IQL"]
    assert names(shapes[:1]) == ["BC"]
    both = [_run("a", clip=None, batch_norm=False), _run("b", clip=7.0, batch_norm=True)]
    assert names(both) == ["BC, clip none, batch_norm no", "BC, clip 7, batch_norm yes"]
    assert names([_run("a", data="hopper"), _run("b", data="walker")]) == ["BC, hopper", "BC, walker"]


def test_what_was_swept_within_a_run_is_told_of_its_results_and_not_of_its_name():
    swept = [_run("a", rate=0.1, width=8, swept=("rate",)), _run("b", rate=0.3, width=16, swept=("rate",))]
    assert names(swept) == ["BC, width 8", "BC, width 16"]


def test_runs_that_differ_in_nothing_or_in_too_much_are_called_by_their_folders():
    assert names([_run("runs/a", width=8), _run("runs/b", width=8)]) == ["BC (a)", "BC (b)"]
    many = [_run(folder, **{f"setting_{n}": n + number for n in range(5)}) for number, folder in enumerate("ab")]
    assert names(many) == ["BC (a)", "BC (b)"]
