"""Extreme Q-Learning: V is the soft maximum of Q over the data's actions, by Gumbel regression."""

from __future__ import annotations

from typing import Literal

from extremal.algorithms.implicit import Implicit
from extremal.core.algorithm import Algorithm
from extremal.core.record import record, static
from extremal.core.types import Spec
from extremal.objectives.statistic import BatchMaxGumbel, Gumbel


@record
class XQL(Implicit):
    """Extreme Q-Learning, offline.

    Source: [garg2023] Algorithm 1, Eq. (11), (12), (14), App. D.3, D.4.
    """

    beta: float = 1.0
    """Temperature of the soft maximum, in units of return: small is near the maximum, large near the mean."""
    clip: float = 5.0
    """Largest exponent (Q - V) / beta; beyond it the loss goes on as its tangent (batch_max: it is flat)."""
    normaliser: Literal["none", "running", "batch_max"] = static(default="running")
    """Scale of the Gumbel loss: none, a running average over earlier batches, or the paper's batch maximum."""

    def algorithm(self, spec: Spec, *, updates: int) -> Algorithm:
        kind = BatchMaxGumbel if self.normaliser == "batch_max" else Gumbel
        return self.build(
            spec,
            kind(beta=self.beta, clip=self.clip),
            updates=updates,
            normaliser=0.01 if self.normaliser == "running" else None,
        )
