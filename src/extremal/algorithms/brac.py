"""BRAC: an actor-critic whose policy (BRAC-p), or whose policy and value (BRAC-v), pay for the distance from the behaviour."""

from __future__ import annotations

from typing import Any, Literal

from extremal.algorithms.behaviour import Behaviour, Model
from extremal.algorithms.constrained import Constrained, behaviour_settings
from extremal.algorithms.settings import Preset, continuous
from extremal.core.algorithm import Algorithm, Step, Transitions
from extremal.core.errors import ConfigError
from extremal.core.optimiser import Adam, Polyak
from extremal.core.ranges import Count, NotNegative, Positive, Whole
from extremal.core.record import record, static
from extremal.core.types import Spec
from extremal.objectives.backup import ExpectedBackup
from extremal.objectives.constrained import ConstrainedImprovement, PenalisedBackup, TuneMultiplier
from extremal.objectives.critic import FitCritic
from extremal.objectives.divergence import KL, MMD, Adaptive, Divergence, Dual, FitDiscriminator, Fixed
from extremal.objectives.ensemble import Mixed


@record
class BRAC(Constrained):
    """Behaviour-Regularised Actor-Critic.

    Source: [wu2019].
    """

    behaviour_model: Model = static(default="gaussian")
    """The model: bins entry by entry, a conditional VAE, a Gaussian of the state, or a mixture of such."""
    penalty: Literal["policy", "value"] = static(default="policy")
    """Who pays: the policy alone (BRAC-p), or the target, too (BRAC-v)."""
    divergence: Literal["kl", "mmd", "dual_kl", "wasserstein"] = static(default="kl")
    """Distance of the policy from the behaviour; the last two by a network that tells the two apart."""
    divergence_weight: NotNegative = 1.0
    """alpha; with a threshold, where the tuned weight begins."""
    threshold: NotNegative | None = None
    """Tune the weight so that the divergence comes to this; none: it is fixed."""
    samples: Count = static(default=4)
    """Actions of the policy by which its divergence is measured."""
    slope_weight: NotNegative = 5.0
    """Of the penalty on the slope of the network that tells the two apart (`wasserstein`)."""
    discriminator_updates: Count = static(default=3)
    """Of that network, each on a fresh batch."""
    policy_learning_rate: Positive = 1e-4
    """Of the policy."""
    multiplier_learning_rate: Positive = 1e-3
    """Of the logarithm of a tuned weight."""
    warm_start: Whole = static(default=0)
    """First updates at which the policy meets the behaviour alone; 20000 in published code."""

    def algorithm(self, spec: Spec, *, updates: int) -> Algorithm:
        observation, action = continuous(type(self).__name__, spec)
        apart, tuned = self._divergence(), self.threshold is not None
        if tuned and self.divergence_weight <= 0.0:
            raise ConfigError(
                f"a tuned weight begins at divergence_weight, which is {self.divergence_weight:g}: above 0"
            )
        weight = Adaptive(largest=500.0) if tuned else Fixed(weight=self.divergence_weight)
        backup: Any = ExpectedBackup(ensemble=Mixed(weight=self.ensemble_weight))
        if self.penalty == "value":
            backup = PenalisedBackup(backup=backup, divergence=apart, weight=weight)
        critic = FitCritic(backup=backup, discount=self.discount)
        parts = [
            "pi",
            *(("discriminator",) if isinstance(apart, Dual) else ()),
            *(("log_multiplier",) if tuned else ()),
        ]
        return Algorithm(
            networks=self.networks(observation, action, *parts, multiplier=self.divergence_weight),
            steps=(
                *self._discriminator(apart),
                Step(trains="q", objective=critic, optimiser=Adam(learning_rate=self.learning_rate)),
                *self._policy(apart, weight),
            ),
            slow={"q": Polyak(rate=self.target_rate)},
            sampler=Transitions(size=self.batch_size),
            prepare=self.transforms(),
        )

    def _divergence(self) -> Divergence:
        if self.divergence == "kl":
            self.needs_density("the divergence 'kl'")
            return KL(samples=self.samples)
        if self.divergence == "mmd":
            return MMD(samples=self.samples)
        return Dual(form="kl" if self.divergence == "dual_kl" else "wasserstein", samples=self.samples)

    def _discriminator(self, apart: Divergence) -> tuple[Step, ...]:
        if not isinstance(apart, Dual):
            return ()
        slope = self.slope_weight if self.divergence == "wasserstein" else 0.0
        return (
            Step(
                trains="discriminator",
                objective=FitDiscriminator(divergence=apart, slope_weight=slope),
                optimiser=Adam(learning_rate=self.learning_rate),
                repeat=self.discriminator_updates,
            ),
        )

    def _policy(self, apart: Divergence, weight: Any) -> tuple[Step, ...]:
        """The policy, and the weight of its divergence where that is tuned; before `warm_start` without the critic."""
        ensemble, adam = Mixed(weight=self.ensemble_weight), Adam(learning_rate=self.policy_learning_rate)
        improve = lambda follows: ConstrainedImprovement(  # noqa: E731
            divergence=apart, weight=weight, ensemble=ensemble, follows=follows
        )
        steps = [Step(trains="pi", objective=improve(True), optimiser=adam, start=self.warm_start)]
        if self.warm_start:
            warm = Step(trains="pi", name="warm_pi", objective=improve(False), optimiser=adam, stop=self.warm_start)
            steps.insert(0, warm)
        if self.threshold is not None:
            tune = TuneMultiplier(threshold=self.threshold, weight=weight)
            rate = Adam(learning_rate=self.multiplier_learning_rate)
            steps.append(Step(trains="log_multiplier", objective=tune, optimiser=rate, start=self.warm_start))
        return tuple(steps)


_CODE = {
    "learning_rate": 1e-3,
    "policy_learning_rate": 3e-4,
    "divergence_weight": 0.1,
    "warm_start": 20_000,
    "behaviour_updates": 300_000,
    **behaviour_settings(Behaviour(model="gaussian", learning_rate=5e-4)),
}
_SOURCE = "published code of [wu2019]: the script of its primal form; layers of 300 and 200 are of 256 here"

PRESETS = {
    "code/policy-kl": Preset(settings=BRAC(**_CODE), source=_SOURCE),
    "code/value-kl": Preset(settings=BRAC(penalty="value", **_CODE), source=_SOURCE),
}
