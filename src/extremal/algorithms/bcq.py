"""BCQ: the best of some actions of the behaviour's model, each moved a little to where the critic says that it is better."""

from __future__ import annotations

from typing import Annotated, Any

from extremal.algorithms.acting import BestOf
from extremal.algorithms.behaviour import Behaviour, Model
from extremal.algorithms.constrained import TABLE_2, TABLE_2_VAE, TABLE_3, Constrained, behaviour_settings
from extremal.algorithms.settings import Preset, continuous
from extremal.core.algorithm import Algorithm, Step, Transitions
from extremal.core.optimiser import Adam, Polyak
from extremal.core.ranges import Count, Positive, Range, Share
from extremal.core.record import record, static
from extremal.core.types import Spec
from extremal.objectives.backup import SampledBackup
from extremal.objectives.critic import FitCritic
from extremal.objectives.ensemble import Mixed, Single
from extremal.objectives.perturbation import ImprovePerturbation
from extremal.objectives.sampled import ExpectedMaximum


@record
class BCQ(Constrained):
    """Batch-Constrained Q-learning, for continuous actions.

    Source: [fujimoto2019] Algorithm 1.
    Differs from the paper: the model of the behaviour is fitted beforehand and not beside the critics ([ghasemipour2021] App. G).
    """

    behaviour_model: Model = static(default="vae")
    """The model: bins entry by entry, a conditional VAE, a Gaussian of the state, or a mixture of such."""
    shift: Annotated[float, Range(at_least=0, at_most=2)] = 0.05
    """Phi: the most by which an entry of a rescaled action is moved."""
    samples: Count = static(default=10)
    """Actions of the behaviour a next state."""
    acting_samples: Count = static(default=100)
    """Actions to choose from in acting, by the first critic."""
    policy_learning_rate: Positive = 3e-4
    """Of the perturbation."""
    ensemble_weight: Share = 0.75
    """lambda: the target is lambda times the least critic plus 1 - lambda times the largest."""

    def algorithm(self, spec: Spec, *, updates: int) -> Algorithm:
        observation, action = continuous(type(self).__name__, spec)
        backup = SampledBackup(
            statistic=ExpectedMaximum(samples=self.samples),
            ensemble=Mixed(weight=self.ensemble_weight),
            shift=self.shift,
        )
        polyak = Polyak(rate=self.target_rate)
        return Algorithm(
            networks=self.networks(observation, action, "perturbation"),
            steps=(
                Step(
                    trains="q",
                    objective=FitCritic(backup=backup, discount=self.discount),
                    optimiser=Adam(learning_rate=self.learning_rate),
                ),
                Step(
                    trains="perturbation",
                    objective=ImprovePerturbation(largest=self.shift),
                    optimiser=Adam(learning_rate=self.policy_learning_rate),
                ),
            ),
            slow={"q": polyak, "perturbation": polyak},
            sampler=Transitions(size=self.batch_size),
            prepare=self.transforms(),
            act=BestOf(draws=ExpectedMaximum(samples=self.acting_samples), ensemble=Single(), shift=self.shift),
        )


_CODE = Behaviour(model="vae", width=750, learning_rate=1e-3, batch_size=100)
_SWEPT = "the shift is swept there; draws in acting as in the code of [wu2019]"


def _as_compared(**shared: Any) -> BCQ:
    """BCQ beside EMaQ, with what the two have in common."""
    return BCQ(learning_rate=1e-4, policy_learning_rate=5e-4, acting_samples=10, **shared)


PRESETS = {
    "code/mujoco": Preset(
        settings=BCQ(learning_rate=1e-3, policy_learning_rate=1e-3, batch_size=100, **behaviour_settings(_CODE)),
        source="published code of [fujimoto2019]; its layers of 400 and 300 are two of 256 here",
    ),
    "emaq/mujoco": Preset(settings=_as_compared(**TABLE_2), source=f"[ghasemipour2021] Table 2, App. G.1; {_SWEPT}"),
    "emaq/vae": Preset(
        settings=_as_compared(**TABLE_2_VAE), source=f"[ghasemipour2021] Fig. 7, Table 2, App. H.1; {_SWEPT}"
    ),
    "emaq/kitchen-antmaze-adroit": Preset(
        settings=_as_compared(**TABLE_3), source=f"[ghasemipour2021] Table 1, Table 3, App. G.3; {_SWEPT}"
    ),
}
