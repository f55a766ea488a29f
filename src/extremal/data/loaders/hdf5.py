"""Arrays of an HDF5 file: only plain numbers, and a word or two, that lie inside the file itself."""

from __future__ import annotations

from typing import Any

import numpy as np

from extremal.core.errors import DataError, require
from extremal.data.loaders.files import check_size


def array(archive: Any, name: str) -> np.ndarray:
    """The numbers called `name`.

    Raises:
        DataError: it is missing, a group, a link, kept elsewhere, no numbers, or larger than this machine.
    """
    value = _inside(archive, name)
    if value.shape is None or value.dtype.kind not in "biuf":
        raise DataError(f"holds {value.dtype}, expected an array of real numbers", field=name)
    check_size(value.shape, value.dtype, name, stored=value.id.get_storage_size())
    return value[()]


def text(archive: Any, name: str) -> str:
    """The one string called `name`.

    Raises:
        DataError: as `array`, or it is no string.
    """
    h5py = require("h5py", extra="formats", purpose="reading HDF5 files")
    value = _inside(archive, name)
    if value.shape != () or h5py.check_string_dtype(value.dtype) is None:
        raise DataError(f"holds {value.dtype}, expected one string", field=name)
    word = value[()]
    return word.decode("utf-8", "replace") if isinstance(word, bytes) else str(word)


def _inside(archive: Any, name: str) -> Any:
    h5py = require("h5py", extra="formats", purpose="reading HDF5 files")
    link = archive.get(name, getlink=True)
    if link is None:
        other = "; this looks like Minari's own file: use 'minari:NAME'" if "episode_0" in archive else ""
        names = sorted(archive)
        known = f"{', '.join(names[:20])}{f' and {len(names) - 20} more' if len(names) > 20 else ''}" or "nothing"
        raise DataError(f"is missing; the file has {known}{other}", field=name)
    if not isinstance(link, h5py.HardLink):
        raise DataError("is a link to another place, which is not followed", field=name)
    value = archive[name]
    if not isinstance(value, h5py.Dataset):
        raise DataError("is a group, expected an array", field=name)
    if value.external or value.is_virtual:
        raise DataError("keeps its numbers in another file, which is not followed", field=name)
    return value
