"""Declarations of actions on a card: a finite range with two ends for each entry, or a number of choices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from extremal.core.errors import DataError

_LARGEST = float(np.finfo(np.float32).max)


def declared_range(low: Any, high: Any) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None]:
    """Both bounds as plain floats, one an entry of an action; or None and None.

    Args:
        low, high: tuples, lists or one-dimensional arrays of numbers; None where nothing is declared.

    Raises:
        DataError: one bound without the other, other types or shapes, numbers that are not finite in float32, and an entry whose
            lower bound is not below its upper one.
    """
    if low is None and high is None:
        return None, None
    if low is None or high is None:
        alone, other = ("action_low", "action_high") if high is None else ("action_high", "action_low")
        raise DataError(f"is declared without '{other}'; declare both, or neither", field=alone)
    below, above = _plain(low, "action_low"), _plain(high, "action_high")
    if len(below) != len(above):
        raise DataError(f"has {len(above)} entries, 'action_low' has {len(below)}", field="action_high")
    for entry, (least, most) in enumerate(zip(below, above, strict=True)):
        if not np.float32(least) < np.float32(most):
            raise DataError(
                f"entry {entry} is {least:g}, and 'action_high' is {most:g} there; the lower bound must lie below the upper "
                "one: put them right, or leave both out, and the range is read from the data",
                field="action_low",
            )
    return below, above


def declared_count(actions: Any, *, bounded: bool) -> int | None:
    """The number of discrete actions as an int; None where actions are continuous.

    Raises:
        DataError: it is not a whole number from 1 on, or a range is declared beside it (`bounded`).
    """
    if actions is None:
        return None
    if isinstance(actions, bool) or not isinstance(actions, int | np.integer) or actions < 1:
        raise DataError(f"is {actions!r}; the number of discrete actions is a whole number from 1 on", field="actions")
    if bounded:
        raise DataError(
            f"declares {actions} discrete actions, and the card a range too; actions are one or the other: leave out 'actions', "
            "or both 'action_low' and 'action_high'",
            field="actions",
        )
    return int(actions)


def _plain(value: Any, name: str) -> tuple[float, ...]:
    try:
        array = np.asarray(list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value)
    except (TypeError, ValueError):
        array = np.asarray(None)
    if array.dtype.kind not in "iuf" or array.ndim != 1 or not array.size:
        raise DataError(
            f"is {str(value)[:60]}; expected one number for each entry of an action, like (-1.0, -1.0)", field=name
        )
    plain = tuple(array.astype(np.float64).tolist())
    for entry, bound in enumerate(plain):
        if not abs(bound) <= _LARGEST:
            raise DataError(
                f"entry {entry} is {bound:g}; a bound is a finite number that float32 can hold. Where actions have no bounds, "
                "leave out both, and the range is read from the data",
                field=name,
            )
    return plain
