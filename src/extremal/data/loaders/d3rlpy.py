"""`d3rlpy:PATH`: the HDF5 files of d3rlpy's `MDPDataset.dump` and `ReplayBuffer.dump`. They come in three layouts.

    version      an episode of T steps                                    the reward of action t stands on
    none         T + 1 rows: its last observation, too, and an action     row t + 1; row 0 of an episode
    (before 1.1) there that nobody took                                   has none, 0
    1.0          T rows; what follows the last is not kept                row t
    2.1          one array each, `observations_0`, `actions_0`, ...       row t

`episode_terminals` says where an episode ends, `terminals` whether the MDP ended there; a row that only the first marks is
cut. Where the last observation is not kept, the last row of a cut episode is left out, since its successor is unknown.
`discrete_action` declares choices or quantities. `create_mask` and `mask_size` are not needed and not read.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from extremal.core.errors import ConfigError, DataError, require
from extremal.data.dataset import Card, Dataset
from extremal.data.finding import Finding
from extremal.data.invariants import column, flag, same_rows
from extremal.data.kinds import Actions, parse
from extremal.data.loaders.files import existing, reading, recipe
from extremal.data.loaders.hdf5 import array, text

LATE, ALIGNED, SPLIT = "before 1.1", "1.0", "2.1"
_SAY = (
    "where yours stand on the rows of their actions, add 'version' to the file: "
    f"h5py.File(PATH, 'a')['version'] = '{ALIGNED}'"
)
_NAMES = {
    "observation": "observations",
    "action": "actions",
    "reward": "rewards",
    "terminated": "terminals",
    "truncated": "episode_terminals",
}


def load_d3rlpy(path: str | Path, actions: Actions | None = None) -> Dataset:
    """The d3rlpy file at `path`.

    Raises:
        DataError: damage, a missing field, a layout that is not known or that the rewards contradict, links to other files,
            and what `Dataset` refuses.
        ConfigError: `actions` contradicts the file's `discrete_action`.
        MissingExtraError: h5py is not installed.
    """
    h5py = require("h5py", extra="formats", purpose="reading d3rlpy files")
    file = existing(path, ".h5", ".hdf5")
    with reading(path, kind="HDF5", names=_NAMES), h5py.File(file, "r") as archive:
        version = text(archive, "version") if "version" in archive else LATE
        card = Card(name=file.stem, recipe=recipe("d3rlpy", file, version=version))
        if version == SPLIT:
            return _split(archive, card, actions)
        if version not in (LATE, ALIGNED):
            raise DataError(f"is {version!r}; known are files without one, {ALIGNED} and {SPLIT}", field="version")
        columns = {ours: array(archive, theirs) for ours, theirs in _NAMES.items() if ours != "truncated"}
        kind = _kind(archive, file.stem, actions)
        ended = flag("terminated", columns["terminated"])
        last = flag("truncated", array(archive, "episode_terminals")) if "episode_terminals" in archive else ended
        same_rows(columns | {"truncated": last})
        if (odd := np.flatnonzero(ended & ~last)).size:
            raise DataError(
                "is set inside an episode, where 'episode_terminals' is 0; d3rlpy ends episodes by those alone, so set them there",
                field="terminated",
                row=int(odd[0]),
            )
        if version == ALIGNED:
            return Dataset.from_rows(**columns, truncated=last & ~ended, card=card, actions=kind)
        return _late(columns, ended, last, card, kind)


def is_d3rlpy(archive: Any) -> bool:
    """Whether an open HDF5 file has one of these layouts."""
    return any(name in archive for name in ("episode_terminals", "discrete_action", "num_episodes"))


def _late(columns: dict, ended: np.ndarray, last: np.ndarray, card: Card, kind: Actions) -> Dataset:
    """Rewards one row late, and the last observation of an episode on a row of its own."""
    ends = np.flatnonzero(np.append(last[:-1], True)) + 1
    begins = np.append(0, ends[:-1])
    reward = column("reward", columns["reward"])
    card = dataclasses.replace(card, findings=_doubts(reward, begins, ends))
    episodes = [
        {
            "observation": columns["observation"][a:b],
            "action": columns["action"][a : b - 1],
            "reward": reward[a + 1 : b],
            "terminated": ended[b - 1],
            "truncated": last[b - 1] and not ended[b - 1],
        }
        for a, b in zip(begins, ends, strict=True)
        if b - a > 1
    ]
    return Dataset.from_episodes(episodes, card=card, actions=kind)


def _doubts(reward: np.ndarray, begins: np.ndarray, ends: np.ndarray) -> tuple[Finding, ...]:
    """Findings on rewards that are taken as one row late.

    Raises:
        DataError: an episode begins with a reward, so they are not.
    """
    if (odd := begins[reward[begins] != 0]).size:
        raise DataError(
            f"is {reward[odd[0]]:g} on the first row of an episode, where files without 'version' have none, since each reward "
            f"stands one row late; {_SAY}",
            field="reward",
            row=int(odd[0]),
        )
    findings = []
    if not reward[begins[ends - begins > 1] + 1].any():  # of their first steps: all 0, too
        findings.append(
            Finding(
                level="warning",
                code="reward-row",
                says="the file has no 'version', so each reward is taken to stand one row late, as in d3rlpy before 1.1; no episode "
                "begins with a reward, so the numbers show neither that nor the contrary",
                advice=_SAY,
            )
        )
    if (short := begins[ends - begins == 1]).size:
        findings.append(
            Finding(
                level="warning",
                code="rows-left-out",
                says=f"{len(short)} episodes of one row were left out: the row holds a last observation, and no step",
                advice="nothing, where these episodes ended before their first step",
                rows=tuple(map(int, short[:5])),
            )
        )
    return tuple(findings)


def _split(archive: Any, card: Card, actions: Actions | None) -> Dataset:
    """Version 2.1: one array an episode."""
    count = array(archive, "num_episodes")
    if count.shape != () or count < 1:
        raise DataError(f"is {count}, expected at least one episode", field="num_episodes")
    if "observations_0_0" in archive:
        raise DataError("is a tuple of arrays, expected one array", field="observations_0")
    parts = ("observations", "actions", "rewards", "terminated")
    episodes = [[array(archive, f"{part}_{number}") for part in parts] for number in range(int(count))]
    ended: list[np.ndarray] = []
    for number, (observation, action, reward, end) in enumerate(episodes):
        if not len(observation) == len(action) == len(reward) > 0 or end.shape != () or end not in (0, 1):
            raise DataError(
                f"episode {number} has {len(observation)} observations, {len(action)} actions, {len(reward)} rewards and ends by "
                f"{end}; expected as many of each, and one flag",
                field=f"observations_{number}",
            )
        ended.append(np.arange(len(action)) == (len(action) - 1 if end else -1))
    joined = {n: np.concatenate([e[i] for e in episodes]) for i, n in enumerate(("observation", "action", "reward"))}
    lasts = np.concatenate([np.arange(len(e[1])) == len(e[1]) - 1 for e in episodes])
    if joined["action"].dtype.kind == "f" and (joined["action"] == np.floor(joined["action"])).all():
        joined["action"] = joined["action"].astype(np.int64)  # choices in d3rlpy's eyes; here one is asked to say so
    terminated = np.concatenate(ended)
    return Dataset.from_rows(**joined, terminated=terminated, truncated=lasts & ~terminated, card=card, actions=actions)


def _kind(archive: Any, name: str, actions: Actions | None) -> Actions:
    """Choices or quantities, as the file declares; how many choices, where the user says."""
    discrete, said = array(archive, "discrete_action"), parse(actions)
    if discrete.shape != () or discrete not in (0, 1):
        raise DataError(f"is {discrete}, expected true or false", field="discrete_action")
    if said is not None and (said == "continuous") == bool(discrete):
        kind = "discrete" if discrete else "continuous"
        raise ConfigError(
            f"{name} declares {kind} actions by 'discrete_action', and actions={said!r} was given; leave it out"
        )
    return (said or "discrete") if discrete else "continuous"
