"""`minari:NAME`: a dataset of the local Minari root (`MINARI_DATASETS_PATH`, or Minari's default in the home folder).

Nothing is downloaded. A goal dictionary (`observation`, `achieved_goal`, `desired_goal`) becomes the vector
[observation, desired_goal]; any other dictionary of arrays becomes all its entries in the order of their sorted names, and so
does that of its simulator (`extremal.envs.vectors`).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from extremal.core.errors import DataError, SpecError, require
from extremal.data.dataset import Card, Dataset
from extremal.data.kinds import Actions, agree
from extremal.data.loaders.files import reading, recipe
from extremal.data.loaders.reference import minari_reference_of
from extremal.envs.recovered import recovered
from extremal.envs.vectors import entries, flattened

_NAMES = {
    "observation": "observations",
    "action": "actions",
    "reward": "rewards",
    "terminated": "terminations",
    "truncated": "truncations",
}


def load_minari(name: str, actions: Actions | None = None) -> Dataset:
    """The Minari dataset `name`, like 'D4RL/pen/human-v2', of the local root.

    Raises:
        DataError: no such dataset, damage, spaces that are neither a box nor discrete, and what `Dataset` refuses.
        MissingExtraError: minari is not installed.
    """
    minari = require("minari", extra="formats", purpose="reading Minari datasets")
    folder = _folder(name)
    with reading(name, kind="Minari", names=_NAMES):
        _check_metadata(folder / "metadata.json")
        found = minari.MinariDataset(folder)
        environment, more = _environment(found.storage.metadata)
        more |= _order(found.observation_space)
        files = sorted(f for f in folder.rglob("*") if f.is_file() and f.name != "metadata.json")
        if not files:
            raise DataError("has no data beside its metadata")
        space = found.action_space
        card = Card(
            name=name,
            environment=environment,
            reference=minari_reference_of(name),
            recipe=recipe("minari", *files, **more),
            **_range(space),
        )
        agree(card, actions, space="continuous" if card.actions is None else card.actions)
        first = int(getattr(space, "start", 0))
        episodes = [_episode(episode, found.observation_space, first) for episode in found.iterate_episodes()]
        return Dataset.from_episodes(episodes, card=card, actions="continuous" if card.actions is None else None)


def local_minari() -> list[str]:
    """Names of the datasets in the local Minari root."""
    root = _root()
    return sorted(f.parent.parent.relative_to(root).as_posix() for f in root.rglob("data/metadata.json"))


def _root() -> Path:
    return Path(os.environ.get("MINARI_DATASETS_PATH") or Path.home() / ".minari" / "datasets")


def _folder(name: str) -> Path:
    if not re.fullmatch(r"[\w-]+(/[\w-]+)*-v\d+", name):
        raise DataError("is not a Minari name; expected one like 'D4RL/pen/human-v2', not a path", file=name)
    folder = _root() / name / "data"
    if not (folder / "metadata.json").is_file():
        here = ", ".join(local_minari()) or "nothing"
        raise DataError(f"is not in the local Minari root, which has {here}; try 'minari download {name}'", file=name)
    return folder


def _check_metadata(file: Path) -> None:
    """Without the spaces Minari would build the environment to ask it, and so run what the metadata names."""
    metadata = json.loads(file.read_text("utf-8"))
    for name in ("observation_space", "action_space"):
        if name not in metadata:
            raise DataError("is missing in metadata.json; make the dataset again with minari 0.5 or later", field=name)


def _environment(metadata: Mapping[str, Any]) -> tuple[str | None, dict[str, Any]]:
    """The name of the environment meant for evaluation, with all its settings, and those again for the recipe."""
    text = metadata.get("eval_env_spec") or metadata.get("env_spec")
    if not text:
        return None, {}
    spec = json.loads(text)
    return recovered(spec), {"environment_settings": spec.get("kwargs") or {}}


def _order(space: Any) -> dict[str, Any]:
    """For the recipe: which entries of a dictionary make the vector, so that a simulator's are put in the same order."""
    try:
        order = entries(space)
    except SpecError as error:
        raise DataError(str(error), field="observation") from error
    return {"observation_order": order} if order else {}


def _range(space: Any) -> dict[str, Any]:
    """What the action space declares, as fields of a card."""
    spaces = require("gymnasium.spaces", extra="formats", purpose="reading Minari datasets")
    if isinstance(space, spaces.Discrete):
        return {"actions": int(space.n)}
    if not isinstance(space, spaces.Box) or len(space.shape) != 1:
        raise DataError(f"lies in {space}; only a one-dimensional Box or Discrete is supported", field="action")
    if not space.is_bounded():
        return {}
    return {"action_low": tuple(space.low.tolist()), "action_high": tuple(space.high.tolist())}


def _episode(episode: Any, space: Any, first: int) -> dict[str, Any]:
    return {
        "observation": flattened(space, episode.observations),
        "action": np.asarray(episode.actions) - first if first else episode.actions,
        "reward": episode.rewards,
        "terminated": episode.terminations,
        "truncated": episode.truncations,
    }
