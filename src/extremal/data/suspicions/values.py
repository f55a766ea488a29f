"""Rules on rewards and observations: what says nothing, is out of scale, stands alone, or lies a row beside its end."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from extremal.data.finding import Finding
from extremal.data.strays import strays
from extremal.data.suspicions.log import Log, first_rows, listed


def rewards(log: Log) -> Iterator[Finding]:
    """Rewards that say nothing, lie one row beside the end that they belong to, or are out of scale."""
    data, usual = log.data, log.usual_reward
    if data.reward.min() == data.reward.max() and not data.terminated.any():
        yield Finding(
            level="error",
            code="constant-reward",
            says=f"every reward is {data.reward[0]:g} and no episode is terminated",
            advice="no action is better than another in such data; look at the reward column",
        )
    if (largest := np.abs(data.reward).max()) > 1e3:
        yield Finding(
            level="warning",
            code="large-reward",
            says=f"the largest reward is {largest:g} in magnitude, and {int((np.abs(data.reward) > 1e3).sum())} are above 1000",
            advice="scale the rewards: exponential losses and learning rates are set for values of about 1",
            rows=first_rows(np.argsort(-np.abs(data.reward), kind="stable")),
        )
    ends = np.flatnonzero(data.terminated)
    rare = data.reward != usual
    if len(ends) < 3 or rare.mean() > 0.2 or rare[ends].any():
        return
    for shift, where in ((-1, "before"), (1, "after")):
        beside = ends + shift
        beside = beside[(beside >= 0) & (beside < data.rows)]
        if len(beside) >= 3 and rare[beside].mean() > 0.8:
            yield Finding(
                level="error",
                code="shifted-reward",
                says=f"rewards other than {usual:g} fall on the row {where} a terminated one, never on it",
                advice="shift rewards and flags against each other by one row: the reward of a step stands on its own row",
                rows=first_rows(beside),
            )


def features(log: Log) -> Iterator[Finding]:
    """Observation features that carry nothing, or drown the others."""
    value = log.state
    if value.ndim != 2:
        return
    constant = log.constant
    if len(constant) == value.shape[1]:
        says, advice = "no observation feature ever changes", "look at the observation column"
        bandit = bool(log.data.terminated.all())  # of which there may be nothing to see
        advice += "; for a bandit without a context this is right" if bandit else ""
        yield Finding(level="warning" if bandit else "error", code="constant-observation", says=says, advice=advice)
    elif constant:
        says = f"observation features {listed(constant)} never change"
        advice = "harmless; normalisation leaves them at 0"
        yield Finding(level="note", code="constant-feature", says=says, advice=advice)
    for group in log.duplicated:
        says = f"observation features {listed(group)} are equal in every row"
        yield Finding(level="note", code="duplicated-feature", says=says, advice="keep one of them")
    size = np.maximum(value.max(axis=0), -value.min(axis=0))
    if (large := np.flatnonzero(size > 1e3)).size:
        yield Finding(
            level="warning",
            code="large-observation",
            says=f"observation features {listed(large.tolist())} reach {size.max():g} in magnitude",
            advice="normalise the observations",
            rows=first_rows(np.flatnonzero(np.abs(value[:, large[0]]) == size[large[0]])),
        )


def stray_numbers(log: Log) -> Iterator[Finding]:
    """A few numbers far from all others: codes for 'missing', spikes of a sensor."""
    data, every = log.data, np.arange(log.data.rows)
    columns: list[tuple[str, np.ndarray, np.ndarray, bool]] = []
    if log.state.ndim == 2:
        cut = log.last[~data.terminated[log.last]]  # what follows them is a state, too
        seen = np.concatenate([log.state, data.observation[data.slot[cut] + 1]])
        columns += [
            (f"observation feature {c}", seen[:, c], np.append(every, cut), False) for c in range(seen.shape[1])
        ]
    if data.card.actions is None:
        columns += [(f"action entry {c}", data.action[:, c], every, False) for c in range(data.action.shape[1])]
    else:
        columns.append(("action", data.action, every, True))
    for name, value, row, codes_only in (*columns, ("reward", data.reward, every, True)):
        if not (place := strays(value, codes_only=codes_only)).size:
            continue
        others, worst = np.delete(value, place), value[place[np.abs(value[place]).argmax()]]
        many = "" if len(place) == 1 else f"or the like in {len(place)} rows "
        yield Finding(
            level="warning",
            code="stray-number",
            says=f"{name} is {worst:g} {many}and between {others.min():g} and {others.max():g} in {'the' if many else 'all'} others",
            advice="if that stands for 'missing' or is a fault of the sensor, drop the rows or fill in a reading; one such number "
            "sets a range, a mean and a deviation" + _of_range(log, name),
            rows=first_rows(np.unique(row[place])),
        )


def _of_range(log: Log, name: str) -> str:
    """What becomes of the range of actions, where it is read from the data."""
    read = name.startswith("action entry") and log.data.card.action_low is None
    return " (the range of actions is read without it, and the number clipped to that)" if read else ""
