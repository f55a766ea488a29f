"""The far side of `extremal.envs.piped`: run by path with another interpreter, it holds that interpreter's simulators.

It needs gymnasium and numpy, of any version, and nothing of Extremal. One request a line on standard input, one answer a line
on standard output, both JSON; nothing is pickled. Arrays travel as {"__array__": numbers, "dtype", "shape"}. A float is
written with as many digits as tell it from its neighbours, so it arrives as the same float; NaN and the infinities arrive too.

    ["load", "name" | "file", WHAT]   import a module, or run a script: it registers its simulators with gymnasium
    ["make", ID, ARGUMENTS]           -> {"handle", "observation_space", "action_space"}
    ["reset", HANDLE, SEED, OPTIONS]  -> [observation, info]
    ["step", HANDLE, ACTION]          -> [observation, reward, terminated, truncated, info]
    ["close", HANDLE]

An answer is {"result": ...} or {"error": ...}; an error is told and the next request is answered. At the end of its input it
closes what is open and ends.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":  # run by path: its neighbours here must not stand for modules of the same names over there
    sys.path.pop(0)

import importlib
import json
import os
import runpy
import traceback
from typing import Any, BinaryIO

import numpy as np


def pack(message: Any) -> bytes:
    """One line of JSON.

    Raises:
        TypeError: something in it is neither JSON nor an array of numbers or flags.
    """
    return _ENCODER.encode(message).encode() + b"\n"


def unpack(line: bytes) -> Any:
    """What `pack` was given: arrays and NumPy scalars of the same type, tuples as lists.

    >>> unpack(pack([np.float32(0.1), np.array([[0.1, np.inf]])]))
    [np.float32(0.1), array([[0.1, inf]])]
    """
    return _DECODER.decode(line.decode())


def _described(value: Any) -> dict[str, Any]:
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "biuf" and value.dtype.itemsize <= 8:
        return {"__array__": value.ravel().tolist(), "dtype": value.dtype.str, "shape": value.shape}
    raise TypeError(f"a {type(value).__name__} cannot be told in JSON")


def _restored(entry: dict[str, Any]) -> Any:
    if "__array__" not in entry:
        return entry
    return np.array(entry["__array__"], entry["dtype"]).reshape(entry["shape"])[()]


# Made once: `json.dumps` and `json.loads` would make them at every message.
_ENCODER = json.JSONEncoder(default=_described, separators=(",", ":"))
_DECODER = json.JSONDecoder(object_hook=_restored)


def _space(space: Any) -> dict[str, Any]:
    kind = type(space).__name__
    if kind == "Box":
        return {"kind": kind, "low": space.low, "high": space.high, "dtype": space.dtype.str}
    if kind == "Discrete":
        return {"kind": kind, "n": int(space.n), "start": int(space.start)}
    raise TypeError(
        f"a space of kind {kind} is not carried over the pipe; wrap the simulator so that it is a Box or Discrete"
    )


def _carried(info: dict[str, Any]) -> dict[str, Any]:
    """What of it can be told in JSON."""
    kept = {}
    for name, value in info.items():
        try:
            pack({name: value})
        except (TypeError, ValueError):
            continue
        kept[name] = value
    return kept


class Simulators:
    """The simulators of this process, and what may be asked of them."""

    def __init__(self) -> None:
        self._made: dict[int, Any] = {}
        self._next = 0
        self._loaded: Any = None  # what a script defined stays alive with it

    def load(self, kind: str, what: str) -> None:
        self._loaded = importlib.import_module(what) if kind == "name" else runpy.run_path(what, run_name="__main__")

    def make(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        import gymnasium

        simulator = gymnasium.make(name, disable_env_checker=True, **arguments)
        spaces = {part: _space(getattr(simulator, part)) for part in ("observation_space", "action_space")}
        self._next += 1
        self._made[self._next] = simulator
        return {"handle": self._next, **spaces}

    def reset(self, handle: int, seed: int | None, options: dict[str, Any] | None) -> list[Any]:
        more = {} if options is None else {"options": options}
        observation, info = self._made[handle].reset(seed=seed, **more)
        return [np.asarray(observation), info]

    def step(self, handle: int, action: Any) -> list[Any]:
        observation, reward, terminated, truncated, info = self._made[handle].step(action)
        return [np.asarray(observation), float(reward), bool(terminated), bool(truncated), info]

    def close(self, handle: int) -> None:
        self._made.pop(handle).close()

    def close_all(self) -> None:
        for handle in list(self._made):
            self.close(handle)


def answer(simulators: Simulators, line: bytes) -> bytes:
    """The answer to one request, as a line."""
    try:
        command, *arguments = unpack(line)
        result = getattr(simulators, command)(*arguments)
        try:
            return pack({"result": result})
        except (TypeError, ValueError):  # something in `info`, which comes last
            return pack({"result": [*result[:-1], _carried(result[-1])]})
    except (Exception, SystemExit) as error:
        return pack(
            {
                "error": f"{type(error).__name__}: {error}",
                "missing": error.name if isinstance(error, ModuleNotFoundError) else None,
                "trace": traceback.format_exc(),
            }
        )


def _streams() -> tuple[BinaryIO, BinaryIO]:
    """Standard input and output, kept for the protocol: what a simulator prints, also from C, goes to standard error."""
    reader, writer = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return reader, writer


def serve() -> None:
    """Answer until the input ends."""
    reader, writer = _streams()
    simulators = Simulators()
    for line in iter(reader.readline, b""):
        writer.write(answer(simulators, line))
        writer.flush()
    simulators.close_all()


if __name__ == "__main__":
    serve()
