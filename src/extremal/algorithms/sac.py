"""Soft Actor-Critic: a policy that maximises return and entropy, with two critics and a weight of entropy that tunes itself."""

from __future__ import annotations

from extremal.algorithms.actor_critic import ActorCritic
from extremal.algorithms.settings import Preset, continuous
from extremal.core.algorithm import Algorithm, Step, Transitions
from extremal.core.optimiser import Adam, Polyak
from extremal.core.ranges import NotNegative, Number, Positive
from extremal.core.record import record
from extremal.core.types import Spec
from extremal.objectives.actor import SoftImprovement, TuneEntropy
from extremal.objectives.backup import SoftBackup
from extremal.objectives.critic import FitCritic


@record
class SAC(ActorCritic):
    """Soft Actor-Critic.

    Source: [haarnoja2018b] Algorithm 1, Eq. (6), (9), (18).
    """

    entropy_weight: Positive = 1.0
    """Weight of the entropy at the start."""
    entropy_learning_rate: NotNegative = 3e-4
    """Of the logarithm of that weight; 0 keeps it."""
    target_entropy: Number = -1.0
    """Entropy that the weight is tuned for, per dimension of the action (in nats)."""

    def algorithm(self, spec: Spec, *, updates: int) -> Algorithm:
        observation, action = continuous(type(self).__name__, spec)
        return Algorithm(
            networks=self.networks(observation, action, "tanh_gaussian", self.entropy_weight),
            steps=(
                Step(
                    trains="q",
                    objective=FitCritic(backup=SoftBackup(), discount=self.discount),
                    optimiser=Adam(learning_rate=self.learning_rate),
                ),
                Step(trains="pi", objective=SoftImprovement(), optimiser=Adam(learning_rate=self.policy_learning_rate)),
                Step(
                    trains="log_alpha",
                    objective=TuneEntropy(target=self.target_entropy * action),
                    optimiser=Adam(learning_rate=self.entropy_learning_rate),
                ),
            ),
            slow={"q": Polyak(rate=self.target_rate)},
            sampler=Transitions(size=self.batch_size),
            prepare=self.transforms(),
        )


PRESETS = {
    "paper/dm-control": Preset(
        settings=SAC(
            learning_rate=1e-4, policy_learning_rate=1e-4, entropy_learning_rate=1e-4, width=1024, batch_size=1024
        ),
        source="[garg2023] Table 5; it learns while acting, and has a value network besides",
    ),
    "paper/eight-critics": Preset(
        settings=SAC(critics=8), source="[ghasemipour2021] Fig. 3, App. F; the rest, which it does not print, as SAC"
    ),
}
