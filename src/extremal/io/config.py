"""Settings as plain data and back: what a run was made with is what it is read with."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import textwrap
import types
import typing
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal

from extremal.core.errors import ConfigError, nearest
from extremal.core.record import static_fields


def to_json(settings: Any) -> dict[str, Any]:
    """The fields of a flat settings record as JSON values."""
    return {f.name: getattr(settings, f.name) for f in dataclasses.fields(settings)}


def from_json(default: Any, values: Mapping[str, Any]) -> Any:
    """`default` with `values` put in, each checked against the field's type.

    Raises:
        ConfigError: an unknown field (with the nearest names), or a value of the wrong type.
    """
    hints = field_types(type(default))
    for name, value in values.items():
        if name not in hints:
            raise nearest(name, hints, kind=f"{type(default).__name__} setting")
        if not _fits(value, hints[name]):
            raise ConfigError(
                f"{type(default).__name__} setting {name!r} is {value!r}, expected {describe(hints[name])}"
            )
    cast = {n: float(v) if float in _members(hints[n]) and v is not None else v for n, v in values.items()}
    return dataclasses.replace(default, **cast)


def sweepable(cls: type) -> tuple[str, ...]:
    """Fields that may take several values in one compiled program: the floats."""
    return tuple(name for name in field_types(cls) if name not in static_fields(cls))


@cache
def field_types(cls: type) -> dict[str, Any]:
    """The type of each field, by name, in order."""
    hints = typing.get_type_hints(cls)
    return {f.name: hints[f.name] for f in dataclasses.fields(cls)}


@cache
def field_docs(cls: type) -> dict[str, str]:
    """What stands under each field in the source of the record and its bases; for `--help` and the docs."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if not dataclasses.is_dataclass(base):
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0]
        assert isinstance(body, ast.ClassDef)
        for field, text in itertools.pairwise(body.body):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(field.target, ast.Name)
                and isinstance(text, ast.Expr)
                and isinstance(text.value, ast.Constant)
            ):
                found[field.target.id] = " ".join(str(text.value.value).split())
    return found


def describe(hint: Any) -> str:
    """A type as a user reads it: `float`, `float or none`, `'constant' or 'cosine'`."""
    return " or ".join(
        "none" if m is type(None) else m.__name__ if isinstance(m, type) else repr(m) for m in _members(hint)
    )


def _members(hint: Any) -> tuple[Any, ...]:
    """The alternatives of a field's type: classes, and the values of a `Literal`."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return tuple(m for part in typing.get_args(hint) for m in _members(part))
    return typing.get_args(hint) if typing.get_origin(hint) is Literal else (hint,)


def _fits(value: Any, hint: Any) -> bool:
    for member in _members(hint):
        if not isinstance(member, type):
            if value == member:
                return True
        elif member is bool or isinstance(value, bool):
            if member is bool and isinstance(value, bool):
                return True
        elif isinstance(value, (int, float) if member is float else member):
            return True
    return False
