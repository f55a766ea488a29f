"""Records: frozen, keyword-only dataclasses that are pytrees. Hyperparameters, networks and data are all records."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar, dataclass_transform

import jax

T = TypeVar("T")


def static(*, default: Any = dataclasses.MISSING) -> Any:
    """A field that shapes the program: it joins the tree structure, must be hashable, and a new value recompiles."""
    return dataclasses.field(default=default, metadata={"static": True})


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(static, dataclasses.field))
def record(cls: type[T]) -> type[T]:
    """Make `cls` a frozen, keyword-only dataclass and a pytree; fields not marked `static()` are its children.

    Floats are children, so they can be batched by `vmap` and never recompile.

    >>> @record
    ... class Point:
    ...     x: float
    ...     name: str = static(default="p")
    >>> jax.tree.map(lambda x: 2 * x, Point(x=1.5))
    Point(x=3.0, name='p')
    """
    return jax.tree_util.register_dataclass(dataclasses.dataclass(frozen=True, kw_only=True)(cls))


def static_fields(cls: type) -> frozenset[str]:
    """Names of the fields of a record that shape the program."""
    return frozenset(f.name for f in dataclasses.fields(cls) if f.metadata.get("static"))
