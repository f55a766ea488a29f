"""Rules on actions: out of their range, at its bounds, nowhere near them, constant, never taken, or choices in disguise."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from extremal.data.dataset import Dataset
from extremal.data.finding import Finding
from extremal.data.kinds import declared
from extremal.data.strays import strays, usual_range
from extremal.data.suspicions.log import Log, constant_columns, first_rows, listed

_CHOICES = 100  # at most so many different whole numbers look like choices
_WIDE = 100.0  # a declared range so many times as wide as what was seen is never come near


def discrete_actions(log: Log) -> Iterator[Finding]:
    """What there is to say of choices."""
    count, action = log.data.card.actions, log.data.action
    if count is None:
        return
    yield Finding(
        level="note",
        code="discrete-actions",
        says=f"actions are choices, 0 to {count - 1}, and no method takes discrete actions yet",
        advice="the data can be checked, converted and kept; where the numbers are quantities, declare the actions continuous",
    )
    taken = np.unique(action)
    if len(taken) == 1 < count:
        says = f"action {taken[0]} is taken in all {log.data.rows} rows"
        advice = "no other action can be judged by such data; look at the action column"
        yield Finding(
            level="warning", code="constant-action", says=says, advice=advice, rows=first_rows(np.arange(log.data.rows))
        )
    elif len(taken) < count:
        first = np.setdiff1d(np.arange(min(count, len(taken) + 10)), taken)[:10].tolist()
        more = count - len(taken) - len(first)
        says = f"actions {listed(first)}{f' and {more} more' if more else ''} are never taken"
        yield Finding(level="note", code="unused-action", says=says, advice="their values are guesses")


def action_range(log: Log) -> Iterator[Finding]:
    """Continuous actions that leave their declared range, lie at its bounds, or come nowhere near them."""
    card = log.data.card
    if card.actions is not None:
        return
    if card.action_low is not None and card.action_high is not None:
        low, high = np.array(card.action_low), np.array(card.action_high)
        yield from _outside(log, low, high)
        yield from _never_near(log, low, high)
    share = np.delete(saturation(log.data), constant_columns(log.data.action))  # of these another rule speaks
    if share.size and share.mean() > 0.1:
        at = _at_bounds(log.data)
        yield Finding(
            level="warning" if share.mean() > 0.5 else "note",
            code="saturated-action",
            says=f"{share.mean():.0%} of the action entries lie at their bounds",
            advice="a squashed policy gives such actions an infinite likelihood: keep the clip of actions just inside the range",
            rows=first_rows(np.flatnonzero(at.any(axis=1))),
        )


def _outside(log: Log, low: np.ndarray, high: np.ndarray) -> Iterator[Finding]:
    action = log.data.action
    for name, out in (("below", low - action > 1e-4 * (high - low)), ("above", action - high > 1e-4 * (high - low))):
        if out.any():
            yield Finding(
                level="error",
                code="action-out-of-range",
                says=f"{out.mean():.2%} of the action entries lie {name} the declared range",
                advice="clip them if the environment does, or declare the range that the log really has",
                rows=first_rows(np.flatnonzero(out.any(axis=1))),
            )


def _never_near(log: Log, low: np.ndarray, high: np.ndarray) -> Iterator[Finding]:
    """A range of another order than the actions: rescaled to it, all of them are one number."""
    seen_low, seen_high = (np.asarray(end, np.float64) for end in usual_range(log.data.action))
    entries = np.flatnonzero((high - low > _WIDE * (seen_high - seen_low)) & (seen_high > seen_low)).tolist()
    if entries:
        one = entries[0]
        yield Finding(
            level="warning",
            code="unreached-range",
            says=f"action entries {listed(entries)} never come near their declared range: entry {one} is declared from {low[one]:g} "
            f"to {high[one]:g} and lies between {seen_low[one]:g} and {seen_high[one]:g}",
            advice="declare the range that the actions really have, or none: actions are rescaled from the declared one to [-1, 1], "
            "where these differ by next to nothing",
            rows=first_rows(np.argsort(-np.abs(log.data.action[:, one]), kind="stable")),
        )


def action_kind(log: Log) -> Iterator[Finding]:
    """Continuous actions that never change, or look like choices."""
    data = log.data
    if data.card.actions is not None:
        return
    usual = [np.delete(column, strays(column)) for column in data.action.T]
    if constant := [entry for entry, column in enumerate(usual) if column.min() == column.max()]:
        values = ", ".join(f"{usual[entry][0]:g}" for entry in constant[:10])
        yield Finding(
            level="warning",
            code="constant-action",
            says=f"action entries {listed(constant)} never change: they are {values} in all {data.rows} rows",
            advice="leave them out, or expect a policy that collapses there",
            rows=first_rows(np.arange(data.rows)),
        )
    if data.action.shape[1] > 1 or declared(data.card) == "continuous":
        return
    taken = np.unique(data.action[:1000])
    taken = np.unique(data.action) if len(taken) <= _CHOICES else taken
    whole = (taken == np.floor(taken)).all() and taken[0] >= 0 and taken[-1] < _CHOICES
    if whole and len(taken) <= _CHOICES and (len(taken) >= 3 or taken.tolist() == [0.0, 1.0]):
        yield Finding(
            level="warning",
            code="whole-number-action",
            says=f"every action is one of {len(taken)} whole numbers, {taken[0]:g} to {taken[-1]:g}",
            advice="if these are choices, say --actions discrete (in Python, actions='discrete'); if they are quantities, say "
            "--actions continuous, or declare their range",
            rows=first_rows(np.arange(data.rows)),
        )


def saturation(dataset: Dataset) -> np.ndarray:
    """[A] share of each action entry's values that lie at its bounds: the declared ones, else those seen, if it varies."""
    return _at_bounds(dataset).mean(axis=0)


def _at_bounds(dataset: Dataset) -> np.ndarray:
    card, action = dataset.card, dataset.action
    low, high = (np.asarray(end, np.float64) for end in usual_range(action))
    if card.action_low is not None and card.action_high is not None:
        low, high = np.array(card.action_low), np.array(card.action_high)
    near = 1e-4 * np.maximum(high - low, 1e-12)
    return ((action <= low + near) | (action >= high - near)) & (high > low)
