"""What episodes are judged by: one number a seed for each measure that the environment and the data allow."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from extremal.evaluation.rollout import Episodes
from extremal.evaluation.scores import normalised
from extremal.evaluation.statistics import summarise


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The episodes of each replica, and what they say. Printed, it is one line a measure."""

    episodes: tuple[Episodes, ...]  # one entry a replica
    reference: str | None = None  # D4RL's name, for the normalised score

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

    def to_json(self) -> dict[str, Any]:
        """Mean, interquartile mean, interval and per-seed numbers of each measure."""
        return {name: {**summarise(v)._asdict(), "per_seed": v} for name, v in self.per_seed.items()}

    def __str__(self) -> str:
        return "\n".join(f"{name:18} {summarise(values)}" for name, values in self.per_seed.items())
