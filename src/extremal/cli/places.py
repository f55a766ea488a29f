"""Placeholders for the values of options, as help shows them: `--dataset ID`, `--holdout SHARE`, `--updates N`."""

from __future__ import annotations

import dataclasses
import types
import typing
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from tyro.conf import arg

T = TypeVar("T", bound=type)

_BY_NAME = {
    "dataset": "ID",
    "datasets": "ID",
    "id": "ID",
    "environment": "ENVIRONMENT",
    "holdout": "SHARE",
    "methods": "METHOD",
    "target_return": "RETURN",
    "title": "TEXT",
}
_BY_TYPE = {int: "N", float: "NUMBER", Path: "PATH"}


def named(command: T) -> T:
    """A command whose options' places are named, each that has no name of its own by what it is called or by its type."""
    hints = typing.get_type_hints(command, include_extras=True)
    for field in dataclasses.fields(command):
        plain, *notes = typing.get_args(hints[field.name]) if _annotated(hints[field.name]) else (hints[field.name],)
        if any(getattr(note, "metavar", None) for note in notes):
            continue
        if place := _place(field.name, plain, field.default):
            command.__annotations__[field.name] = Annotated[hints[field.name], arg(metavar=place)]
    return command


def _place(name: str, hint: Any, default: Any) -> str | None:
    """None where it is best as it is: a switch, or a list of words to choose from."""
    members = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    kinds = [member for member in members if member is not types.NoneType]
    if len(kinds) != 1 or kinds[0] is bool or typing.get_origin(kinds[0]) is Literal:
        return None
    if typing.get_origin(kinds[0]) is tuple:
        each = _place(name, typing.get_args(kinds[0])[0], default[0] if default else None)
        return each and f"{each}..."
    place = _BY_NAME.get(name) or _BY_TYPE.get(kinds[0]) or name.upper()
    return f"{place}|None" if len(members) > 1 and default not in (None, dataclasses.MISSING) else place


def _annotated(hint: Any) -> bool:
    return typing.get_origin(hint) is Annotated
