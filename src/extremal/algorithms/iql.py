"""Implicit Q-Learning: V is an upper expectile of Q over the data's actions."""

from __future__ import annotations

from extremal.algorithms.implicit import Implicit
from extremal.core.algorithm import Algorithm
from extremal.core.record import record
from extremal.core.types import Spec
from extremal.objectives.statistic import Expectile


@record
class IQL(Implicit):
    """Implicit Q-Learning.

    Source: [kostrikov2021] Algorithm 1, Eq. (5), (6), (7), App. B.
    """

    expectile: float = 0.7
    """Level of the expectile: 0.5 is the mean (SARSA), towards 1 the maximum."""

    def algorithm(self, spec: Spec, *, updates: int) -> Algorithm:
        return self.build(spec, Expectile(expectile=self.expectile), updates=updates)
