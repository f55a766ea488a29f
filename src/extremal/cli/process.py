"""A process that is one command: how signals, a closed pipe, an old terminal and other people's warnings are dealt with."""

from __future__ import annotations

import codecs
import contextlib
import gc
import io
import os
import signal
import sys
import unicodedata
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from extremal.core.errors import Stopped

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PACKAGE = str(Path(__file__).parents[1])
_PLAIN = {"–": "-", "—": "-", "−": "-", "…": "...", "×": "x", "·": ".", "•": "*", "±": "+-", "²": "^2"}
_PLAIN |= {"≤": "<=", "≥": ">=", "→": "->", "∞": "inf", "✓": "+", **dict(zip("▁▂▃▄▅▆▇█", "_.-:=+*#", strict=True))}


@contextmanager
def of_its_own() -> Iterator[None]:
    """The process is this command's own, from here to its end."""
    gc.set_threshold(
        50_000
    )  # modules and programs are made of objects that stay; to look for garbage among them took 0.2 s of a start
    heard = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]  # under nohup, one is not
    for number in heard:
        signal.signal(number, _stop)
    sys.unraisablehook = _unraisable
    _tell_if_possible()
    _spell_out()
    if not sys.warnoptions:  # else the user has said which are shown
        warnings.showwarning = _show
    try:
        with _readers():
            yield
    finally:
        for number in heard:  # while Python puts its things away, there is nobody left to hear of an interruption
            signal.signal(number, signal.SIG_DFL)


def _stop(number: int, frame: FrameType | None) -> None:
    """An interruption, as an exception; inside an import, which may make any other error of it, the end at once."""
    where = frame
    while where is not None:
        if where.f_code.co_filename.startswith("<frozen importlib"):
            leave(128 + number, "interrupted")
        where = where.f_back
    raise KeyboardInterrupt if number == signal.SIGINT else Stopped(number)


def _unraisable(hook: Any) -> None:
    """An interruption that came where Python has nobody to raise it to, as while it collects garbage."""
    if isinstance(hook.exc_value, KeyboardInterrupt):
        leave(128 + getattr(hook.exc_value, "signal", signal.SIGINT), "interrupted")
    sys.__unraisablehook__(hook)


def leave(code: int, line: str) -> NoReturn:
    """End at once, without Python's own ending: a program that still computes in another thread would crash in it."""
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    with contextlib.suppress(OSError):
        cursor = "\x1b[?25h" if os.isatty(2) and os.environ.get("TERM") != "dumb" else ""  # shown again: bars hide it
        os.write(2, f"{cursor}{line}\n".encode())
    os._exit(code)


@contextmanager
def _readers() -> Iterator[None]:
    """Write out what was printed; where nobody reads it any more (`| head -1`), end as other programs do."""
    try:
        try:
            yield
        finally:
            if sys.stdout is not None:  # closed by `>&-`
                sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # else Python would try again at its end, and complain
        if not isinstance(error, BrokenPipeError):
            print(f"error: the output cannot be written: {error.strerror}", file=sys.stderr)
            raise SystemExit(2) from None
        raise SystemExit(128 + signal.SIGPIPE) from None


class _Unheard(io.FileIO):
    """A file that may be full, or closed at its other end: no work is stopped by what cannot be told."""

    def write(self, b: Any, /) -> int:
        try:
            return super().write(b)
        except OSError:
            return len(b)


def _tell_if_possible() -> None:
    """From here on, what does not fit behind standard error is left out."""
    stream = sys.stderr
    if isinstance(stream, io.TextIOWrapper):
        raw = io.BufferedWriter(_Unheard(stream.fileno(), "w", closefd=False))
        sys.stderr = io.TextIOWrapper(raw, encoding=stream.encoding, errors=stream.errors, write_through=True)


def _spell_out() -> None:
    """Characters that a terminal's encoding lacks are written in ASCII, instead of an error."""
    codecs.register_error("extremal", _spelt)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="extremal")


def _spelt(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    return "".join(map(plain, error.object[error.start : error.end])), error.end


def plain(character: str) -> str:
    """A character in ASCII: dashes and frames by their like, Greek letters by their names, what is unknown as '?'.

    >>> "".join(plain(c) for c in "κ–─│┌é")
    'kappa--|+e'
    """
    if character in _PLAIN:
        return _PLAIN[character]
    name = unicodedata.name(character, "")
    if name.startswith("BOX DRAWINGS"):
        line = {"HORIZONTAL": "-", "VERTICAL": "|"}.get(name.split()[-1], "+")
        return "+" if " AND " in name else line
    if name.startswith("GREEK"):
        return name.split(" LETTER ")[-1].split()[0].lower()
    return unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode() or "?"


def _show(message: Warning | str, category: type[Warning], filename: str, *_: object, **__: object) -> None:
    """Our own warnings, a line each; those of dependencies are for whoever writes programs."""
    ours = filename.startswith(_PACKAGE) and issubclass(category, UserWarning | RuntimeWarning)
    if ours and "WARN: " not in str(message):  # as Gymnasium's begin, on account of whoever calls it
        print(f"warning: {message}", file=sys.stderr)
