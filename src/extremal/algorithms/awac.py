"""AWAC: a critic of the policy's own actions, and a policy that clones logged actions by how far they surpass its own."""

from __future__ import annotations

from typing import Literal

from extremal.algorithms.actor_critic import ActorCritic
from extremal.algorithms.settings import Preset, continuous
from extremal.core.algorithm import Algorithm, Step, Transitions
from extremal.core.optimiser import Adam, AdamW, Polyak
from extremal.core.ranges import NotNegative, Positive, Whole
from extremal.core.record import record, static
from extremal.core.types import Spec
from extremal.objectives.backup import PolicyBackup
from extremal.objectives.critic import FitCritic
from extremal.objectives.policy import OwnAdvantageCloning


@record
class AWAC(ActorCritic):
    """Advantage-weighted actor-critic.

    Source: [nair2020] Algorithm 1, Eq. (9), (13).
    """

    inverse_temperature: NotNegative = 1.0
    """Of the policy weight exp(inverse_temperature (Q(s, a) - Q(s, own action))): 1 / lambda."""
    policy_weight: Literal["exponential", "batch_softmax"] = static(default="exponential")
    """`exponential`: as above, at most `max_weight`. `batch_softmax`: divided by its mean over the batch instead."""
    max_weight: Positive = 100.0
    """Largest exponential weight."""
    policy_depth: Whole = static(default=2)
    """Hidden layers of the policy."""
    policy_weight_decay: NotNegative = 1e-4
    """How far the policy's weights shrink at each update, in units of its rate."""

    def algorithm(self, spec: Spec, *, updates: int) -> Algorithm:
        observation, action = continuous(type(self).__name__, spec)
        improve = OwnAdvantageCloning(
            inverse_temperature=self.inverse_temperature,
            max_weight=self.max_weight,
            batch_softmax=self.policy_weight == "batch_softmax",
        )
        return Algorithm(
            networks=self.networks(observation, action, "gaussian", policy_depth=self.policy_depth),
            steps=(
                Step(
                    trains="q",
                    objective=FitCritic(backup=PolicyBackup(), discount=self.discount),
                    optimiser=Adam(learning_rate=self.learning_rate),
                ),
                Step(
                    trains="pi",
                    objective=improve,
                    optimiser=AdamW(learning_rate=self.policy_learning_rate, weight_decay=self.policy_weight_decay),
                ),
            ),
            slow={"q": Polyak(rate=self.target_rate)},
            sampler=Transitions(size=self.batch_size),
            prepare=self.transforms(),
        )


PRESETS = {
    "code/locomotion": Preset(
        settings=AWAC(inverse_temperature=0.5, policy_weight="batch_softmax", policy_depth=4, batch_size=1024),
        source="published code of [nair2020], MuJoCo script",
    ),
    "code/dexterous": Preset(
        settings=AWAC(inverse_temperature=2.0, policy_weight="batch_softmax", batch_size=1024),
        source="published code of [nair2020], hand script; left out: A at most 0.5, Q at most 0, V at the policy's mean, "
        "no end of an episode",
    ),
}
