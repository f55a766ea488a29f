"""Where the observations are reset, told against where the flags say that episodes end.

The rows are one sequence in time. Move i leads from row i to row i + 1; at a truncated row it starts from its successor, but from
the row itself where the MDP ended, since a terminal successor may be padding:

    row        0    1    2  |  3    4    5
    state      s0   s1   s2 |  s0'  s1'  s2'
    successor            s3 |             s3'
    move       s0s1 s1s2    s3s0'   ...            a sound log is reset here, at the end itself: offset 0
                                    s0's1'         reset here, at offset 1: row 3 is a phantom, or the flag stands a row early

All moves at one offset from the flagged ends are judged together, against all other moves: so resets in every fourth row show as
well as those in every thousandth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from extremal.data.dataset import Dataset
from extremal.data.suspicions.jumps import sampled
from extremal.data.suspicions.pairs import Pairs, pairs_of

NEAR = 0.02  # a size this small is no move but rounding
_COLUMNS = 64  # features that are looked at
_REST = 50_000  # moves that a group is compared with


@dataclass(frozen=True, kw_only=True)
class Moves:
    """Sizes and kinds of the moves of a log of N rows and E episodes.

    A size is the mean over features of log(1 + step in the feature's median step).
    """

    data: Dataset
    columns: np.ndarray  # [C] the features that move, and are looked at
    size: np.ndarray  # [N - 1]
    into_end: np.ndarray  # [E] from each episode's last row to its successor
    gap: np.ndarray  # [E - 1] from that successor to the next row; 0 where the log goes on from there
    pairs: Pairs | None  # where few observations recur: what the moves are then
    joint: np.ndarray  # [N - 1] bool: over an end, to the very successor that was given: nothing moves

    def seen(self, row: np.ndarray) -> np.ndarray:
        """[M, C] float64: what these rows see."""
        return self._state(self.data.slot[row])

    def successor(self, row: np.ndarray) -> np.ndarray:
        """[M, C] float64: what is stored as the next observation of these rows."""
        return self._state(self.data.slot[row] + 1)

    def departure(self, row: np.ndarray) -> np.ndarray:
        """[M, C] float64: where the moves from these rows start."""
        return self._state(_leave(self.data, row))

    def _state(self, slot: np.ndarray) -> np.ndarray:
        flat = self.data.observation.reshape(len(self.data.observation), -1)
        return flat[np.ix_(slot, self.columns)].astype(np.float64)


def moves_of(data: Dataset) -> Moves:
    """The moves of a dataset on the host."""
    flat = data.observation.reshape(len(data.observation), -1)
    slot, last = data.slot, data.starts[1:] - 1
    leave = _leave(data, np.arange(data.rows - 1))
    inner = np.ones(data.rows, bool)
    inner[last] = False
    steps = slot[sampled(np.flatnonzero(inner if inner.any() else ~data.terminated), _REST)]
    after = slot[last[:-1]] + 1, slot[last[:-1] + 1]
    size, into_end, gap, columns = np.zeros(data.rows - 1), np.zeros(data.episodes), np.zeros(data.episodes - 1), []
    for column in np.unique(np.linspace(0, flat.shape[1] - 1, min(flat.shape[1], _COLUMNS)).astype(int)):
        value = flat[:, column].astype(np.float64)
        step = np.abs(value[steps + 1] - value[steps])
        if not (step := step[step > 0.0]).size:
            continue
        columns.append(column)
        usual = np.median(step)
        for total, start, end in ((size, leave, slot[1:]), (into_end, slot[last], slot[last] + 1), (gap, *after)):
            total += np.log1p(np.abs(value[end] - value[start]) / usual)
    count = max(1, len(columns))
    joint = np.zeros(data.rows - 1, bool)
    joint[last[:-1]] = data.truncated[last[:-1]] & (gap <= NEAR * count)
    return Moves(
        data=data,
        columns=np.array(columns, int),
        size=size / count,
        into_end=into_end / count,
        gap=gap / count,
        joint=joint,
        pairs=pairs_of(data, leave),
    )


def _leave(data: Dataset, row: np.ndarray) -> np.ndarray:
    """The slot that the moves from these rows start from."""
    return data.slot[row] + data.truncated[row]
