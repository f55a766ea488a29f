"""`parquet:PATH`: one row a step, with `episode` and `step` columns where known.

`observation`, `next_observation` and `action` are columns of lists of one length, or one column a feature:
`observation_0`, `observation_1`, ...

A folder is one table: its files one after the other, `part-2` before `part-10`; those in folders `episode=7` belong to that label.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from extremal.core.errors import DataError, require
from extremal.data.dataset import Card, Dataset
from extremal.data.finding import Finding
from extremal.data.invariants import same_rows
from extremal.data.kinds import Actions, agree
from extremal.data.loaders.files import check_size, existing, reading, recipe, replacing
from extremal.data.loaders.npz import card_from_json, card_to_json
from extremal.data.loaders.table import TIMES, dataset_of, wanted

_KEY = b"extremal"  # of the schema's metadata: the card and the shapes of files that Extremal wrote
_FEATURE = re.compile(r"(observation|next_observation|action)_(\d+)")


def load_parquet(path: str | Path, actions: Actions | None = None) -> Dataset:
    """The table at `path`, a file or a folder of files.

    Raises:
        DataError: damage, a missing or misnamed column, empty cells, lists of different lengths, files of other columns in one
            folder, and what `Dataset.from_rows` refuses.
        MissingExtraError: pyarrow is not installed.
    """
    require("pyarrow.parquet", extra="formats", purpose="reading Parquet files")
    files = _files(path)
    with reading(path, kind="Parquet"):
        columns, stored = _columns(files, path)
        rows = same_rows(columns)
        if None in stored:
            card = Card(
                name=Path(path).stem, recipe=recipe("parquet", *files), findings=_one_label(columns, len(files))
            )
            return dataset_of(columns, card, actions)
        if len(stored) > 1:
            raise DataError("holds several datasets that Extremal wrote; read them one by one")
        card, shape = _stored(stored[0])
        agree(card, actions)
        for name in {"observation", "next_observation"} & set(columns):
            columns[name] = columns[name].reshape(rows, *shape)
        return Dataset.from_rows(**columns, card=card)  # pyright: ignore[reportArgumentType]  # `wanted` gave the names


def save_parquet(dataset: Dataset, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write `dataset` with one row a step, all or nothing; `load_parquet` gives it back bit by bit, card included.

    The next observations are written too, because the last row of an episode has no row after it to read them from.

    Raises:
        ConfigError: `path` exists and `overwrite` is false, or the name does not end in .parquet.
        MissingExtraError: pyarrow is not installed.
    """
    arrow = require("pyarrow", extra="formats", purpose="writing Parquet files")
    parquet = require("pyarrow.parquet", extra="formats", purpose="writing Parquet files")
    batch = dataset.row(np.arange(dataset.rows))
    columns = {
        "episode": arrow.array(np.repeat(np.arange(dataset.episodes, dtype=np.int32), dataset.lengths)),
        "observation": _cells(arrow, batch.observation),
        "action": _cells(arrow, batch.action),
        "reward": arrow.array(np.asarray(batch.reward)),
        "terminated": arrow.array(np.asarray(dataset.terminated)),
        "truncated": arrow.array(np.asarray(dataset.truncated)),
        "next_observation": _cells(arrow, batch.next_observation),
    }
    about = {"card": card_to_json(dataset.card), "observation_shape": dataset.spec.observation}
    table = arrow.table(columns).replace_schema_metadata({_KEY: json.dumps(about)})
    with replacing(path, suffix=".parquet", overwrite=overwrite) as stream:
        parquet.write_table(table, stream)
    return Path(path)


def _files(path: str | Path) -> list[Path]:
    """The file, or those below the folder in the order of names and numbers; what begins with '.' or '_' is no part of a table."""
    folder = Path(path).expanduser()
    if not folder.is_dir():
        return [existing(path, ".parquet", ".pq")]
    below = {
        file: file.relative_to(folder).parts for file in folder.rglob("*") if file.suffix.lower() in (".parquet", ".pq")
    }
    files = [file for file, parts in below.items() if not any(part.startswith((".", "_")) for part in parts)]
    if not files:
        raise DataError("is a folder without Parquet files", file=path)
    natural = lambda text: [(int(w), "") if w.isdecimal() else (-1, w) for w in re.split(r"(\d+)", text)]  # noqa: E731
    return [existing(file, ".parquet", ".pq") for file in sorted(files, key=lambda file: [*map(natural, below[file])])]


def _columns(files: list[Path], path: str | Path) -> tuple[dict[str, np.ndarray], list[Any]]:
    """The wanted columns of the files, one file after the other, and what Extremal wrote about each."""
    parquet = require("pyarrow.parquet", extra="formats", purpose="reading Parquet files")
    parts, stored, size, packed = [], [], 0, sum(file.stat().st_size for file in files)
    for file in files:
        with reading(path if len(files) == 1 else file, kind="Parquet"), parquet.ParquetFile(file) as source:
            label = _label(file, path)
            names = source.schema_arrow.names
            features = _features(names if label is None else [*names, "episode"])
            if parts and features.keys() != parts[0].keys():
                odd = sorted(features.keys() ^ parts[0].keys())[0]
                raise DataError("is not in all files of the folder, which are read as one table", field=odd)
            chosen = [column for each in features.values() for column in each if column in names]
            table = _read(source, chosen, size, packed)
            size += table.nbytes
            if label is not None:
                features.pop("episode")
            part = {name: _joined(table, each) for name, each in features.items()}
            parts.append(part if label is None else part | {"episode": np.full(len(table), label)})
            stored.append((table.schema.metadata or {}).get(_KEY))
    if len(parts) == 1:
        return parts[0], stored
    for name in parts[0]:
        for file, part in zip(files, parts, strict=True):
            if part[name].shape[1:] != (first := parts[0][name].shape[1:]):
                raise DataError(
                    f"has shape {part[name].shape[1:]} a row, {files[0].name} has {first}", file=file, field=name
                )
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}, stored


