"""A process that answers each line of its input by one line of its output, and ends with this process whatever becomes of it."""

from __future__ import annotations

import atexit
import contextlib
import os
import subprocess
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from typing import IO, cast

_KEPT = 20  # lines of standard error, for the message when it dies
_PATIENCE = 5.0  # seconds that it has for ending by itself


class Child:
    """One process, and the lines that it wrote last to standard error.

    Raises:
        OSError: the command cannot be started.
    """

    def __init__(self, command: Sequence[str], *, environment: Mapping[str, str]):
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environment),
            start_new_session=True,  # an interrupt from the keyboard is ours to handle
        )
        self._requests, self._answers = cast(IO[bytes], self._process.stdin), cast(IO[bytes], self._process.stdout)
        self._last: deque[str] = deque(maxlen=_KEPT)
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        self._turn = threading.Lock()
        self.running = True
        atexit.register(self.stop)

    def ask(self, line: bytes) -> bytes:
        """Its answer to a line; nothing: it has died, and `death` says how."""
        with self._turn:
            try:
                self._requests.write(line)
                self._requests.flush()
                return self._answers.readline()
            except OSError:
                return b""
            except BaseException:  # interrupted: its answer may yet come, and would be taken for the next one's
                self.stop()
                raise

    def death(self) -> str:
        """How it died, and what it wrote last."""
        self.stop()
        self._listener.join(_PATIENCE)
        wrote = "\n".join(["it wrote last:", *self._last]) if self._last else "it wrote nothing"
        return f"died (exit status {self._process.returncode}); {wrote}"

    def stop(self) -> None:
        """Let it end, or end it."""
        if not self.running:
            return
        self.running = False
        atexit.unregister(self.stop)
        with contextlib.suppress(OSError):
            self._requests.close()  # the end of its input
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._answers.close()

    def _listen(self) -> None:
        with cast(IO[bytes], self._process.stderr) as lines:
            for line in lines:
                self._last.append(line.decode(errors="replace").rstrip())


def foreign_environment() -> dict[str, str]:
    """Ours for another Python: without the PYTHONPATH, whose packages would hide its own."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
