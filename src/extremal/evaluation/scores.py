"""Returns on a common scale: 0 is the reference's low policy, 100 its high one."""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import Any

import numpy as np

from extremal.core.errors import nearest

_VERSIONS = ("v0", "v1", "v2")
_LEVELS = ("random", "medium", "expert", "medium-replay", "medium-expert")

# Lowest and highest return, as D4RL publishes them. D4RL gives one pair to all datasets of a robot.
_LOCOMOTION = {
    "halfcheetah": (-280.178953, 12135.0),
    "hopper": (-20.272305, 3234.3),
    "walker2d": (1.629008, 4592.3),
    "ant": (-325.6, 3879.7),
}
_BULLET = {
    "halfcheetah": (-1275.766996, 2381.6725),
    "hopper": (20.058972, 1441.8059623430963),
    "walker2d": (16.523877, 1623.6476303317536),
    "ant": (373.705955, 2650.495),
}
_ADROIT = {
    "pen": (96.262799, 3076.8331017826877),
    "hammer": (-274.856578, 12794.134825156867),
    "door": (-56.512833, 2880.5693087298737),
    "relocate": (-6.425911, 4233.877797728884),
}
_ANTMAZE = ("umaze", "umaze-diverse", "medium-play", "medium-diverse", "large-play", "large-diverse")
_OTHERS = {
    "maze2d-open-v0": (0.01, 20.66),
    "maze2d-umaze-v1": (23.85, 161.86),
    "maze2d-medium-v1": (13.13, 277.39),
    "maze2d-large-v1": (6.7, 273.99),
    "maze2d-open-dense-v0": (11.17817, 27.166538620695782),
    "maze2d-umaze-dense-v1": (68.537689, 193.66285642381482),
    "maze2d-medium-dense-v1": (44.264742, 297.4552547777125),
    "maze2d-large-dense-v1": (30.569041, 303.4857382709002),
    "bullet-maze2d-open-v0": (8.75, 64.15),
    "bullet-maze2d-umaze-v0": (32.46, 153.99),
    "bullet-maze2d-medium-v0": (14.87, 238.05),
    "bullet-maze2d-large-v0": (1.82, 285.92),
    "minigrid-fourrooms-v0": (0.01442, 2.89685),
    "minigrid-fourrooms-random-v0": (0.01442, 2.89685),
    "carla-lane-v0": (-0.8503839912088142, 1023.5784385429523),
    "carla-town-v0": (-114.81579500772153, 2440.1772022247314),
    "flow-ring-random-v0": (-165.22, 24.42),
    "flow-ring-controller-v0": (-165.22, 24.42),
    "flow-merge-random-v0": (118.67993, 330.03179),
    "flow-merge-controller-v0": (118.67993, 330.03179),
}
_NEORL2 = {
    "Pipeline": (-296.0, 751.0),
    "Simglucose": (9.75, 475.0),
    "RocketRecovery": (-176.0, 208.0),
    "RandomFrictionHopper": (-3.0, 503.0),
    "DMSD": (30.60, 849.51),
    "Fusion": (-107.601, 98.05),
    "SafetyHalfCheetah": (-283.0, 2507.0),
}


@cache
def references() -> dict[str, tuple[float, float]]:
    """Lowest and highest reference return of every known dataset, by D4RL's or NeoRL-2's name.

    Source: [fu2020], [gao2025] (the tables of their published code).

    >>> references()["door-human-v0"]
    (-56.512833, 2880.5693087298737)
    """
    table = dict(_OTHERS) | _NEORL2
    for robot, pair in _LOCOMOTION.items():
        table |= {f"{robot}-{level}-{version}": pair for level, version in product(_LEVELS, _VERSIONS)}
        table |= {f"{robot}-full-replay-{version}": pair for version in ("v1", "v2")}
    for robot, pair in _BULLET.items():
        table |= {f"bullet-{robot}-{level}-v0": pair for level in _LEVELS}
    for task, pair in _ADROIT.items():
        table |= {
            f"{task}-{kind}-{version}": pair for kind, version in product(("human", "cloned", "expert"), _VERSIONS[:2])
        }
    table |= {f"antmaze-{maze}-{version}": (0.0, 1.0) for maze, version in product(_ANTMAZE, ("v0", "v2"))}
    table |= {f"kitchen-{kind}-v0": (0.0, 4.0) for kind in ("complete", "partial", "mixed")}
    return table


def normalised(returns: Any, reference: str) -> np.ndarray:
    """100 (R - low) / (high - low), for undiscounted returns of any shape.

    Raises:
        ConfigError: `reference` is unknown; names the nearest known ones.

    Source: [fu2020].

    >>> float(normalised(4.0, "kitchen-mixed-v0")), float(normalised(-20.272305, "hopper-medium-v2"))
    (100.0, 0.0)
    """
    table = references()
    if reference not in table:
        raise nearest(reference, table, kind="reference score")
    low, high = table[reference]
    return 100.0 * (np.asarray(returns, np.float64) - low) / (high - low)
