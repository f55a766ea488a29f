"""Break the library in one small place after another, and see whether a test of the quick suite notices.

    python scripts/mutants.py                the survivors; exit with 1 where there is one, 2 where a mutant cannot be tried
    python scripts/mutants.py value.py td3   those alone of whose file or text a word is part
    python scripts/mutants.py --trust ...    without the tests being run once before on the source as it is: for a suite that has passed
    python scripts/mutants.py --check        whether every text to be changed is there exactly once; nothing is run

A mutant of `scripts/mutants.toml` is a text of a file, the text that takes its place, and the tests that should fail. Each is made in a
copy of the source, never in the working tree; the tests that are named have to pass on the copy as it is. Each is tried in a fork of
this process, which has loaded what the library stands on and nothing of the library itself.
"""

from __future__ import annotations

import importlib
import itertools
import os
import shutil
import sys
import tempfile
import time
import tomllib
from pathlib import Path
from typing import NamedTuple, NoReturn

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src"
HEAVY = ("jax", "optax", "numpy", "scipy.stats", "scipy.optimize")
PASSED, FAILED = 0, 1  # pytest's exit codes; others are its own trouble
STAMP = itertools.count(int(time.time()) + 10)


class Mutant(NamedTuple):
    file: str  # below src/extremal
    before: str
    after: str
    tests: tuple[str, ...]  # below tests/, files or test ids

    def __str__(self) -> str:
        return f"{self.file}: {' '.join(self.before.split())!r} -> {' '.join(self.after.split())!r}"


def read(path: Path) -> list[Mutant]:
    """All mutants of a file: by source file, its tests and its texts, each with tests of its own or those of the file."""
    found = []
    for file, group in tomllib.loads(path.read_text("utf-8")).items():
        for before, after, *tests in group["mutants"]:
            found.append(Mutant(file, before, after, tuple(tests or group["tests"])))
    return found


def problems(mutants: list[Mutant], root: Path = ROOT) -> list[str]:
    """What hinders a mutant from being made or tried."""
    wrong = [f"two mutants are the same: {m}" for number, m in enumerate(mutants) if m in mutants[:number]]
    for mutant in mutants:
        path = root / "src" / "extremal" / mutant.file
        count = path.read_text("utf-8").count(mutant.before) if path.exists() else 0
        if count != 1:
            wrong.append(f"{mutant.file}: {mutant.before!r} is there {count} times, and should be once")
        missing = [test for test in mutant.tests if not (root / "tests" / test.split("::")[0]).exists()]
        wrong += [f"{mutant.file}: there is no tests/{test}" for test in missing]
    return wrong


def run(tests: tuple[str, ...], source: Path) -> tuple[int, str]:
    """Exit code and output of pytest on some tests with this source."""
    with tempfile.TemporaryFile() as output:
        child = os.fork()
        if child == 0:
            _pytest(tests, source, output.fileno())
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        output.seek(0)
        return code, output.read().decode()


def _pytest(tests: tuple[str, ...], source: Path, output: int) -> NoReturn:
    """What a child does; it never comes back."""
    code = 3
    try:
        for stream in (1, 2):
            os.dup2(output, stream)
        os.chdir(ROOT)
        os.environ |= {"PYTHONPATH": str(source), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        sys.path.insert(0, str(source))
        paths = [f"tests/{test}" for test in tests]
        code = int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-m", "not slow", *paths]))
    finally:
        os._exit(code)


def write(path: Path, text: str) -> None:
    """With a time stamp of its own: two texts of one length within a second would share one, and so their compiled file."""
    path.write_text(text, "utf-8")
    stamp = next(STAMP)
    os.utime(path, (stamp, stamp))


def survivors(mutants: list[Mutant], *, trust: bool = False) -> list[Mutant]:
    """Those that no test of theirs notices.

    Raises:
        SystemExit: tests fail without a mutant, or cannot be run with it.
    """
    left = []
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "src"
        shutil.copytree(SOURCE, source, ignore=shutil.ignore_patterns("__pycache__"))
        everything = tuple(dict.fromkeys(test for mutant in mutants for test in mutant.tests))
        code, output = (PASSED, "") if trust else run(everything, source)
        if code != PASSED:
            raise SystemExit(f"{output}\nthe tests do not pass as it is")
        for mutant in mutants:
            path, clock = source / "extremal" / mutant.file, time.perf_counter()
            whole = path.read_text("utf-8")
            write(path, whole.replace(mutant.before, mutant.after))
            code, output = run(mutant.tests, source)
            write(path, whole)
            if code not in (PASSED, FAILED):
                raise SystemExit(f"{output}\n{mutant}: the tests did not run")
            verdict = "killed" if code == FAILED else "SURVIVED"
            print(f"{verdict:8} {time.perf_counter() - clock:5.1f} s  {mutant}", flush=True)
            left += [mutant] if code == PASSED else []
    return left


def main(arguments: list[str]) -> int:
    mutants = read(ROOT / "scripts" / "mutants.toml")
    if wrong := problems(mutants):
        print("\n".join(wrong), file=sys.stderr)
        return 2
    if arguments == ["--check"]:
        return 0
    trust = "--trust" in arguments
    words = [word for word in arguments if word != "--trust"]
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    for name in HEAVY:
        importlib.import_module(name)
    chosen = [m for m in mutants if not words or any(word in str(m) for word in words)]
    try:
        left = survivors(chosen, trust=trust)
    except SystemExit as trouble:
        print(trouble, file=sys.stderr)
        return 2
    print(f"{len(chosen)} mutants, {len(left)} survivors")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
