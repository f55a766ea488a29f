"""A program that takes part: a process with a job, which makes updates when it is its turn."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from extremal.core.child import Child, foreign_environment
from extremal.core.errors import PeerError


class Round(NamedTuple):
    """What some updates took."""

    seconds: float
    processor_seconds: float  # of all threads


class Contestant:
    """One process, spoken to as `sides/serve.py` says."""

    def __init__(self, name: str, command: Sequence[str], *, threads: int, own: bool = False):
        self.name = name
        try:
            self._child = Child(command, environment=_environment(threads, own=own))
        except OSError as error:
            raise PeerError(f"{name} cannot be started: {error}") from error

    @property
    def running(self) -> bool:
        return self._child.running

    def start(self, job: Any) -> dict[str, Any]:
        """Build, and make the first `job.call` updates (a `Job` or a `Lesson`); what it says of itself."""
        return self._ask("start", dataclasses.asdict(job))

    def run(self, updates: int) -> Round:
        """Make so many updates; what they took over there."""
        return Round(**self._ask("run", updates))

    def act(self, observation: np.ndarray) -> np.ndarray:
        """Its greedy actions [B, A] for observations [B, O]; every float arrives as it is."""
        return np.asarray(self._ask("act", observation.tolist()), np.float64)

    def stop(self) -> None:
        """Let it end, or end it."""
        self._child.stop()

    def _ask(self, command: str, argument: Any) -> Any:
        if not self.running:
            raise PeerError(f"{self.name} has ended")
        line = self._child.ask(json.dumps([command, argument]).encode() + b"\n")
        if not line:
            raise PeerError(f"{self.name} {self._child.death()}")
        reply = json.loads(line)
        if "error" in reply:
            raise PeerError(f"{self.name} raised {reply['error']}\n{reply['trace'].rstrip()}")
        return reply["result"]


def _environment(threads: int, *, own: bool) -> dict[str, str]:
    """Ours, with so many threads for whatever reads it. Another Python does not get our PYTHONPATH: it would hide its packages."""
    given = dict(os.environ) if own else foreign_environment()
    pools = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
    return given | pools | {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}  # several programs hold memory of one accelerator
