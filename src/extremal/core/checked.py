"""Values against the types that their fields declare: plain ones, a few words to choose from, and numbers within a range."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from functools import cache
from typing import Annotated, Any, Literal

import jax
import numpy as np
from jax.core import Tracer

from extremal.core.errors import ConfigError
from extremal.core.ranges import Range

_PLAIN = (bool, int, float, str, type(None))


class Checked:
    """A record whose plain fields are checked when it is made, and not when JAX takes it apart and puts it together.

    NumPy's numbers become Python's, and whole numbers in a float's field floats. What a compiled program is traced with is
    not known yet, and passes.
    """

    def __post_init__(self) -> None:
        for name, hint in _checkable(type(self)).items():
            given = getattr(self, name)
            value = admitted(f"{type(self).__name__} setting {name!r}", given, hint)
            if value is not given:
                object.__setattr__(self, name, value)


def admitted(name: str, value: Any, hint: Any, *, bits: Literal[32, 64] = 32) -> Any:
    """`value`, as a Python number where it is one, if the type `hint` has it.

    Args:
        bits: of the real numbers that are computed with.

    Raises:
        ConfigError: it is of another type, out of range, or leaves its range in so many bits.
    """
    if isinstance(value, Tracer):
        return value
    single = isinstance(value, np.generic | np.ndarray | jax.Array) and np.ndim(value) == 0
    plain: Any = value.item() if single else value
    for member in members(hint):
        kind, within = parts(member)
        if not isinstance(kind, type):  # a word to choose
            if plain == kind and type(plain) is type(kind):
                return plain
        elif isinstance(plain, bool) or kind is bool:
            if kind is bool and isinstance(plain, bool):
                return plain
        elif isinstance(plain, (int, float) if kind is float else kind):
            if within is None:
                return plain
            if plain in within:
                return _computable(name, kind(plain), within, bits)
    raise ConfigError(f"{name} is {value!r}, expected {describe(hint)}")


def _computable(name: str, value: Any, within: Range, bits: int) -> Any:
    """`value`, if it stays within its range where programs compute with it: in so many bits, and with 0 for subnormal numbers."""
    if isinstance(value, int):
        if value < 2**31 or within.at_most < math.inf:
            return value
        raise ConfigError(f"{name} is {value}, which is more than 32 bits hold; expected {_described(int, within)}")
    real = np.float32 if bits == 32 else np.float64
    with np.errstate(over="ignore", under="ignore"):
        rounded = float(real(value))
    if abs(rounded) < np.finfo(real).tiny:
        rounded = 0.0
    if rounded in within:
        return value
    raise ConfigError(f"{name} is {value!r}, in {bits} bits {rounded!r}; expected {_described(float, within)}")


def describe(hint: Any) -> str:
    """A type as a user reads it: `float above 0, or none`, `'constant' or 'cosine'`."""
    kinds = [_described(*parts(member)) for member in members(hint)]
    return (", or " if any(" " in kind for kind in kinds) else " or ").join(kinds)


def bounds(hint: Any) -> str:
    """The range of a type's numbers as a sentence, `Above 0.`; empty where there is none."""
    ranges = [str(within) for within in (parts(member)[1] for member in members(hint)) if within is not None]
    return " ".join(f"{text[0].upper()}{text[1:]}." for text in ranges if text)


def _described(kind: Any, within: Range | None) -> str:
    if not isinstance(kind, type):
        return repr(kind)
    name = "none" if kind is type(None) else kind.__name__
    return f"{name} {within}" if within is not None and str(within) else f"finite {name}" if within else name


def members(hint: Any) -> tuple[Any, ...]:
    """The alternatives of a type: classes, numbers with a range, and the values of a `Literal`."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return tuple(m for part in typing.get_args(hint) for m in members(part))
    return typing.get_args(hint) if typing.get_origin(hint) is Literal else (hint,)


def parts(member: Any) -> tuple[Any, Range | None]:
    """The class, or the value, of one alternative, and its range where it has one."""
    if typing.get_origin(member) is not Annotated:
        return member, None
    return typing.get_args(member)[0], next((x for x in typing.get_args(member)[1:] if isinstance(x, Range)), None)


@cache
def declared(cls: type) -> dict[str, Any]:
    """The type of each field of a dataclass, by name, in order, with its range."""
    hints = typing.get_type_hints(cls, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}


@cache
def _checkable(cls: type) -> dict[str, Any]:
    """Of those, the ones that are made of plain values alone."""
    plain = lambda kind: kind in _PLAIN if isinstance(kind, type) else isinstance(kind, _PLAIN)  # noqa: E731
    return {n: hint for n, hint in declared(cls).items() if all(plain(parts(m)[0]) for m in members(hint))}
