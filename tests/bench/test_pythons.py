"""A peer's Python: made once, found again, whole or absent. No package is installed here."""

from pathlib import Path

import pytest

from extremal.bench import pythons
from extremal.bench.peers import PEERS
from extremal.core.errors import PeerError


@pytest.fixture
def packages(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("EXTREMAL_CACHE", str(tmp_path / "cache"))
    (tmp_path / "some.txt").write_text("a==1\n")
    return tmp_path / "some.txt"


class Calls:
    """Stands for venv and pip: notes what is called, makes the folder, and fails at the `failing`th call."""

    def __init__(self, failing: int | None = None, said: str = "", error: BaseException | None = None):
        self.made, self.failing, self.said, self.error = [], failing, said, error

    def __call__(self, command) -> tuple[int, str]:
        self.made.append(list(command))
        if len(self.made) == self.failing:
            if self.error is not None:
                raise self.error
            return 1, self.said
        if "venv" in command:
            python = Path(command[-1]) / "bin" / "python"
            python.parent.mkdir(parents=True)
            python.touch()
        return 0, ""


def test_it_is_made_once_and_found_again(packages):
    calls = Calls()
    python = pythons.python_with(packages, call=calls)
    assert python.exists()
    assert [command[1:3] for command in calls.made] == [["-m", "venv"], ["-m", "pip"]]
    assert str(packages) in calls.made[1]
    assert pythons.python_with(packages, call=calls) == python
    assert len(calls.made) == 2


def test_another_list_is_another_python(packages):
    one = pythons.place(packages)
    packages.write_text("a==2\n")
    assert pythons.place(packages) != one


def test_what_pip_said_is_told_and_nothing_is_left(packages):
    calls = Calls(failing=2, said="Collecting a\nERROR: No matching distribution found for a==1\n")
    with pytest.raises(
        PeerError, match=r"packages of some\.txt cannot be made: No matching distribution found for a==1"
    ):
        pythons.python_with(packages, call=calls)
    assert list(pythons.place(packages).parent.iterdir()) == []


def test_an_interrupted_one_is_not_taken_for_a_whole_one(packages):
    with pytest.raises(KeyboardInterrupt):
        pythons.python_with(packages, call=Calls(failing=2, error=KeyboardInterrupt()))
    assert list(pythons.place(packages).parent.iterdir()) == []
    calls = Calls()
    pythons.python_with(packages, call=calls)
    assert len(calls.made) == 2


def test_a_command_that_fails_gives_its_words():
    import sys

    status, wrote = pythons.call([sys.executable, "-c", "import sys; print('so'); sys.exit('and so')"])
    assert (status, sorted(wrote.split("\n"))) == (1, ["", "and so", "so"])


@pytest.mark.parametrize("name", PEERS)
def test_every_list_pins_its_packages(name):
    lines = PEERS[name].packages.read_text("utf-8").splitlines()
    assert any(line.startswith(f"{name}==") for line in lines)
    assert all("==" in line for line in lines)
