"""Files that are either whole or absent."""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from extremal.core.errors import RunError


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`; what is written there replaces `path` at once on success, and vanishes on failure.

    Raises:
        RunError: there is no such place, no right to write there, or no room left; what stood at `path` still does.
    """
    try:
        path = Path(os.path.realpath(path))  # what a link points to is written, and the link stays
        if path.exists() and not path.is_file():  # a device would be replaced by a file
            raise OSError("it is a folder" if path.is_dir() else "it is no plain file")
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
        os.close(handle)
    except (OSError, ValueError) as error:
        raise unwritable(path, error) from error
    try:
        yield Path(name)
        with open(name, "rb") as written:
            os.fsync(written.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            Path(name).unlink(missing_ok=True)


def check_replaces(path: Path, beginning: bytes) -> None:
    """Refuse to write over a file of another kind than is to be written: a slip, and somebody's data would be gone.

    Args:
        beginning: how every file of the kind begins.

    Raises:
        RunError: the file at `path` does not begin so, or cannot be read.
    """
    if not os.path.isfile(path):
        return  # absent, or `atomic` refuses it
    try:
        with open(path, "rb") as stream:
            begins = stream.read(len(beginning))
    except OSError as error:
        raise unwritable(path, error) from error
    if begins and begins != beginning:
        raise RunError(f"{str(path)!r} exists and holds something else; name another file, or remove that one first")


def unwritable(path: Path, error: Exception) -> RunError:
    """The error for a file or folder that cannot be written, and why."""
    reason = (getattr(error, "strerror", None) or str(error)).lower()
    return RunError(
        f"{str(path)!r} cannot be written: {reason}; make room or the right to write there, or name another"
    )


def leftover_of(entry: str) -> str | None:
    """The name for which `atomic` gave out the file name `entry`; left there, it is of a process that was killed meanwhile."""
    match = re.fullmatch(r"\.(.+)\.[a-z0-9_]{8}(\.[^.]*)?", entry)
    return match[1] if match and Path(match[1]).suffix == (match[2] or "") else None


def write_json(path: Path, value: Any) -> None:
    """`value` as indented JSON, atomically; NaN is refused, since it is not JSON."""
    text = json.dumps(value, indent=1, allow_nan=False)
    with atomic(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path, kind: type = dict, *, advice: str = "") -> Any:
    """The value of kind `kind` in a JSON file; None where there is no file.

    Args:
        advice: what to do about a damaged file, for the message.

    Raises:
        RunError: it cannot be read, is not JSON, or holds a value of another kind.
    """
    advice = f"; {advice}" if advice else ""
    try:
        value = json.loads(Path(path).read_text("utf-8"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path} is damaged: {error}{advice}") from error
    if not isinstance(value, kind):
        raise RunError(f"{path} is damaged: it holds {type(value).__name__}, expected {kind.__name__}{advice}")
    return value
