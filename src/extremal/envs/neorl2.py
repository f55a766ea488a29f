"""`neorl2:TASK`: NeoRL-2's simulators, whose package pins an older Gymnasium and therefore has a Python of its own."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from extremal.core.errors import MissingExtraError, nearest

if TYPE_CHECKING:
    from extremal.envs.piped import Piped

PREFIX = "neorl2:"
TASKS = ("Pipeline", "Simglucose", "RocketRecovery", "RandomFrictionHopper", "DMSD", "Fusion", "SafetyHalfCheetah")
VARIABLE = "EXTREMAL_NEORL2_PYTHON"  # names the interpreter

_SIDE = Path(__file__).with_name("neorl2_side.py")
_INDEX = """\
    python3.11 -m venv neorl2-python
    neorl2-python/bin/pip install gymnasium==0.29.1 'numpy<2' matplotlib
    neorl2-python/bin/pip install --no-deps neorl2==0.0.1"""
# What the package index has is without the folders that all tasks but DMSD need (`neorl2_side`).
_SOURCE = """\
    git clone https://github.com/polixir/NeoRL2
    python3.11 -m venv neorl2-python
    neorl2-python/bin/pip install -e NeoRL2"""


def simulator(task: str, arguments: Mapping[str, Any] | None = None) -> Piped:
    """One of `TASKS`, with the step limit that NeoRL-2 registers for it, or with `max_episode_steps` (None: without one).

    Raises:
        ConfigError: an unknown task, or an interpreter that cannot be started.
        MissingExtraError: no interpreter is named, or it lacks what the task needs; says how to make one.
        SimulatorError: it cannot be made.
    """
    if task not in TASKS:
        raise nearest(task, TASKS, kind="task of NeoRL-2")
    interpreter = os.environ.get(VARIABLE)
    if not interpreter:
        raise MissingExtraError(
            f"'{PREFIX}{task}' needs a Python of its own, and {VARIABLE} names none. {_advice(task)}"
        )
    from extremal.envs.piped import Piped

    try:
        return Piped(interpreter, _SIDE, task, arguments)
    except MissingExtraError as error:
        raise MissingExtraError(f"{VARIABLE}: {error}. {_advice(task)}") from error


def _advice(task: str) -> str:
    lines = _INDEX if task == "DMSD" else _SOURCE
    return f"Make one, and name it:\n{lines}\n    export {VARIABLE}=$PWD/neorl2-python/bin/python"
