"""KL-ball XQL: V is the best mean of Q that a policy within a KL of kappa from the data's can have. It has no temperature."""

from __future__ import annotations

from typing import Literal

from extremal.algorithms.implicit import Ball, ImplicitSettings
from extremal.core.algorithm import Algorithm
from extremal.core.ranges import NotNegative, Positive, PositiveShare
from extremal.core.record import record, static
from extremal.core.types import Spec
from extremal.data.transforms import UnitOfReturns
from extremal.objectives.statistic import KLBall


@record
class KLXQL(ImplicitSettings):
    """Extreme Q-Learning with a distance in place of the temperature; the value functional is the entropic value at risk.

    V(s) = min over beta > 0 of beta log E exp(Q / beta) + kappa beta, and the policy's weight is the density ratio that
    belongs to it. Rewards are counted in a unit of the data's own, so that nothing depends on their scale.

    Source: [ahmadi2012] Theorem 3.3; [garg2023] Sec. 3.2.1 cites it.
    """

    kappa: NotNegative = 0.42
    """KL of the policy from the data's, in nats: 0 clones the data, large is greedy."""
    clip: Positive = 3.0
    """Largest log density ratio; beyond it the loss goes on as its tangent."""
    floor: Positive = static(default=0.001)
    """Least beta, in the unit of rewards (about the deviation of discounted returns); near it V is h alone."""
    value_learning_rate: Positive | None = 1e-4
    """Of V, slower than the others: beta would take V's own swaying for a spread of Q. None: as of the others."""
    value_rate: PositiveShare | None = 0.05
    """How far a slow copy of V, which Q and the policy then see, moves towards V after each update; none: they see V itself."""
    temperature: Literal["state", "shared"] = static(default="state")
    """Beta of each state, or one that serves all of them (their KL is then kappa on average)."""
    reward_unit: Literal["returns", "none"] = static(default="returns")
    """Count rewards in the power of two next to the deviation of discounted returns, or as they are."""

    def algorithm(self, spec: Spec, *, updates: int) -> Algorithm:
        statistic = KLBall(kappa=self.kappa, clip=self.clip, floor=self.floor)
        return self.recipe(
            spec,
            statistic,
            statistic,
            updates=updates,
            ball=Ball(floor=self.floor, shared=self.temperature == "shared"),
            scale=(UnitOfReturns(discount=self.discount),) if self.reward_unit == "returns" else (),
        )
