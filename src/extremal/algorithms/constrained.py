"""What EMaQ, BCQ, BEAR and BRAC share: critics, a model of the behaviour that stays as it was fitted, and what each has besides."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from extremal.algorithms.behaviour import PRESETS as MODELS
from extremal.algorithms.behaviour import Behaviour, OnBehaviour
from extremal.core.ranges import Count, Positive, PositiveShare, Share, Whole
from extremal.core.record import record, static
from extremal.networks.heads import Critic, Scalar, TanhGaussianPolicy
from extremal.networks.layers import MLP
from extremal.networks.perturbation import Perturbation


class Networks(NamedTuple):
    q: Critic
    behaviour: Any  # fitted beforehand; no step trains it
    pi: TanhGaussianPolicy | None = None
    perturbation: Perturbation | None = None
    discriminator: Critic | None = None  # tells the policy's actions from the behaviour's
    log_multiplier: Scalar | None = None  # log of the divergence's weight, where a threshold tunes it
    distilled: Any = None  # a second proposal


@record
class ConstrainedNetworks:
    """Sizes of the networks, and which of them there are."""

    model: Behaviour
    observation: int = static()
    action: int = static()
    width: int = static()
    depth: int = static()
    critics: int = static()
    parts: tuple[str, ...] = static()  # of Networks, besides q and behaviour
    multiplier: float = 1.0  # to begin with

    def init(self, key: jax.Array) -> Networks:
        kq, kb, kp, kx, kd = jax.random.split(key, 5)
        o, a, hidden = self.observation, self.action, (self.width,) * self.depth
        critic = lambda keys: Critic(members=tuple(MLP.init(k, (o + a, *hidden, 1)) for k in keys))  # noqa: E731
        makers = {
            "pi": lambda: TanhGaussianPolicy(net=MLP.init(kp, (o, *hidden, 2 * a))),
            "perturbation": lambda: Perturbation(net=MLP.init(kp, (o + a, *hidden, a))),
            "discriminator": lambda: critic([kx]),
            "log_multiplier": lambda: Scalar(x=jnp.log(jnp.asarray(self.multiplier, jnp.float32))),
            "distilled": lambda: self.model.network(kd, o, a),
        }
        return Networks(
            q=critic(jax.random.split(kq, self.critics)),
            behaviour=self.model.network(kb, o, a),
            **{name: makers[name]() for name in self.parts},
        )


@record
class Constrained(OnBehaviour):
    """Settings that these methods share."""

    discount: Share = 0.99
    learning_rate: Positive = 3e-4
    """Of the critics."""
    target_rate: PositiveShare = 0.005
    """How far the slow copies move after each update."""
    ensemble_weight: Share = 1.0
    """lambda: the target is lambda times the least critic plus 1 - lambda times the largest."""
    critics: Count = static(default=2)
    """Number of critics."""
    width: Count = static(default=256)
    depth: Whole = static(default=2)
    """Hidden layers of each network."""
    batch_size: Count = static(default=256)

    def networks(self, observation: int, action: int, *parts: str, multiplier: float = 1.0) -> ConstrainedNetworks:
        return ConstrainedNetworks(
            model=self.behaviour,
            observation=observation,
            action=action,
            width=self.width,
            depth=self.depth,
            critics=self.critics,
            parts=parts,
            multiplier=multiplier,
        )


def behaviour_settings(model: Behaviour) -> dict[str, Any]:
    """A model's settings, as a method on it has them."""
    names = {field.name for field in dataclasses.fields(OnBehaviour)}
    own = {f"behaviour_{field.name}": getattr(model, field.name) for field in dataclasses.fields(model)}
    return {name: value for name, value in own.items() if name in names}


# What EMaQ, BCQ and BEAR have in common in the comparisons of [ghasemipour2021], their model of the behaviour among it.
TABLE_2: dict[str, Any] = {"ensemble_weight": 1.0, "critics": 8, "width": 750, "depth": 3}  # and App. G.1
TABLE_2_VAE = TABLE_2 | behaviour_settings(MODELS["paper/vae"].settings)
TABLE_2 |= behaviour_settings(MODELS["paper/mujoco"].settings)
TABLE_3: dict[str, Any] = {"ensemble_weight": 1.0, "critics": 16, "width": 256, "depth": 4, "batch_size": 128}
TABLE_3 |= behaviour_settings(MODELS["paper/kitchen-antmaze-adroit"].settings)
