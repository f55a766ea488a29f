"""A user's own table, one row a step: which columns it must have, and what to say of the names it has instead."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from extremal.core.errors import DataError
from extremal.data.dataset import Card, Dataset
from extremal.data.invariants import labels
from extremal.data.kinds import Actions
from extremal.data.order import in_order, rising

REQUIRED = ("observation", "action", "reward", "terminated")
OPTIONAL = ("truncated", "next_observation", "episode")
TIMES = (
    "step",
    "timestep",
    "time",
    "steps",
    "timesteps",
    "time_step",
    "timestamp",
    "step_id",
    "step_index",
    "frame_index",
    "time_index",
    "timestamps",
    "times",
    "ts",
    "datetime",
    "t",
)  # any of them is `step`

_OTHER_NAMES = {
    "observation": ("observations", "obs", "state", "states", "s", "x"),
    "action": ("actions", "act", "acts", "a", "u"),
    "reward": ("rewards", "rew", "rews", "r"),
    "terminated": ("terminals", "terminal", "terminations", "termination"),
    "truncated": ("timeouts", "timeout", "truncations", "truncation"),
    "next_observation": (
        *("next_observations", "next_obs", "next_state", "next_states", "observations_next", "obs_next"),
        *("new_obs", "s_next", "s2", "successor"),
    ),
    "episode": (
        *(
            "episodes",
            "episode_id",
            "episode_ids",
            "episode_index",
            "ep",
            "trajectory",
            "trajectory_id",
            "traj",
            "traj_id",
        ),
        *("trajectories", "run_id"),
    ),
}
_AMBIGUOUS = ("done", "dones", "dones_float", "is_done", "is_last", "end", "ends")
_ONE_FLAG = (
    "does not say why an episode ended. Save two flags instead: 'terminated' where the task itself ended "
    "(goal, fall: no value follows) and 'truncated' where a limit cut it (its value goes on)"
)


def wanted(present: Collection[str]) -> list[str]:
    """The columns to read of those `present`, by the names that they have there.

    Raises:
        DataError: columns are missing, go by other names (all of them are listed at once), or are a flag that does not say why
            an episode ended.
    """
    lower = {name.lower(): name for name in present}
    renames, missing = _renames(present, lower), []
    for field in REQUIRED:
        if field not in present and field not in renames.values():
            missing.append(field)
    one_flag = next((lower[name] for name in _AMBIGUOUS if name in lower), None) if "terminated" in missing else None
    if renames or missing:
        raise _not_ours(present, renames, missing, one_flag)
    return [name for name in (*REQUIRED, *OPTIONAL) if name in present] + _times(present)


def dataset_of(columns: Mapping[str, np.ndarray], card: Card, actions: Actions | None) -> Dataset:
    """The dataset of such a table.

    Raises:
        DataError: two columns of time that disagree, and what `Dataset.from_rows` refuses.
    """
    times, given = _times(columns), dict(columns)
    for other in times[1:]:
        _agree(times[0], other, given)
        del given[other]
    if times:
        given["step"] = given.pop(times[0])
    return Dataset.from_rows(**given, card=card, actions=actions)  # pyright: ignore[reportArgumentType]  # `wanted` gave the names


def _times(present: Collection[str]) -> list[str]:
    lower = {name.lower(): name for name in present}
    return [lower[name] for name in TIMES if name in lower]


def _agree(first: str, other: str, columns: Mapping[str, Any]) -> None:
    """Two columns of time must give the rows of an episode one order."""
    if "episode" not in columns:
        return
    episode = labels("episode", columns["episode"])
    place = in_order(labels(first, columns[first]), episode)
    label = episode[place]
    try:
        rising(labels(other, columns[other])[place], np.append(label[1:] != label[:-1], True), still=True)
    except DataError as error:
        raise DataError(f"gives another order than '{first}'; leave one of the two out", field=other) from error


def _renames(present: Collection[str], lower: Mapping[str, str]) -> dict[str, str]:
    """Columns that go by another name, with ours; `obs_0` is `observation_0`."""
    stem = {name: re.sub(r"_\d+$", "", name) for name in lower}
    found: dict[str, str] = {}
    for field, others in _OTHER_NAMES.items():
        if field in present or any(re.fullmatch(rf"{field}_\d+", name) for name in present):
            continue
        for other in (field, *others):
            if alike := [name for name in lower if other in (name, stem[name])]:
                found |= {lower[name]: field + name.removeprefix(other) for name in alike}
                break
    return found


def _not_ours(
    present: Collection[str], renames: Mapping[str, str], missing: list[str], one_flag: str | None
) -> DataError:
    """One error for all that is wrong with the names of a table's columns."""
    without = [field for field in missing if not (field == "terminated" and one_flag)]
    if not renames:
        if one_flag and without == []:
            return DataError(_ONE_FLAG, field=one_flag)
        return DataError(f"is missing; the file has {', '.join(sorted(present)) or 'nothing'}", field=missing[0])
    ours = [field for field in (*REQUIRED, *OPTIONAL) if any(name.startswith(field) for name in renames.values())]
    if len(renames) == 1:
        ((theirs, name),) = renames.items()
        says = f"is called '{theirs}' here; rename it to '{name}'"
    else:
        says = "columns go by other names here; rename " + ", ".join(f"'{a}' to '{b}'" for a, b in renames.items())
    if without:
        says += f"; and {', '.join(map(repr, without))} {'are' if len(without) > 1 else 'is'} missing"
    return DataError(says + (f"; and '{one_flag}' {_ONE_FLAG}" if one_flag else ""), field=ours[0])
