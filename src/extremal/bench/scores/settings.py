"""The library's settings in the comparison: a peer's own, as far as both have them, so that what is left of a difference is told."""

from __future__ import annotations

import dataclasses
from typing import Any

from extremal.algorithms.registry import method
from extremal.bench.scores.options import Options

# Departures from the defaults, each towards what a peer has and cannot be told to leave.
_ALIGNED: dict[str, dict[str, Any]] = {
    "cql": {
        "penalty": "published",
        "threshold": 10.0,
        "square": 1.0,
        "policy_learning_rate": 1e-4,
        "entropy_learning_rate": 1e-4,
    },
    "awac": {"policy_weight": "batch_softmax", "policy_weight_decay": 0.0},
}
_RANGED = (
    "iql",
    "xql",
)  # whose temperature stands for rewards over the range of returns, times 1000, in published code


def settings(name: str, options: Options) -> Any:
    """What method `name` is trained with: its defaults, aligned, at the sizes of `options`."""
    default = method(name).default
    sizes = {"width": options.width, "depth": options.depth, "policy_depth": options.depth, "batch_size": options.batch}
    known = {field.name: getattr(default, field.name) for field in dataclasses.fields(default)}
    changes: dict[str, Any] = {field: size for field, size in sizes.items() if known.get(field) is not None}
    if name in _RANGED:
        changes["reward_range"] = options.reward_range
    return dataclasses.replace(default, **changes, **_ALIGNED.get(name, {}))
