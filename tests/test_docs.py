"""The documentation says what the code does: every setting of a method stands on its page with its default."""

import ast
import dataclasses
import re
from pathlib import Path

import pytest

from extremal.algorithms.registry import METHODS
from extremal.reproduce.registry import FIGURES

DOCS = Path(__file__).parent.parent / "docs"
ON_BEHAVIOUR = ("behaviour", "emaq", "bcq", "bear", "brac")
WORDS = {"none": None, "no": False, "yes": True}


def value(text: str):
    text = text.strip().strip("`")
    try:
        return WORDS[text] if text in WORDS else float(text)
    except ValueError:
        return text


@pytest.mark.parametrize(
    "name", ["xql", "klxql", "iql", "awac", "onestep", "td3", "sac", "cql", "dt", "bc", *ON_BEHAVIOUR]
)
def test_every_setting_is_on_its_page_with_its_default(name):
    page = (DOCS / "methods" / f"{name}.md").read_text("utf-8").split("## Settings")[1].split("\n## ")[0]
    told = {}
    for cells in re.findall(r"^\| (`.*?`) \| (.*?) \|", page, re.MULTILINE):
        names, defaults = (cell.split(", ") for cell in cells)
        told |= {key.strip("`"): value(default) for key, default in zip(names, defaults, strict=True)}
    default = METHODS[name].default
    assert told == {field.name: getattr(default, field.name) for field in dataclasses.fields(default)}


@pytest.mark.parametrize("page", sorted(path.name for path in (DOCS / "methods").glob("*.md")))
def test_every_method_page_has_the_same_parts(page):
    parts = re.findall(r"^## (.*)", (DOCS / "methods" / page).read_text("utf-8"), re.MULTILINE)
    assert parts == [
        "The mathematics",
        "What the code does, and what the paper says",
        "Settings",
        "What is logged",
        "Measured here",
    ]


@pytest.mark.parametrize("page", sorted(path.name for path in (DOCS / "theory").glob("*.md")))
def test_every_test_and_figure_that_a_theory_page_names_exists(page):
    text = (DOCS / "theory" / page).read_text("utf-8")
    for file, name in re.findall(r"(tests/[\w/]+\.py)(?:::(\w+))?", text):
        tree = ast.parse((DOCS.parent / file).read_text("utf-8"))
        assert not name or name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, name
    assert set(re.findall(r"extremal reproduce ([a-z][\w-]*)", text)) <= set(FIGURES) | {"all"}


@pytest.mark.parametrize("paper", ["xql", "iql", "emaq", "cql", "kl_ball"])
def test_every_theory_test_stands_on_its_page(paper):
    """A statement that is checked is also told."""
    text = (DOCS / "theory" / f"{paper}.md").read_text("utf-8")
    for file in (DOCS.parent / "tests" / "tabular").glob(f"test_{paper}*.py"):
        names = {node.name for node in ast.parse(file.read_text("utf-8")).body if isinstance(node, ast.FunctionDef)}
        tests = {name for name in names if name.startswith("test_")}
        assert tests
        assert {name for name in tests if name not in text} == set()


def test_the_defaults_of_xql_and_iql_differ_in_what_the_idea_page_says():
    xql, iql = METHODS["xql"].default, METHODS["iql"].default
    shared = {field.name for field in dataclasses.fields(xql)} & {field.name for field in dataclasses.fields(iql)}
    assert {name for name in shared if getattr(xql, name) != getattr(iql, name)} == {"inverse_temperature"}
    assert (xql.inverse_temperature, iql.inverse_temperature, xql.normaliser) == (10.0, 3.0, "others")
    page = (DOCS / "index.md").read_text("utf-8")
    assert "the policy's inverse temperature (10 and 3), and the scale of the Gumbel loss" in page


@pytest.mark.parametrize("page", sorted(path.name for path in (DOCS / "methods").glob("*.md")))
def test_every_method_page_says_what_is_held_out(page):
    assert "[held out](../results.md#held-out-episodes)" in (DOCS / "methods" / page).read_text("utf-8")
