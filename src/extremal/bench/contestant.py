"""A program that takes part: a process with a job, which makes updates when it is its turn."""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import json
import os
import subprocess
import threading
from collections import deque
from collections.abc import Sequence
from typing import IO, Any, NamedTuple, cast

from extremal.bench.job import Job
from extremal.core.errors import PeerError

_KEPT = 20  # lines of standard error, for the message when it dies
_PATIENCE = 5.0  # seconds that it has for ending by itself


class Round(NamedTuple):
    """What some updates took."""

    seconds: float
    processor_seconds: float  # of all threads


class Contestant:
    """One process, spoken to as `sides/serve.py` says; ended by `stop`, and with this process whatever becomes of it."""

    def __init__(self, name: str, command: Sequence[str], *, threads: int, own: bool = False):
        self.name = name
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=_environment(threads, own=own),
                start_new_session=True,  # an interrupt from the keyboard is ours to handle
            )
        except OSError as error:
            raise PeerError(f"{name} cannot be started: {error}") from error
        self._requests, self._answers = cast(IO[bytes], self._process.stdin), cast(IO[bytes], self._process.stdout)
        self._last: deque[str] = deque(maxlen=_KEPT)
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        self.running = True
        atexit.register(self.stop)

    def start(self, job: Job) -> dict[str, Any]:
        """Build, and make the first `job.call` updates; what it says of itself."""
        return self._ask("start", dataclasses.asdict(job))

    def run(self, updates: int) -> Round:
        """Make so many updates; what they took over there."""
        return Round(**self._ask("run", updates))

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

    def _ask(self, command: str, argument: Any) -> Any:
        if not self.running:
            raise PeerError(f"{self.name} has ended")
        try:
            self._requests.write(json.dumps([command, argument]).encode() + b"\n")
            self._requests.flush()
            line = self._answers.readline()
        except OSError:
            line = b""
        except BaseException:  # interrupted: its answer may yet come, and would be taken for the next one's
            self.stop()
            raise
        if not line:
            raise self._death()
        reply = json.loads(line)
        if "error" in reply:
            raise PeerError(f"{self.name} raised {reply['error']}\n{reply['trace'].rstrip()}")
        return reply["result"]

    def _death(self) -> PeerError:
        self.stop()
        self._listener.join(_PATIENCE)
        wrote = "\n".join(["it wrote last:", *self._last]) if self._last else "it wrote nothing"
        return PeerError(f"{self.name} died (exit status {self._process.returncode}); {wrote}")


def _environment(threads: int, *, own: bool) -> dict[str, str]:
    """Ours, with so many threads for whatever reads it. Another Python does not get our PYTHONPATH: it would hide its packages."""
    hidden = () if own else ("PYTHONPATH", "PYTHONHOME")
    pools = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
    shared = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}  # several programs hold memory of one accelerator
    return {k: v for k, v in os.environ.items() if k not in hidden} | pools | shared
