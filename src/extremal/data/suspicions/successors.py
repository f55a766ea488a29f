"""Rules on filled numbers: successors that nobody saw, and rows that a writer left empty or wrote again."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from extremal.data.finding import Finding
from extremal.data.suspicions.log import Log, first_rows
from extremal.data.suspicions.resets import standing

_LONG = 10  # equal rows in a row, in a log where rows hardly ever recur


def filled_successors(log: Log) -> Iterator[Finding]:
    """Cut episodes whose successor is one number throughout, or the last row's own observation; after an end it is padding."""
    data = log.data
    cut = np.flatnonzero(~data.terminated[log.last])
    if not cut.size:
        return
    final = data.observation[data.slot[log.last[cut]] + 1].reshape(len(cut), -1)
    filled = cut[_foreign(log, cut, final)]
    if filled.size:
        value = data.observation[data.slot[log.last[filled[0]]] + 1].reshape(-1)[0]
        yield Finding(
            level="error" if 2 * len(filled) >= len(cut) else "warning",
            code="filled-successor",
            says=f"the successor of {len(filled)} of {len(cut)} rows that are not terminated, and end an episode, is {value:g} "
            "throughout, which no row ever sees",
            advice="give the observation that followed, or leave 'next_observation' out: where an episode was cut, values are learned "
            "from its successor (after 'terminated' it may be anything)",
            rows=first_rows(log.last[filled]),
        )
    own = (final == log.state[log.last[cut]].reshape(len(cut), -1)).all(axis=1)
    inner = np.delete(np.arange(data.rows), log.last)
    if log.moves.pairs is None and own.sum() >= 3 and own.mean() > 0.9 and inner.size and _stays(log, inner) < 0.05:
        yield Finding(
            level="warning",
            code="repeated-successor",
            says=f"the successor of {int(own.sum())} rows where an episode was cut is their own observation; no other step stays",
            advice="give the observation that followed, or leave 'next_observation' out",
            rows=first_rows(log.last[cut[own]]),
        )


def _foreign(log: Log, cut: np.ndarray, final: np.ndarray) -> np.ndarray:
    """[M] bool: which successors of cut episodes are one number throughout, that no row sees, and far from the row before."""
    flat, few = log.state.reshape(log.data.rows, -1), final.shape[1] < 3
    same = (final == final[:, :1]).all(axis=1)
    if final.shape[1] == 1:  # a single number is nothing special, unless it is 0 again and again
        same &= (final[:, 0] == 0.0) & (int((final == 0.0).sum()) >= 3)
    if not same.any() or (
        few and not log.one_hot and (flat == np.floor(flat)).all()
    ):  # any place of a grid may be seen once
        return np.zeros(len(cut), bool)
    for value in np.unique(final[same, 0]):
        if (flat[flat[:, 0] == value] == value).all(axis=1).any():
            same &= final[:, 0] != value
    if same.sum() >= 3 and (log.one_hot or not (few or log.moves.pairs)):
        return same
    others = ~log.moves.joint
    others[log.last[cut][log.last[cut] < len(others)]] = False
    far, _ = standing(log.moves.into_end[cut[same]], log.moves.size[others])
    return same & (far >= 0.6)


def _stays(log: Log, rows: np.ndarray) -> float:
    """Share of these rows whose successor is their own observation."""
    slot = log.data.slot[rows[:: max(1, len(rows) // 20_000)]]
    value = log.data.observation.reshape(len(log.data.observation), -1)
    return float((value[slot] == value[slot + 1]).all(axis=1).mean())


def written_again(log: Log) -> Iterator[Finding]:
    """Rows of zeros at the end of the log, or equal rows one after the other, as a killed or stuck writer leaves them."""
    data = log.data
    if data.rows < 3:
        return
    columns = [log.state.reshape(data.rows, -1), data.action.reshape(data.rows, -1), data.reward[:, None]]
    again = np.logical_and.reduce([(column[1:] == column[:-1]).all(axis=1) for column in columns])
    empty = np.logical_and.reduce([(column == 0.0).all(axis=1) for column in columns])
    tail = data.rows - _first_of_last_run(empty)
    if (
        0 < tail < data.rows
        and tail > 2 * _longest(empty[: data.rows - tail])
        and (tail > 1 or columns[0].shape[1] > 1)
    ):
        yield Finding(
            level="warning",
            code="empty-tail",
            says=f"the last {tail} row{'s are' if tail > 1 else ' is'} zero throughout: observation, action and reward",
            advice="a writer that was stopped leaves such rows: leave them out",
            rows=first_rows(np.arange(data.rows - tail, data.rows)),
        )
        again[data.rows - tail - 1 :] = False
    starts, lengths = _runs(again)
    last_only = _stuck(again) > 0
    if log.moves.pairs is None and (last_only or (again.mean() < 0.05 and lengths.max(initial=0) >= _LONG)):
        worst = len(starts) - 1 if last_only else int(lengths.argmax())
        first, length = int(starts[worst]), int(lengths[worst])
        yield Finding(
            level="warning",
            code="repeated-rows",
            says=f"{length + 1} rows in a row are equal from row {first} on: observation, action and reward"
            + (", to the end of the log" if last_only else ""),
            advice="a recorder that hung or was stopped writes such rows: leave them out",
            rows=first_rows(np.arange(first, first + length + 1)),
        )


def half_written(log: Log) -> Iterator[Finding]:
    """Observations or actions that stand still to the end of the log, where the other columns go on: one was written, one not."""
    data = log.data
    columns = {"observation": log.state.reshape(data.rows, -1), "action": data.action.reshape(data.rows, -1)}
    for name, column in columns.items():
        if data.rows <= _LONG or (column[-_LONG - 1 :] != column[-1]).any() or log.moves.pairs is not None:
            continue
        still = (column[1:] == column[:-1]).all(axis=1)
        tail = _stuck(still)
        if not tail or tail == len(still):
            continue
        last = slice(data.rows - tail - 1, None)
        if all(
            (each[last] == each[-1]).all() for each in (*columns.values(), data.reward)
        ):  # whole rows: another rule's
            continue
        value = f"{column[-1, 0]:g} throughout" if (column[-1] == column[-1, 0]).all() else "the same"
        yield Finding(
            level="warning",
            code="unwritten-column",
            says=f"{name} is {value} in the last {tail + 1} rows, and changes everywhere else",
            advice="a writer that was stopped, or a sensor that hung, leaves such a column: leave these rows out",
            rows=first_rows(np.arange(data.rows - tail - 1, data.rows)),
        )


def _stuck(again: np.ndarray) -> int:
    """How many rows at the very end repeat the one before, if that is more than three times as long as anywhere else; else 0."""
    tail = len(again) - _first_of_last_run(again)
    others = _longest(again[: len(again) - tail])
    return tail if tail > 3 * max(1, others) else 0


def _runs(flags: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First positions and lengths of the runs of True."""
    edges = np.diff(np.concatenate([[0], flags.astype(np.int8), [0]]))
    starts = np.flatnonzero(edges == 1)
    return starts, np.flatnonzero(edges == -1) - starts


def _longest(flags: np.ndarray) -> int:
    return int(_runs(flags)[1].max(initial=0))


def _first_of_last_run(flags: np.ndarray) -> int:
    """Where the run of True at the very end begins; the length where there is none."""
    return int(len(flags) - np.argmin(flags[::-1])) if not flags.all() else 0
