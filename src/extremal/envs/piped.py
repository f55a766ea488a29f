"""Simulators of another Python: one whose packages cannot be installed beside ours, spoken to over a pipe.

    piped = Piped("other/bin/python", "some_package", "SomeTask-v0")

runs `pipe_server.py` with that interpreter, which imports `some_package` and makes `SomeTask-v0`. All simulators of one
interpreter and module live in one process, which ends with the last of them, and with this process whatever becomes of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import gymnasium
import numpy as np

from extremal.core.child import Child, foreign_environment
from extremal.core.errors import ConfigError, MissingExtraError, SimulatorError
from extremal.envs import pipe_server
from extremal.envs.naming import LIMIT


class _Server:
    """One process, and how many simulators of ours it holds."""

    _running: dict[tuple[str, str], _Server] = {}  # noqa: RUF012  (shared on purpose: a process per interpreter and module)

    @classmethod
    def of(cls, interpreter: str, module: str | Path) -> _Server:
        """The one that runs already, or a new one; either way with one user more."""
        key = (interpreter, str(module))
        if key not in cls._running or not cls._running[key].running:
            server = cls(interpreter)
            try:
                server.ask("load", "file" if isinstance(module, Path) else "name", str(module))
            except BaseException:
                server.stop()
                raise
            cls._running[key] = server
        cls._running[key].users += 1
        return cls._running[key]

    def __init__(self, interpreter: str):
        self.interpreter, self.users = interpreter, 0
        try:
            self._child = Child([interpreter, pipe_server.__file__], environment=foreign_environment())
        except OSError as error:
            raise ConfigError(f"{interpreter} cannot be started as a Python interpreter: {error}") from error

    @property
    def running(self) -> bool:
        return self._child.running

    def ask(self, *request: Any) -> Any:
        """What it answers.

        Raises:
            SimulatorError: it raised, or it is no more.
            MissingExtraError: it has not a module that is needed.
        """
        if not self.running:
            raise SimulatorError(f"the simulators in {self.interpreter} have ended; make them again")
        line = self._child.ask(pipe_server.pack(request))
        if not line:
            self.stop()
            raise SimulatorError(f"the simulators in {self.interpreter} {self._child.death()}")
        reply = pipe_server.unpack(line)
        if "error" not in reply:
            return reply["result"]
        if reply["missing"] is not None:
            raise MissingExtraError(f"{self.interpreter} has no module named {reply['missing']!r}")
        raise SimulatorError(f"a simulator in {self.interpreter} raised {reply['error']}\n{reply['trace'].rstrip()}")

    def release(self) -> None:
        """One user less; the last one ends it."""
        self.users -= 1
        if not self.users:
            self.stop()

    def stop(self) -> None:
        """Let it end, or end it."""
        for key in [k for k, server in self._running.items() if server is self]:
            del self._running[key]
        self._child.stop()


class Piped(gymnasium.Env[np.ndarray, Any]):
    """A simulator of another interpreter. Observations, rewards and flags are bit for bit those that it gives over there.

    Spaces are Box or Discrete. Of `info` comes what JSON and arrays of numbers can say; the rest is left out. Rewards are
    floats.

    Args:
        interpreter: a Python with gymnasium, numpy and the module.
        module: what registers the simulator with that gymnasium: a module's name, or the path of a script.
        name: the simulator's id over there.
        arguments: that it is made with, of what JSON can say; `max_episode_steps` None: no limit.

    Raises:
        ConfigError: the interpreter cannot be started.
        MissingExtraError: it lacks a module.
        SimulatorError: it cannot make the simulator.
    """

    metadata = {"render_modes": []}  # noqa: RUF012

    def __init__(self, interpreter: str, module: str | Path, name: str, arguments: Mapping[str, Any] | None = None):
        self._server: _Server | None = _Server.of(interpreter, module)
        try:
            made = self._server.ask("make", name, _sent(arguments or {}))
            self.observation_space = _space(made["observation_space"])
            self.action_space = _space(made["action_space"])
        except BaseException:
            self._server.release()
            raise
        self._handle = made["handle"]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        observation, info = self._ask("reset", seed, options)
        return np.asarray(observation), info

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict]:
        observation, reward, terminated, truncated, info = self._ask("step", action)
        return np.asarray(observation), reward, terminated, truncated, info

    def close(self) -> None:
        if (server := self._server) is None:
            return
        self._server = None
        try:
            if server.running:
                server.ask("close", self._handle)
        finally:
            server.release()

    def _ask(self, command: str, *arguments: Any) -> Any:
        if self._server is None:
            raise SimulatorError(f"the simulator was closed; it cannot {command}")
        return self._server.ask(command, self._handle, *arguments)


def _sent(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments as Gymnasium takes them, where -1 is no limit."""
    return {name: -1 if name == LIMIT and value is None else value for name, value in arguments.items()}


def _space(told: dict[str, Any]) -> gymnasium.spaces.Space:
    if told["kind"] == "Discrete":
        return gymnasium.spaces.Discrete(told["n"], start=told["start"])
    return gymnasium.spaces.Box(told["low"], told["high"], dtype=cast(Any, np.dtype(told["dtype"]).type))
