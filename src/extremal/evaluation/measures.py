"""What episodes are judged by: one number a seed for each measure that the environment and the data allow."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from extremal.evaluation.rollout import Episodes, together
from extremal.evaluation.scores import normalised
from extremal.evaluation.statistics import summarise


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The episodes of each replica, and what they say. Printed, it is one line a measure, and a sentence on what limits them."""

    episodes: tuple[Episodes, ...]  # one entry a replica
    reference: str | None = None  # D4RL's name, for the normalised score

    def __post_init__(self) -> None:
        object.__setattr__(self, "episodes", together(self.episodes))

    @property
    def per_seed(self) -> dict[str, list[float]]:
        """Means over episodes, one a replica: return, and where there are such, normalised_score, success_rate, steps_to_goal."""
        found = {"return": [float(e.returns.mean()) for e in self.episodes]}
        if (reference := self.reference) is not None:
            found["normalised_score"] = [float(normalised(e.returns, reference).mean()) for e in self.episodes]
        success = [e.success for e in self.episodes if e.success is not None]
        if len(success) == len(self.episodes):
            found["success_rate"] = [float(s.mean()) for s in success]
            if all(s.any() for s in success):
                found["steps_to_goal"] = [float(np.nanmean(e.steps_to_goal)) for e in self.episodes]
        return found

    @property
    def notes(self) -> list[str]:
        """Sentences without which the numbers would mislead: episodes that were cut, and how success was counted."""
        capped = [flag for e in self.episodes for flag in e.capped]
        return notes(capped, self.episodes[0].max_steps, self.episodes[0].success_rule)

    def to_json(self) -> dict[str, Any]:
        """Mean, interquartile mean, interval and per-seed numbers of each measure; capped episodes, one number a replica; notes."""
        measures = {name: {**summarise(v)._asdict(), "per_seed": v} for name, v in self.per_seed.items()}
        capped = {"per_seed": [int(e.capped.sum()) for e in self.episodes], "max_steps": self.episodes[0].max_steps}
        return measures | {"capped_episodes": capped, "notes": self.notes}

    def __str__(self) -> str:
        return "\n".join([*(f"{name:18} {summarise(values)}" for name, values in self.per_seed.items()), *self.notes])


def notes(capped: Sequence[Any], max_steps: int, success_rule: str) -> list[str]:
    """Remarks beside the numbers of E episodes; `capped` [E] are those that were cut at `max_steps`."""
    remarks = [f"success: {success_rule}"] if success_rule else []
    if cut := sum(map(bool, capped)):
        remarks.append(
            f"{cut} of {len(capped)} episodes had not ended after {max_steps:,} steps and were cut there (--max-steps): their "
            "returns are of so many steps"
        )
    return remarks
