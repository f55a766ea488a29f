"""What all formats share: finding a file, turning damage into one clear error, and writing all or nothing."""

from __future__ import annotations

import hashlib
import json
import math
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from extremal.core.errors import ConfigError, DataError
from extremal.core.files import atomic

FREELY, UNPACKED = 2**30, 200  # bytes that are unpacked from however few; and from there on, how many from one
# What the readers of the formats raise on bytes that are not what they should be.
_DAMAGE = (
    *(OSError, EOFError, MemoryError, RuntimeError, AssertionError),
    *(ValueError, TypeError, LookupError, AttributeError),
    *(struct.error, zlib.error, zipfile.BadZipFile),
)


def existing(path: str | Path, *suffixes: str) -> Path:
    """The file at `path`, with one of the `suffixes`, not empty."""
    file = Path(path).expanduser()
    if not str(path):
        raise DataError("the path is empty", file=repr(path))
    if file.is_dir():
        raise DataError("is a folder, expected a file", file=path)
    if not file.is_file():
        raise DataError("does not exist", file=path)
    if file.suffix.lower() not in suffixes:
        raise DataError(f"ends in '{file.suffix}', expected {' or '.join(suffixes)}", file=path)
    if file.stat().st_size == 0:
        raise DataError("is empty (0 bytes)", file=path)
    return file


@contextmanager
def reading(path: str | Path, *, kind: str, names: Mapping[str, str] | None = None) -> Iterator[None]:
    """Every failure inside becomes one `DataError` about the file at `path`.

    Args:
        kind: what the file should be, for the message.
        names: the file's own name of each field that it calls differently.
    """
    names = names or {}
    try:
        yield
    except DataError as error:
        field = names.get(error.field, error.field) if error.field else None
        raise DataError(error.what, file=error.file or path, field=field, row=error.row) from error.__cause__
    except ConfigError:  # of what the user says, not of the file
        raise
    except _DAMAGE as error:
        raise DataError(f"is damaged or not a {kind} file: {error or type(error).__name__}", file=path) from error


def check_size(shape: tuple[int, ...], dtype: np.dtype, field: str, *, stored: int | None = None) -> int:
    """Bytes of an array that a file declares; refused where this machine could not hold it.

    Args:
        stored: bytes that it takes in the file, as for `check_unpacked`.
    """
    size = math.prod(shape) * dtype.itemsize
    if size > (limit := _memory()):
        raise DataError(
            f"declares shape {shape}, {size / 2**30:.1f} GiB; this machine has {limit / 2**30:.1f} GiB", field=field
        )
    if stored is not None:
        check_unpacked(size, stored, field)
    return size


def check_unpacked(size: int, stored: int, field: str) -> None:
    """Refuse what unpacks to more than `FREELY` bytes and to more than `UNPACKED` times the bytes that are stored."""
    if size > max(FREELY, UNPACKED * stored):
        raise DataError(
            f"unpacks from {stored / 2**20:.1f} MiB to {size / 2**30:.1f} GiB; above {FREELY / 2**30:g} GiB at most {UNPACKED} times "
            "the stored size is read: if the file is sound, store it without compression",
            field=field,
        )


def recipe(source: str, *files: Path, **more: object) -> str:
    """JSON for `Card.recipe`: the format, and the name and SHA-256 of what was read."""
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    entry = {"source": source, "file": files[0].name, "sha256": digest.hexdigest()} | more
    return json.dumps(entry, sort_keys=True)


@contextmanager
def replacing(path: str | Path, *, suffix: str, overwrite: bool) -> Iterator[BinaryIO]:
    """A stream whose bytes stand at `path` once the block ends well; otherwise `path` stays as it was."""
    target = Path(path).expanduser()
    if target.suffix.lower() != suffix or target.is_dir():
        raise ConfigError(f"{path} cannot be written; name a file that ends in {suffix}")
    if target.exists() and not overwrite:
        raise ConfigError(f"{path} exists already; choose another name, or overwrite it explicitly")
    with atomic(target) as temporary, temporary.open("wb") as stream:
        yield stream


def _memory() -> int:
    """Bytes of this machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
