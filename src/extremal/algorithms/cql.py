"""Conservative Q-Learning: SAC whose critics are pushed down where the policy goes, and up at the logged actions."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from extremal.algorithms.actor_critic import ActorCritic, ActorCriticNetworks
from extremal.algorithms.settings import Preset, continuous
from extremal.core.algorithm import Algorithm, Step, Transitions, tiles_of
from extremal.core.errors import ConfigError
from extremal.core.optimiser import Adam, Polyak
from extremal.core.ranges import Count, NotNegative, Number, Positive, Whole
from extremal.core.record import record, static
from extremal.core.types import Spec
from extremal.networks.heads import Critic, Scalar, TanhGaussianPolicy
from extremal.objectives.actor import SoftCloning, SoftImprovement, TuneEntropy
from extremal.objectives.backup import Backup, MaxBackup, PolicyBackup, SoftBackup
from extremal.objectives.conservative import (
    FitConservativeCritic,
    LogSumExp,
    Penalty,
    PolicyMean,
    PreviousPolicy,
    TunePenalty,
    Variance,
)


class Networks(NamedTuple):
    q: Critic
    pi: TanhGaussianPolicy
    log_alpha: Scalar  # log of the entropy's weight
    log_penalty: Scalar | None  # log of the penalty's own weight, where a threshold tunes it


@record
class ConservativeNetworks:
    """Those of SAC, and the dual weight of the penalty."""

    base: ActorCriticNetworks
    dual: bool = static()

    def init(self, key: jax.Array) -> Networks:
        q, pi, log_alpha = self.base.init(key)
        return Networks(q, pi, log_alpha, Scalar(x=jnp.zeros(())) if self.dual else None)  # type: ignore[arg-type]


@record
class CQL(ActorCritic):
    """Conservative Q-Learning; the defaults are CQL(H) as in App. F, with the fixed weight.

    Source: [kumar2020] Algorithm 1, Eq. (1), (2), (4), (7), (9), (30), App. F.
    """

    policy_depth: Whole | None = static(default=None)
    """Hidden layers of the policy; none: as the critics'."""
    policy_learning_rate: Positive = 3e-5
    """Of the policy; a tenth of the critics', as Theorem 3.3 wants it to change slowly."""
    penalty: Literal["log_sum_exp", "published", "previous_policy", "variance", "policy"] = static(
        default="log_sum_exp"
    )
    """What is pushed down: CQL(H) by App. F or as published code has it, CQL(rho), CQL(var), or the policy's own mean."""
    penalty_weight: NotNegative = 5.0
    """alpha. With a threshold it multiplies the tuned weight."""
    samples: Count = static(default=10)
    """Uniform actions a state, and as many of the policy (of each state that is looked at)."""
    variance_radius: NotNegative = 1.0
    """CQL(var): radius of the chi-square ball, for all states."""
    data_term: bool = static(default=True)
    """Push logged actions up by as much (Eq. 2); without it, Eq. 1."""
    threshold: Number | None = None
    """tau: tune the penalty's weight so that the mean gap comes to this; none: the weight is fixed."""
    threshold_on: Literal["gap", "weighted_gap"] = static(default="gap")
    """Whether the threshold is compared with the gap (the paper), or with penalty_weight times it (published code)."""
    square: Positive = 0.5
    """Factor on the squared Bellman error: 0.5 in the paper, 1 in published code (which halves the penalty's weight)."""
    gap_floor: Number | None = None
    """Least that the gap of a row counts; none in the paper, -200 in AntMaze settings of a re-implementation."""
    backup: Literal["policy", "soft", "max"] = static(default="policy")
    """What follows a transition: Q of one action, the same less the entropy's cost, or the best of `backup_samples`."""
    backup_samples: Count = static(default=10)
    """Actions of the max-backup."""
    warm_start: Whole = static(default=0)
    """First updates at which the policy clones logged actions; 0 in the paper, 40000 in published code."""
    entropy_weight: Positive = 1.0
    """Weight of the policy's entropy at the start."""
    entropy_learning_rate: NotNegative = 3e-4
    """Of the logarithm of that weight; 0 keeps it."""
    target_entropy: Number = -1.0
    """Entropy that the weight is tuned for, per dimension of the action (in nats)."""

    def algorithm(self, spec: Spec, *, updates: int) -> Algorithm:
        observation, action = continuous(type(self).__name__, spec)
        if self.threshold is None and self.threshold_on != "gap":
            raise ConfigError("threshold_on says how a threshold is read; give a threshold with it")
        adam = Adam(learning_rate=self.learning_rate)
        critic = FitConservativeCritic(
            penalty=self._penalty(),
            backup=self._backup(),
            discount=self.discount,
            weight=self.penalty_weight,
            square=self.square,
            data_term=self.data_term,
            floor=self.gap_floor,
        )
        looked_at = {"log_sum_exp": 2, "published": 3}.get(self.penalty, 1) * self.samples + 1
        tiles = tiles_of(self.batch_size, looked_at)
        return Algorithm(
            networks=ConservativeNetworks(
                base=self.networks(observation, action, "tanh_gaussian", self.entropy_weight, self.policy_depth),
                dual=self.threshold is not None,
            ),
            steps=(
                Step(trains="q", objective=critic, optimiser=adam, tiles=tiles),
                *self._policy_steps(action),
                *self._dual(adam),
            ),
            slow={"q": Polyak(rate=self.target_rate)},
            sampler=Transitions(size=self.batch_size),
            prepare=self.transforms(),
        )

    def _penalty(self) -> Penalty:
        kinds: dict[str, Any] = {
            "log_sum_exp": LogSumExp(samples=self.samples),
            "published": LogSumExp(samples=self.samples, published=True),
            "previous_policy": PreviousPolicy(samples=self.samples),
            "variance": Variance(samples=self.samples, radius=self.variance_radius),
            "policy": PolicyMean(samples=self.samples),
        }
        return kinds[self.penalty]

    def _backup(self) -> Backup:
        kinds = {"policy": PolicyBackup(), "soft": SoftBackup(), "max": MaxBackup(samples=self.backup_samples)}
        return kinds[self.backup]

    def _policy_steps(self, action: int) -> tuple[Step, ...]:
        """The policy and its entropy's weight; before `warm_start`, cloning stands in for the critic."""
        adam, tune = Adam(learning_rate=self.policy_learning_rate), Adam(learning_rate=self.entropy_learning_rate)
        target, warm = self.target_entropy * action, self.warm_start
        steps = (
            Step(trains="pi", objective=SoftImprovement(), optimiser=adam, start=warm),
            Step(trains="log_alpha", objective=TuneEntropy(target=target), optimiser=tune, start=warm),
        )
        if not warm:
            return steps
        return (
            Step(trains="pi", name="warm_pi", objective=SoftCloning(), optimiser=adam, stop=warm),
            Step(
                trains="log_alpha",
                name="warm_log_alpha",
                objective=TuneEntropy(target=target, policy="warm_pi"),
                optimiser=tune,
                stop=warm,
            ),
            *steps,
        )

    def _dual(self, adam: Adam) -> tuple[Step, ...]:
        if self.threshold is None:
            return ()
        scale = self.penalty_weight if self.threshold_on == "weighted_gap" else 1.0
        return (
            Step(trains="log_penalty", objective=TunePenalty(threshold=self.threshold, scale=scale), optimiser=adam),
        )


