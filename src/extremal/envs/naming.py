"""Names of environments with arguments: one line of text that says all of it, as a command line and config.json carry it.

    Pendulum-v1?g=1.0&max_episode_steps=50&wrap=RescaleAction(min_action=-1.0,max_action=1.0)

Before the `?` stands an id; after it arguments of the environment, parted by `&`, and wrappers of Gymnasium, the innermost
first. A value is a number, `true`, `false`, `none`, `inf`, a list in brackets, a dictionary in braces, or text; text that looks
like one of these stands in quotes, and `%26` is `&`, `%25` is `%`.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from extremal.core.errors import ConfigError

LIMIT = "max_episode_steps"  # an argument of every environment: steps until an episode is cut; none: no limit
ENTRY_POINT = "entry_point"  # an argument that only files say: what made the environment there; never imported
MADE_IN_PYTHON = "python:"  # stands before the name of a function that made the environment
_WORDS = {"true": True, "false": False, "none": None, "null": None, "inf": math.inf, "infinity": math.inf}


@dataclass(frozen=True)
class Wrapper:
    """A wrapper around an environment, by name."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.name}({','.join(f'{key}={_literal(value)}' for key, value in self.arguments.items())})"


@dataclass(frozen=True)
class Environment:
    """An id, the arguments that it is made with, and the wrappers around it from the inside out.

    >>> Environment("Pendulum-v1", {"g": 1.0}, (Wrapper("ClipAction"),))
    Environment('Pendulum-v1?g=1.0&wrap=ClipAction()')
    """

    id: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    wrappers: tuple[Wrapper, ...] = ()

    def __str__(self) -> str:
        parts = [f"{key}={_escaped(_text(value))}" for key, value in self.arguments.items()]
        parts += [f"wrap={_escaped(str(wrapper))}" for wrapper in self.wrappers]
        return f"{self.id}?{'&'.join(parts)}" if parts else self.id

    def __repr__(self) -> str:
        return f"Environment({str(self)!r})"


def parsed(text: str) -> Environment:
    """The environment that `text` names.

    >>> parsed("Hopper-v5?healthy_z_range=[0.7,inf]&xml_file=hopper.xml").arguments
    {'healthy_z_range': [0.7, inf], 'xml_file': 'hopper.xml'}

    Raises:
        ConfigError: it cannot be read; says which part.
    """
    id, mark, rest = text.partition("?")
    arguments: dict[str, Any] = {}
    wrappers: list[Wrapper] = []
    for part in rest.split("&") if mark else ():
        key, equals, value = (unquote(piece).strip() for piece in part.partition("="))
        if not equals or not value or not key.isidentifier():
            raise ConfigError(f"environment {text!r}: {part!r} is no argument; write {id}?name=value&other=value")
        if key == "wrap":
            wrappers.append(_wrapper(text, value))
        elif key in arguments:
            raise ConfigError(f"environment {text!r}: the argument '{key}' is there twice")
        else:
            arguments[key] = _value(text, key, value)
    if arguments.get(LIMIT, 1) is not None and not _is_count(arguments.get(LIMIT, 1)):
        raise ConfigError(f"environment {text!r}: {LIMIT} is a whole number of at least 1, or none for no limit")
    return Environment(id, arguments, tuple(wrappers))


def name_of(make: Any) -> str:
    """How config.json calls an environment that the function `make` makes."""
    module, name = getattr(make, "__module__", None), getattr(make, "__qualname__", None)
    return f"{MADE_IN_PYTHON}{module}.{name}" if module and name else f"{MADE_IN_PYTHON}{type(make).__qualname__}"


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


# ---- reading -----------------------------------------------------------------------------------------------------------


def _value(name: str, key: str, text: str) -> Any:
    try:
        node = ast.parse(text, mode="eval").body
        if isinstance(node, ast.Tuple) and not text.startswith("("):
            raise ValueError("several values; a list stands in brackets")
        return _plain(node)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        if not re.match(r"[\[({'\"]|[-+.\d]+,[-+.,\d]*$", text):
            return text  # neither in brackets or quotes nor several numbers: text as it is
        why = "it is neither a number, a list nor text" if isinstance(error, SyntaxError) else str(error)
        raise ConfigError(
            f"environment {name!r}: the value {text!r} of '{key}' cannot be read: {why}; text stands in quotes"
        ) from error


def _wrapper(name: str, text: str) -> Wrapper:
    try:
        node = ast.parse(text, mode="eval").body
        call = node if isinstance(node, ast.Call) else ast.Call(node, [], [])
        if call.args or any(keyword.arg is None for keyword in call.keywords):
            raise ValueError("arguments of a wrapper have names")
        return Wrapper(ast.unparse(call.func), {str(k.arg): _plain(k.value) for k in call.keywords})
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ConfigError(
            f"environment {name!r}: the wrapper {text!r} cannot be read ({error}); "
            "write wrap=RescaleAction(min_action=-1.0,max_action=1.0)"
        ) from error


def _plain(node: ast.expr) -> Any:
    """The value of a literal; names other than those of `_WORDS` and calls are none."""
    match node:
        case ast.Constant(value=bool() | int() | float() | str() | None as value):
            return value
        case ast.Name(id=word) if word.lower() in _WORDS:
            return _WORDS[word.lower()]
        case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=operand):
            value = _plain(operand)
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ValueError("a sign stands before a number")
            return -value if isinstance(sign, ast.USub) else value
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return [_plain(item) for item in items]
        case ast.Dict(keys=keys, values=values):
            read = [_plain(key) if key is not None else None for key in keys]
            if not all(isinstance(key, str) for key in read):
                raise ValueError("keys of a dictionary are text")
            return dict(zip(read, (_plain(value) for value in values), strict=True))
    raise ValueError(f"{ast.unparse(node)!r} is neither a number, true, false, none, a list nor text in quotes")


# ---- writing -----------------------------------------------------------------------------------------------------------


def _text(value: Any) -> str:
    """`value` as an argument's value: text without quotes where it reads back as itself."""
    if isinstance(value, str):
        try:
            if value == value.strip() and value and _value("", "", value) == value:
                return value
        except ConfigError:
            pass
    return _literal(value)


def _literal(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_literal, value))}]"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{_quoted(str(k))}:{_literal(v)}" for k, v in value.items()) + "}"
    return _quoted(value) if isinstance(value, str) else repr(value)


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("&", "%26")


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
