"""A run's folder: who may work in it, what may lie in it, and what a killed process left behind."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from extremal.core import lock
from extremal.core.errors import RunError
from extremal.core.files import leftover_of, unwritable

FILES = frozenset(
    ("config.json", "metrics.csv", "evaluations.csv", "diverged.json", "summary.json", "maze.npz", "calibration.npz")
)
_CHECKPOINT = re.compile(r"\d{10}\.safetensors")


@contextmanager
def claimed(path: Path, *, resume: bool) -> Iterator[None]:
    """The folder for this process alone. It is made where it is absent, and taken away again where nothing came of it.

    Raises:
        RunError: it cannot be made, holds something else than a run, holds one and `resume` is false, or another process is at
            work in it.
    """
    check_content(path, resume=resume)
    made = _make(path)
    try:
        with lock.alone(path):
            try:
                check_content(path, resume=resume)  # once more: another process may have begun meanwhile
                _sweep(path)
                yield
            finally:
                if not content_of(path):
                    with contextlib.suppress(OSError):
                        (path / lock.NAME).unlink()
    finally:
        for folder in made:
            with contextlib.suppress(OSError):  # something came of it
                folder.rmdir()


def check_content(path: Path, *, resume: bool) -> None:
    """Refuse a folder that is no place for a run, before anything is read or written.

    Raises:
        RunError: as `claimed`.
    """
    content = content_of(path)
    if "config.json" in content and not resume:
        raise RunError(f"{path} exists; choose another --out, or go on with it by --resume")
    if content and "config.json" not in content:
        listed = ", ".join(sorted(content)[:3]) + (", ..." if len(content) > 3 else "")
        raise RunError(f"{path} exists and is no run: it holds {listed} and no config.json; choose another --out")


def content_of(path: Path) -> set[str]:
    """Names of what lies in a folder, besides its lock and what killed processes left; none where there is no folder.

    Raises:
        RunError: it is a file, or no folder can be there.
    """
    try:
        names = set(os.listdir(path))
    except FileNotFoundError:
        return set()
    except NotADirectoryError as error:
        raise RunError(f"{path} exists as a file, or a part of it does; choose another --out") from error
    except (OSError, ValueError) as error:
        raise unwritable(path, error) from error
    return {name for name in names if name != lock.NAME and not _left(name)}


def _make(path: Path) -> list[Path]:
    """Make the folder; those that were not there, innermost first."""
    try:
        missing = [folder for folder in (path, *path.parents) if not folder.exists()]
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(path, error) from error
    return missing


def _sweep(path: Path) -> None:
    """Remove what a process that was killed while it wrote has left: ours, in this folder, while nobody else writes."""
    for folder in (path, path / "checkpoints"):
        with contextlib.suppress(OSError):
            for entry in folder.iterdir():
                if _left(entry.name):
                    entry.unlink()


def _left(entry: str) -> bool:
    name = leftover_of(entry)
    return name is not None and (name in FILES or _CHECKPOINT.fullmatch(name) is not None)
