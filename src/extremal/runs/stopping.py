"""Signals that ask a run to end: the chunk under way is finished and saved first."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from extremal.core.errors import Stopped


@contextmanager
def asked_to_stop() -> Iterator[Sequence[int]]:
    """A list that the first signal to end fills with its number; a second one ends at once.

    Ctrl-C, SIGTERM, and SIGHUP, which a closed terminal sends, unless it is ignored (`nohup`).
    """
    caught: list[int] = []

    def remember(number: int, frame: Any) -> None:
        if caught:
            raise ended_by(number)
        caught.append(number)

    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    try:
        before = {number: signal.signal(number, remember) for number in numbers}
    except ValueError:  # not in the main thread: signals are not ours
        before = {}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def ended_by(number: int) -> KeyboardInterrupt:
    """To be raised for a signal: what Ctrl-C raises, or `Stopped` with the number."""
    return KeyboardInterrupt() if number == signal.SIGINT else Stopped(number)