# The paper: Eq. (30), in which the tuned weight stands alone. The published code: a weight inside, and the threshold on both.
_PAPER = CQL(threshold=10.0, penalty_weight=1.0)
_CODE = CQL(
    penalty="published",
    square=1.0,
    policy_learning_rate=1e-4,
    entropy_learning_rate=1e-4,
    depth=3,
    warm_start=40_000,
    threshold=None,
)
_ANTMAZE = dataclasses.replace(_CODE, threshold=5.0, threshold_on="weighted_gap", reward_scale=4.0, reward_shift=-2.0)
_RECIPE = dataclasses.replace(
    _CODE,
    policy_depth=2,
    threshold=0.2,
    gap_floor=-200.0,
    backup="max",
    reward_scale=10.0,
    reward_shift=-5.0,
)
_APPENDIX = "[kumar2020] App. F"

PRESETS = {
    "paper/locomotion": Preset(settings=_PAPER, source=_APPENDIX),
    "paper/kitchen": Preset(settings=dataclasses.replace(_PAPER, threshold=5.0), source=_APPENDIX),
    "paper/adroit": Preset(settings=dataclasses.replace(_PAPER, threshold=5.0), source=_APPENDIX),
    "paper/fixed": Preset(settings=CQL(), source=f"{_APPENDIX}; Table 7, fixed weight"),
    "paper/equation-1": Preset(
        settings=dataclasses.replace(_PAPER, data_term=False), source="[kumar2020] Table 4, Table 6: Equation 1"
    ),
    "code/locomotion": Preset(
        settings=_CODE, source="published code of [kumar2020]: the settings of its read-me, weight 5, no threshold"
    ),
    "code/antmaze": Preset(
        settings=_ANTMAZE,
        source="published code of [kumar2020]: its AntMaze script and read-me; not in the paper: rewards (r - 0.5) 4, "
        "warm start, threshold 5 on the weighted gap, policy rate 1e-4, three layers",
    ),
    "code/antmaze-recipe": Preset(
        settings=_RECIPE,
        source="published code of a re-implementation of [kumar2020], with its author's AntMaze settings; not in the paper: "
        "rewards 10 r - 5, threshold 0.2, floor of -200, warm start, layers. Left out: orthogonal weights, a policy whose "
        "deviation starts without the state, a penalty's weight that starts at e",
    ),
}
