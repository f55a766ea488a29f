"""Order of time: a `step` column says which row of an episode comes first."""

from __future__ import annotations

import numpy as np

from extremal.core.errors import DataError
from extremal.data.finding import Finding


def in_order(step: np.ndarray, episode: np.ndarray) -> np.ndarray:
    """[N] places of the rows in order of time: within each episode by `step`, episodes in the order of their first rows.

    Raises:
        DataError: a step stands twice in an episode.
    """
    step = _times(step)
    _, first, label = np.unique(episode, return_index=True, return_inverse=True)
    begin = first[label]
    place = np.lexsort((step, begin))
    twice = (np.diff(begin[place]) == 0) & (np.diff(step[place]) == 0)
    if twice.any():
        row = int(place[1:][twice].min())
        raise DataError(f"is {step[row]} for two rows of episode {episode[row]}", field="step", row=row)
    return place


def rising(step: np.ndarray, last: np.ndarray, *, still: bool = False) -> None:
    """Refuse time that turns back within an episode, or (unless `still`) stands.

    Args:
        last: [N] bool, an episode ends after this row.
    """
    step = _times(step)
    gap = np.diff(step)
    if (back := np.flatnonzero(((gap < 0) | ((gap == 0) & (not still))) & ~last[:-1])).size:
        row = int(back[0]) + 1
        raise DataError(
            f"is {step[row]} after {step[row - 1]}, and nothing says that an episode ends between them; give an 'episode' column, "
            "by which rows are put in order, or set 'truncated' where an episode ends",
            field="step",
            row=row,
        )


def backwards(flagged: np.ndarray, last: np.ndarray) -> list[Finding]:
    """Labels whose first rows are flagged as ends, and not their last ones: time was counted down, or a label changes a row early.

    Args:
        flagged: [N] bool, `terminated` or `truncated`. last: [N] bool, the last row of each label.
    """
    ends = np.flatnonzero(last)
    first = np.append(0, ends[:-1] + 1)
    odd = (ends > first) & flagged[first] & ~flagged[ends]
    if odd.sum() < 3 or odd.sum() < 0.5 * (ends > first).sum():
        return []
    return [
        Finding(
            level="error",
            code="ends-come-first",
            says=f"'terminated' or 'truncated' is set on the first row of {int(odd.sum())} of {len(ends)} episodes, by their labels, and "
            "not on the last one",
            advice="if time runs backwards (a 'step' that counts down), turn it round; if 'episode' changes a row early, move it",
            rows=tuple(first[odd].tolist()),
        )
    ]


def missing_steps(step: np.ndarray, last: np.ndarray) -> list[Finding]:
    """Rows after which a counter goes on by more than it usually does: what stood between was lost."""
    inside = np.flatnonzero(~last[:-1])
    if step.dtype.kind not in "iu" or not inside.size:
        return []
    gap = np.diff(_times(step))[inside]
    usual = int(np.median(gap))
    odd = inside[gap != usual]
    if not 0 < len(odd) < 0.1 * len(inside):
        return []
    return [
        Finding(
            level="warning",
            code="missing-steps",
            says=f"'step' rises by {usual} from row to row, and by another number after {len(odd)} rows: steps between are missing",
            advice="the row after each is taken for its successor; leave these rows out, or end an episode there by 'truncated'",
            rows=tuple(odd.tolist()),
        )
    ]


def _times(step: np.ndarray) -> np.ndarray:
    """[N] numbers that can be subtracted, of numbers, dates, durations, or dates as ISO 8601 writes them."""
    if step.dtype.kind == "U":
        try:
            step = step.astype("M8[ns]")
        except ValueError as error:
            raise DataError(
                f"is '{step[0]}', expected a number or a time like 2026-01-31T12:00:00", field="step"
            ) from error
    if step.dtype.kind in "mM":
        if np.isnat(step).any():
            raise DataError("is no time", field="step", row=int(np.flatnonzero(np.isnat(step))[0]))
        return step.astype("M8[ns]" if step.dtype.kind == "M" else "m8[ns]").astype(np.int64)
    if step.dtype.kind not in "iuf":
        raise DataError(f"holds {step.dtype}, expected numbers or times that rise within an episode", field="step")
    return step if step.dtype.kind == "f" else step.astype(np.int64)
