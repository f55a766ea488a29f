"""A user's own table, one row a step: which columns it must have, and what to say of the names it has instead."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np

from extremal.core.errors import DataError
from extremal.data.dataset import Card, Dataset

REQUIRED = ("observation", "action", "reward", "terminated")
OPTIONAL = ("truncated", "next_observation", "episode")

_OTHER_NAMES = {
    "observation": ("observations", "obs", "state", "states", "s"),
    "action": ("actions", "act", "a"),
    "reward": ("rewards", "r"),
    "terminated": ("terminals", "terminal", "terminations", "termination"),
    "truncated": ("timeouts", "timeout", "truncations", "truncation"),
    "next_observation": ("next_observations", "next_obs", "next_state", "next_states", "observations_next"),
    "episode": ("episodes", "episode_id", "episode_ids", "trajectory", "trajectory_id", "traj_id"),
}
_AMBIGUOUS = ("done", "dones", "dones_float", "is_done", "is_last", "end", "ends")


def wanted(present: Collection[str]) -> list[str]:
    """The columns to read of those `present`.

    Raises:
        DataError: a column is missing, goes by another name, or is a flag that does not say why an episode ended.
    """
    lower = {name.lower(): name for name in present}
    for field, others in _OTHER_NAMES.items():
        if field in present:
            continue
        if found := [lower[other] for other in (field, *others) if other in lower]:
            raise DataError(f"is called '{found[0]}' here; rename it to '{field}'", field=field)
        if field == "terminated" and (found := [lower[other] for other in _AMBIGUOUS if other in lower]):
            raise DataError(
                "does not say why an episode ended. Save two flags instead: 'terminated' where the task itself ended "
                "(goal, fall: no value follows) and 'truncated' where a limit or the end of the log cut it (its value goes on)",
                field=found[0],
            )
        if field in REQUIRED:
            raise DataError(f"is missing; the file has {', '.join(sorted(present)) or 'nothing'}", field=field)
    return [name for name in (*REQUIRED, *OPTIONAL) if name in present]


def dataset_of(columns: Mapping[str, np.ndarray], card: Card) -> Dataset:
    """The dataset of such a table. One whole number a row as action means discrete actions, 0 to the largest seen."""
    action = columns["action"]
    if action.ndim == 1 and action.dtype.kind in "iu" and len(action):
        card = replace(card, actions=int(action.max()) + 1)
    return Dataset.from_rows(**columns, card=card)  # pyright: ignore[reportArgumentType]  # `wanted` gave the names
