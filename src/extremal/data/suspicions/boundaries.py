"""Rules on where episodes begin and end: phantom rows, flags out of step, successors that are none, ends that nothing tells."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from extremal.data.finding import Finding
from extremal.data.suspicions.jumps import sampled
from extremal.data.suspicions.log import Log, first_rows
from extremal.data.suspicions.moves import Moves
from extremal.data.suspicions.pairs import OFTEN
from extremal.data.suspicions.resets import GROUP, Evidence, evidence, linked, spread, standing

_REACH = 10  # rows on either side of an end
_KNOWN = 3  # moves from an observation tell where it leads, if the log goes on over its ends to the very successor
_ENOUGH = 10  # ends that go on, from which on chance and an event at one time of all episodes are ruled out


@dataclass(frozen=True)
class Shift:
    """Where resets stand instead of at the ends: `offset` moves after them, or at the last row's own successor (None)."""

    ends: np.ndarray  # last rows of the episodes concerned
    rows: np.ndarray  # whose move is a reset
    offset: int | None
    certain: bool = True


def boundaries(log: Log) -> Iterator[Finding]:
    """Observations that go on over the flagged ends, and are reset some rows before or after them; else, jumps elsewhere."""
    if (shift := _log_shift(log)) is None:
        yield from _missed_ends(log)
        return
    count, total = len(shift.rows), len(shift.ends)
    joined = linked(log.moves, shift.ends)
    if shift.offset is None and joined.mean() > 0.9:
        yield Finding(
            level="error",
            code="reset-as-successor",
            says=f"the successor of {count} rows where an episode was cut is the first observation of the next episode, a jump away",
            advice="give the last observation of the episode instead (a vector environment keeps it in its info), or leave "
            "'next_observation' out: values are learned from what follows a cut",
            rows=first_rows(shift.rows),
        )
    elif shift.offset == 1 and _is_phantom(log, shift, joined):
        certain = shift.certain and (joined.mean() > 0.5 or total >= _ENOUGH)
        yield Finding(
            level="error" if certain else "warning",
            code="phantom-row",
            says=f"after {count} of {total} ends one more row goes on from the end's last observation, and leads to a reset",
            advice="such rows are what an environment that resets on the next step leaves: no action was taken there. Drop each "
            "row that follows an end (it holds the end's successor). If they are real steps, the flags stand one row early",
            rows=first_rows(shift.rows),
        )
    else:
        yield _out_of_step(log, shift, joined, total)


def _out_of_step(log: Log, shift: Shift, joined: np.ndarray, total: int) -> Finding:
    """The finding on flags that stand a few rows early or late."""
    offset = shift.offset or 0
    # A cut row without a successor was left out at loading, so the reset is one row nearer to the end that was kept.
    late = int(log.data.truncated[shift.ends].mean() > 0.5 and joined.mean() < 0.5) - offset
    rows, early = (offset, "early") if offset > 0 else (late, "late")
    return Finding(
        level="error" if total >= _ENOUGH or _stand_out(log, shift) else "warning",
        code="shifted-boundary",
        says=f"observations go on over the ends, and are reset {rows} row{'s' * (rows != 1)} {'after' if offset > 0 else 'before'} "
        f"them, at {len(shift.rows)} of {total} ends",
        advice=f"the flags of the ends stand {rows} row{'s' * (rows != 1)} {early}: set them on the last row before each reset",
        rows=first_rows(shift.rows),
    )


def _stand_out(log: Log, shift: Shift) -> bool:
    """Whether few resets are beyond all other moves, in episodes of several lengths: then no event at one time of each is meant."""
    moves, others = log.moves, ~log.moves.joint
    others[shift.rows] = False
    episode = np.searchsorted(log.data.starts, shift.ends, side="right") - 1
    size = moves.into_end[episode] if shift.offset is None else moves.size[shift.rows]
    several = len(np.unique(log.data.lengths[episode])) > 1 and moves.pairs is None
    return several and bool(others.any()) and bool(size.min() > 1.5 * moves.size[others].max())


def _is_phantom(log: Log, shift: Shift, joined: np.ndarray) -> bool:
    """Whether the rows after the ends are no steps, rather than real ones behind flags that stand a row early."""
    reward, group = log.data.reward, log.data.reward[shift.rows]
    if (
        np.isin(shift.rows, log.last).mean() > 0.5
    ):  # an episode of its own: by its label, or since its successor is no reset
        return bool(linked(log.moves, shift.rows).mean() > 0.5)
    alike = group.min() == group.max() and (joined.mean() > 0.5 or reward.min() != reward.max())
    return bool(alike) or not shift.certain


def _log_shift(log: Log) -> Shift | None:
    """Where resets stand, if not at the ends; flagged ones where there are flags, else those that labels tell."""
    data, last = log.data, log.last[log.last < log.data.rows - 1]
    flagged = data.terminated[last] | data.truncated[last]
    ends = last[flagged] if flagged.any() else last
    kinds = [ends, ends[~data.terminated[ends]], ends[data.terminated[ends]]]
    for number, some in enumerate(kinds):
        if len(some) >= 3 and (number == 0 or len(some) < len(ends)) and (shift := _shift(log, ends, some)):
            return shift
    some = ends[linked(log.moves, ends)]  # phantoms in a part of the log
    return _shift(log, ends, some, phantoms=True) if 10 <= len(some) < len(ends) <= 5 * len(some) else None


