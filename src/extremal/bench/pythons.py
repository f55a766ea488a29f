"""A Python of its own for each list of packages: made once, in the cache folder, and found again by a digest of the list.

    <cache>/peers/<name of the list>-<digest>/bin/python

One is made beside its place and renamed, so what is in its place is whole.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from extremal.core.errors import PeerError
from extremal.data import cache

Call = Callable[[Sequence[str]], tuple[int, str]]
_SAID = 3  # lines of what a failed installation said


def call(command: Sequence[str]) -> tuple[int, str]:
    """The exit status of a command, and what it wrote."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", env=environment
    )
    return done.returncode, done.stdout


def place(packages: Path) -> Path:
    """Where the Python of this list stands, or is to stand."""
    made_of = f"{packages.read_text('utf-8')}\n{platform.python_version()} {sys.platform} {platform.machine()}"
    digest = hashlib.sha256(made_of.encode()).hexdigest()[:16]
    return cache.folder() / "peers" / f"{packages.stem}-{digest}"


def python_with(packages: Path, *, call: Call = call) -> Path:
    """The interpreter that has `packages`, a pip list; it is made where it is not there yet, which takes minutes.

    Raises:
        PeerError: it cannot be made; says what pip said. Nothing is left of it.
    """
    home = place(packages)
    if not home.exists():
        home.parent.mkdir(parents=True, exist_ok=True)
        half = Path(tempfile.mkdtemp(prefix=f".{home.name}.", dir=home.parent))
        try:
            _make(half, packages, call)
            if not home.exists():  # another process may have been faster
                half.rename(home)
        finally:
            shutil.rmtree(half, ignore_errors=True)
    return home / "bin" / "python"


def _make(home: Path, packages: Path, call: Call) -> None:
    python = str(home / "bin" / "python")  # pip by it: scripts hold the path of their birth, and this one will move
    steps = (
        [sys.executable, "-m", "venv", str(home)],
        [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(packages)],
    )
    for step in steps:
        status, wrote = call(step)
        if status != 0:
            raise PeerError(f"a Python with the packages of {packages.name} cannot be made: {_said(wrote)}")


def _said(wrote: str) -> str:
    """The errors among these lines, or else the last ones.

    >>> _said("Collecting x\\nERROR: No matching distribution found for x==9\\n")
    'No matching distribution found for x==9'
    """
    lines = [line.strip() for line in wrote.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return "; ".join((errors or lines)[-_SAID:]) or "it said nothing"
