"""The far side of a race: run by path with a program's own interpreter, it times the updates that a side script makes.

    python serve.py SIDE.py

`SIDE.py` has a function `start(job, rows) -> (run, facts)`: `run(updates)` makes so many gradient updates and returns when they
are done, `facts` is what it says of itself; a side whose policy is judged gives `(run, facts, act)`, `act(observations)` its greedy
actions. One request a line on standard input, one answer a line on standard output, both JSON:

    ["start", JOB]    build, and make the first JOB["call"] updates  -> {"first_call": seconds, "peak_bytes": memory, **facts}
    ["run", UPDATES]                              -> {"seconds": seconds, "processor_seconds": those of all its threads}
    ["act", OBSERVATIONS]                         -> one list of numbers for each

An answer is {"result": ...} or {"error": ...}. At the end of its input it ends. It needs NumPy, and nothing of Extremal.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":  # run by path: its neighbours here must not stand for modules of the same names over there
    sys.path.pop(0)

import importlib.metadata
import importlib.util
import json
import os
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO

Run = Callable[[int], None]
Act = Callable[[Any], Any]  # lists of numbers [B, O] -> [B, A]


class Server:
    """One job of one side script."""

    def __init__(self, side: str):
        self.side = side
        self._run: Run | None = None
        self._act: Act | None = None

    def start(self, job: dict[str, Any]) -> dict[str, Any]:
        _stay_on(job["threads"])  # before anything counts the cores
        import numpy as np

        spec = importlib.util.spec_from_file_location("side", self.side)
        if spec is None or spec.loader is None:
            raise ImportError(f"{self.side} is no Python script")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        with np.load(job["data"], allow_pickle=False) as file:
            rows = {name: file[name] for name in file.files}
        self._run, facts, *rest = module.start(job, rows)
        self._act = rest[0] if rest else None
        packages = {"python": sys.version.split()[0]} | _versions(facts.pop("packages"))
        first_call = self.run(job["call"])["seconds"]
        return {"first_call": first_call, "peak_bytes": _peak_bytes(), **facts, "versions": packages}

    def run(self, updates: int) -> dict[str, float]:
        if self._run is None:
            raise RuntimeError("there is no job yet; `start` comes first")
        clock, used = time.perf_counter(), time.process_time()
        self._run(updates)
        return {"seconds": time.perf_counter() - clock, "processor_seconds": time.process_time() - used}

    def act(self, observations: list[Any]) -> list[Any]:
        if self._act is None:
            raise RuntimeError("this side does not act, or there is no job yet")
        return self._act(observations)


def answer(server: Server, line: bytes) -> bytes:
    """The answer to one request, as a line."""
    try:
        command, argument = json.loads(line)
        if command not in ("start", "run", "act"):
            raise ValueError(f"unknown request {command!r}")
        return json.dumps({"result": getattr(server, command)(argument)}).encode() + b"\n"
    except (Exception, SystemExit) as error:
        told = {"error": f"{type(error).__name__}: {error}", "trace": traceback.format_exc()}
        return json.dumps(told).encode() + b"\n"


def _stay_on(threads: int | None) -> None:
    """Keep this process to so many cores (none: to those it has), so that whatever counts them counts these."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def _peak_bytes() -> int | None:
    """The most main memory that this program ever had; none where the system does not tell.

    `getrusage` does not serve: a process begins with the peak of the one that started it.
    """
    try:
        with open("/proc/self/status") as file:
            told = dict(line.split(":", 1) for line in file if ":" in line)
    except OSError:
        return None
    return 1024 * int(told["VmHWM"].split()[0])


def _versions(packages: Sequence[str]) -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in packages}


def _streams() -> tuple[BinaryIO, BinaryIO]:
    """Standard input and output, kept for the protocol: what a package prints, also from C, goes to standard error."""
    reader, writer = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return reader, writer


def serve(side: str) -> None:
    """Answer until the input ends."""
    reader, writer = _streams()
    server = Server(side)
    for line in iter(reader.readline, b""):
        writer.write(answer(server, line))
        writer.flush()


if __name__ == "__main__":
    serve(sys.argv[1])
