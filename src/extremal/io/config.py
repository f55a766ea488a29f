"""Settings as plain data and back: what a run was made with is what it is read with."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import textwrap
import typing
from collections.abc import Mapping
from functools import cache
from typing import Any

from extremal.core.checked import admitted, declared
from extremal.core.errors import nearest
from extremal.core.record import static_fields


def to_json(settings: Any) -> dict[str, Any]:
    """The fields of a flat settings record as JSON values."""
    return {f.name: getattr(settings, f.name) for f in dataclasses.fields(settings)}


def from_json(default: Any, values: Mapping[str, Any]) -> Any:
    """`default` with `values` put in, each checked against the field's type and range.

    Raises:
        ConfigError: an unknown field (with the nearest names), or a value of the wrong type or out of range.
    """
    hints, kind = declared(type(default)), f"{type(default).__name__} setting"
    for name in values:
        if name not in hints:
            raise nearest(name, hints, kind=kind)
    good = {name: admitted(f"{kind} {name!r}", value, hints[name]) for name, value in values.items()}
    return dataclasses.replace(default, **good)


def sweepable(cls: type) -> tuple[str, ...]:
    """Fields that may take several values in one compiled program: the floats."""
    return tuple(name for name in field_types(cls) if name not in static_fields(cls))


@cache
def field_types(cls: type) -> dict[str, Any]:
    """The type of each field, by name, in order; ranges left out."""
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
