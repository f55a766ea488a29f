"""A table with one row a step, as the episodes that it holds: its order of time, its ends, its successors.

    the table has                                         an episode ends where
    an `episode` column, or complete flags                the label changes, a flag is set; nothing else
    neither, but `next_observation`                       a flag is set, or the next row does not go on from here
    neither                                               a flag is set

Flags are complete where some row is `truncated`, or the last row is an end: a `truncated` that is never set says nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from extremal.core.errors import DataError
from extremal.data.finding import Finding
from extremal.data.invariants import (
    column,
    contiguous,
    finite,
    flag,
    labels,
    observed,
    plain,
    real,
    real_numbers,
    same_rows,
)
from extremal.data.order import backwards, in_order, missing_steps, rising
from extremal.data.successors import mismatch


class Rows(NamedTuple):
    """What the episode store is made from: of a table's rows those that are kept, N of them, in order of time."""

    observation: np.ndarray  # [N + E, *O]
    action: np.ndarray  # [N, ...], as given
    reward: np.ndarray  # [N] float32
    terminated: np.ndarray  # [N] bool
    truncated: np.ndarray  # [N] bool
    starts: np.ndarray  # [E + 1]
    findings: tuple[Finding, ...]  # their rows are those of the table as it was given


class _Steps(NamedTuple):
    """The columns of a table, each checked by itself."""

    here: np.ndarray  # [N, *O] as the store keeps observations
    seen: np.ndarray  # [N, *O] as given
    follow: np.ndarray | None  # [N, *O] as given
    action: np.ndarray
    reward: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    complete: bool
    episode: np.ndarray | None
    step: np.ndarray | None

    def at(self, place: np.ndarray) -> _Steps:
        """The rows in another order."""
        columns = {name: value for name, value in self._asdict().items() if isinstance(value, np.ndarray)}
        return self._replace(**{name: value[place] for name, value in columns.items()})


def read_rows(given: Mapping[str, Any]) -> Rows:
    """The episodes of a table's columns; see `Dataset.from_rows`."""
    steps, place = _checked({name: plain(value) for name, value in given.items() if value is not None}), None
    if steps.step is not None and steps.episode is not None:
        place = in_order(steps.step, steps.episode)
        steps = steps.at(place)
    last, findings = _ends(steps)
    here, kept, cut = steps.here, np.ones(len(last), bool), steps.truncated
    if steps.follow is None:
        findings += _unknown_limits(steps)
        kept, last, cut, follow = _known_successors(here, last, steps.terminated, cut)
        findings += _left_out(steps.reward, kept)
    else:
        follow = steps.follow.astype(here.dtype, copy=False)
    ends = np.flatnonzero(last[kept]) + 1
    return Rows(
        observation=np.insert(here[kept], ends, follow[kept][ends - 1], axis=0),
        action=steps.action[kept],
        reward=steps.reward[kept],
        terminated=steps.terminated[kept],
        truncated=cut[kept],
        starts=np.append(0, ends),
        findings=tuple(_first(finding, place) for finding in findings),
    )


def _checked(fields: Mapping[str, np.ndarray]) -> _Steps:
    rows = same_rows(fields)
    if fields["action"].dtype.kind == "f":
        finite("action", real("action", fields["action"]))
    seen, follow = real_numbers("observation", fields["observation"]), fields.get("next_observation")
    here = finite("observation", observed("observation", seen))
    if follow is not None:
        follow = real_numbers("next_observation", follow)
        if follow.shape != seen.shape:
            raise DataError(f"has shape {follow.shape}, 'observation' has {seen.shape}", field="next_observation")
        finite("next_observation", real("next_observation", follow))
    ended, cut = flag("terminated", fields["terminated"]), np.zeros(rows, bool)
    if "truncated" in fields:
        cut = flag("truncated", fields["truncated"]) & ~ended
    return _Steps(
        here=here,
        seen=seen,
        follow=follow,
        action=fields["action"],
        reward=finite("reward", real("reward", column("reward", fields["reward"]))),
        terminated=ended,
        truncated=cut,
        complete="episode" in fields or ("truncated" in fields and bool(cut.any() or ended[-1])),
        episode=labels("episode", fields["episode"]) if "episode" in fields else None,
        step=labels("step", fields["step"]) if "step" in fields else None,
    )


def _ends(steps: _Steps) -> tuple[np.ndarray, list[Finding]]:
    """[N] bool: the last row of each episode; and what is noticed on the way."""
    last, findings = steps.terminated | steps.truncated, []
    if steps.episode is not None:
        labelled = contiguous(steps.episode)
        findings += backwards(last, labelled)
        last |= labelled
    last[-1] = True
    if steps.follow is not None and (found := mismatch(steps.seen, steps.follow, last)) is not None:
        if steps.complete:
            findings.append(found.finding())
        else:
            last[found.rows] = True
    if steps.step is not None:
        rising(steps.step, last)
        findings += missing_steps(steps.step, last)
    return last, findings


def _known_successors(
    here: np.ndarray, last: np.ndarray, ended: np.ndarray, cut: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Which rows to keep where only the next row tells the next observation; their ends, their cuts, and what follows [N, *O].

    What follows a last row is unknown: kept where the MDP ended (no value is read there), left out elsewhere, and the
    row before it, with its cut, becomes the last one.
    """
    follow = np.concatenate([here[1:], here[-1:]])
    follow[last] = here[last]
    gone = last & ~ended
    if gone.all():
        raise DataError("no row has a successor: every episode is one step long", field="observation")
    before = np.append(gone[1:] & ~last[:-1], False)  # rows whose next one goes
    return ~gone, last | before, cut | (before & np.append(cut[1:], False)), follow


def _unknown_limits(steps: _Steps) -> list[Finding]:
    """A table that could not say that a limit cut an episode."""
    if steps.complete:
        return []
    return [
        Finding(
            level="note",
            code="limits-not-known",
            says="'terminated' alone says where an episode ends: a row that a limit cut would be taken to go on into the next episode",
            advice="give 'truncated', 'episode' or 'next_observation' if limits cut episodes",
        )
    ]


def _left_out(reward: np.ndarray, kept: np.ndarray) -> list[Finding]:
    """Rows whose successor nothing tells; grave where they hold the rewards that the log is about."""
    if kept.all():
        return []
    values, counts = np.unique(reward, return_counts=True)
    usual = values[counts.argmax()]
    rare, lost = int((reward != usual).sum()), int((reward[~kept] != usual).sum())
    grave = lost > 0 and 2 * lost >= rare
    held = f"; {lost} of the {rare} rewards other than {usual:g} stood on them" if grave else ""
    return [
        Finding(
            level="warning" if grave else "note",
            code="rows-left-out",
            says=f"{(~kept).sum()} rows were left out, the last of each episode that did not terminate: nothing tells what "
            f"followed them{held}",
            advice="give 'next_observation' to keep them; where the task itself ended there, set 'terminated'",
            rows=tuple(np.flatnonzero(~kept).tolist()),
        )
    ]


def _first(finding: Finding, place: np.ndarray | None) -> Finding:
    """The finding with the first few of its rows, as they were numbered before they were put in order."""
    rows = np.array(finding.rows, int) if place is None else np.sort(place[list(finding.rows)])
    return dataclasses.replace(finding, rows=tuple(rows[:5].tolist()))
