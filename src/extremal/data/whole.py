"""Which episodes of a log came to an end of their own: of the others, which the recording cut, nobody knows the return.

    an episode that                                                            is whole
    terminated                                                                 always
    is `truncated`                                                             yes: a limit ended it
    has neither flag, in a log that flags limits                               no: flags say that nothing ended it
    has neither flag, in a log that flags none                                 yes: a limit may have ended it
    is the log's last, and the others with its flag are longer, all equally    no: that is the limit, and it has not come so far
    is the log's last, and alone in having no flag                             no
    is the log's last, alone `truncated`, and others last longer               no
    did not terminate, in a log that `data build` simulated                    if it is as long as the robot's limit

The last line is for joined shares: where a share is full, its last episode is cut, in the middle of the log.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from extremal.data.loaders.reference import step_limit

if TYPE_CHECKING:
    from extremal.data.dataset import Card

SHARES = "extremal.data.mujoco"  # the generator that joins them


def whole_episodes(terminated: np.ndarray, truncated: np.ndarray, lengths: np.ndarray, card: Card) -> np.ndarray:
    """[E] bool from each episode's flags [E] and length [E]; all of them where none would be."""
    limit = step_limit(card.reference) if card.recipe and json.loads(card.recipe).get("generator") == SHARES else None
    if limit is not None:
        whole = terminated | (lengths >= limit)
    else:
        whole = terminated | truncated if truncated.any() else np.ones(len(lengths), bool)
        whole[-1] &= not _cut_last(terminated, truncated, lengths)
    return whole if whole.any() else np.ones(len(lengths), bool)


def _cut_last(terminated: np.ndarray, truncated: np.ndarray, lengths: np.ndarray) -> bool:
    """Whether the log stops within its last episode."""
    if terminated[-1] or not (terminated | truncated).any():
        return False
    others = lengths[:-1][(truncated == truncated[-1])[:-1] & ~terminated[:-1]]
    if len(others):
        return bool((others == others[0]).all() and lengths[-1] < others[0])
    return not truncated[-1] or bool((lengths > lengths[-1]).any())
