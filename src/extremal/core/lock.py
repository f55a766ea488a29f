"""One process at a time in a folder: a lock on its file `lock`, which ends with the process that holds it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from extremal.core.errors import RunError
from extremal.core.files import unwritable

NAME = "lock"
_held: set[int] = set()  # open files


def _let_go() -> None:
    """A forked child inherits the open file, and with it the lock, which would outlive its owner: it closes its copy."""
    for handle in _held:
        with contextlib.suppress(OSError):
            os.close(handle)
    _held.clear()


os.register_at_fork(after_in_child=_let_go)


@contextmanager
def alone(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold the lock of `folder`, which is there; another process, or another thread of this one, is refused or waits.

    Raises:
        RunError: somebody else holds it (unless `wait`), or the lock cannot be written.
    """
    handle = _lock(folder / NAME, wait)
    try:
        yield
    finally:
        _release(handle)


def _release(handle: int) -> None:
    if handle in _held:  # in a forked child it is not, and the number may be another file's
        _held.discard(handle)
        os.close(handle)


def _lock(file: Path, wait: bool) -> int:
    while True:
        try:
            handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise unwritable(file, error) from error
        _held.add(handle)
        try:
            _take(handle, file, wait)
            if _same(handle, file):
                return handle
        except BaseException:
            _release(handle)
            raise
        _release(handle)  # the file was taken away between opening and locking: it locks nothing


def _take(handle: int, file: Path, wait: bool) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            raise RunError(
                f"{file.parent} is in use: another process is at work in it; wait until it ends, or choose another folder"
            ) from error
        warnings.warn(
            f"{file} cannot be locked ({error.strerror}): let no other process work in {file.parent}", stacklevel=4
        )


def _same(handle: int, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.stat(file))
    except OSError:
        return False
