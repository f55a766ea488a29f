"""The comparison as a whole: its ratios, its files, and what it refuses; with programs of known speed."""

import json
import sys

import pytest

from extremal.bench import measure
from extremal.bench.measure import Options, bench
from extremal.core.errors import ConfigError, PeerError

pytest.importorskip("matplotlib", reason="needs matplotlib")

SMALL = {"rows": 50, "rounds": 4, "updates": 10}


def test_ratios_are_those_of_the_programs_however_fast_the_machine_is_in_a_round(fake, tmp_path):
    peers = ("d3rlpy", "sbx-rl", "stable-baselines3")
    record = bench(tmp_path / "out", Options(methods=("sac", "iql", "xql"), peers=peers, **SMALL))
    found = {(row["method"], row["program"]): row["ours_to_it"] for row in record["rows"]}
    assert found == {
        ("sac", "extremal"): None,
        ("sac", "d3rlpy"): pytest.approx(4.0),
        ("sac", "sbx-rl"): pytest.approx(1.25),
        ("sac", "stable-baselines3"): pytest.approx(5.0),
        ("iql", "extremal"): None,
        ("iql", "d3rlpy"): pytest.approx(4.0),
        ("xql", "extremal"): None,
    }
    assert record["failures"] == []
    own = record["rows"][0]
    assert own["rounds"] == pytest.approx([200, 400 / 3, 400, 200])  # the first call, of 400, is apart
    assert own["updates_per_second"] == pytest.approx(200)
    assert (own["version"], own["first_call_seconds"], own["updates_per_round"]) == ("9.9", 1.5, 10)
    assert own["cores"] == pytest.approx(1.5)
    assert own["peak_bytes"] == 3 * 2**30


def test_the_files_hold_everything(fake, tmp_path):
    record = bench(tmp_path, Options(methods=("td3",), peers=("d3rlpy",), grow=("batch",), threads=1, **SMALL))
    assert json.loads((tmp_path / "bench.json").read_text("utf-8")) == record
    for name in ("figure.png", "growth.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    assert record["settings"]["methods"] == ["td3"]
    assert (record["settings"]["threads"], record["settings"]["rows"]) == (1, 50)
    assert record["inside"] == {"batches": True, "updates": True, "compilation": False, "evaluation": False}
    assert {"processor", "cores", "load", "busy"} < set(record["machine"])
    (grown,) = record["growth"]
    speeds = {point["value"]: point["updates_per_second"] for point in grown["points"]}
    assert speeds[64] == pytest.approx(4 * speeds[256])
    assert speeds[256] == pytest.approx(16 * speeds[4096])
    assert {point["peak_bytes"] for point in grown["points"]} == {3 * 2**30}


def test_replicas_count_together(fake, tmp_path):
    record = bench(tmp_path, Options(methods=("iql",), peers=(), grow=("replicas",), **SMALL))
    assert record["failures"] == ["no peer is named: the library stands alone"]
    assert [point["value"] for point in record["growth"][0]["points"]] == [1, 2, 4, 8]
    assert len({round(point["updates_per_second"], 6) for point in record["growth"][0]["points"]}) == 1


def test_a_peer_that_dies_is_told_with_its_last_words_and_the_others_go_on(fake, tmp_path):
    record = bench(tmp_path, Options(methods=("iql",), peers=("torchrl", "d3rlpy"), **SMALL))
    assert [row["program"] for row in record["rows"]] == ["extremal", "d3rlpy"]
    (said,) = record["failures"]
    assert said.startswith("iql: torchrl died (exit status 3)")
    assert said.endswith("the last words")


def test_a_peer_that_cannot_be_installed_is_told_and_the_others_go_on(fake, tmp_path, monkeypatch):
    def python_with(packages):
        if packages.stem == "torchrl":
            raise PeerError("a Python with the packages of torchrl.txt cannot be made: no such version")
        return sys.executable

    monkeypatch.setattr(measure, "python_with", python_with)
    record = bench(tmp_path, Options(methods=("iql",), peers=("torchrl", "d3rlpy"), **SMALL))
    assert [row["program"] for row in record["rows"]] == ["extremal", "d3rlpy"]
    assert record["failures"] == ["torchrl: a Python with the packages of torchrl.txt cannot be made: no such version"]


def test_nothing_is_replaced_unasked(fake, tmp_path):
    (tmp_path / "bench.json").write_text("{}")
    options = Options(methods=("iql",), peers=(), **SMALL)
    with pytest.raises(ConfigError, match=r"bench\.json exists; .* --overwrite"):
        bench(tmp_path, options)
    assert (tmp_path / "bench.json").read_text() == "{}"
    bench(tmp_path, options, overwrite=True)
    assert json.loads((tmp_path / "bench.json").read_text())["rows"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"methods": ("iqll",)}, "unknown method of the bench 'iqll'; did you mean 'iql'"),
        ({"methods": ()}, "name a method at least"),
        ({"peers": ("d3rlpi",)}, "unknown peer 'd3rlpi'; did you mean 'd3rlpy'"),
        ({"grow": ("widht",)}, "unknown axis to grow along 'widht'; did you mean 'width'"),
        ({"rounds": 0}, "rounds is 0; it must be at least 1"),
        ({"threads": 10**6}, "threads is 1000000; this process may use"),
    ],
)
def test_impossible_wishes_are_refused_before_anything_is_measured(given, said):
    with pytest.raises(ConfigError, match=said):
        Options(**given)


def test_the_command_prints_the_table_and_the_notes(fake, tmp_path, capsys, monkeypatch):
    from extremal import cli

    monkeypatch.setenv("COLUMNS", "160")
    words = [
        "bench",
        "--out",
        str(tmp_path),
        "--methods",
        "sac",
        "--peers",
        "sbx-rl",
        "--rows",
        "50",
        "--updates",
        "10",
    ]
    assert cli.main(words) == 0
    out = capsys.readouterr().out
    line = next(line for line in out.splitlines() if "sbx-rl" in line).split()
    assert line[:5] == ["sac", "sbx-rl", "9.9", "160.0", "1.25"]
    assert "[1] sbx_side.py is made up" in out
    assert "evaluation are not" in out
    assert cli.main(words) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert cli.main([*words, "--overwrite", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"][1]["ours_to_it"] == pytest.approx(1.25)


@pytest.mark.parametrize(
    ("words", "known"),
    [
        ([], (None, None, None)),
        (["--peers", "--grow", "batch"], ((), None, ("batch",))),
        (["--methods", "xql", "iql", "--peers", "sbx-rl"], (("sbx-rl",), ("xql", "iql"), None)),
    ],
)
def test_naming_nobody_is_not_naming_nothing(words, known):
    from extremal.cli.commands import command_of

    command = command_of(["bench", "--out", "x", *words])
    assert (command.peers, command.methods, command.grow) == known
