"""Records: frozen, keyword-only dataclasses that are pytrees. Hyperparameters, networks and data are all records."""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, dataclass_transform

import jax

T = TypeVar("T")


def static(*, default: Any = dataclasses.MISSING, compare: bool = True) -> Any:
    """A field that shapes the program: it joins the tree structure, must be hashable, and a new value recompiles.

    Args:
        compare: whether records that differ in it alone are unequal.
    """
    return dataclasses.field(default=default, compare=compare, metadata={"static": True})


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
    made: Any = dataclasses.dataclass(frozen=True, kw_only=True)(cls)
    names, shapes = [field.name for field in dataclasses.fields(made)], static_fields(made)
    children, others = tuple(n for n in names if n not in shapes), tuple(n for n in names if n in shapes)
    keys = tuple(map(jax.tree_util.GetAttrKey, children))
    read, about = _reader(children), _reader(others)
    # Not `register_dataclass`: with it, trees of two classes are equal where they have as many children (jaxlib 0.10.2), and now
    # and then a call with the one runs what was compiled for the other.
    jax.tree_util.register_pytree_with_keys(
        made,
        lambda one: (zip(keys, read(one), strict=True), about(one)),
        lambda aux, leaves: _rebuilt(made, (*zip(children, leaves, strict=True), *zip(others, aux, strict=True))),
        lambda one: (read(one), about(one)),
    )
    return made


def _rebuilt(cls: type[T], fields: Iterable[tuple[str, Any]]) -> T:
    """A record that JAX puts together again, maybe of what is no number yet: checks are for what a user makes."""
    one = object.__new__(cls)
    vars(one).update(fields)
    return one


def _reader(names: tuple[str, ...]) -> Callable[[Any], tuple[Any, ...]]:
    """What has these names in an object, as a tuple."""
    if len(names) > 1:
        return operator.attrgetter(*names)
    return (lambda one: (getattr(one, names[0]),)) if names else lambda one: ()


def static_fields(cls: type) -> frozenset[str]:
    """Names of the fields of a record that shape the program."""
    return frozenset(f.name for f in dataclasses.fields(cls) if f.metadata.get("static"))
