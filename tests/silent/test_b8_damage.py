"""A damaged file in a run's folder is one sentence that names it, and costs no checkpoint."""

import json
import shutil

import numpy as np
import pytest
from toy_runs import again, arrays, contents, log

import extremal
from extremal.core.errors import RunError
from extremal.io.log import Table
from extremal.report.page import write_report
from extremal.report.text import table
from extremal.runs.health import alarms

DAMAGE = {
    "binary": (lambda old: bytes(range(256)), "is no table"),
    "a nul": (lambda old: old + b"\0\0\0", "cells, the header has|is no table"),
    "a cut row": (lambda old: old[:-20], "line 5: .* cells, the header has"),
    "no such column": (lambda old: old.replace(b"replica", b"rep", 1), "line 1: there is no column 'replica'"),
    "words": (lambda old: old.replace(b"\n20,0,", b"\n20,zero,", 1), "line 4: replica is 'zero', expected a number"),
    "half an update": (
        lambda old: old.replace(b"\n20,0,", b"\n20.5,0,", 1),
        "line 4: update is 20.5, expected a whole",
    ),
    "another replica": (lambda old: old.replace(b"\n20,0,", b"\n20,7,", 1), "line 4: replica is 7, the run has 0 to 1"),
    "no replica": (lambda old: old.replace(b"\n20,0,", b"\n20,,", 1), "line 4: replica is '', expected a whole"),
    "columns twice": (lambda old: old.replace(b"replica", b"update", 1), "two columns have one name"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_table_is_one_sentence_and_the_checkpoint_goes_on_without_it(half, short, damage):
    spoil, words = DAMAGE[damage]
    file = half / "metrics.csv"
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(spoil(b"".join(lines[:5])))  # updates 10 and 20
    before = contents(half)
    with pytest.raises(RunError, match=words) as told:
        again(half)
    assert "metrics.csv" in str(told.value)
    assert "delete the file" in str(told.value)
    assert contents(half) == before
    file.unlink()  # as it was told
    assert arrays(again(half)) == arrays(short)


def test_a_row_without_the_number_that_the_summary_needs_is_named(half):
    file = half / "metrics.csv"
    text = file.read_text().splitlines()
    at = text[0].split(",").index("seconds")
    cells = text[2].split(",")
    cells[at] = ""
    file.write_text("\n".join([*text[:2], ",".join(cells), *text[3:]]) + "\n")
    with pytest.raises(RunError, match=r"metrics\.csv, line 3: seconds is empty, expected a number"):
        again(half)


@pytest.mark.parametrize("name", ["metrics.csv", "evaluations.csv"])
def test_a_report_does_not_take_any_line_for_an_empty_table(short, tmp_path, name):
    shutil.copytree(short.path, tmp_path / "run")
    for text in ("null", "[]\n", "update,loss\n"):
        (tmp_path / "run" / name).write_text(text)
        with pytest.raises(RunError, match=rf"{name}, line 1: there is no column"):
            table([tmp_path / "run"])
    (tmp_path / "run" / name).write_text("\n")  # as of a run that diverged before its first row
    table([tmp_path / "run"])


def test_a_damaged_table_of_evaluations_is_named_too(half):
    (half / "evaluations.csv").write_text("update,replica,episode,return\n20,0,0,much\n")
    with pytest.raises(RunError, match=r"evaluations\.csv, line 2: return is 'much', expected a number"):
        again(half)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", r"diverged\.json is damaged: .*; delete it"),
        ("{}", "it holds dict, expected list"),
        ("[3]", "entry 0 is 3, expected replica, update and metric"),
        ('[{"replica": 0, "update": 5}]', "entry 0 is .* expected replica, update and metric"),
        ('[{"replica": "0", "update": 5, "metric": "pi/loss"}]', "entry 0"),
        ('[{"replica": 9, "update": 5, "metric": "pi/loss"}]', "replica 9, the run has 0 to 1"),
        ("[" * 100_000, "damaged"),
        ("\udcff", "damaged"),
    ],
)
def test_a_damaged_list_of_divergences_is_one_sentence(half, short, text, words):
    (half / "diverged.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(RunError, match=words):
        again(half)
    (half / "diverged.json").unlink()
    assert arrays(again(half)) == arrays(short)


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"format": 1}', '{"format": 1, "spec": 3}', "\udcff"])
def test_damaged_settings_are_one_sentence_and_stay_as_they_are(half, text):
    (half / "config.json").write_bytes(text.encode(errors="surrogateescape"))
    before = contents(half)
    for go_on in (lambda: again(half), lambda: extremal.resume(half)):
        with pytest.raises(RunError, match=r"config.json") as told:
            go_on()
        assert "\n" not in str(told.value)
    assert contents(half) == before


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("updates", "many"),
        ("updates", -3),
        ("replicas", 5),
        ("prepare", ["?"]),
        ("dataset", []),
        ("settings", {"width": 0}),
    ],
)
def test_settings_that_cannot_be_are_told_as_damage(half, field, value):
    file = half / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {field: value}))
    with pytest.raises(RunError, match=r"config\.json is damaged"):
        extremal.resume(half)


def test_a_damaged_summary_is_told_and_written_again(short, tmp_path):
    path = tmp_path / "run"
    shutil.copytree(short.path, path)
    (path / "summary.json").write_text('{"results": [')
    with pytest.raises(RunError, match=r"summary\.json is damaged.*resume the run, which writes it again"):
        _ = extremal.Run(path).results
    assert [r["per_seed"] for r in again(path).results] == [r["per_seed"] for r in short.results]


