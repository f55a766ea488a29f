"""Twin Delayed DDPG, and TD3+BC: the same with a pull towards the logged actions."""

from __future__ import annotations

from extremal.algorithms.actor_critic import ActorCritic
from extremal.algorithms.settings import Preset, continuous
from extremal.core.algorithm import Algorithm, Step, Transitions
from extremal.core.optimiser import Adam, Polyak
from extremal.core.ranges import Count, NotNegative
from extremal.core.record import record, static
from extremal.core.types import Spec
from extremal.objectives.actor import DeterministicImprovement
from extremal.objectives.backup import SmoothedBackup
from extremal.objectives.critic import FitCritic


@record
class TD3(ActorCritic):
    """Twin Delayed DDPG; with `cloning`, TD3+BC.

    Source: [fujimoto2018] Algorithm 1, App. C; [fujimoto2021] Eq. (3), (5), App. A.
    """

    policy_delay: Count = static(default=2)
    """Updates of the critics per update of the policy and of the slow copies."""
    target_noise: NotNegative = 0.2
    """Deviation of the noise on the slow policy's action, whose range is 2."""
    target_noise_clip: NotNegative = 0.5
    """Largest such noise."""
    cloning: NotNegative | None = None
    """Weight of the critic (its mean magnitude divided out) against the distance to the logged actions; none: TD3."""

    def algorithm(self, spec: Spec, *, updates: int) -> Algorithm:
        observation, action = continuous(type(self).__name__, spec)
        backup = SmoothedBackup(noise=self.target_noise, clip=self.target_noise_clip)
        slow = Polyak(rate=self.target_rate, every=self.policy_delay)
        return Algorithm(
            networks=self.networks(observation, action, "deterministic"),
            steps=(
                Step(
                    trains="q",
                    objective=FitCritic(backup=backup, discount=self.discount),
                    optimiser=Adam(learning_rate=self.learning_rate),
                ),
                Step(
                    trains="pi",
                    objective=DeterministicImprovement(cloning=self.cloning),
                    optimiser=Adam(learning_rate=self.policy_learning_rate),
                    every=self.policy_delay,
                    start=self.policy_delay - 1,
                ),
            ),
            slow={"q": slow, "pi": slow},
            sampler=Transitions(size=self.batch_size),
            prepare=self.transforms(),
        )


TD3_BC = TD3(cloning=2.5, normalise_observation=True)

PRESETS = {
    "paper/dm-control": Preset(
        settings=TD3(learning_rate=1e-3, policy_learning_rate=1e-3), source="[garg2023] Table 5; it learns while acting"
    ),
}
CLONING_PRESETS = {
    "paper/locomotion-v2": Preset(settings=TD3_BC, source="[fujimoto2021] App. A: Table 3"),
}
