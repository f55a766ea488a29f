"""A run made longer: what depends on its length is laid anew over the new one, from the present update on."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import numpy as np

from extremal.core.algorithm import Algorithm
from extremal.core.errors import ConfigError
from extremal.runs.plan import Plan


def extended(plan: Plan, updates: int, *, at: int) -> Plan:
    """The plan with more updates, `at` being the present one; evaluations and rows of the log stay as far apart as they are.

    A schedule of the rate over the whole run is from here on the one that a run of the new length has: a cosine that stood at
    (1 + cos(pi c / old)) / 2 after c updates goes on as (1 + cos(pi c / new)) / 2.

    Raises:
        ConfigError: not more updates than before, or a method whose phases are shares of them.
    """
    if updates <= plan.updates:
        raise ConfigError(f"updates is {updates}, the run has {plan.updates}; give more to extend it, or leave it out")
    if getattr(plan.settings, "extract_after", None) is not None:
        raise ConfigError(
            f"a run with extract_after {plan.settings.extract_after} cannot be extended: its values stopped learning and its policy "
            f"began after that share of {plan.updates} updates, which is another update of {updates}; train a new run"
        )
    old, new = (plan.settings.algorithm(plan.spec, updates=count) for count in (plan.updates, updates))
    if not _equal(_without_schedules(old), _without_schedules(new)):
        raise ConfigError(f"a run of {plan.method} cannot be extended: its steps depend on the number of updates")
    laid = [
        f"{type(schedule).__name__.lower()} of {step.label}"
        for step, other in zip(new.steps, old.steps, strict=True)
        if not _equal(schedule := _schedule(step), _schedule(other))
    ]
    extension = {"from": plan.updates, "to": updates, "at": at, "laid_anew": laid}
    return dataclasses.replace(plan, updates=updates, extensions=(*plan.extensions, extension))


def _schedule(step: Any) -> Any:
    return getattr(step.optimiser, "schedule", None)


def _without_schedules(algorithm: Algorithm) -> Algorithm:
    bare = lambda step: dataclasses.replace(step, optimiser=dataclasses.replace(step.optimiser, schedule=None))  # noqa: E731
    steps = tuple(bare(step) if _schedule(step) is not None else step for step in algorithm.steps)
    return dataclasses.replace(algorithm, steps=steps)


def _equal(one: Any, other: Any) -> bool:
    """Whether two trees have the same structure and the same numbers."""
    (leaves, structure), (others, shape) = jax.tree.flatten(one), jax.tree.flatten(other)
    return structure == shape and all(map(np.array_equal, leaves, others))
