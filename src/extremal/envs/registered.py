"""Environments that Gymnasium's registry knows: found by id, and made with arguments that they take."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from extremal.core.errors import ConfigError, nearest
from extremal.envs.naming import ENTRY_POINT, LIMIT

if TYPE_CHECKING:
    import gymnasium
    from gymnasium.envs.registration import EnvSpec


def specification(id: str) -> EnvSpec | None:
    """The registry's entry for `id`, or None; Gymnasium-Robotics' ids are looked for where it is installed."""
    import gymnasium

    if id not in gymnasium.registry and importlib.util.find_spec("gymnasium_robotics") is not None:
        importlib.import_module("gymnasium_robotics")  # registers its ids
    return gymnasium.registry.get(id)


def root(entry_point: Any) -> str:
    """The package of what makes an environment, given as 'package.module:Class' or as the function itself."""
    where = entry_point if isinstance(entry_point, str) else getattr(entry_point, "__module__", None) or ""
    return where.partition(":")[0].partition(".")[0]


def load(module: str, environment: str, *, imports: bool) -> None:
    """Import `module`, which registers ids with Gymnasium.

    Raises:
        ConfigError: it is not there, it raises, or it may not be imported and was not before.
    """
    if module in sys.modules:
        return
    if not imports:
        raise ConfigError(
            f"the environment {environment!r} stands in a file of data and names a module, which is imported only where you say so: "
            f"--environment '{environment}'"
        )
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        where = "; where it lies in this folder, set PYTHONPATH=." if error.name == module else ""
        raise ConfigError(
            f"the environment {environment!r} needs the module {error.name!r}, which is not there{where}"
        ) from error
    except Exception as error:
        raise ConfigError(
            f"the environment {environment!r}: importing {module!r} raised {type(error).__name__}: {error}"
        ) from error


def make(id: str, arguments: Mapping[str, Any], environment: str, *, known: Iterable[str]) -> gymnasium.Env:
    """The environment that is registered as `id`; `environment` is its whole name, for messages, and `known` are other names.

    Raises:
        ConfigError: no such id, an argument that it does not take, or whatever its making raises.
    """
    import gymnasium

    if (spec := specification(id)) is None:
        robotics = importlib.util.find_spec("gymnasium_robotics") is not None
        hint = "" if robotics else "; more are known with Gymnasium-Robotics: pip install 'extremal[robotics]'"
        own = f"; where a module of yours registers it, name that, too: --environment MODULE:{id}"
        raise ConfigError(f"{nearest(id, [*known, *gymnasium.registry], kind='environment')}{hint}{own}")
    own = dict(arguments)
    if (entry := own.pop(ENTRY_POINT, None)) is not None and root(entry) != root(spec.entry_point):
        raise ConfigError(
            f"the data were made in an environment {id!r} of {entry}, which a file names and which is never imported; here {id!r} "
            f"is of {root(spec.entry_point)}; name the one to evaluate in: --environment ID"
        )
    limit = {LIMIT: own.pop(LIMIT) or -1} if LIMIT in own else {}  # Gymnasium's -1: none
    takes: Mapping[str, inspect.Parameter] = {}
    try:
        takes = _parameters(spec)
        _check(own, takes, id)
        return gymnasium.make(spec, disable_env_checker=True, **limit, **own)
    except ConfigError:
        raise
    except Exception as error:  # whatever a constructor raises on arguments that it does not like
        odd = [name for name in own if f"unexpected keyword argument '{name}'" in str(error)]
        if odd:
            raise ConfigError(_takes_no(id, odd[0], takes)) from error
        raise ConfigError(f"Gymnasium cannot make the environment {environment!r}: {error}") from error


def _parameters(spec: EnvSpec) -> Mapping[str, inspect.Parameter]:
    """Those of the function or class that makes it."""
    from gymnasium.envs.registration import load_env_creator

    creator = load_env_creator(spec.entry_point) if isinstance(spec.entry_point, str) else spec.entry_point
    try:
        return inspect.signature(creator).parameters if creator is not None else {}
    except (TypeError, ValueError):
        return {}


def _check(arguments: Mapping[str, Any], takes: Mapping[str, inspect.Parameter], id: str) -> None:
    """Each argument is one of `takes`, and no text where a number is expected."""
    open_ended = not takes or any(p.kind is p.VAR_KEYWORD for p in takes.values())
    for name, value in arguments.items():
        if name not in takes:
            if open_ended:
                continue
            raise ConfigError(_takes_no(id, name, takes))
        default = takes[name].default
        flag = isinstance(default, bool)
        number = isinstance(default, int | float) and not flag
        if (isinstance(value, str) and (number or flag)) or (isinstance(value, bool) and number):
            raise ConfigError(f"the environment {id!r}: '{name}' is {value!r}, where a value like {default} stands")


def _takes_no(id: str, name: str, takes: Mapping[str, inspect.Parameter]) -> str:
    named = [p.name for p in takes.values() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    return f"the environment {id!r} takes no argument '{name}'; it takes {', '.join([*named, LIMIT])}"
