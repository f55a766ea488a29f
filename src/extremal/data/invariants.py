"""What must hold of logged arrays. The first thing that does not is named with its field and row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from extremal.core.errors import DataError


def same_rows(fields: Mapping[str, np.ndarray]) -> int:
    """The number of rows that all `fields` share, at least one; 'action' is the measure."""
    rows = len(fields["action"]) if fields["action"].ndim else 0
    for name, value in fields.items():
        if value.ndim == 0 or len(value) != rows:
            raise DataError(f"has {len(value) if value.ndim else 'no'} rows, 'action' has {rows}", field=name)
    if rows == 0:
        raise DataError("there is no row", field="action")
    return rows


def real(name: str, value: Any) -> np.ndarray:
    """The same numbers as float32; a number that float32 cannot hold becomes infinite."""
    value = real_numbers(name, value)
    with np.errstate(over="ignore"):
        return value.astype(np.float32, copy=False)


def observed(name: str, value: Any) -> np.ndarray:
    """Observations [N, ...] as the store keeps them: float32, or float64 where that would round a feature away.

    A feature that varies little about a large number, as a clock or a position may, loses its course in float32; it has to be
    centred first (`NormaliseObservation`).
    """
    value = real_numbers(name, value)
    if value.dtype.kind == "f" and value.dtype.itemsize <= 4:
        return value.astype(np.float32, copy=False)
    if value.ndim >= 2 and value.size and _rounded_away(value.reshape(len(value), -1)):
        return value.astype(np.float64, copy=False)
    return real(name, value)


def _rounded_away(value: np.ndarray) -> bool:
    """Whether float32 tells the values of a feature [N, C] apart by no more than 1 % of its deviation, far from 0."""
    largest = np.abs(value).max(axis=0).astype(np.float64)
    far = np.isfinite(largest) & (largest >= 1e3) & (largest < np.finfo(np.float32).max)
    if not far.any():
        return False
    spacing = np.spacing(largest[far].astype(np.float32)).astype(np.float64)
    deviation = np.std(value[:, far].astype(np.float64) - value[:1, far], axis=0)
    return bool(((deviation > 0.0) & (spacing > 0.01 * deviation)).any())


def finite(name: str, value: np.ndarray) -> np.ndarray:
    """`value` [N, ...] itself, without NaN and infinities."""
    if (bad := first_infinite(value)) is not None:
        raise DataError("is NaN, infinite or too large for float32", field=name, row=bad)
    return value


def first_infinite(value: np.ndarray) -> int | None:
    """The first row of `value` [N, ...] with an entry that is not finite."""
    if np.isfinite(value).all():
        return None
    return int(np.flatnonzero(~np.isfinite(value.reshape(len(value), -1)).all(axis=1))[0])


def whole(name: str, value: Any, count: int) -> np.ndarray:
    """[N] int32 from whole numbers 0 to `count` - 1 of any type and shape [N] or [N, 1]."""
    value = column(name, real_numbers(name, value))
    fits = (value >= 0) & (value < count) & (value == np.floor(value))
    if (odd := np.flatnonzero(~fits)).size:
        raise DataError(
            f"is {value[odd[0]]}, expected a whole number from 0 to {count - 1}", field=name, row=int(odd[0])
        )
    return value.astype(np.int32)


def flag(name: str, value: Any) -> np.ndarray:
    """[N] bool from 0 and 1 of any type and shape [N] or [N, 1]."""
    value = column(name, real_numbers(name, value))
    if (odd := np.flatnonzero((value != 0) & (value != 1))).size:
        raise DataError(f"is {value[odd[0]]}, expected 0 or 1", field=name, row=int(odd[0]))
    return value.astype(bool)


def labels(name: str, value: Any) -> np.ndarray:
    """[N] numbers or strings from shape [N] or [N, 1], each one there."""
    value = column(name, plain(value))
    if value.dtype == object or (value.dtype.kind == "f" and not np.isfinite(value).all()):
        raise DataError("must hold one number or string a row, and no NaN", field=name)
    return value


def contiguous(label: np.ndarray) -> np.ndarray:
    """[N] bool: the last row of each label, in a table where no label comes back after it ended."""
    last = np.append(label[1:] != label[:-1], True)
    begin = np.flatnonzero(np.append(True, last[:-1]))
    _, first = np.unique(label[begin], return_index=True)
    if len(first) < len(begin):
        row = int(begin[np.setdiff1d(np.arange(len(begin)), first)[0]])
        raise DataError(
            f"{label[row]!s} comes back after it ended; sort the rows by episode and time, or give a 'step' column",
            field="episode",
            row=row,
        )
    return last


def check(data: Any) -> None:
    """The invariants of a `Dataset` on the host."""
    rows, episodes = data.action.shape[0], data.starts.shape[0] - 1
    _check_shapes(data, rows, episodes)
    if episodes < 1 or data.starts[0] != 0 or data.starts[-1] != rows or (np.diff(data.starts) < 1).any():
        raise DataError(f"must rise from 0 to {rows} in steps of at least one", field="starts")
    if not np.array_equal(data.slot, np.arange(rows) + np.repeat(np.arange(episodes), np.diff(data.starts))):
        raise DataError("must be the row plus the number of episodes before it", field="slot")
    for name in ("observation", "action", "reward"):
        if (bad := first_infinite(getattr(data, name))) is not None:
            if name == "observation":  # told as a row: the slot less the episodes before it
                episode = int(np.searchsorted(data.starts[:-1] + np.arange(episodes), bad, side="right")) - 1
                bad = min(bad - episode, int(data.starts[episode + 1]) - 1)
            raise DataError("is NaN, infinite or too large for float32", field=name, row=bad)
    _check_ends(data, rows)
    if data.card.actions is not None:
        whole("action", data.action, data.card.actions)


def _check_shapes(data: Any, rows: int, episodes: int) -> None:
    lengths = {"observation": rows + episodes} | dict.fromkeys(("reward", "terminated", "truncated", "slot"), rows)
    for name, length in lengths.items():
        if getattr(data, name).shape[:1] != (length,):
            shape = getattr(data, name).shape
            raise DataError(
                f"has shape {shape}, expected {length} entries ({rows} rows, {episodes} episodes)", field=name
            )
    for name in ("reward", "terminated", "truncated"):
        if getattr(data, name).ndim != 1:
            raise DataError(f"has shape {getattr(data, name).shape}, expected one number a row", field=name)
    if data.observation.dtype not in (np.float32, np.float64):
        raise DataError(f"holds {data.observation.dtype}, expected float32", field="observation")
    types = {"reward": np.float32, "terminated": bool, "truncated": bool, "starts": np.int32}
    types["action"] = np.float32 if data.card.actions is None else np.int32
    for name, expected in types.items():
        if getattr(data, name).dtype != expected:
            raise DataError(f"holds {getattr(data, name).dtype}, expected {np.dtype(expected)}", field=name)
    if data.observation.ndim < 2 or 0 in data.observation.shape[1:]:
        raise DataError(f"has shape {data.observation.shape}, expected [rows, features]", field="observation")
    if data.card.actions is None and (data.action.ndim != 2 or data.action.shape[1] == 0):
        raise DataError(f"has shape {data.action.shape}, expected [rows, action entries]", field="action")
    for name in ("action_low", "action_high"):
        bound = getattr(data.card, name)
        if bound is not None and (len(bound),) != data.action.shape[1:]:
            raise DataError(
                f"the card declares {len(bound)} entries for actions of shape {data.action.shape[1:]}", field=name
            )


def _check_ends(data: Any, rows: int) -> None:
    if (both := np.flatnonzero(data.terminated & data.truncated)).size:
        raise DataError(
            "is set together with 'terminated'; a step ends the MDP or is cut by a limit",
            field="truncated",
            row=int(both[0]),
        )
    inner = np.ones(rows, bool)
    inner[data.starts[1:] - 1] = False
    for name in ("terminated", "truncated"):
        if (odd := np.flatnonzero(getattr(data, name) & inner)).size:
            raise DataError("is set inside an episode; it belongs on the last row", field=name, row=int(odd[0]))


def real_numbers(name: str, value: Any) -> np.ndarray:
    """`value` as an array of numbers or booleans; a column of Python objects is one where each of them is."""
    value = plain(value)
    if value.dtype.kind not in "biuf":
        raise DataError(f"holds {value.dtype}, not real numbers", field=name)
    return value


def plain(value: Any) -> np.ndarray:
    """An array; a column of Python objects (as a data frame keeps strings) at the type that all of them share."""
    value = np.asarray(value)
    if value.dtype != object or value.ndim != 1:
        return value
    for kinds in (str, (bool, np.bool_), (int, np.integer), (float, int, np.floating, np.integer)):
        if all(isinstance(one, kinds) for one in value):
            return np.array(value.tolist())
    return value


def column(name: str, value: Any) -> np.ndarray:
    """[N] from shape [N] or [N, 1]."""
    value = np.asarray(value)
    value = value[:, 0] if value.shape[1:] == (1,) else value
    if value.ndim != 1:
        raise DataError(f"has shape {value.shape}, expected one number a row", field=name)
    return value
