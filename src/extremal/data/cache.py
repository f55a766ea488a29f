"""Data that took time to make, kept by content: `<folder>/<name>.npz`, with a hash of its numbers inside.

The folder is `EXTREMAL_CACHE`, or `extremal` in the user's cache folder. Nothing in it is precious: a missing or damaged
file is made again.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from extremal.core.errors import ConfigError, DataError, RunError
from extremal.core.files import atomic
from extremal.data.dataset import Dataset
from extremal.data.loaders.npz import load_npz, save_npz

_HASH = "sha256"  # the entry that vouches for the others


def folder() -> Path:
    """Where cached data lies; not necessarily there yet.

    Raises:
        ConfigError: nothing names one, and the user has no home.
    """
    if named := os.environ.get("EXTREMAL_CACHE"):
        return Path(named).expanduser()
    if named := os.environ.get("XDG_CACHE_HOME"):
        return Path(named) / "extremal"
    try:
        return Path.home() / ".cache" / "extremal"
    except RuntimeError:
        raise ConfigError("there is no home folder to keep things in; name a folder by EXTREMAL_CACHE") from None


def key(recipe: Mapping[str, object]) -> str:
    """The name of what this recipe makes: a SHA-256 in hexadecimal."""
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()


def write(name: str, arrays: Mapping[str, np.ndarray]) -> Path:
    """Keep `arrays` under `name`; the file appears whole or, with a warning where there is no room or right, not at all."""
    path = folder() / f"{name}.npz"
    try:
        with atomic(path) as temporary, temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, **{_HASH: np.array(_digest(arrays))}, **arrays)  # pyright: ignore[reportArgumentType]
    except (OSError, RunError) as error:
        warnings.warn(f"{path.name} is not kept for the next time: {error}", stacklevel=2)
    return path


def read(name: str) -> dict[str, np.ndarray] | None:
    """What was kept under `name`; None where there is nothing, or, with a warning, where the file is damaged."""
    path = folder() / f"{name}.npz"
    if not path.exists():
        return None
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            arrays = {k: file[k] for k in file.files}
        intact = str(arrays.pop(_HASH, "")) == _digest(arrays)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        intact, arrays = False, {}
    if not intact:
        warnings.warn(f"the cached file {path} is damaged and is not used", stacklevel=2)
        return None
    return arrays


def save_built(name: str, dataset: Dataset) -> Path:
    """Keep a built dataset, so that its name alone loads it again."""
    return save_npz(dataset, _built(name), overwrite=True)


def load_built(name: str, command: str) -> Dataset:
    """A dataset that `command` made on this machine.

    Raises:
        DataError: it was not built yet, or its file is damaged; says that `command` builds it.
    """
    if not _built(name).exists():
        raise DataError(f"the dataset '{name}' is not on this machine; build it: {command}")
    try:
        return load_npz(_built(name))
    except DataError as error:
        raise DataError(f"{error.what}; build it again: {command}", file=error.file, field=error.field) from error


def built() -> list[str]:
    """The names of what was built on this machine, in order."""
    try:
        return sorted(path.stem for path in (folder() / "built").glob("[!.]*.npz"))
    except ConfigError:
        return []


def _built(name: str) -> Path:
    return folder() / "built" / f"{name}.npz"


def _digest(arrays: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(arrays.items()):
        digest.update(f"{name} {value.dtype.str} {value.shape} ".encode())
        digest.update(
            np.ascontiguousarray(value).tobytes() if value.dtype.kind == "U" else np.ascontiguousarray(value).data
        )
    return digest.hexdigest()