# ---- rows that were read back --------------------------------------------------------------------------------------------


def test_rows_come_back_with_their_types(tmp_path):
    table = Table(tmp_path / "metrics.csv")
    rows = [
        {"update": 10, "replica": 0, "v/loss": 1 / 3, "success": "", "seconds": 1e-300},
        {"update": 10, "replica": 1, "v/loss": float("-inf"), "success": 1, "seconds": 5.0},
    ]
    for row in rows:
        table.add(row)
    table.save()
    other = Table(table.path)
    other.resume(10)
    assert other.rows == rows
    assert [[type(value) for value in row.values()] for row in other.rows] == [
        [type(v) for v in r.values()] for r in rows
    ]
    before = table.path.read_bytes()
    other.save()
    assert table.path.read_bytes() == before


def test_health_says_of_a_resumed_run_what_it_says_of_a_whole_one(tmp_path):
    row = {"v/kl": 0.4, "v/clipped": 0.31, "pi/effective_share": 0.5, "seconds": 1.0, "updates_per_second": 10.0}
    table = Table(tmp_path / "metrics.csv", needs=("seconds", "updates_per_second"))
    for update in (10, 20):
        table.add({"update": update, "replica": 0, **row} | ({"heldout/v/weight": 1.0} if update == 20 else {}))
    table.save()
    other = Table(table.path, needs=table.needs)
    other.resume(20)
    told = alarms(other.rows, [{"target_kl": None}], 20)
    assert told == alarms(table.rows, [{"target_kl": None}], 20)
    assert told[0].startswith("replica 0: 31 % of the density ratios are at their bound")


# ---- reports ----------------------------------------------------------------------------------------------------------------


CONTENT = [
    ("config.json", "replicas", [3]),
    ("config.json", "settings", []),
    ("config.json", "check", {"findings": [1]}),
    ("config.json", "extensions", [1]),
    ("config.json", "initial", {"path": "x"}),
    ("config.json", "updates", "x"),
    ("config.json", "versions", 3),
    ("summary.json", "results", 3),
    ("summary.json", "results", [{}]),
    ("summary.json", "diverged", [{"replica": 0}]),
    ("summary.json", "alarms", 3),
]


@pytest.mark.parametrize(("name", "field", "value"), CONTENT)
def test_a_report_of_a_run_with_other_things_in_its_files_names_the_file(short, tmp_path, name, field, value):
    shutil.copytree(short.path, tmp_path / "run")
    file = tmp_path / "run" / name
    file.write_text(json.dumps(json.loads(file.read_text()) | {field: value}))
    for show in (
        lambda: write_report([file.parent], tmp_path / "page.html", title="Mine"),
        lambda: table([file.parent]),
    ):
        with pytest.raises(RunError, match=rf"{name} is damaged"):
            show()


@pytest.mark.parametrize("name", ["maze.npz", "calibration.npz"])
def test_a_report_of_a_run_with_a_damaged_archive_names_it(short, tmp_path, name):
    shutil.copytree(short.path, tmp_path / "run")
    np.savez(tmp_path / "run" / name, x=np.zeros(1000))
    whole_file = (tmp_path / "run" / name).read_bytes()
    for data in (whole_file, whole_file[:500], b"", b"PK"):
        (tmp_path / "run" / name).write_bytes(data)
        with pytest.raises(RunError, match=rf"{name} is damaged: .*; delete it: only its figure is lost"):
            table([tmp_path / "run"])


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("replicas",), []),
        (("replicas",), {}),
        (("replicas", 1, "seed"), "x"),
        (("replicas", 1, "seed"), 1.5),
        (("replicas", 0, "seed"), 10**30),
        (("replicas", 0, "overrides"), None),
        (("replicas", 0, "overrides"), {"learning_rate": -1}),
        (("dataset", "id"), None),
        (("dataset", "name"), 3),
        (("dataset", "environment"), True),
        (("dataset", "reference"), []),
        (("dataset", "recipe"), "x"),
    ],
    ids=str,
)
def test_a_value_of_another_kind_in_config_is_damage(half, place, value):
    config = json.loads((half / "config.json").read_text())
    inner = config
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    (half / "config.json").write_text(json.dumps(config))
    with pytest.raises(RunError, match=r"config.json is damaged: "):
        extremal.resume(half, dataset=log())
    with pytest.raises(RunError, match=r"config.json is damaged: "):
        extremal.load(half)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("replicas",), []),
        (("dataset", "hash"), []),
        (("dataset", "recipe"), 3),
        (("dataset", "environment"), 5),
        (("settings",), "x"),
        (("updates",), True),
        (("versions",), []),
        (("check",), {"findings": 3}),
        (("extensions",), [{}]),
    ],
    ids=str,
)
def test_a_report_of_damaged_settings_is_one_sentence(short, tmp_path, place, value):
    shutil.copytree(short.path, tmp_path / "run")
    config = inner = json.loads((tmp_path / "run" / "config.json").read_text())
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    with pytest.raises(RunError, match=r"config\.json"):
        write_report([tmp_path / "run"], tmp_path / "page.html", title="t")
    assert not (tmp_path / "page.html").exists()
