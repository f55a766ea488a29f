"""How far a policy is from the model of the behaviour, [B]: what BEAR bounds, and what BRAC pays for.

A divergence is called with the policy's network, which may be moving, and with networks that are constant: `behaviour`, and
`discriminator` where it is a critic that tells the two apart.
"""

from __future__ import annotations

from typing import Any, Literal, Protocol

import jax
import jax.numpy as jnp

from extremal.core.record import record, static
from extremal.core.types import Batch, Metrics
from extremal.distributions import OneHot
from extremal.losses.conservative import dual_weight
from extremal.losses.divergence import (
    dual_kl,
    dual_wasserstein,
    gaussian_kernel,
    laplacian_kernel,
    root,
    sampled_kl,
    slope_penalty,
    squared_mmd,
)
from extremal.objectives.expectation import log_density, weighted_densities
from extremal.objectives.sampled import drawn, draws_of, ensemble_values

EDGE = 1e-3  # a behaviour's density is taken at least so far inside of the range, and its numbers before tanh likewise


class Divergence(Protocol):
    """Of the policy's actions from the behaviour's, [B]."""

    def __call__(self, policy: Any, networks: Any, observation: jax.Array, key: jax.Array) -> jax.Array: ...


@record
class KL:
    """E log pi(a|s) - log mu(a|s) over `samples` actions of the policy; exact for discrete actions.

    The slope goes through the action into mu's density: a mu whose density is constant in between (bins) gives it none.

    Source: [wu2019].
    Differs from the paper: mu's density is taken at least 1e-3 inside of the range (published code).
    """

    samples: int = static(default=4)

    def __call__(self, policy: Any, networks: Any, observation: jax.Array, key: jax.Array) -> jax.Array:
        chosen = policy(observation)
        action, weight, log_prob = weighted_densities(chosen, key, self.samples)
        inside = action if isinstance(chosen, OneHot) else jnp.clip(action, EDGE - 1.0, 1.0 - EDGE)
        return sampled_kl(log_prob, log_density(networks.behaviour, observation, inside), weight)


@record
class MMD:
    """Maximum mean discrepancy of `samples` actions of each.

    It is the square, as in BRAC; with `rooted` its root, as in BEAR. With `before_tanh` (published BEAR code) the policy's own
    numbers before tanh are compared, whose slope does not die at the edges.

    Source: [kumar2019]; [wu2019]. Symbols: scale = sigma.
    Differs from the paper: with `before_tanh` the behaviour's actions within 1e-3 of the edge count as there.
    """

    samples: int = static(default=4)
    scale: float = 20.0
    kernel: Literal["gaussian", "laplacian"] = static(default="laplacian")
    rooted: bool = static(default=False)
    unbiased: bool = static(default=False)
    before_tanh: bool = static(default=False)

    def __call__(self, policy: Any, networks: Any, observation: jax.Array, key: jax.Array) -> jax.Array:
        if self.before_tanh:
            own, other = jax.random.split(key)
            x = policy(observation).before_tanh.samples(own, self.samples)
            y = jnp.clip(drawn(networks.behaviour, observation, other, self.samples), EDGE - 1.0, 1.0 - EDGE)
            y = jnp.arctanh(y)
        else:
            x, y = both(policy, networks, observation, key, self.samples)
        kernel = gaussian_kernel if self.kernel == "gaussian" else laplacian_kernel
        within, between, other = (kernel(a, b, scale=self.scale) for a, b in ((x, x), (x, y), (y, y)))
        squared = squared_mmd(within, between, other, unbiased=self.unbiased)
        return root(squared) if self.rooted else squared


@record
class Dual:
    """The dual form of KL or of the first Wasserstein distance: what the network `discriminator` makes of the actions of each.

    It is a divergence as far as `FitDiscriminator` has maximised it.

    Source: [wu2019].
    Differs from the paper: the behaviour's actions are draws of its model; published code takes the logged ones.
    """

    form: Literal["kl", "wasserstein"] = static()
    samples: int = static(default=1)

    def __call__(self, policy: Any, networks: Any, observation: jax.Array, key: jax.Array) -> jax.Array:
        actions = both(policy, networks, observation, key, self.samples)
        return self.estimate(networks.discriminator, observation, *actions)

    def estimate(self, discriminator: Any, observation: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
        """[B] from actions [N, B, A] of the policy and of the behaviour."""
        inside, outside = (ensemble_values(discriminator, observation, action)[0] for action in (x, y))
        return dual_kl(inside, outside) if self.form == "kl" else dual_wasserstein(inside, outside)


def both(
    policy: Any, networks: Any, observation: jax.Array, key: jax.Array, samples: int
) -> tuple[jax.Array, jax.Array]:
    """[N, B, A] actions of the policy, and of the behaviour's model."""
    keys = jax.random.split(key)
    return (
        drawn(policy, observation, keys[0], samples),
        drawn(networks.behaviour, observation, keys[1], samples),
    )


@record
class FitDiscriminator:
    """-mean dual form + slope_weight mean max(|slope| - 1, 0)^2, the slopes taken between an action of each.

    Source: [wu2019]; [gulrajani2017] Eq. (3). Symbols: slope_weight = lambda.
    """

    divergence: Dual
    slope_weight: float = 5.0

    def __call__(
        self, online: Any, target: Any, batch: Batch, key: jax.Array | None, earlier: Metrics
    ) -> tuple[jax.Array, Metrics]:
        draw, place = jax.random.split(draws_of(key))
        x, y = both(online.pi, target, batch.observation, draw, self.divergence.samples)
        estimate = jnp.mean(self.divergence.estimate(online.discriminator, batch.observation, x, y))
        share = jnp.broadcast_to(jax.random.uniform(place, (*x.shape[:2], 1)), x.shape)
        critic = lambda action: jnp.sum(ensemble_values(online.discriminator, batch.observation, action)[0])  # noqa: E731
        slope = jax.grad(critic)(x + share * (y - x))
        excess = slope_penalty(slope)
        return self.slope_weight * excess - estimate, {"divergence": estimate, "excess": excess}


# ---- what a divergence costs ---------------------------------------------------------------------------------------


class Weight(Protocol):
    """What a divergence of 1 costs, in units of Q."""

    def __call__(self, networks: Any) -> jax.Array | float: ...


@record
class Fixed:
    """The same all along."""

    weight: float

    def __call__(self, networks: Any) -> jax.Array | float:
        return self.weight


@record
class Adaptive:
    """exp of the network `log_multiplier`, within bounds; `TuneMultiplier` trains it.

    Source: [kumar2019] Algorithm 1; [wu2019].
    Differs from the paper: the bounds, which published code sets at exp(-5) and exp(10) (BEAR), or at 0 and 500 (BRAC, whose
    code trains the weight itself and not its logarithm).
    """

    least: float = 0.0
    largest: float = 1e6

    def __call__(self, networks: Any) -> jax.Array:
        return dual_weight(networks.log_multiplier(), least=self.least, largest=self.largest)
