"""Extremal: learning policies from logged data.

>>> import extremal
>>> extremal.XQL(beta=2.0).beta
2.0

A name is imported from its module when it is first asked for, so that a command or a script loads what it needs, and no more.
"""

import importlib
import sys

TYPE_CHECKING = False  # a type checker knows it so; `typing` takes longer to import than all the rest here
if TYPE_CHECKING:
    from extremal.algorithms.awac import AWAC
    from extremal.algorithms.bc import BC
    from extremal.algorithms.bcq import BCQ
    from extremal.algorithms.bear import BEAR
    from extremal.algorithms.behaviour import Behaviour
    from extremal.algorithms.brac import BRAC
    from extremal.algorithms.cql import CQL
    from extremal.algorithms.decision_transformer import DT
    from extremal.algorithms.emaq import EMaQ
    from extremal.algorithms.iql import IQL
    from extremal.algorithms.klxql import KLXQL
    from extremal.algorithms.onestep import Onestep
    from extremal.algorithms.registry import METHODS, preset
    from extremal.algorithms.sac import SAC
    from extremal.algorithms.td3 import TD3
    from extremal.algorithms.xql import XQL
    from extremal.core.algorithm import Algorithm, Step
    from extremal.core.errors import (
        ConfigError,
        DataError,
        DivergedError,
        ExtremalError,
        MissingExtraError,
        RunError,
        SimulatorError,
        SpecError,
    )
    from extremal.core.policy import Policy
    from extremal.data.check import check_dataset
    from extremal.data.dataset import Card, Dataset
    from extremal.data.ids import load_dataset, save_dataset
    from extremal.runs.resume import resume
    from extremal.runs.run import Run, load, train
del TYPE_CHECKING

__version__ = "0.1.0"

__all__ = [
    "AWAC",
    "BC",
    "BCQ",
    "BEAR",
    "BRAC",
    "CQL",
    "DT",
    "IQL",
    "KLXQL",
    "METHODS",
    "SAC",
    "TD3",
    "XQL",
    "Algorithm",
    "Behaviour",
    "Card",
    "ConfigError",
    "DataError",
    "Dataset",
    "DivergedError",
    "EMaQ",
    "ExtremalError",
    "MissingExtraError",
    "Onestep",
    "Policy",
    "Run",
    "RunError",
    "SimulatorError",
    "SpecError",
    "Step",
    "check_dataset",
    "load",
    "load_dataset",
    "preset",
    "resume",
    "save_dataset",
    "train",
]

_HOME = {
    "AWAC": "algorithms.awac",
    "BC": "algorithms.bc",
    "BCQ": "algorithms.bcq",
    "BEAR": "algorithms.bear",
    "Behaviour": "algorithms.behaviour",
    "BRAC": "algorithms.brac",
    "CQL": "algorithms.cql",
    "DT": "algorithms.decision_transformer",
    "EMaQ": "algorithms.emaq",
    "IQL": "algorithms.iql",
    "KLXQL": "algorithms.klxql",
    "Onestep": "algorithms.onestep",
    "METHODS": "algorithms.registry",
    "preset": "algorithms.registry",
    "SAC": "algorithms.sac",
    "TD3": "algorithms.td3",
    "XQL": "algorithms.xql",
    "Algorithm": "core.algorithm",
    "Step": "core.algorithm",
    "ConfigError": "core.errors",
    "DataError": "core.errors",
    "DivergedError": "core.errors",
    "ExtremalError": "core.errors",
    "MissingExtraError": "core.errors",
    "RunError": "core.errors",
    "SimulatorError": "core.errors",
    "SpecError": "core.errors",
    "Policy": "core.policy",
    "check_dataset": "data.check",
    "Card": "data.dataset",
    "Dataset": "data.dataset",
    "load_dataset": "data.ids",
    "save_dataset": "data.ids",
    "resume": "runs.resume",
    "Run": "runs.run",
    "load": "runs.run",
    "train": "runs.run",
}
_PARTS = (
    "algorithms",
    "bench",
    "cli",
    "core",
    "data",
    "demo",
    "distributions",
    "engine",
    "envs",
    "evaluation",
    "io",
    "losses",
    "networks",
    "objectives",
    "regressors",
    "report",
    "reproduce",
    "runs",
    "tabular",
)


def __getattr__(name: str) -> object:
    """A public name from its module, or a part of the package."""
    if name in _HOME:
        found = getattr(importlib.import_module(f"extremal.{_HOME[name]}"), name)
        globals()[name] = found
        return found
    if name in _PARTS:
        return importlib.import_module(f"extremal.{name}")
    raise AttributeError(f"module 'extremal' has no attribute {name!r}", name=name, obj=sys.modules[__name__])


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_PARTS})
