"""Extremal: learning policies from logged data.

>>> import extremal
>>> extremal.XQL(beta=2.0).beta
2.0
"""

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
