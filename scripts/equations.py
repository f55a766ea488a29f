"""Collect the `Source:` and `Differs from the paper:` labels of all docstrings into docs/equations.md, and docs/references.bib
into docs/references.md.

    python scripts/equations.py            write both pages
    python scripts/equations.py --check    exit with 1 and the reasons where a label is wrong, a page is out of date, or no test
                                           uses what has a source

A label begins a line of a docstring and ends with its paragraph, or with the label that follows it:

    Source: [garg2023] Eq. (7), (11); [peng2019] Eq. (14). Symbols: error = Q - V.
    Differs from the paper: what, and why.

Each entry of a source is a key of docs/references.bib and, where there is one, a place; entries are separated by `; ` or `, `.
"""

from __future__ import annotations

import ast
import gc
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from uses import Package, Suite, is_used

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"

LABEL = re.compile(r"^(Source|Differs from the paper): ")
NEARLY = re.compile(r"\s*(Sources?|Differs?( from( the)? \w+)?)\s*:|\s*sources?:? *\[")  # what was meant as a label
ENTRY = re.compile(r"\[([a-z]+\d{4}[a-z]?)\]((?:(?![;,] *\[).)*)", re.DOTALL)
NUMBER = re.compile(r"\bEqs?\b")
WELL_NUMBERED = re.compile(r"\bEq\. \([\w.]+\)(, \([\w.]+\))*")

HEAD = """---
hide: [toc]
---

# Equations and where they are

Written by `scripts/equations.py` from the docstrings; a test keeps it up to date. The last column names the test files whose
code uses this very function, class or method, as their imports resolve; there is none without a test.
"""


class Citation(NamedTuple):
    """One entry of one docstring's source."""

    key: str
    place: str
    name: str  # qualified name in its module
    file: str  # from the root, with slashes
    differs: str  # empty where nothing differs


class Docstring(NamedTuple):
    name: str
    file: str
    text: str


def docstrings(folder: Path) -> Iterator[Docstring]:
    """Every docstring under `folder`, with the qualified name of what it belongs to (a module's: its stem)."""
    for path in sorted(folder.rglob("*.py")):
        file = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name
        tree = ast.parse(path.read_text("utf-8"))
        yield from _of(tree, path.stem, "", file)


def _of(node: ast.AST, name: str, prefix: str, file: str) -> Iterator[Docstring]:
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and (text := ast.get_docstring(node)):
        yield Docstring(name, file, text)
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | ast.FunctionDef):
            yield from _of(child, prefix + child.name, f"{prefix}{child.name}.", file)


def labels(text: str) -> list[tuple[str, str]]:
    """(label, its text on one line) in order."""
    found: list[tuple[str, list[str]]] = []
    inside = False
    for line in text.splitlines():
        if match := LABEL.match(line):
            found.append((match[1], [line[match.end() :]]))
            inside = True
        elif not line.strip():
            inside = False
        elif inside:
            found[-1][1].append(line)
    return [(label, " ".join(part.strip() for part in parts)) for label, parts in found]


def problems(doc: Docstring, keys: set[str]) -> list[str]:
    """What is wrong with the labels of one docstring, each with its place."""
    where, wrong = f"{doc.file}, {doc.name}", []
    for line in doc.text.splitlines():
        if NEARLY.match(line) and not LABEL.match(line):
            wrong.append(
                f"{where}: write 'Source: ' or 'Differs from the paper: ' at the start of a line, not {line.strip()!r}"
            )
    for label, text in labels(doc.text):
        if not text.endswith((".", ").")):
            wrong.append(f"{where}: '{label}' does not end with a full stop: {text!r}")
        if label != "Source":
            continue
        if not ENTRY.match(text):
            wrong.append(f"{where}: a source begins with a key like [garg2023], not {text!r}")
        for key, place in ENTRY.findall(text):
            if key not in keys:
                wrong.append(f"{where}: [{key}] is not in docs/references.bib")
            if len(NUMBER.findall(place)) != len(WELL_NUMBERED.findall(place)):
                wrong.append(f"{where}: write equations as 'Eq. (1), (2)', not {place.strip()!r}")
    return wrong


def citations(docs: list[Docstring]) -> list[Citation]:
    """Every entry of every source, by paper and then by place."""
    found = []
    for doc in docs:
        said = labels(doc.text)
        differs = " ".join(text for label, text in said if label != "Source")
        for text in (text for label, text in said if label == "Source"):
            text = text.split(" Symbols: ")[0]
            found += [Citation(k, p.strip(" .,;"), doc.name, doc.file, differs) for k, p in ENTRY.findall(text)]
    return sorted(found, key=lambda c: (c.key, *_order(c.place), c.file, c.name))


