"""One family of exceptions. Each message says what was wrong, where, and what to do.

ExtremalError
├── DataError          logged data that would make training wrong: file, field, row
├── SpecError          a method cannot take these observations or actions
├── ConfigError        an unknown name or an impossible value in settings, ids or flags
├── RunError           a run directory that exists, is damaged, or belongs to other settings; a file that cannot be written
├── DivergedError      every replica of a run left the finite numbers
├── SimulatorError     a simulator raised or died
├── PeerError          a program of `extremal bench` could not be installed, raised or died
└── MissingExtraError  an optional package is needed; says which extra installs it

`Stopped` is none of them: like the KeyboardInterrupt that it is, it ends the program.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from types import ModuleType

_IN_A_LINE, _IN_A_COLUMN = 8, 24  # known names that an error lists


class ExtremalError(Exception):
    """Base of all errors that Extremal raises on purpose."""


class DataError(ExtremalError, ValueError):
    """Logged data that would make training wrong; `file`, `field` and `row` say where."""

    def __init__(self, what: str, *, file: object = None, field: str | None = None, row: int | None = None):
        self.what, self.file, self.field, self.row = what, file, field, row
        where = [
            *([f"file {file}"] if file is not None else []),
            *([f"field '{field}'"] if field is not None else []),
            *([f"row {row}"] if row is not None else []),
        ]
        super().__init__(f"{', '.join(where)}: {what}" if where else what)

    def within(self, file: object) -> DataError:
        """The same error, told of `file`."""
        return DataError(self.what, file=self.file or file, field=self.field, row=self.row)


class SpecError(ExtremalError, ValueError):
    """A method cannot take these observations or actions."""


class ConfigError(ExtremalError, ValueError):
    """An unknown name or an impossible value in settings, ids or flags."""


class RunError(ExtremalError):
    """A run directory that exists already, is damaged, or belongs to other settings; or a file that cannot be written."""


class DivergedError(ExtremalError, ArithmeticError):
    """Every replica of a run left the finite numbers."""


class SimulatorError(ExtremalError, RuntimeError):
    """A simulator raised or died."""


class PeerError(ExtremalError, RuntimeError):
    """A program that is measured beside Extremal could not be installed, raised or died."""


class MissingExtraError(ExtremalError, ImportError):
    """An optional package is needed."""


class Stopped(KeyboardInterrupt):
    """A signal other than Ctrl-C asked the program to end, and what was under way is saved; `signal` is its number."""

    def __init__(self, signal: int):
        self.signal = int(signal)
        super().__init__(f"signal {self.signal}")


def nearest(name: str, known: Iterable[str], *, kind: str, listing: str | None = None) -> ConfigError:
    """The error for an unknown `name`: names the closest known ones, or those that it is part of, or all; many of them in a column.

    Args:
        listing: the command that lists them all.

    >>> nearest("xqll", ["xql", "iql", "bc"], kind="method").args[0]
    "unknown method 'xqll'; did you mean 'xql', 'iql'?"
    """
    by_case: dict[str, str] = {}
    for one in sorted(known):
        by_case.setdefault(one.lower(), one)
    close = [by_case[one] for one in difflib.get_close_matches(name.lower(), by_case, n=3, cutoff=0.5)]
    if close:
        return ConfigError(f"unknown {kind} {name!r}; did you mean {', '.join(map(repr, close))}?")
    holding = [one for lower, one in by_case.items() if name and name.lower() in lower]
    names = holding or list(by_case.values())
    heading = f"unknown {kind} {name!r}; {'with it in their names' if holding else 'known'}:"
    if len(names) <= _IN_A_LINE:
        return ConfigError(f"{heading} {', '.join(names)}")
    more = [f"... and {len(names) - _IN_A_COLUMN} more"] if len(names) > _IN_A_COLUMN else []
    listed = [f"`{listing}` lists them all"] if listing else []
    return ConfigError("\n  ".join([heading, *names[:_IN_A_COLUMN], *([", ".join(more + listed)] if more else [])]))


def require(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import an optional `module`, or say which extra brings it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.split(".")[0]
        raise MissingExtraError(f"{purpose} needs the package '{package}': pip install 'extremal[{extra}]'") from error
