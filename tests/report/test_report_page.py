import json
import re
import stat
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from extremal.core.errors import RunError
from extremal.report import picture, table, write_report
from extremal.report.style import PALETTE, colours

VOID = {"meta", "br", "hr", "img", "input", "link", "path", "use", "rect", "image", "circle", "stop"}


class Page(HTMLParser):
    """Collects the ids, the references to them, and tags that do not nest."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.used, self.open = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.ids += [values["id"]] if "id" in values else []
        self.used += re.findall(r"url\(#([^)]+)\)", " ".join(v or "" for v in values.values()))
        self.used += [v[1:] for k, v in attrs if k.endswith("href") and v and v.startswith("#")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag


@pytest.fixture(scope="module")
def page(maze_runs, tmp_path_factory):
    out = write_report(maze_runs, tmp_path_factory.mktemp("page") / "new" / "report.html", title="Maze <test>")
    return out.read_text("utf-8")


def test_the_page_loads_nothing(page):
    assert "http" not in page
    assert "<script" not in page
    assert "<link" not in page
    assert set(re.findall(r'href="([^"#][^"]{4})', page)) == {"data:"}
    assert not re.findall(r"@import|src=", page)


def test_the_page_is_well_formed_and_its_ids_are_its_own(page):
    parsed = Page(page)
    assert parsed.open == []
    assert len(parsed.ids) == len(set(parsed.ids))
    assert parsed.used
    assert set(parsed.used) <= set(parsed.ids)


def test_colours_and_fonts_follow_the_page(page):
    figures = "".join(re.findall(r"<svg.*?</svg>", page, re.DOTALL))
    assert figures.count("<svg") == 4
    assert "DejaVu" not in figures
    for colour in PALETTE:
        assert colour not in figures
    assert "var(--series-0)" in figures
    assert "var(--ink)" in figures


def test_the_page_says_what_was_measured(page):
    assert "Maze &lt;test&gt;" in page
    assert "XQL reaches the goal in 9" in page
    for words in (
        "3f5a3f5a3f5a",
        "500,000 in 2,310 episodes",
        "generator waypoints",
        "inverse_temperature 10",
        "jax 0.10.2",
    ):
        assert words in page
    assert "Diverged" not in page
    assert "no simulator belongs" not in page


def test_the_same_runs_give_the_same_page(page, maze_runs, tmp_path):
    again = write_report(maze_runs, tmp_path / "again.html", title="Maze <test>")
    assert again.read_text("utf-8") == page
    assert stat.S_IMODE(again.stat().st_mode) == 0o644
    assert [p.name for p in tmp_path.iterdir()] == ["again.html"]


def test_a_failed_report_leaves_the_old_one(tmp_path, make_run):
    out = tmp_path / "report.html"
    out.write_text("<!doctype html>old")
    run = make_run(tmp_path / "run", "bc", maze=False)
    (run / "summary.json").write_text("{")
    with pytest.raises(RunError, match=r"summary\.json"):
        write_report([run], out, title="t")
    assert out.read_text() == "<!doctype html>old"
    assert {p.name for p in tmp_path.iterdir()} == {"report.html", "run"}


def test_without_a_simulator_the_page_says_so(without_simulator, tmp_path):
    text = write_report([without_simulator], tmp_path / "r.html", title="Own data").read_text()
    assert "no simulator belongs to this dataset" in text
    assert re.search(r"Last values: v/loss 0\.3\d+ held out \(0\.\d+ in training\)", text)
    assert "Learning curves" not in text
    assert "one seed" in text
    printed = table([without_simulator])
    assert "no simulator belongs" in printed
    assert "v/loss, held out" in printed
    assert "log_weight" not in printed
    assert "log_prob" not in printed


def test_divergence_and_sweeps_are_told(tmp_path, make_run):
    sweep = [{"beta": b} for b in (0.5, 0.5, 2.0, 2.0)]
    told = [{"replica": 1, "update": 14_000, "advice": "replica 1 left; try a larger beta"}, "replica 3 left"]
    run = make_run(tmp_path / "sweep", "xql", overrides=sweep, diverged=told, maze=False)
    text = write_report([run], tmp_path / "r.html", title="Sweep").read_text()
    assert text.count("<strong>Diverged.</strong>") == 2
    assert "try a larger beta" in text
    assert "swept: 0.5, 2" in text
    assert "the best of 2 swept settings" in text
    assert "XQL, beta 0.5" in table([run])
    assert "XQL diverged: replica 3 left" in table([run])


def test_an_unfinished_run_is_reported_as_such(tmp_path, make_run):
    run = make_run(tmp_path / "run", "iql", maze=False)
    (run / "summary.json").unlink()
    (run / "diverged.json").write_text(json.dumps([{"replica": 2, "update": 700, "metric": "q/loss"}]))
    unfinished, diverged = table([run]).splitlines()
    assert unfinished == "IQL is unfinished: 30,000 of 30,000 updates."
    assert diverged == "IQL diverged: replica 2 left the finite numbers at update 700, first seen in q/loss"
    assert "IQL is unfinished" in write_report([run], tmp_path / "r.html", title="t").read_text()


def test_the_table_has_one_line_a_result(maze_runs):
    lines = table(maze_runs).splitlines()
    assert [line.split()[0] for line in lines[2:]] == ["XQL", "XQL", "IQL", "IQL", "BC", "BC"]
    assert "steps to goal" in lines[3]
    assert "95 % interval" in lines[0]
    assert "812" in lines[2]


def test_the_picture_is_1600_wide_and_coloured(maze_runs, tmp_path):
    image = Image.open(picture(maze_runs, tmp_path / "picture.png"))
    assert image.width == 1600
    pixels = np.asarray(image.convert("RGB"), np.int32).reshape(-1, 3)
    for colour in (PALETTE[0], PALETTE[1], PALETTE[2]):
        wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        assert (np.abs(pixels - wanted).sum(axis=1) < 6).sum() > 50


def test_a_picture_of_nothing_is_refused(without_simulator, tmp_path):
    with pytest.raises(RunError, match="nothing to draw"):
        picture([without_simulator], tmp_path / "p.png")
    assert not (tmp_path / "p.png").exists()


def test_a_method_keeps_its_colour_whatever_the_company():
    assert colours(["BC", "XQL"])["XQL"] == colours(["XQL", "TD3"])["XQL"]
    assert len(set(colours(["XQL", "IQL", "BC", "10%BC"]).values())) == 4
    many = colours(["CQL", "IQL", "TD3", "XQL"])
    assert len(set(many.values())) == 4


def test_plotting_is_imported_when_it_is_needed():
    program = "import extremal.report, sys; print(sorted({'matplotlib', 'jinja2'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
