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
from extremal.networks.mixture import MixturePolicy
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
from extremal.objectives.policy import Cloning


class Networks(NamedTuple):
    q: Critic
    pi: TanhGaussianPolicy
    log_alpha: Scalar  # log of the entropy's weight
    log_penalty: Scalar | None = None  # log of the penalty's own weight, where a threshold tunes it
    behaviour: MixturePolicy | None = None  # of the logged actions, where their density is asked for


@record
class ConservativeNetworks:
    """Those of SAC, the dual weight of the penalty, and a Gaussian model of the logged actions."""

    base: ActorCriticNetworks
    dual: bool = static()
    behaviour: bool = static()

    def init(self, key: jax.Array) -> Networks:
        base, o, a = self.base, self.base.observation, self.base.action
        q, pi, log_alpha = base.init(key)
        found = Networks(q, pi, log_alpha)  # type: ignore[arg-type]
        if self.dual:
            found = found._replace(log_penalty=Scalar(x=jnp.zeros(())))
        if self.behaviour:
            own, sizes = jax.random.fold_in(key, 1), {"width": base.width, "depth": base.depth}
            found = found._replace(behaviour=MixturePolicy.init(own, o, a, components=1, **sizes))
        return found


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
    variance_prior: Literal["uniform", "inverse"] = static(default="uniform")
    """CQL(var): centre of that ball, uniform or the inverse of the logged actions' density, by a model that is trained beside."""
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
        self._check()
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
                behaviour=self._models,
            ),
            steps=(
                Step(trains="q", objective=critic, optimiser=adam, tiles=tiles),
                *self._policy_steps(action),
                *self._dual(adam),
                *self._model(adam),
            ),
            slow=self._slow(),
            sampler=Transitions(size=self.batch_size),
            prepare=self.transforms(),
        )

    def _check(self) -> None:
        """Refuse settings under which a threshold would be one on something else than a gap, or could never be met."""
        if not self.data_term and (self.threshold is not None or self.gap_floor is not None):
            name = "gap_floor" if self.threshold is None else "threshold"
            raise ConfigError(
                f"{name} is one of the gap, what is pushed down less Q of the logged action (Eq. 30), and data_term off leaves "
                f"that Q out (Eq. 1): Q itself would be held to it; give {name} none, or turn data_term on"
            )
        if self.threshold is None:
            if self.threshold_on != "gap":
                raise ConfigError("threshold_on says how a threshold is read; give a threshold with it")
            return
        if self.penalty_weight == 0.0:
            raise ConfigError("penalty_weight is 0, and a threshold tunes a factor on it; give penalty_weight above 0")
        if self.gap_floor is not None and self._scale * self.gap_floor >= self.threshold:
            raise ConfigError(
                f"gap_floor {self.gap_floor:g} lets no gap fall below it, and so none below threshold {self.threshold:g}: the "
                "weight would grow without end; give a lower gap_floor"
            )

    def _penalty(self) -> Penalty:
        kinds: dict[str, Any] = {
            "log_sum_exp": LogSumExp(samples=self.samples),
            "published": LogSumExp(samples=self.samples, published=True),
            "previous_policy": PreviousPolicy(samples=self.samples),
            "variance": Variance(samples=self.samples, radius=self.variance_radius, prior=self.variance_prior),
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
        tune = TunePenalty(threshold=self.threshold, scale=self._scale)
        return (Step(trains="log_penalty", objective=tune, optimiser=adam),)

    @property
    def _scale(self) -> float:
        """By which a gap is multiplied before it is compared with the threshold."""
        return self.penalty_weight if self.threshold_on == "weighted_gap" else 1.0

    @property
    def _models(self) -> bool:
        return (self.penalty, self.variance_prior) == ("variance", "inverse")

    def _model(self, adam: Adam) -> tuple[Step, ...]:
        """The model of the logged actions, where a prior asks for their density."""
        if not self._models:
            return ()
        return (Step(trains="behaviour", objective=Cloning(network="behaviour"), optimiser=adam),)

    def _slow(self) -> dict[str, Polyak]:
        """Slow critics; and for CQL(rho) the policy of one update ago."""
        slow = {"q": Polyak(rate=self.target_rate)}
        return slow | {"pi": Polyak(rate=1.0, behind=True)} if self.penalty == "previous_policy" else slow


# The paper: Eq. (30), in which the tuned weight stands alone. The published code: a weight inside, and the threshold on both.
_PAPER = CQL(threshold=10.0, penalty_weight=1.0)
_RHO = dataclasses.replace(_PAPER, penalty="previous_policy")
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
        settings=CQL(data_term=False),
        source="[kumar2020] Eq. (1), Table 4, Table 6. Eq. (1) has no gap that Eq. (30) could tune a weight by: fixed, as in App. F",
    ),
    "paper/rho-locomotion": Preset(settings=_RHO, source=f"[kumar2020] Eq. (7), Table 5; {_APPENDIX}"),
    "paper/rho-kitchen": Preset(
        settings=dataclasses.replace(_RHO, threshold=5.0), source=f"[kumar2020] Eq. (7), Table 2; {_APPENDIX}"
    ),
    "paper/rho-adroit": Preset(
        settings=dataclasses.replace(_RHO, threshold=5.0), source=f"[kumar2020] Eq. (7), Table 2; {_APPENDIX}"
    ),
    "paper/variance": Preset(
        settings=CQL(penalty="variance"), source=f"[kumar2020] Eq. (9), P-hat uniform; fixed weight of {_APPENDIX}"
    ),
    "paper/variance-inverse": Preset(
        settings=CQL(penalty="variance", variance_prior="inverse"),
        source=f"[kumar2020] Eq. (9), P-hat = 1 / D-hat; fixed weight of {_APPENDIX}",
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