def _order(place: str) -> tuple[str, float, str]:
    number = re.search(r"\d+", place)
    return place.split("(")[0], float(number[0]) if number else 0.0, place


def references(text: str) -> dict[str, dict[str, str]]:
    """The fields of every entry, by key, from BibTeX."""
    entries = re.findall(r"@\w+\{(\w+),(.*?)\n\}", text, re.DOTALL)
    return {key: dict(re.findall(r"(\w+) = \{(.*?)\},?\n", body + "\n")) for key, body in entries}


def bibliography(entries: dict[str, dict[str, str]]) -> str:
    """The page of references, as Markdown."""
    lines = ["# References\n", "Keys are those of the docstrings; `docs/references.bib` has the entries as BibTeX.\n"]
    for key, entry in sorted(entries.items()):
        authors = entry["author"].split(" and ")
        who = ", ".join(authors[:3]) + (" and others" if len(authors) > 3 else "")
        where = " ".join(
            filter(None, (entry.get("booktitle"), entry.get("journal"), entry.get("volume"), entry["year"]))
        )
        more = f" [arXiv:{entry['eprint']}](https://arxiv.org/abs/{entry['eprint']})." if "eprint" in entry else ""
        lines.append(f"`[{key}]` {{ #{key} }}\n:   {who}. *{entry['title']}*. {where}.{more}\n")
    return "\n".join(lines)


def users(cited: list[Citation], package: Path, tests: Path) -> dict[tuple[str, str], list[str]]:
    """By file and qualified name, the test files that use it, without their folder."""
    gc.disable()  # trees are many small things that stay: they would be looked through again and again
    try:
        parsed = Package(package)
        uses = Suite(tests, parsed).uses()
    finally:
        gc.enable()
    found = {}
    for file, name in dict.fromkeys((c.file, c.name) for c in cited):
        module = file.removeprefix("src/").removesuffix(".py").replace("/", ".")
        files = [test for test, used in uses.items() if is_used(f"{module}.{name}", used, parsed)]
        found[file, name] = [test.removeprefix("tests/") for test in files]
    return found


def page(cited: list[Citation], entries: dict[str, dict[str, str]], tests: dict[tuple[str, str], list[str]]) -> str:
    """The page of equations, as Markdown."""
    lines = [HEAD]
    for key in dict.fromkeys(c.key for c in cited):
        lines += [
            f"## {entries[key]['title']} ({entries[key]['year']}) `[{key}]`\n",
            "| where | in the code | what differs | tests |",
            "|---|---|---|---|",
        ]
        for c in (c for c in cited if c.key == key):
            files = [f"`{file}`" for file in tests[c.file, c.name]]
            code = f"`{c.name}` in `{c.file.removeprefix('src/extremal/')}`"
            lines.append(f"| {_cell(c.place) or '–'} | {code} | {_cell(c.differs)} | {', '.join(files)} |")
        lines.append("")
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("[", "\\[").replace("_", "\\_").replace("*", "\\*")


def collect() -> tuple[dict[Path, str], list[str]]:
    """The pages as they should be, and everything that is wrong with the labels."""
    entries = references((DOCS / "references.bib").read_text("utf-8"))
    docs = list(docstrings(ROOT / "src" / "extremal"))
    wrong = [problem for doc in docs for problem in problems(doc, set(entries))]
    cited = [c for c in citations(docs) if c.key in entries]
    tests = users(cited, ROOT / "src" / "extremal", ROOT / "tests")
    wrong += [
        f"{file}, {name}: has a source, and no test uses it" for (file, name), files in tests.items() if not files
    ]
    equations = page(cited, entries, tests)
    return {DOCS / "equations.md": equations, DOCS / "references.md": bibliography(entries)}, wrong


def main(arguments: list[str]) -> int:
    pages, wrong = collect()
    if arguments not in ([], ["--check"]):
        print(__doc__)
        return 2
    for path, text in pages.items():
        if not arguments:
            path.write_text(text, "utf-8")
        elif not path.exists() or path.read_text("utf-8") != text:
            wrong.append(f"docs/{path.name} is out of date; run: python scripts/equations.py")
    if wrong:
        print("\n".join(wrong), file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
