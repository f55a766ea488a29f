"""A run under way: a plan that stands, the parts of its data, and the way to its end."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from extremal.data.dataset import Dataset
from extremal.data.transforms import apply
from extremal.runs.fitted import Fitted
from extremal.runs.initial import Origin
from extremal.runs.plan import Plan
from extremal.runs.simulator import maker
from extremal.runs.train import Training, Watcher, checkpoints

if TYPE_CHECKING:
    from extremal.runs.simulator import Simulator


class Parts(NamedTuple):
    """Of a dataset."""

    whole: Dataset
    prepared: Dataset  # what is kept for training, as the networks see it
    held_out: Dataset | None


def go(
    plan: Plan,
    path: Path,
    parts: Parts,
    fits: Mapping[str, Fitted],
    watch: Watcher,
    *,
    origin: Origin | None,
    simulator: Simulator | None,
) -> None:
    """Train from the last checkpoint, or from the start (with the weights of `origin`, where there is one), to the end.

    Args:
        simulator: what a user gave, where that is not the plan's own environment.
    """
    held_out = None if parts.held_out is None else apply(plan.prepare, parts.held_out)
    given: dict[str, Any] = {}
    if not checkpoints(path):
        wanted = fits if origin is None else origin.lacking(fits)
        given = {n: fit.networks(parts.whole, plan.seeds, plan.prepare, watch=watch) for n, fit in wanted.items()}
    begin = partial(origin.put, plan=plan, given=given) if origin is not None else lambda states: states
    judge = None if plan.environment is None else maker(simulator, plan)
    Training(
        plan=plan,
        path=path,
        data=parts.prepared,
        held_out=held_out,
        watch=watch,
        given=given,
        begin=begin,
        simulator=judge,
    ).run()
