"""Every formula says where it comes from, in a form that a program can read."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SPEC = importlib.util.spec_from_file_location("equations", ROOT / "scripts" / "equations.py")
assert SPEC is not None
assert SPEC.loader is not None
equations = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(equations)

KEYS = {"garg2023", "peng2019"}


def doc(text: str):
    return equations.Docstring("f", "a.py", text)


def test_every_label_of_the_package_is_well_formed_and_its_keys_are_known():
    assert equations.collect()[1] == []


def test_the_pages_of_equations_and_references_are_up_to_date():
    for path, text in equations.collect()[0].items():
        assert path.read_text("utf-8") == text, f"{path.name} is out of date; run: python scripts/equations.py"


def test_the_losses_are_on_the_page():
    cited = {(c.key, c.name, c.place) for c in equations.citations(list(equations.docstrings(ROOT / "src")))}
    assert ("garg2023", "gumbel_regression", "Eq. (7), (11)") in cited
    assert ("kostrikov2021", "expectile_regression", "Eq. (5)") in cited


def test_a_label_runs_to_the_end_of_its_paragraph():
    text = "What.\n\nSource: [garg2023] Eq. (7), (11); [peng2019]\n    Sec. 3. Symbols: z.\nDiffers from the paper: a\nb.\n\nMore."
    assert equations.labels(text) == [
        ("Source", "[garg2023] Eq. (7), (11); [peng2019] Sec. 3. Symbols: z."),
        ("Differs from the paper", "a b."),
    ]
    assert equations.problems(doc(text), KEYS) == []
    assert [(c.key, c.place, c.differs) for c in equations.citations([doc(text)])] == [
        ("garg2023", "Eq. (7), (11)", "a b."),
        ("peng2019", "Sec. 3", "a b."),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Source: [nobody1999] Eq. (1).", "is not in docs/references.bib"),
        ("Source: Garg et al., Eq. (1).", "begins with a key"),
        ("Source: [garg2023] Eq. 11.", "write equations as"),
        ("Source: [garg2023] Eqs. (11).", "write equations as"),
        ("Source: [garg2023] Eq. (11)", "full stop"),
        ("Differs from the paper: it is clipped", "full stop"),
        ("Sources: [garg2023] Eq. (11).", "at the start of a line"),
        ("source: [garg2023] Eq. (11).", "at the start of a line"),
        ("Differs from paper: it is clipped.", "at the start of a line"),
        ("Differs: it is clipped.", "at the start of a line"),
        ("Args:\n    Source: [garg2023] Eq. (11).", "at the start of a line"),
    ],
)
def test_a_malformed_label_is_refused(text, words):
    (problem,) = equations.problems(doc("What.\n\n" + text), KEYS)
    assert words in problem
    assert problem.startswith("a.py, f: ")


def test_every_reference_has_what_the_pages_need():
    text = (ROOT / "docs" / "references.bib").read_text("utf-8")
    entries = equations.references(text)
    assert len(entries) == text.count("\n@") + 1
    assert all({"author", "title", "year"} <= set(entry) for entry in entries.values())
    assert entries["garg2023"]["title"] == "Extreme Q-Learning: MaxEnt RL without Entropy"
