"""The list of mutants fits the source, and a mutant that no test notices is told of."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "scripts"))

import mutants

LIST = mutants.ROOT / "scripts" / "mutants.toml"


def test_every_text_is_there_once_and_every_test_file_exists():
    assert mutants.problems(mutants.read(LIST)) == []


def test_a_text_that_is_gone_or_there_twice_is_told_of(tmp_path):
    (tmp_path / "src" / "extremal").mkdir(parents=True)
    (tmp_path / "tests").mkdir()
    (tmp_path / "src" / "extremal" / "a.py").write_text("x = 1\nx = 1\n", "utf-8")
    (tmp_path / "list.toml").write_text(
        '["a.py"]\ntests = ["test_a.py::test_it"]\nmutants = [["x", "y"], ["z", "y"]]\n', "utf-8"
    )
    wrong = mutants.problems(mutants.read(tmp_path / "list.toml"), tmp_path)
    gone = "a.py: there is no tests/test_a.py::test_it"
    assert wrong == [
        "a.py: 'x' is there 2 times, and should be once",
        gone,
        "a.py: 'z' is there 0 times, and should be once",
        gone,
    ]


def test_a_mutant_is_made_in_a_copy_and_survives_where_no_test_notices(monkeypatch, capsys):
    found = [
        mutants.Mutant("losses/td.py", "reward + discount", "reward - discount", ("test_a.py",)),
        mutants.Mutant("losses/td.py", "import annotations", "import  annotations", ("test_a.py",)),
    ]
    before = (mutants.SOURCE / "extremal" / "losses" / "td.py").read_text("utf-8")
    seen = []

    def run(tests, source):
        text = (source / "extremal" / "losses" / "td.py").read_text("utf-8")
        seen.append(text != before)
        return (1 if "reward - discount" in text else 0), ""

    monkeypatch.setattr(mutants, "run", run)
    assert mutants.survivors(found) == [found[1]]
    assert seen == [False, True, True]  # the first time as it is
    assert (mutants.SOURCE / "extremal" / "losses" / "td.py").read_text("utf-8") == before
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["killed", "SURVIVED"]
