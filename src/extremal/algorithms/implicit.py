"""The implicit family: fit V to a statistic of Q over the data's actions, Q to r + discount V, and clone by advantage.

XQL, IQL and the KL ball differ in one leaf, the statistic.
"""

from __future__ import annotations

import dataclasses
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from extremal.algorithms.settings import DataSettings, continuous, extraction
from extremal.core.algorithm import Algorithm, Step, Transitions
from extremal.core.optimiser import SGD, Adam, Cosine, Polyak
from extremal.core.ranges import Between, Count, NotNegative, Part, Positive, PositiveShare, Share, Whole
from extremal.core.record import record, static
from extremal.core.types import Spec, Transform
from extremal.networks.heads import ALONE, BallValue, Critic, GaussianPolicy, Scalar, StateValue
from extremal.networks.layers import MLP
from extremal.objectives.backup import ValueBackup
from extremal.objectives.critic import FitCritic
from extremal.objectives.policy import ExponentialAdvantage, Weight, WeightedCloning
from extremal.objectives.statistic import Statistic
from extremal.objectives.value import FitValue, TrackLevel, TrackWeight

WEIGHT_RATE = 0.01  # the running normaliser is an average over a hundred updates
LEVEL_RATE = 0.01  # the level is an average over a hundred updates


class Networks(NamedTuple):
    v: StateValue | BallValue
    q: Critic
    pi: GaussianPolicy
    log_weight: Scalar | None = None  # running log of the mean weight, where the loss is divided by it
    log_level: Scalar | None = (
        None  # by how many beta V's slow copy is moved, so that its density ratios have the mean 1
    )
    behaviour: GaussianPolicy | None = None  # model of the data's own policy, where the method has one


@record
class Ball:
    """The head of a KL-ball value: its floor, and where beta begins; `shared`: one beta for all states."""

    floor: float = static()
    beta: float = 1.0
    shared: bool = static(default=False)

    def value(self, key: jax.Array, sizes: tuple[int, ...], *, layer_norm: bool) -> BallValue:
        net = MLP.init(key, (*sizes, 1 if self.shared else 2), layer_norm=layer_norm)
        start = jnp.log(jnp.asarray(self.beta, jnp.float32))
        if self.shared:
            return BallValue(net=net, floor=self.floor, log_beta=start / ALONE)
        last = net.layers[-1]  # beta begins the same in every state, however large observations are
        moved = dataclasses.replace(last, weight=last.weight.at[:, 1].set(0.0), bias=last.bias.at[1].set(start))
        return BallValue(net=dataclasses.replace(net, layers=(*net.layers[:-1], moved)), floor=self.floor)


@record
class ImplicitNetworks:
    """Sizes of the networks."""

    observation: int = static()
    action: int = static()
    width: int = static()
    depth: int = static()
    critics: int = static()
    layer_norm: bool = static(default=False)
    running_weight: bool = static(default=False)
    level: bool = static(default=False)
    behaviour: bool = static(default=False)
    ball: Ball | None = None  # the head of V, where it is not a single number

    def init(self, key: jax.Array) -> Networks:
        kv, kq, kp = jax.random.split(key, 3)
        o, a, hidden = self.observation, self.action, (self.width,) * self.depth
        return Networks(
            v=self._value(kv, (o, *hidden)),
            q=Critic(members=tuple(MLP.init(k, (o + a, *hidden, 1)) for k in jax.random.split(kq, self.critics))),
            pi=self._policy(kp),
            log_weight=Scalar(x=jnp.zeros(())) if self.running_weight else None,
            log_level=Scalar(x=jnp.zeros(())) if self.level else None,
            behaviour=self._policy(jax.random.fold_in(kp, 1)) if self.behaviour else None,
        )

    def _value(self, key: jax.Array, sizes: tuple[int, ...]) -> StateValue | BallValue:
        if self.ball is not None:
            return self.ball.value(key, sizes, layer_norm=self.layer_norm)
        return StateValue(net=MLP.init(key, (*sizes, 1), layer_norm=self.layer_norm))

    def _policy(self, key: jax.Array) -> GaussianPolicy:
        sizes = (self.observation, *(self.width,) * self.depth, self.action)
        return GaussianPolicy(net=MLP.init(key, sizes), log_std=jnp.zeros(self.action))


