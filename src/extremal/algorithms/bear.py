"""BEAR: a policy that follows the critic, at most a given discrepancy away from the behaviour's actions."""

from __future__ import annotations

import math
from typing import Literal

from extremal.algorithms.acting import BestOf
from extremal.algorithms.behaviour import Behaviour, Model
from extremal.algorithms.constrained import TABLE_2, TABLE_2_VAE, TABLE_3, Constrained, behaviour_settings
from extremal.algorithms.settings import Preset, continuous
from extremal.core.algorithm import Algorithm, Step, Transitions
from extremal.core.optimiser import Adam, Polyak
from extremal.core.ranges import Count, NotNegative, Positive, Share, Whole
from extremal.core.record import record, static
from extremal.core.types import Spec
from extremal.objectives.backup import SampledBackup
from extremal.objectives.constrained import ConstrainedImprovement, TuneMultiplier
from extremal.objectives.critic import FitCritic
from extremal.objectives.divergence import MMD, Adaptive
from extremal.objectives.ensemble import Mixed, Single
from extremal.objectives.sampled import ExpectedMaximum


@record
class BEAR(Constrained):
    """Bootstrapping Error Accumulation Reduction: a maximum mean discrepancy within a threshold, by dual ascent.

    Source: [kumar2019] Algorithm 1.
    Differs from the paper: the model of the behaviour is fitted beforehand; the weight of the constraint has bounds, and a
    warm start, as in published code.
    """

    behaviour_model: Model = static(default="vae")
    """The model: bins entry by entry, a conditional VAE, a Gaussian of the state, or a mixture of such."""
    threshold: NotNegative = 0.05
    """epsilon: the discrepancy that is allowed."""
    kernel: Literal["gaussian", "laplacian"] = static(default="laplacian")
    """Of the discrepancy, on actions before tanh."""
    kernel_scale: Positive = 20.0
    """The Laplacian divides by it, the Gaussian by twice it: published code's sigma, or twice that for the Laplacian."""
    divergence_samples: Count = static(default=5)
    """Actions of the policy, and of the behaviour, that are compared."""
    samples: Count = static(default=10)
    """Actions of the policy a next state, of which the best counts."""
    acting_samples: Count = static(default=10)
    """Actions of the policy to choose from in acting, by the first critic."""
    policy_learning_rate: Positive = 1e-4
    """Of the policy."""
    multiplier_learning_rate: Positive = 1e-3
    """Of the logarithm of the constraint's weight."""
    warm_start: Whole = static(default=0)
    """First updates at which the policy meets the constraint alone; 0 in the paper, 40000 in published code."""
    ensemble_weight: Share = 0.75
    """lambda: the target is lambda times the least critic plus 1 - lambda times the largest."""

    def algorithm(self, spec: Spec, *, updates: int) -> Algorithm:
        observation, action = continuous(type(self).__name__, spec)
        most = ExpectedMaximum(samples=self.samples)
        backup = SampledBackup(statistic=most, ensemble=Mixed(weight=self.ensemble_weight), proposal="pi")
        critic = FitCritic(backup=backup, discount=self.discount)
        polyak = Polyak(rate=self.target_rate)
        return Algorithm(
            networks=self.networks(observation, action, "pi", "log_multiplier"),
            steps=(
                Step(trains="q", objective=critic, optimiser=Adam(learning_rate=self.learning_rate)),
                *self._constrained(),
            ),
            slow={"q": polyak, "pi": polyak},
            sampler=Transitions(size=self.batch_size),
            prepare=self.transforms(),
            act=BestOf(draws=ExpectedMaximum(samples=self.acting_samples), ensemble=Single(), proposal="pi"),
        )

    def _constrained(self) -> tuple[Step, ...]:
        """The policy, and the weight of its constraint; before `warm_start` the constraint alone."""
        weight = Adaptive(least=math.exp(-5.0), largest=math.exp(10.0))
        apart = MMD(
            samples=self.divergence_samples,
            scale=self.kernel_scale,
            kernel=self.kernel,
            rooted=True,
            before_tanh=True,
        )
        steps = []
        for prefix, follows, start, stop in (("warm_", False, 0, self.warm_start), ("", True, self.warm_start, None)):
            if not follows and not self.warm_start:
                continue
            improve = ConstrainedImprovement(divergence=apart, weight=weight, follows=follows)
            tune = TuneMultiplier(threshold=self.threshold, weight=weight, policy=f"{prefix}pi")
            for name, objective, rate in (
                ("pi", improve, self.policy_learning_rate),
                ("log_multiplier", tune, self.multiplier_learning_rate),
            ):
                optimiser = Adam(learning_rate=rate)
                steps.append(
                    Step(
                        trains=name,
                        name=f"{prefix}{name}",
                        objective=objective,
                        optimiser=optimiser,
                        start=start,
                        stop=stop,
                    )
                )
        return tuple(steps)


PRESETS = {
    "code/mujoco": Preset(
        settings=BEAR(
            kernel="gaussian",
            kernel_scale=50.0,
            divergence_samples=4,
            acting_samples=100,
            warm_start=40_000,
            **behaviour_settings(Behaviour(model="vae", width=750, learning_rate=3e-4)),
        ),
        source="published code of D4RL's evaluations, for [kumar2019]",
    ),
    "emaq/mujoco": Preset(
        settings=BEAR(learning_rate=1e-3, policy_learning_rate=3e-5, **TABLE_2),
        source="[ghasemipour2021] Table 2, App. G.1; the threshold is swept there",
    ),
    "emaq/vae": Preset(
        settings=BEAR(learning_rate=1e-3, policy_learning_rate=3e-5, **TABLE_2_VAE),
        source="[ghasemipour2021] Fig. 7, Table 2, App. H.1; the threshold is swept there",
    ),
    "emaq/kitchen-antmaze-adroit": Preset(
        settings=BEAR(learning_rate=1e-4, policy_learning_rate=5e-4, **TABLE_3),
        source="[ghasemipour2021] Table 1, Table 3, App. G.3; the threshold is swept there",
    ),
}
