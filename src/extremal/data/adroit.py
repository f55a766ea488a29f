"""The human demonstrations of the Adroit hand, replayed in the simulator as D4RL did.

The recordings were made on another simulator and with actions that leave the range which the hand accepts. So only where
each demonstration began and what the human did are taken from them; observations and rewards are simulated again.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np

from extremal.core.errors import DataError, require
from extremal.data.dataset import Card, Dataset

_COLUMNS = {"actions": 28, "init_qpos": 30, "init_qvel": 30, "init_door_body_pos": 3}


def build_door_human(source: Path) -> Dataset:
    """The door dataset of 25 demonstrations from DAPG's recordings: 6,729 rows, observation [39], action [28].

    Args:
        source: npz with `actions` [N, 28], `episode_length` [E], and where each episode began: `init_qpos` [E, 30],
            `init_qvel` [E, 30], `init_door_body_pos` [E, 3].

    Recorded actions are clipped to [-1, 1] (5.6 % of their entries lie outside); the dataset holds what was carried out.
    Every demonstration's last row is `truncated`: the task does not end.

    Raises:
        DataError: the file is missing, damaged, or its fields do not fit together.

    Source: [rajeswaran2018] (the recordings); [fu2020] door-human (how they are replayed).
    Differs from the paper: each demonstration's last row is kept, since the simulator tells what followed it.
    """
    require("gymnasium_robotics", extra="robotics", purpose="replaying the demonstrations")
    from extremal.envs.adroit import Door

    demos = _demonstrations(source)
    actions = np.clip(demos["actions"], -1.0, 1.0).astype(np.float32)
    ends = np.cumsum(demos["episode_length"])
    door, episodes = Door(), []
    for number, (start, end) in enumerate(zip(ends - demos["episode_length"], ends, strict=True)):
        state = {name: demos[f"init_{name}"][number] for name in ("qpos", "qvel", "door_body_pos")}
        observation, _ = door.reset(seed=0, options={"initial_state_dict": state})
        steps = [door.step(action)[:2] for action in actions[start:end]]
        episodes.append(
            {
                "observation": np.stack([observation, *(o for o, _ in steps)]),
                "action": actions[start:end],
                "reward": np.array([r for _, r in steps]),
                "truncated": True,
            }
        )
    door.close()
    return Dataset.from_episodes(episodes, card=_card(source, float(np.mean(np.abs(demos["actions"]) > 1.0))))


BUILDS: dict[str, Callable[[Path], Dataset]] = {"adroit-door-human": build_door_human}


def _card(source: Path, clipped: float) -> Card:
    recipe = {
        "generator": "extremal.data.adroit",
        "version": 1,
        "source": hashlib.sha256(Path(source).read_bytes()).hexdigest(),
        "clipped_action_entries": round(clipped, 6),
        **{package: version(package) for package in ("gymnasium-robotics", "mujoco", "numpy")},
    }
    return Card(
        name="adroit-door-human",
        environment="adroit-door",
        reference="door-human-v0",
        action_low=(-1.0,) * 28,
        action_high=(1.0,) * 28,
        recipe=json.dumps(recipe),
    )


def _demonstrations(source: Path) -> dict[str, np.ndarray]:
    """The fields of the recordings as float64, checked against each other."""
    try:
        with Path(source).open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            missing = [name for name in ("episode_length", *_COLUMNS) if name not in file.files]
            if missing:
                raise DataError(f"is missing; the file holds {', '.join(file.files)}", file=source, field=missing[0])
            lengths = file["episode_length"]
            demos = {name: file[name].astype(np.float64) for name in _COLUMNS}
    except DataError:
        raise
    except FileNotFoundError as error:
        raise DataError("there is no such file", file=source) from error
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"is not a readable .npz of plain arrays ({error})", file=source) from error
    if lengths.ndim != 1 or lengths.dtype.kind not in "iu" or lengths.size == 0 or (lengths < 1).any():
        raise DataError("must hold the steps of each episode, at least one", file=source, field="episode_length")
    for name, columns in _COLUMNS.items():
        shape = (int(lengths.sum()) if name == "actions" else len(lengths), columns)
        if demos[name].shape != shape:
            raise DataError(f"has shape {demos[name].shape}, expected {shape}", file=source, field=name)
        if (bad := np.flatnonzero(~np.isfinite(demos[name]).all(axis=1))).size:
            raise DataError("is NaN or infinite", file=source, field=name, row=int(bad[0]))
    return {**demos, "episode_length": lengths}
