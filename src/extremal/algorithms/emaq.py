"""EMaQ: the value of a state is the largest Q among N actions that the model of the behaviour draws. There is no policy."""

from __future__ import annotations

import dataclasses
from typing import Literal

from extremal.algorithms.acting import BestOf
from extremal.algorithms.ahead import DrawnAhead
from extremal.algorithms.constrained import TABLE_2, TABLE_2_VAE, TABLE_3, Constrained
from extremal.algorithms.settings import Preset, continuous
from extremal.core.algorithm import Algorithm, Step, Transitions
from extremal.core.errors import ConfigError
from extremal.core.optimiser import Adam, Polyak
from extremal.core.ranges import Count, Number, Positive, Whole
from extremal.core.record import record, static
from extremal.core.types import Sampler, Spec
from extremal.objectives.backup import SampledBackup
from extremal.objectives.critic import FitCritic
from extremal.objectives.distil import Distil
from extremal.objectives.ensemble import EnsembleStatistic, Mixed, Optimistic, Single
from extremal.objectives.sampled import ExpectedMaximum, LogMeanExp, SampledStatistic, SoftExpectedMaximum


@record
class EMaQ(Constrained):
    """Expected-Max Q-Learning, and what lies between it and other values: soft-EMaQ, the log-mean-exp of XQL.

    Source: [ghasemipour2021] Algorithm 1, Eq. (10), (11), App. D.1, J.
    """

    samples: Count = static(default=100)
    """N: actions of the behaviour a next state."""
    target: Literal["max", "soft", "log_mean_exp", "jackknife"] = static(default="max")
    """Of the N: the largest Q, the mean weighted by softmax (soft-EMaQ), XQL's log-mean-exp, or that without its first bias."""
    beta: Positive = 1.0
    """Temperature of `soft` (1 / alpha of the paper), `log_mean_exp` and `jackknife`, in units of Q."""
    acting_samples: Count | None = static(default=None)
    """Actions to choose from in acting; none: as many as `samples`."""
    acting: Literal["mixed", "min", "mean", "max", "ucb", "single"] = static(default="mixed")
    """What is said of each: as in the target; the critics' minimum, mean, maximum, mean plus `bonus` deviations; the first's."""
    bonus: Number = 1.0
    """Of `ucb`."""
    draws_ahead: Count | None = static(default=None)
    """Actions drawn ahead in every next state of the data, of which an update takes `samples`; none: new ones at every update."""
    redraw_every: Count | None = static(default=None)
    """Updates after which those are drawn anew; none: never."""
    distilled: bool = static(default=False)
    """A second proposal that learns the best of the drawn actions; then as many are drawn from each."""
    learning_rate: Positive = 1e-4
    """Of the critics."""
    critics: Count = static(default=8)
    """Number of critics."""
    depth: Whole = static(default=3)
    """Hidden layers of each critic."""

    def algorithm(self, spec: Spec, *, updates: int) -> Algorithm:
        observation, action = continuous(type(self).__name__, spec)
        if self.distilled:
            self.needs_density("a distilled proposal")
        proposal = "behaviour+distilled" if self.distilled else "behaviour"
        ensemble = Mixed(weight=self.ensemble_weight)
        backup = SampledBackup(statistic=self._statistic(), ensemble=ensemble, proposal=proposal)
        critic = FitCritic(backup=backup, discount=self.discount)
        most = ExpectedMaximum(samples=self.samples)
        second = Step(
            trains="distilled",
            objective=Distil(statistic=most, ensemble=ensemble, proposal=proposal, network="distilled"),
            optimiser=Adam(learning_rate=self.behaviour_learning_rate),
        )
        return Algorithm(
            networks=self.networks(observation, action, *(("distilled",) if self.distilled else ())),
            steps=(
                Step(trains="q", objective=critic, optimiser=Adam(learning_rate=self.learning_rate)),
                *((second,) if self.distilled else ()),
            ),
            slow={"q": Polyak(rate=self.target_rate)},
            sampler=self._sampler(),
            prepare=self.transforms(),
            act=BestOf(
                draws=ExpectedMaximum(samples=self.acting_samples or self.samples),
                ensemble=self._acting(),
                proposal=proposal,
            ),
        )

    def _sampler(self) -> Sampler:
        size, samples, ahead = self.batch_size, self.samples, self.draws_ahead
        if ahead is None:
            if self.redraw_every is not None:
                raise ConfigError("redraw_every draws anew what draws_ahead has drawn; give draws_ahead, too")
            return Transitions(size=size)
        if self.distilled:
            raise ConfigError(
                "draws_ahead serves a model that stays as it is; a distilled proposal moves: leave one of them out"
            )
        if ahead < samples:
            raise ConfigError(f"draws_ahead is {ahead}: at least samples, which is {samples}")
        return DrawnAhead(size=size, samples=samples, ahead=ahead, redraw=self.redraw_every)

    def _statistic(self) -> SampledStatistic:
        if self.target == "max":
            return ExpectedMaximum(samples=self.samples)
        if self.target == "soft":
            return SoftExpectedMaximum(samples=self.samples, inverse_temperature=1.0 / self.beta)
        return LogMeanExp(samples=self.samples, beta=self.beta, jackknife=self.target == "jackknife")

    def _acting(self) -> EnsembleStatistic:
        return {
            "mixed": Mixed(weight=self.ensemble_weight),
            "min": Mixed(),
            "mean": Optimistic(),
            "max": Mixed(weight=0.0),
            "ucb": Optimistic(bonus=self.bonus),
            "single": Single(),
        }[self.acting]


_MUJOCO = EMaQ(**TABLE_2)
_OURS = "updates of the behaviour's model are ours, the paper prints none"

PRESETS = {
    "paper/mujoco": Preset(settings=_MUJOCO, source=f"[ghasemipour2021] Table 2, App. G.1; {_OURS}"),
    "paper/vae": Preset(settings=EMaQ(**TABLE_2_VAE), source=f"[ghasemipour2021] Fig. 6, Table 2, App. H.1; {_OURS}"),
    "paper/ablation": Preset(
        settings=dataclasses.replace(_MUJOCO, batch_size=100), source=f"[ghasemipour2021] Fig. 1, App. G.2; {_OURS}"
    ),
    "paper/kitchen-antmaze-adroit": Preset(
        settings=EMaQ(**TABLE_3), source=f"[ghasemipour2021] Table 1, Table 3, App. G.3; {_OURS}"
    ),
}
