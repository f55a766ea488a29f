"""What lands in the folder, and what is refused before any work."""

import json
import struct
from xml.etree import ElementTree

import pytest

from extremal import ConfigError, __version__
from extremal.core.errors import MissingExtraError
from extremal.reproduce import registry, write
from extremal.reproduce.figure import Figure

pytest.importorskip("matplotlib", reason="needs matplotlib")


def compute(*, seed: int = 0, points: int = 3):
    return {"x": list(range(points)), "y": [seed] * points}


def draw(numbers):
    from extremal.report.style import figure

    drawn = figure(4, 3)
    drawn.subplots().plot(numbers["x"], numbers["y"], label="β")
    return drawn


@pytest.fixture(autouse=True)
def figures(monkeypatch):
    """Two small figures instead of the registered ones."""
    made = {
        name: Figure(name=name, paper="[a] Fig. 1", shows=name, compute=compute, draw=draw) for name in ("one", "two")
    }
    monkeypatch.setattr(write, "FIGURES", made)
    return made


def test_a_figure_is_three_files(tmp_path):
    written = write.reproduce(["one"], tmp_path, seed=7)
    assert [path.name for path in written] == ["one.png", "one.svg", "one.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.json", "one.png", "one.svg"]
    assert struct.unpack(">II", written[0].read_bytes()[16:24]) == (4 * write.DPI, 3 * write.DPI)
    assert ElementTree.parse(written[1]).getroot().tag == "{http://www.w3.org/2000/svg}svg"
    assert json.loads(written[2].read_text("utf-8")) == {
        "figure": "one",
        "source": "[a] Fig. 1",
        "shows": "one",
        "version": __version__,
        "seed": 7,
        "settings": {"points": 3},
        "numbers": {"x": [0, 1, 2], "y": [7, 7, 7]},
    }


def test_a_figure_stands_alone_and_is_the_same_when_it_is_made_again(tmp_path):
    first = [path.read_bytes() for path in write.reproduce(["one"], tmp_path / "a")]
    again = [path.read_bytes() for path in write.reproduce(["one"], tmp_path / "b")]
    assert first == again
    assert b"var(--" not in first[1]
    assert b"<text" not in first[1]


def test_all_is_every_figure_once_in_the_order_asked_for(tmp_path):
    told = []
    written = write.reproduce(["two", "all"], tmp_path, watch=lambda *news: told.append(news))
    assert [path.stem for path in written[::3]] == ["two", "one"]
    assert told == [("two", 0, 2), ("one", 1, 2), ("done", 2, 2)]


def test_an_unknown_name_is_told_before_any_work(tmp_path):
    with pytest.raises(ConfigError, match="unknown figure 'twoo'; did you mean 'two'"):
        write.reproduce(["one", "twoo"], tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_nothing_is_replaced_unasked(tmp_path):
    (tmp_path / "two.svg").write_text("mine")
    with pytest.raises(ConfigError, match=r"two\.svg exists.*--overwrite"):
        write.reproduce(["one", "two"], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["two.svg"]
    write.reproduce(["two"], tmp_path, overwrite=True)
    assert (tmp_path / "two.svg").read_text() != "mine"


def test_a_number_that_is_not_finite_is_no_figure(tmp_path, figures):
    def broken(*, seed: int = 0):
        return {"x": [0.0], "y": [float("nan")]}

    figures["one"] = Figure(name="one", paper="[a]", shows="one", compute=broken, draw=draw)
    with pytest.raises(ValueError, match="not JSON compliant"):
        write.reproduce(["one"], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_without_matplotlib_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'extremal\[report\]'"):
        write.reproduce(["one"], tmp_path)


def test_names_are_those_of_their_figures():
    assert all(name == figure.name for name, figure in registry.FIGURES.items())
    assert "all" not in registry.FIGURES
