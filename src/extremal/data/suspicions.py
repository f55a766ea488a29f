"""The rules of `check_dataset`: each looks for one way in which logged data misleads a method."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from extremal.data.dataset import Dataset
from extremal.data.finding import Finding


@dataclass(frozen=True, kw_only=True)
class Jumps:
    """How far observations move in one step, told in each feature's 99 % quantile inside episodes.

    A number is the second largest over the features, since a reset moves several at once (the only one, if there is one).
    """

    inside: np.ndarray  # [N] from each row's observation to its next one
    boundary: np.ndarray  # [E - 1] from each episode's last observation to the first of the next episode
    far: np.ndarray  # [N] bool: more than four times the quantile and half a deviation; never where the MDP ended


Rule = Callable[[Dataset, Jumps | None], Iterator[Finding]]


def time_limit_as_end(data: Dataset, jumps: Jumps | None) -> Iterator[Finding]:
    """`terminated` that falls on the longest length: a time limit written down as an end."""
    lengths, ended = data.lengths, data.terminated[data.starts[1:] - 1]
    longest = lengths == lengths.max()
    count = int((longest & ended).sum())
    if lengths.max() < 2 or count < 3 or not ended[longest].all():
        return
    says = f"{count} of {int(ended.sum())} terminated episodes have exactly the longest length, {lengths.max()} steps"
    advice = (
        "if that is a time limit, set 'truncated' there instead: as 'terminated' it teaches that the future is worth 0"
    )
    rows = _rows((data.starts[1:] - 1)[longest])
    if count == ended.sum():
        yield Finding(level="error", code="terminated-at-limit", says=says, advice=advice, rows=rows)
    elif lengths.max() >= 20 and count >= 0.05 * data.episodes:
        yield Finding(level="warning", code="terminated-at-limit", says=says, advice=advice, rows=rows)


def short_episodes(data: Dataset, jumps: Jumps | None) -> Iterator[Finding]:
    """Episodes of a single step."""
    single = data.lengths == 1
    ended = data.terminated[data.starts[1:] - 1]
    if single.all() and data.episodes > 1:
        says = f"every one of the {data.episodes} episodes is one step long"
        if ended.all():
            advice = "right for a bandit; otherwise 'terminated' is set on every row"
            yield Finding(level="warning", code="one-step", says=says, advice=advice)
        else:
            advice = "rows do not go on into each other: look at the order of rows, 'next_observation' and the episode labels"
            yield Finding(level="error", code="one-step", says=says, advice=advice)
    elif single.mean() > 0.2:
        yield Finding(
            level="note",
            code="many-one-step",
            says=f"{single.mean():.0%} of the episodes are one step long",
            advice="returns and lengths of episodes say little here, for instance where every row in the goal is terminated",
            rows=_rows(data.starts[:-1][single]),
        )


def flags(data: Dataset, jumps: Jumps | None) -> Iterator[Finding]:
    """Ends without a reason, and sparse rewards that nothing ends."""
    ended, cut = int(data.terminated.sum()), int(data.truncated.sum())
    if data.episodes == 1 and data.rows > 1000 and not ended + cut:
        yield Finding(
            level="warning",
            code="one-episode",
            says=f"all {data.rows} rows are one episode without an end",
            advice="if the log holds several episodes, give 'terminated' and 'truncated', or an 'episode' column",
        )
    elif neither := data.episodes - ended - cut:
        yield Finding(
            level="note",
            code="end-without-reason",
            says=f"{neither} of {data.episodes} episodes end neither terminated nor truncated",
            advice="they are taken as cut: their value goes on",
        )
    usual = _usual_reward(data)
    rare = float((data.reward != usual).mean())
    if not ended and 0 < rare < 0.05:
        yield Finding(
            level="warning",
            code="sparse-without-end",
            says=f"{rare:.2%} of the rewards differ from {usual:g}, and no episode is terminated",
            advice="if reaching such a reward ends the task, set 'terminated' there; if the task goes on, this is right",
        )


def rewards(data: Dataset, jumps: Jumps | None) -> Iterator[Finding]:
    """Rewards that say nothing, lie one row beside the end that they belong to, or are out of scale."""
    if data.reward.min() == data.reward.max() and not data.terminated.any():
        yield Finding(
            level="error",
            code="constant-reward",
            says=f"every reward is {data.reward[0]:g} and no episode is terminated",
            advice="no action is better than another in such data; look at the reward column",
        )
    if np.abs(data.reward).max() > 1e3:
        yield Finding(
            level="warning",
            code="large-reward",
            says=f"the largest reward is {np.abs(data.reward).max():g} in magnitude",
            advice="scale the rewards: exponential losses and learning rates are set for values of about 1",
        )
    ends = np.flatnonzero(data.terminated)
    rare = data.reward != _usual_reward(data)
    if len(ends) < 3 or rare.mean() > 0.2 or rare[ends].any():
        return
    for shift, where in ((-1, "before"), (1, "after")):
        beside = ends + shift
        beside = beside[(beside >= 0) & (beside < data.rows)]
        if len(beside) >= 3 and rare[beside].mean() > 0.8:
            yield Finding(
                level="error",
                code="shifted-reward",
                says=f"rewards other than {_usual_reward(data):g} fall on the row {where} a terminated one, never on it",
                advice="shift rewards and flags against each other by one row: the reward of a step stands on its own row",
                rows=_rows(beside),
            )


def actions(data: Dataset, jumps: Jumps | None) -> Iterator[Finding]:
    """Actions out of range, at their bounds, constant or never taken."""
    card = data.card
    if card.actions is not None:
        if never := np.flatnonzero(np.bincount(data.action, minlength=card.actions) == 0).tolist():
            says = f"actions {_list(never)} are never taken"
            yield Finding(level="note", code="unused-action", says=says, advice="their values are guesses")
        return
    for bound, name, sign in ((card.action_low, "below", -1.0), (card.action_high, "above", 1.0)):
        if bound is None:
            continue
        span = np.asarray(card.action_high, np.float32) - np.asarray(card.action_low, np.float32)
        out = sign * (data.action - np.asarray(bound, np.float32)) > 1e-4 * span
        if out.any():
            yield Finding(
                level="error",
                code="action-out-of-range",
                says=f"{out.mean():.2%} of the action entries lie {name} the declared range",
                advice="clip them if the environment does, or declare the range that the log really has",
                rows=_rows(np.flatnonzero(out.any(axis=1))),
            )
    share = saturation(data)
    if share.mean() > 0.1:
        yield Finding(
            level="warning" if share.mean() > 0.5 else "note",
            code="saturated-action",
            says=f"{share.mean():.0%} of the action entries lie at their bounds",
            advice="a squashed policy gives such actions an infinite likelihood: keep the clip of actions just inside the range",
        )
    if constant := constant_features(data.action):
        says = f"action entries {_list(constant)} never change"
        yield Finding(
            level="warning",
            code="constant-action",
            says=says,
            advice="leave them out, or expect a policy that collapses there",
        )


def features(data: Dataset, jumps: Jumps | None) -> Iterator[Finding]:
    """Observation features that carry nothing, or drown the others."""
    value = data.observation
    if value.ndim != 2:
        return
    constant = constant_features(value)
    if len(constant) == value.shape[1]:
        says, advice = "no observation feature ever changes", "look at the observation column"
        yield Finding(level="error", code="constant-observation", says=says, advice=advice)
    elif constant:
        says = f"observation features {_list(constant)} never change"
        advice = "harmless; normalisation leaves them at 0"
        yield Finding(level="note", code="constant-feature", says=says, advice=advice)
    for group in duplicated_features(value):
        says = f"observation features {_list(group)} are equal in every row"
        yield Finding(level="note", code="duplicated-feature", says=says, advice="keep one of them")
    if (large := np.flatnonzero(np.abs(value).max(axis=0) > 1e3)).size:
        yield Finding(
            level="warning",
            code="large-observation",
            says=f"observation features {_list(large.tolist())} reach {np.abs(value).max():g} in magnitude",
            advice="normalise the observations",
        )


def missed_boundaries(data: Dataset, jumps: Jumps | None) -> Iterator[Finding]:
    """Jumps inside episodes that look like a reset and recur: one or two in ten thousand rows are a hard collision."""
    if jumps is None or not jumps.far.any() or jumps.far.mean() < 1e-4:
        return
    rows = np.flatnonzero(jumps.far)
    episode = np.searchsorted(data.starts, rows, side="right") - 1
    offsets = {"after the start": rows - data.starts[episode], "before the end": data.starts[episode + 1] - 1 - rows}
    gaps = np.diff(rows)
    says = f"observations jump inside an episode at {len(rows)} rows, as they do at a reset"
    for where, offset in offsets.items():
        counts = np.bincount(offset[offset <= 3], minlength=1)
        if len(rows) >= 3 and counts.max() >= 0.8 * len(rows):
            yield Finding(
                level="error",
                code="shifted-boundary",
                says=f"{says}, {counts.max()} of them {counts.argmax()} rows {where} of one",
                advice="the flags of the ends are out of step with the observations: shift them",
                rows=_rows(rows),
            )
            return
    certain = len(rows) >= 3 and (data.episodes == 1 or (gaps == gaps[0]).all())
    yield Finding(
        level="error" if certain else "warning",
        code="missed-boundary",
        says=f"{says}{', at equal distances' if len(gaps) > 1 and (gaps == gaps[0]).all() else ''}",
        advice="look at these rows; where a new episode begins, give 'truncated', 'next_observation' or an 'episode' column",
        rows=_rows(rows),
    )


RULES: tuple[Rule, ...] = (time_limit_as_end, short_episodes, flags, rewards, actions, features, missed_boundaries)


def saturation(dataset: Dataset) -> np.ndarray:
    """[A] share of each action entry's values that lie at its bounds: the declared ones, else those seen."""
    low, high = _bounds(dataset)
    near = 1e-4 * np.maximum(high - low, 1e-12)
    return ((dataset.action <= low + near) | (dataset.action >= high - near)).mean(axis=0)


