"""Rules on the flags: limits written down as ends, episodes of a single step, ends without a reason."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from extremal.data.finding import Finding
from extremal.data.limits import step_limit_of
from extremal.data.suspicions.log import Log, first_rows

UNCOUNTED = "their returns are not known, and count neither in the range of returns nor among the best"


def time_limit_as_end(log: Log) -> Iterator[Finding]:
    """`terminated` that falls on the longest length: a time limit written down as an end, unless the task has that length."""
    lengths, ended = log.data.lengths, log.data.terminated[log.last]
    longest = int(lengths.max())
    at = ended & (lengths == longest)
    count, total = int(at.sum()), int(ended.sum())
    if longest < 2 or count < 3 or (lengths[~ended] == longest).any():
        return
    if (lengths[log.data.truncated[log.last]] == longest - 1).any():  # a cut episode whose last row had no successor
        return
    limit, shorter = step_limit_of(log.data.card), lengths[ended & (lengths < longest)]
    says = f"{count} of {total} terminated episodes have exactly the longest length, {longest} steps"
    advice = (
        "if that is a time limit, set 'truncated' there instead: as 'terminated' it teaches that the future is worth 0; if the task "
        "itself ends after so many steps, this is right"
    )
    level = "warning"
    if limit == longest:
        says, level = (
            f"{says}, which is the step limit of {log.data.card.reference or log.data.card.environment}",
            "error",
        )
    elif count < 0.05 * log.data.episodes or (len(shorter) and longest < 20):
        return
    elif len(shorter) and count >= 5 * np.bincount(longest - shorter[shorter >= longest - 10], minlength=1).max():
        says, level = f"{says}; the others end at any length before it, from {shorter.min()} on", "error"
    yield Finding(level=level, code="terminated-at-limit", says=says, advice=advice, rows=first_rows(log.last[at]))


def short_episodes(log: Log) -> Iterator[Finding]:
    """Episodes of a single step."""
    single = log.data.lengths == 1
    ended = log.data.terminated[log.last]
    if single.all() and log.data.episodes > 1:
        says = f"every one of the {log.data.episodes} episodes is one step long"
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
            rows=first_rows(log.data.starts[:-1][single]),
        )


def cut_episodes(log: Log) -> Iterator[Finding]:
    """Episodes marked as `truncated` that the recording cut and no limit (`data.whole`)."""
    cut = ~log.data.whole & log.data.truncated[log.last]
    if cut.any():
        yield Finding(
            level="note",
            code="cut-by-recording",
            says=f"{cut.sum()} of {log.data.episodes} episodes {'was' if cut.sum() == 1 else 'were'} still going on where the recording "
            "stopped: too short for a limit to have ended them",
            advice=UNCOUNTED,
            rows=first_rows(log.last[cut]),
        )


def flags(log: Log) -> Iterator[Finding]:
    """Ends without a reason, and sparse rewards that nothing ends."""
    data = log.data
    ended, cut = int(data.terminated.sum()), int(data.truncated.sum())
    if data.episodes == 1 and data.rows > 1000 and not ended + cut:
        yield Finding(
            level="warning",
            code="one-episode",
            says=f"all {data.rows} rows are one episode without an end",
            advice="if the log holds several episodes, give 'terminated' and 'truncated', or an 'episode' column",
        )
    elif neither := data.episodes - ended - cut:
        without = log.last[~(data.terminated | data.truncated)[log.last]]
        yield Finding(
            level="note",
            code="end-without-reason",
            says=f"{neither} of {data.episodes} episodes end neither terminated nor truncated",
            advice="they are taken as cut: their value goes on" + _uncounted(log),
            rows=first_rows(without),
        )
    rare = data.reward != log.usual_reward
    if not ended and 0 < rare.mean() < 0.05:
        yield Finding(
            level="warning",
            code="sparse-without-end",
            says=f"{rare.mean():.2%} of the rewards differ from {log.usual_reward:g}, and no episode is terminated",
            advice="if reaching such a reward ends the task, set 'terminated' there; if the task goes on, this is right",
            rows=first_rows(np.flatnonzero(rare)),
        )


def _uncounted(log: Log) -> str:
    """What else follows for the episodes without a flag that the recording cut."""
    if count := int((~log.data.whole & ~(log.data.terminated | log.data.truncated)[log.last]).sum()):
        return f"; {count} of them by the end of the recording: {UNCOUNTED}"
    return ""
