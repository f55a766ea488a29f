"""Onestep RL: the values of the data's own policy, and one improvement of it. No value ever sees the improved policy."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from extremal.algorithms.implicit import ImplicitNetworks
from extremal.algorithms.settings import DataSettings, Preset, continuous, extraction
from extremal.core.algorithm import Algorithm, Step, Transitions
from extremal.core.optimiser import Adam, Cosine, Polyak
from extremal.core.ranges import Between, Count, NotNegative, Positive, PositiveShare, Share, Whole
from extremal.core.record import record, static
from extremal.core.types import Spec
from extremal.objectives.actor import RegularisedImprovement
from extremal.objectives.backup import ValueBackup
from extremal.objectives.critic import FitCritic
from extremal.objectives.policy import Cloning, ExponentialAdvantage, WeightedCloning
from extremal.objectives.statistic import Mean
from extremal.objectives.value import FitValue


@record
class Onestep(DataSettings):
    """Evaluation of the data's policy, then one step of improvement.

    Source: [brandfonbrener2021] Algorithm 1.
    Differs from the paper: V is fitted to the mean of Q and Q to r + discount V, instead of Q to r + discount Q at the next
    logged action; the fixed point is the same, and an episode's last logged step needs no next action. The improved policy
    starts afresh and not from the model of the behaviour.
    """

    improvement: Literal["exponential", "reverse_kl"] = static(default="exponential")
    """How the policy comes near behaviour exp(inverse_temperature Q): weighted cloning, or a divergence from it."""
    inverse_temperature: NotNegative = 3.0
    """Of the improvement; of `reverse_kl`, the inverse of the divergence's weight."""
    max_weight: Positive = 100.0
    """Largest policy weight of `exponential`."""
    extract_after: Between | None = static(default=0.8)
    """Share of the updates after which the values stay as they are and the policy begins; none: all learn at once."""
    discount: Share = 0.99
    learning_rate: Positive = 3e-4
    policy_schedule: Literal["constant", "cosine"] = static(default="constant")
    """Rate of the policy: constant, or a cosine down to 0 at the last update."""
    target_rate: PositiveShare = 0.005
    """How far the slow critic moves towards the critic after each update."""
    critics: Count = static(default=1)
    """Number of critics; V and the policy see their minimum."""
    width: Count = static(default=256)
    depth: Whole = static(default=2)
    """Hidden layers of each network."""
    batch_size: Count = static(default=256)

    def algorithm(self, spec: Spec, *, updates: int) -> Algorithm:
        observation, action = continuous(type(self).__name__, spec)
        first, last = extraction(self.extract_after, updates)
        adam, modelled = Adam(learning_rate=self.learning_rate), self.improvement == "reverse_kl"
        schedule = Cosine(horizon=float(updates - first)) if self.policy_schedule == "cosine" else None
        model = (Step(trains="behaviour", objective=Cloning(network="behaviour"), optimiser=adam, stop=last),)
        backup = ValueBackup(statistic=Mean())
        return Algorithm(
            networks=ImplicitNetworks(
                observation=observation,
                action=action,
                width=self.width,
                depth=self.depth,
                critics=self.critics,
                behaviour=modelled,
            ),
            steps=(
                *(model if modelled else ()),
                Step(trains="v", objective=FitValue(statistic=Mean()), optimiser=adam, stop=last),
                Step(
                    trains="q",
                    objective=FitCritic(backup=backup, discount=self.discount),
                    optimiser=adam,
                    stop=last,
                ),
                Step(
                    trains="pi",
                    objective=self._improve(),
                    optimiser=Adam(learning_rate=self.learning_rate, schedule=schedule),
                    start=first,
                ),
            ),
            slow={"q": Polyak(rate=self.target_rate)},
            sampler=Transitions(size=self.batch_size),
            prepare=self.transforms(),
        )

    def _improve(self) -> Any:
        if self.improvement == "reverse_kl":
            return RegularisedImprovement(inverse_temperature=self.inverse_temperature)
        return WeightedCloning(
            weight=ExponentialAdvantage(
                statistic=Mean(), inverse_temperature=self.inverse_temperature, max_weight=self.max_weight
            )
        )


_CODE = Onestep(learning_rate=1e-4, width=1024, batch_size=512, extract_after=20 / 21)

PRESETS = {
    "code/reverse-kl": Preset(
        settings=dataclasses.replace(_CODE, improvement="reverse_kl", inverse_temperature=1.0),
        source="published code of [brandfonbrener2021], default configuration",
    ),
    "code/exponential": Preset(
        settings=dataclasses.replace(_CODE, inverse_temperature=0.01),
        source="published code of [brandfonbrener2021], its configuration of exponential weights",
    ),
}