@record
class ImplicitSettings(DataSettings):
    """Settings that all of the family share: networks, rates, and how V and Q are fitted."""

    discount: Share = 0.99
    learning_rate: Positive = 3e-4
    policy_schedule: Literal["constant", "cosine"] = static(default="cosine")
    """Rate of the policy: constant, or a cosine down to 0 at the last update."""
    policy_dropout: Part | None = None
    """Share of the policy's hidden units silenced in training."""
    extract_after: Between | None = static(default=None)
    """Share of the updates after which V and Q stay as they are and the policy begins; none: all learn at once."""
    target_rate: PositiveShare = 0.005
    """How far the slow critic moves towards the critic after each update."""
    critics: Count = static(default=2)
    """Number of critics; V and the policy see their minimum (2: double Q)."""
    width: Count = static(default=256)
    depth: Whole = static(default=2)
    """Hidden layers of each network."""
    batch_size: Count = static(default=256)
    value_layer_norm: bool = static(default=False)
    """LayerNorm in V."""
    value_updates: Count = static(default=1)
    """V updates per pass."""
    value_batch: Literal["fresh", "same"] = static(default="fresh")
    """Batch of V's further updates: a fresh one each, or that of the first again (published XQL code)."""
    value_learning_rate: Positive | None = None
    """Of V; none: as of the others."""
    value_rate: PositiveShare | None = None
    """How far a slow copy of V, which Q and the policy then see, moves towards V after each update; none: they see V itself."""
    random_actions: Whole = static(default=0)
    """Uniform actions a state that V sees beside the data's."""
    huber: Positive | None = None
    """Huber threshold of the critic's loss; none: the square."""
    max_gradient_norm: Positive | None = None
    """Bound on the global norm of the gradients of V and Q."""

    def recipe(
        self,
        spec: Spec,
        statistic: Statistic,
        weight: Weight,
        *,
        updates: int,
        normaliser: str = "none",
        ball: Ball | None = None,
        scale: tuple[Transform, ...] = (),
    ) -> Algorithm:
        """The recipe: v, (its normaliser or its level,) pi, q, each seeing what the one before it left.

        Source: [garg2023] Algorithm 1 (offline); [kostrikov2021] Algorithm 1.
        Differs from the paper: Q is listed first there; the published code of both runs v, pi, q.
        """
        observation, action = continuous(type(self).__name__, spec)
        adam = Adam(learning_rate=self.learning_rate, max_norm=self.max_gradient_norm)
        own = (
            adam
            if self.value_learning_rate is None
            else dataclasses.replace(adam, learning_rate=self.value_learning_rate)
        )
        first, last = extraction(self.extract_after, updates)
        schedule = Cosine(horizon=float(updates - first)) if self.policy_schedule == "cosine" else None
        fit_value = FitValue(
            statistic=statistic,
            normalised=normaliser == "running",
            others=normaliser == "others",
            random_actions=self.random_actions,
            slow=self.value_rate is not None,
        )
        fit_critic = FitCritic(backup=ValueBackup(statistic=statistic), discount=self.discount, huber=self.huber)
        raised = ball is not None and self.value_rate is not None
        tracked = []
        if normaliser == "running":
            follow = SGD(learning_rate=WEIGHT_RATE)
            tracked.append(Step(trains="log_weight", objective=TrackWeight(), optimiser=follow, stop=last))
        if raised:
            tracked.append(
                Step(trains="log_level", objective=TrackLevel(), optimiser=SGD(learning_rate=LEVEL_RATE), stop=last)
            )
        return Algorithm(
            networks=ImplicitNetworks(
                observation=observation,
                action=action,
                width=self.width,
                depth=self.depth,
                critics=self.critics,
                layer_norm=self.value_layer_norm,
                running_weight=normaliser == "running",
                level=raised,
                ball=ball,
            ),
            steps=(
                Step(
                    trains="v",
                    objective=fit_value,
                    optimiser=own,
                    repeat=self.value_updates,
                    fresh=self.value_batch == "fresh",
                    stop=last,
                ),
                *tracked,
                Step(
                    trains="pi",
                    objective=WeightedCloning(weight=weight, dropout=self.policy_dropout),
                    optimiser=Adam(learning_rate=self.learning_rate, schedule=schedule),
                    start=first,
                ),
                Step(trains="q", objective=fit_critic, optimiser=adam, stop=last),
            ),
            slow={"q": Polyak(rate=self.target_rate)}
            | ({} if self.value_rate is None else {"v": Polyak(rate=self.value_rate)}),
            sampler=Transitions(size=self.batch_size),
            prepare=(*self.transforms(), *scale),
        )


@record
class Implicit(ImplicitSettings):
    """Settings that XQL and IQL share: a policy weight with a temperature of its own."""

    inverse_temperature: NotNegative = 3.0
    """Of the policy weight exp(inverse_temperature (Q - V))."""
    max_weight: Positive = 100.0
    """Largest policy weight."""
    policy_weight: Literal["advantage", "statistic"] = static(default="advantage")
    """`advantage`: as above. `statistic`: the weight that belongs to the value statistic (XQL: Eq. 12, at most exp(clip))."""

    def weight(self, statistic: Statistic) -> Weight:
        if self.policy_weight == "statistic":
            return statistic
        return ExponentialAdvantage(
            statistic=statistic, inverse_temperature=self.inverse_temperature, max_weight=self.max_weight
        )
