"""`neorl2:PATH`: NeoRL-2's archives, one row a step.

In the published files `done` is set where the MDP ended and `truncated` where a limit cut the episode, never both, and
`next_obs` goes on into the next row everywhere else. Older NeoRL files have `done` alone, which does not tell the two
apart, and are refused.

A file that bears a published name, such as DMSD-high-100000-train, brings its task's simulator and reference scores.
"""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

from extremal.data.dataset import Card, Dataset
from extremal.data.kinds import Actions
from extremal.data.loaders.files import existing, reading, recipe
from extremal.data.loaders.npz import read_member
from extremal.envs import neorl2

_NAMES = {
    "observation": "obs",
    "action": "action",
    "reward": "reward",
    "next_observation": "next_obs",
    "terminated": "done",
    "truncated": "truncated",
}
_PUBLISHED = re.compile(rf"({'|'.join(neorl2.TASKS)})-(?:low|medium|high)-\d+-(?:train|val)")


def load_neorl2(path: str | Path, actions: Actions | None = None) -> Dataset:
    """The NeoRL-2 file at `path`; all its fields are required.

    Raises:
        DataError: damage, a missing field, and what `Dataset.from_rows` refuses.
    """
    file = existing(path, ".npz")
    with reading(path, kind="NeoRL-2 .npz", names=_NAMES), zipfile.ZipFile(file) as archive:
        columns = {ours: read_member(archive, theirs) for ours, theirs in _NAMES.items()}
        task = match[1] if (match := _PUBLISHED.fullmatch(file.stem)) else None
        card = Card(
            name=file.stem,
            environment=f"{neorl2.PREFIX}{task}" if task else None,
            reference=task,
            recipe=recipe("neorl2", file),
        )
        return Dataset.from_rows(**columns, card=card, actions=actions)