def constant_features(value: np.ndarray) -> list[int]:
    """Columns of `value` [N, C] that never change."""
    return np.flatnonzero(value.min(axis=0) == value.max(axis=0)).tolist()


def duplicated_features(value: np.ndarray) -> list[list[int]]:
    """Groups of columns of `value` [N, C] that are equal in every row, constant ones left out."""
    groups: dict[int, list[int]] = {}
    for index in sorted(set(range(value.shape[1])) - set(constant_features(value))):
        groups.setdefault(hash(value[:, index].tobytes()), []).append(index)
    return [group for group in groups.values() if len(group) > 1]


def jumps_of(dataset: Dataset) -> Jumps | None:
    """The jumps of `dataset`; None where features are not a vector (pixels move everywhere at once)."""
    if dataset.observation.ndim != 2:
        return None
    steps = np.abs(np.diff(dataset.observation, axis=0))
    inside, boundary = steps[dataset.slot], np.delete(steps, dataset.slot, axis=0)
    usual, spread = np.percentile(inside, 99, axis=0), dataset.observation.std(axis=0)
    moving = usual > 1e-6 * spread
    if not moving.any():
        return None
    second = -min(2, int(moving.sum()))
    ratio = lambda x: np.partition(x[:, moving] / usual[moving], second, axis=1)[:, second]  # noqa: E731
    wide = (inside[:, moving] > 0.5 * spread[moving]).sum(axis=1) >= -second
    far = (ratio(inside) > 4.0) & wide & ~dataset.terminated
    return Jumps(inside=ratio(inside), boundary=ratio(boundary) if len(boundary) else np.zeros(0), far=far)


def _bounds(dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    card, action = dataset.card, dataset.action
    low = action.min(axis=0) if card.action_low is None else np.asarray(card.action_low, np.float32)
    high = action.max(axis=0) if card.action_high is None else np.asarray(card.action_high, np.float32)
    return low, high


def _usual_reward(data: Dataset) -> float:
    """The most frequent reward."""
    values, counts = np.unique(data.reward, return_counts=True)
    return float(values[counts.argmax()])


def _rows(rows: np.ndarray) -> tuple[int, ...]:
    return tuple(rows[:5].tolist())


def _list(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers[:10])) + (f" and {len(numbers) - 10} more" if len(numbers) > 10 else "")