def _shift(log: Log, ends: np.ndarray, some: np.ndarray, *, phantoms: bool = False) -> Shift | None:
    """Resets near `some` of the `ends`, where the moves over those are like any other; or `phantoms` alone."""
    moves, over = log.moves, evidence(log.moves, some)
    if not _starts_among(moves, some + 1):
        over = replace(over, spread=1.0)  # they lead to one place, but the log does not start there: it is no start
    joined = linked(moves, some).mean() >= 0.9
    if joined or (over.ordinary and (moves.pairs is None or over.novelty is not None)):
        if not phantoms and (shift := _into_end(log, some, joined)):
            return shift
        # Among few observations what comes before an end of the task, or avoids one, is special in itself.
        near = phantoms or (moves.pairs is not None and bool(log.data.terminated.any()))
        reach = [1] if near else [sign * rows for rows in range(1, _REACH + 1) for sign in (1, -1)]
        where = np.searchsorted(ends, some)
        before, after = np.append(-1, ends)[where], np.append(ends, log.data.rows - 1)[where + 1]
        for offset in reach:
            rows = some + offset
            rows = rows[(rows > before) & (rows < after)]
            if len(rows) < max(3, len(some) / 2):
                continue
            beyond = evidence(moves, rows, _KNOWN if joined and offset == 1 else OFTEN)
            if beyond.reset or (offset == 1 and _paid_apart(log, rows, beyond, joined)):
                return Shift(some, rows, offset)
    return _unseen(moves, some, joined)


def _into_end(log: Log, some: np.ndarray, joined: bool) -> Shift | None:
    """Resets on the way from the last rows of cut episodes to their own successors."""
    moves, slot, cut = log.moves, log.data.slot, some[~log.data.terminated[some]]
    if len(cut) < 3 or len(cut) < len(some):
        return None
    shift = Shift(cut, cut, None)
    if (pairs := moves.pairs) is not None:
        novelty = pairs.novelty_of(pairs.code[slot[cut]], pairs.code[slot[cut] + 1])
        return shift if joined and Evidence(len(cut), novelty=novelty).reset else None
    final = log.data.observation[slot[cut] + 1]
    if (final == final[0]).all() and not joined:  # filled in: another rule's
        return None
    others = ~moves.joint
    others[cut] = False
    far, rank = standing(moves.into_end[np.searchsorted(log.last, cut)], moves.size[others])
    few = sampled(cut, GROUP)
    near = spread(moves.seen(few), moves.successor(few)) if joined else 1.0
    return shift if Evidence(len(cut), far, rank, near).reset else None


def _paid_apart(log: Log, rows: np.ndarray, beyond: Evidence, joined: bool) -> bool:
    """Whether all of `rows` bring one reward that next to no other row brings, and lead where others do not.

    A task that goes on over a cut may pay on the first step after it, too, but moves on as ever.
    """
    reward, moves = log.data.reward, log.moves
    same = reward == reward[rows[0]]
    if len(rows) < (3 if joined else 10) or not same[rows].all() or same.sum() - len(rows) > 0.01 * len(reward):
        return False
    if moves.pairs is not None:
        return beyond.novelty is not None and not beyond.ordinary
    return joined and (not beyond.ordinary or spread(moves.departure(rows), moves.seen(rows + 1), least=5) < 0.4)


def _unseen(moves: Moves, some: np.ndarray, joined: bool) -> Shift | None:
    """Among few observations: rows that see what only they see, in a log that starts with what follows them."""
    rows, pairs = some[some + 2 < moves.data.rows] + 1, moves.pairs
    if pairs is None or len(rows) < 3:
        return None
    here, there = (pairs.code[moves.data.slot[row]] for row in (rows, rows + 1))
    only = np.bincount(pairs.start[pairs.real], minlength=pairs.code.max() + 1)[here] == np.bincount(here)[here]
    if not only.all() or pairs.code[0] in here or pairs.code[0] not in there:
        return None
    return Shift(some, rows, 1, certain=joined or len(np.unique(here)) > 1)


def _starts_among(moves: Moves, rows: np.ndarray) -> bool:
    """Whether the log's own first observation is like those that `rows` see, in at least half of the features."""
    after = moves.seen(sampled(rows, GROUP))
    centre = np.median(after, axis=0)
    deviation = np.median(np.abs(after - centre), axis=0)
    near = np.abs(moves.seen(np.zeros(1, int))[0] - centre) <= 6.0 * deviation + 1e-6 * np.abs(centre)
    return not near.size or bool(near.mean() >= 0.5)


def _missed_ends(log: Log) -> Iterator[Finding]:
    """Jumps inside episodes that look like a reset and recur: one or two in ten thousand rows are a hard collision."""
    jumps, data = log.jumps, log.data
    if jumps is None or log.one_hot or not jumps.far.any() or jumps.far.mean() < 1e-4:
        return
    rows = np.flatnonzero(jumps.far)
    gaps = np.diff(rows)
    even = len(gaps) > 1 and bool((gaps == gaps[0]).all())
    certain = len(rows) >= 3 and (data.episodes == 1 or even)
    yield Finding(
        level="error" if certain else "warning",
        code="missed-boundary",
        says=f"observations jump inside an episode at {len(rows)} rows, as they do at a reset{', at equal distances' * even}",
        advice="look at these rows; where a new episode begins, give 'truncated', 'next_observation' or an 'episode' column",
        rows=first_rows(rows),
    )
