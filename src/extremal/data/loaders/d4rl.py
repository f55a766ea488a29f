"""`d4rl:PATH`: D4RL's HDF5 files, versions 0, 1 and 2. Only plain arrays of numbers inside the file itself are read.

    file has                        an episode ends at                              rows
    next_observations, timeouts     terminals and timeouts                          all
    next_observations alone         terminals, and where                            all
                                    next_observations[i] != observations[i + 1]
    timeouts only                   terminals and timeouts                          less one per timeout
    neither, but a known task       terminals and the task's step limit             less one per cut
    neither, and an unknown task    terminals                                       less one at the end

Where `terminals` and `timeouts` are both set the MDP ended; timeouts that are never set say nothing (`data.rows`). `infos/*` and `metadata/*` are not needed and not read.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from extremal.core.errors import DataError, require
from extremal.data.dataset import Card, Dataset
from extremal.data.invariants import flag
from extremal.data.kinds import Actions
from extremal.data.loaders.d3rlpy import is_d3rlpy
from extremal.data.loaders.files import existing, reading, recipe
from extremal.data.loaders.hdf5 import array
from extremal.data.loaders.reference import action_count, reference_of, step_limit

_NAMES = {
    "observation": "observations",
    "action": "actions",
    "reward": "rewards",
    "terminated": "terminals",
    "truncated": "timeouts",
    "next_observation": "next_observations",
}
_OPTIONAL = ("truncated", "next_observation")


def load_d4rl(path: str | Path, actions: Actions | None = None) -> Dataset:
    """The D4RL file at `path`.

    The published reader ignores stored next observations and leaves out the last row of every cut episode; here such a
    row stays where its successor is known, and so does a terminal on the last row of the file. Its count of steps also
    starts at one after a terminal, which cuts such an episode a step early where timeouts are missing; here it does not.

    Raises:
        DataError: damage, a missing field, links to other files, and what `Dataset.from_rows` refuses.
        MissingExtraError: h5py is not installed.
    """
    h5py = require("h5py", extra="formats", purpose="reading D4RL files")
    file = existing(path, ".hdf5", ".h5")
    with reading(path, kind="HDF5", names=_NAMES), h5py.File(file, "r") as archive:
        if is_d3rlpy(archive):
            raise DataError(
                f"is a file of d3rlpy's, which keeps rewards and ends of episodes its own way; use 'd3rlpy:{path}'"
            )
        columns = {
            ours: array(archive, theirs)
            for ours, theirs in _NAMES.items()
            if ours not in _OPTIONAL or theirs in archive
        }
        reference = reference_of(file.stem)
        if not set(_OPTIONAL) & set(columns) and (limit := step_limit(reference)):
            columns["truncated"] = _every(limit, flag("terminated", columns["terminated"]))
        card = Card(name=file.stem, reference=reference, actions=action_count(reference), recipe=recipe("d4rl", file))
        return Dataset.from_rows(**columns, card=card, actions=actions)


def _every(limit: int, ended: np.ndarray) -> np.ndarray:
    """[N] bool: every `limit`-th step, counted anew after each end."""
    row = np.arange(len(ended))
    begin = np.maximum.accumulate(np.append(0, np.where(ended, row + 1, 0))[:-1])
    return (row - begin) % limit == limit - 1