def _one_label(columns: dict[str, np.ndarray], files: int) -> tuple[Finding, ...]:
    """Files of one episode each are often labelled alike, and nothing but the label says that they go on into each other."""
    label = columns.get("episode")
    if label is None or files == 1 or (label != label[0]).any():
        return ()
    ends = [columns[name][:-1].any() for name in ("terminated", "truncated") if name in columns]
    if any(ends) or "next_observation" in columns or {name.lower() for name in columns} & set(TIMES):
        return ()
    return (
        Finding(
            level="warning",
            code="one-label",
            says=f"'episode' is {label[0]!s} in all {files} files, which are read as one episode",
            advice="where each file is an episode of its own, give each another label",
        ),
    )


def _label(file: Path, path: str | Path) -> str | None:
    """The label of the episode that all rows of a file belong to, where a folder on the way to it is named `episode=LABEL`."""
    folders = file.relative_to(Path(path).expanduser()).parts[:-1] if file != Path(path).expanduser() else ()
    return next((part.removeprefix("episode=") for part in folders if part.startswith("episode=")), None)


def _features(names: list[str]) -> dict[str, list[str]]:
    """Columns of each field that is wanted: itself, or one a feature in the order of their numbers."""
    found: dict[str, list[str]] = {name: [name] for name in names if not _FEATURE.fullmatch(name)}
    numbered: dict[str, dict[int, str]] = {}
    for name in names:
        if match := _FEATURE.fullmatch(name):
            numbered.setdefault(match[1], {})[int(match[2])] = name
    for field, columns in numbered.items():
        if field in found:
            raise DataError(f"is both one column and '{next(iter(columns.values()))}'; keep one", field=field)
        if missing := set(range(max(columns) + 1)) - set(columns):
            raise DataError(f"is missing, and there is '{columns[max(columns)]}'", field=f"{field}_{min(missing)}")
        found[field] = [columns[i] for i in range(len(columns))]
    return {name: found[name] for name in wanted(found)}


def _read(source: Any, columns: list[str], before: int, packed: int) -> Any:
    """The table, piece by piece, given up where it outgrows this machine: a few bytes of Parquet may stand for any length."""
    arrow = require("pyarrow", extra="formats", purpose="reading Parquet files")
    pieces, size = [], before
    for piece in source.iter_batches(columns=columns, use_threads=False):
        size += piece.nbytes
        check_size((size,), np.dtype(np.uint8), "all columns", stored=packed)
        pieces.append(piece)
    return arrow.Table.from_batches(pieces, source.schema_arrow.empty_table().select(columns).schema)


def _joined(table: Any, columns: list[str]) -> np.ndarray:
    """[N] or [N, L] of one column, [N, C] of several."""
    parts = [_array(table.column(name).combine_chunks(), name) for name in columns]
    if len(parts) == 1 and not _FEATURE.fullmatch(columns[0]):
        return parts[0]
    for name, part in zip(columns, parts, strict=True):
        if part.ndim != 1:
            raise DataError("holds lists, expected one number a row", field=name)
    return np.stack(parts, axis=1)


def _array(column: Any, name: str) -> np.ndarray:
    types = require("pyarrow", extra="formats", purpose="reading Parquet files").types
    if types.is_dictionary(column.type):  # how a data frame keeps categories
        column = column.dictionary_decode()
    if column.null_count:
        raise DataError("is empty", field=name, row=int(np.flatnonzero(column.is_null())[0]))
    rows, shape = len(column), []
    while types.is_list(column.type) or types.is_large_list(column.type) or types.is_fixed_size_list(column.type):
        lengths = np.diff(column.offsets) if hasattr(column, "offsets") else np.array([column.type.list_size])
        if (odd := np.flatnonzero(lengths != lengths[:1])).size:
            row = int(odd[0]) // int(np.prod(shape, dtype=int))
            raise DataError(f"has {lengths[odd[0]]} entries, row 0 has {lengths[0]}", field=name, row=row)
        shape.append(int(lengths[0]) if len(lengths) else 0)
        column = column.flatten()
        if column.null_count:
            row = int(np.flatnonzero(column.is_null())[0]) // int(np.prod(shape, dtype=int))
            raise DataError("has an empty entry", field=name, row=row)
    number = types.is_integer(column.type) or types.is_floating(column.type) or types.is_boolean(column.type)
    text = types.is_string(column.type) or types.is_large_string(column.type) or types.is_string_view(column.type)
    time = types.is_timestamp(column.type) or types.is_date(column.type) or types.is_duration(column.type)
    label = name == "episode" or name.lower() in TIMES
    if not number and not (label and (text or (time and name != "episode"))):
        raise DataError(f"holds {column.type}, not numbers", field=name)
    value = np.array(column.to_pylist(), str) if text else column.to_numpy(zero_copy_only=False)
    return value.reshape(rows, *shape)


def _cells(arrow: Any, value: Any) -> Any:
    """One cell a row: a number, or a list of fixed length."""
    value = np.asarray(value)
    if value.ndim == 1:
        return arrow.array(value)
    flat = value.reshape(len(value), -1)
    return arrow.FixedSizeListArray.from_arrays(arrow.array(flat.reshape(-1)), flat.shape[1])


def _stored(text: bytes) -> tuple[Card, tuple[int, ...]]:
    try:
        about = json.loads(text)
        return card_from_json(about["card"]), tuple(int(size) for size in about["observation_shape"])
    except (KeyError, TypeError) as error:
        raise DataError(f"is not what this Extremal writes: {error}", field="schema metadata 'extremal'") from error
