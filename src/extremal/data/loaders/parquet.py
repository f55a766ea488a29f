"""`parquet:PATH`: one row a step, with an `episode` column where known.

`observation`, `next_observation` and `action` are columns of lists of one length, or one column a feature:
`observation_0`, `observation_1`, ...
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from extremal.core.errors import DataError, require
from extremal.data.dataset import Card, Dataset
from extremal.data.invariants import same_rows
from extremal.data.loaders.files import check_size, existing, reading, recipe, replacing
from extremal.data.loaders.npz import card_from_json, card_to_json
from extremal.data.loaders.table import dataset_of, wanted

_KEY = b"extremal"  # of the schema's metadata: the card and the shapes of files that Extremal wrote
_FEATURE = re.compile(r"(observation|next_observation|action)_(\d+)")


def load_parquet(path: str | Path) -> Dataset:
    """The table at `path`.

    Raises:
        DataError: damage, a missing or misnamed column, empty cells, lists of different lengths, and what
            `Dataset.from_rows` refuses.
        MissingExtraError: pyarrow is not installed.
    """
    parquet = require("pyarrow.parquet", extra="formats", purpose="reading Parquet files")
    file = existing(path, ".parquet", ".pq")
    with reading(path, kind="Parquet"), parquet.ParquetFile(file) as source:
        features = _features(source.schema_arrow.names)
        names = wanted(features)
        table = _read(source, [column for name in names for column in features[name]])
        columns = {name: _joined(table, features[name]) for name in names}
        rows = same_rows(columns)
        stored = (table.schema.metadata or {}).get(_KEY)
        if stored is None:
            return dataset_of(columns, Card(name=file.stem, recipe=recipe("parquet", file)))
        card, shape = _stored(stored)
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


def _features(names: list[str]) -> dict[str, list[str]]:
    """Columns of each field: itself, or one a feature in the order of their numbers."""
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
    return found


def _read(source: Any, columns: list[str]) -> Any:
    """The table, piece by piece, given up where it outgrows this machine: a few bytes of Parquet may stand for any length."""
    arrow = require("pyarrow", extra="formats", purpose="reading Parquet files")
    pieces, size = [], 0
    for piece in source.iter_batches(columns=columns, use_threads=False):
        size += piece.nbytes
        check_size((size,), np.dtype(np.uint8), "all columns")
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
    plain = types.is_integer(column.type) or types.is_floating(column.type) or types.is_boolean(column.type)
    if not plain and not (name == "episode" and types.is_string(column.type)):
        raise DataError(f"holds {column.type}, not numbers", field=name)
    value = np.array(column.to_pylist(), str) if types.is_string(column.type) else column.to_numpy(zero_copy_only=False)
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
