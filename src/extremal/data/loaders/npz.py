"""`npz:PATH`: Extremal's own format, and plain NumPy archives with one row a step. Nothing is ever unpickled.

Own format, version 1: `observation` [N + E, *O], `action`, `reward`, `terminated`, `truncated` [N, ...], `starts` [E + 1],
`card` (JSON text) and `format_version`. A plain archive has `observation`, `action`, `reward`, `terminated` with N rows,
and where known `truncated`, `next_observation`, `episode`, and `step` or `time`.
"""

from __future__ import annotations

import dataclasses
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from extremal.core.errors import DataError
from extremal.data.dataset import Card, Dataset
from extremal.data.finding import Finding
from extremal.data.kinds import Actions, agree
from extremal.data.loaders.files import check_size, check_unpacked, existing, reading, recipe, replacing
from extremal.data.loaders.table import dataset_of, wanted

FORMAT_VERSION = 1
_STORED = ("observation", "action", "reward", "terminated", "truncated", "starts")


def load_npz(path: str | Path, actions: Actions | None = None) -> Dataset:
    """The dataset in the archive at `path`, in the own format or plain.

    Raises:
        DataError: damage, a missing or misnamed field, object arrays, sizes beyond this machine, and what `Dataset` refuses.
    """
    file = existing(path, ".npz")
    with reading(path, kind="NumPy .npz"), zipfile.ZipFile(file) as archive:
        present = {name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")}
        if "format_version" in present:
            data = _own({name: read_member(archive, name) for name in (*_STORED, "card", "format_version")})
            agree(data.card, actions)
            return data
        columns = {name: read_member(archive, name) for name in wanted(present)}
        return dataset_of(columns, Card(name=file.stem, recipe=recipe("npz", file)), actions)


def save_npz(dataset: Dataset, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write `dataset` in the own format, all or nothing; `load_npz` gives it back bit by bit, card included.

    Raises:
        ConfigError: `path` exists and `overwrite` is false, or the name does not end in .npz.
    """
    arrays = {name: np.asarray(getattr(dataset, name)) for name in _STORED}
    with replacing(path, suffix=".npz", overwrite=overwrite) as stream:
        np.savez(stream, allow_pickle=False, card=card_to_json(dataset.card), format_version=FORMAT_VERSION, **arrays)
    return Path(path)


def read_member(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """The array `name`; its declared size is checked before any memory is taken."""
    try:
        info = archive.getinfo(f"{name}.npy")
    except KeyError:
        raise DataError("is missing", field=name) from None
    whole = sum(member.file_size for member in archive.infolist())
    check_unpacked(whole, Path(str(archive.filename)).stat().st_size, name)
    with archive.open(info) as stream:
        version = np.lib.format.read_magic(stream)
        if version not in ((1, 0), (2, 0)):
            raise DataError(f"has .npy version {version}, expected 1.0 or 2.0", field=name)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = header(stream)
        if dtype.hasobject:
            raise DataError("is an object array, which is never unpickled; store plain numbers", field=name)
        if (size := check_size(shape, dtype, name)) != (held := info.file_size - stream.tell()):
            raise DataError(f"declares {size} bytes ({shape} of {dtype}) and holds {held}", field=name)
    with archive.open(info) as stream:
        return np.lib.format.read_array(stream, allow_pickle=False)


def card_to_json(card: Card) -> str:
    """All that is known of a dataset besides its numbers, as text."""
    return json.dumps(dataclasses.asdict(card))


def card_from_json(text: str) -> Card:
    """The inverse of `card_to_json`; the text of a newer or damaged card is refused."""
    try:
        entries = json.loads(text)
        known = {field.name for field in dataclasses.fields(Card)}
        if not isinstance(entries, dict) or not set(entries) <= known:
            raise ValueError(f"expected an object with the keys {', '.join(sorted(known))}")
        for name in ("action_low", "action_high"):
            if entries.get(name) is not None:
                entries[name] = tuple(float(bound) for bound in entries[name])
        entries["findings"] = tuple(
            Finding(**found | {"rows": tuple(found["rows"])}) for found in entries.get("findings", ())
        )
        return Card(**entries)
    except DataError:
        raise
    except (ValueError, TypeError) as error:
        raise DataError(f"is not the JSON of a dataset card: {error}", field="card") from error


def _own(arrays: dict[str, Any]) -> Dataset:
    version = arrays.pop("format_version")
    if version.shape != () or int(version) != FORMAT_VERSION:
        raise DataError(
            f"is {version}, this Extremal reads {FORMAT_VERSION}; the file is damaged or from a newer release",
            field="format_version",
        )
    card = card_from_json(str(arrays.pop("card")))
    starts = arrays["starts"]
    if starts.ndim != 1 or len(starts) < 2 or arrays["action"].ndim == 0:
        raise DataError("must list the first row of each episode, then the number of rows", field="starts")
    if (np.diff(starts) < 1).any() or starts[0] != 0 or starts[-1] != len(arrays["action"]):
        raise DataError(f"must rise from 0 to {len(arrays['action'])} in steps of at least one", field="starts")
    episode = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    return Dataset(**arrays, slot=(np.arange(starts[-1]) + episode).astype(np.int32), card=card)
