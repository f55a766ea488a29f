"""Every formula says where it comes from, in a form that a program can read."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

import equations  # noqa: E402
from uses import Package, Suite, is_used  # noqa: E402

KEYS = {"garg2023", "peng2019"}


def doc(text: str):
    return equations.Docstring("f", "a.py", text)


@pytest.fixture(scope="module")
def collected():
    return equations.collect()


def test_every_label_is_well_formed_its_keys_are_known_and_a_test_uses_what_it_labels(collected):
    assert collected[1] == []


def test_the_pages_of_equations_and_references_are_up_to_date(collected):
    for path, text in collected[0].items():
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


# ---- which test uses what -------------------------------------------------------------------------------------------

PACKAGE = {
    "pkg/__init__.py": "TYPE_CHECKING = False\nif TYPE_CHECKING:\n    from pkg.models import Model\n",
    "pkg/losses.py": "def square(x): ...\ndef cube(x): ...\n",
    "pkg/other.py": "def square(x): ...\n",
    "pkg/models.py": """
from pkg.losses import cube
class Base:
    def recipe(self): ...
    def alone(self): ...
class Model(Base):
    def algorithm(self):
        return self.recipe()
class Sample:
    def mode(self): ...
def sample() -> Sample: ...
""",
}
BY_NAME, SAME_NAME = "from pkg.losses import square\nsquare(1)\n", "from pkg.other import square\nsquare(1)\n"
HELPER = "from pkg import losses\ndef helped(): return losses.square(1)\ndef left(): return losses.cube(1)\n"
FIXTURE = "import pytest\nfrom pkg.losses import square\n@pytest.fixture\ndef given(): return square(1)\n"


@pytest.mark.parametrize(
    ("test", "place", "used"),
    [
        (BY_NAME, "pkg.losses.square", True),
        (BY_NAME, "pkg.other.square", False),
        (SAME_NAME, "pkg.losses.square", False),
        ("from pkg.losses import square as s\ns(1)\n", "pkg.losses.square", True),
        ("import pkg.losses as l\nl.square(1)\n", "pkg.losses.square", True),
        ("import pkg.losses\npkg.losses.square(1)\n", "pkg.losses.square", True),
        ("from pkg import losses\nlosses.cube(1)\n", "pkg.losses.square", False),
        ("from pkg.models import cube\ncube(1)\n", "pkg.losses.cube", True),
        ("import pkg\npkg.Model()\n", "pkg.models.Model", True),
        ("import pkg\nNAME = 'square'\n", "pkg.losses.square", False),
        ("from pkg.losses import square\ndef test(square): square(1)\n", "pkg.losses.square", False),
        ("from pkg.losses import square\ndef test():\n    square = 1\n    square\n", "pkg.losses.square", False),
        ("from helper import helped\nhelped()\n", "pkg.losses.square", True),
        ("from helper import helped\nhelped()\n", "pkg.losses.cube", False),
        ("def test_it(given): ...\n", "pkg.losses.square", True),
        ("def test_it(): ...\n", "pkg.losses.square", False),
        ("import pkg\npkg.Model().algorithm()\n", "pkg.models.Base.recipe", True),
        ("import pkg\npkg.Model().algorithm()\n", "pkg.models.Base.alone", False),
        ("from pkg.models import sample\nsample().mode()\n", "pkg.models.Sample.mode", True),
        ("from pkg.models import sample\nsample()\n", "pkg.models.Sample.mode", False),
        ("from pkg.losses import square\nsquare(1).mode()\n", "pkg.models.Sample.mode", False),
    ],
)
def test_a_test_file_uses_what_its_imports_lead_to(tmp_path, test, place, used):
    for name, text in (
        PACKAGE | {"tests/helper.py": HELPER, "tests/conftest.py": FIXTURE, "tests/test_a.py": test}
    ).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
    package = Package(tmp_path / "pkg")
    (uses,) = Suite(tmp_path / "tests", package).uses().values()
    assert is_used(place, uses, package) is used
