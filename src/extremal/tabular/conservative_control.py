"""CQL(R) control on a table: the proposal that is lowered is chosen against Q itself, and the policy follows Q.

Each iteration minimises a strictly convex function of Q in every state, exactly: alpha (max over mu of E_mu Q + R(mu) -
E_behaviour Q) + 1/2 E_behaviour (Q - target)^2, whose minimiser is target - alpha (mu / behaviour - 1). The minimiser
moves with its target by a stochastic matrix (the inverse of an M-matrix, for the entropy), so it expands no distance:
with the greedy policy the whole iteration is a contraction of modulus discount. With a softmax policy it need not be,
and `step` below 1 damps it; what is returned is a fixed point in either case.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.special import wrightomega

from extremal.core.errors import ConfigError, DataError, DivergedError
from extremal.tabular import chi_square, policies
from extremal.tabular.mdp import FiniteMDP
from extremal.tabular.policies import within
from extremal.tabular.solvers import Solution, iterate

_STEPS = 200  # of Newton on a convex function; a few are used


class Penalty(Protocol):
    """What lowers Q. All arguments are [S, A] of the states that are not terminal."""

    def lowered(self, q: np.ndarray, behaviour: np.ndarray, policy: np.ndarray) -> np.ndarray:
        """mu, the proposal that is best against q."""
        ...

    def minimiser(self, target: np.ndarray, behaviour: np.ndarray, policy: np.ndarray) -> np.ndarray:
        """The Q of one iteration; outside of the behaviour's support, the target."""
        ...


@dataclass(frozen=True, kw_only=True)
class Exponential:
    """CQL(H), and CQL(rho) where a prior is given: alpha (log E_rho exp Q - E_behaviour Q).

    Source: [kumar2020] Eq. (3), (4), App. A. Symbols: penalty_weight = alpha, prior = rho.
    Differs from the paper: R is -alpha KL(mu, rho). Eq. (4) needs the factor, which Eq. (3) has not; and App. A prints KL
    with the sign turned.
    """

    penalty_weight: float
    prior: np.ndarray | str = "uniform"
    """[S, A]; "uniform" over the support is CQL(H), "policy" CQL(rho). At a fixed point the previous policy is the present one."""

    def lowered(self, q: np.ndarray, behaviour: np.ndarray, policy: np.ndarray) -> np.ndarray:
        """rho exp(Q), normalised: the softmax for CQL(H)."""
        return policies.log_mean_exp(q, _prior(self.prior, behaviour, policy), parameter=1.0)

    def minimiser(self, target: np.ndarray, behaviour: np.ndarray, policy: np.ndarray) -> np.ndarray:
        """Newton on the normaliser of mu, one number per state: given it, each mu(a) is Wright's omega function."""
        alpha = within("penalty_weight", self.penalty_weight, 0.0, np.inf)
        prior = _prior(self.prior, behaviour, policy)
        inside = (prior > 0) & (behaviour > 0)
        share = np.where(inside, behaviour, 1.0)
        top = np.where(inside, target, -np.inf).max(-1, keepdims=True)
        start = target - top + alpha + np.log(alpha) + np.log(np.where(inside, prior, 1.0)) - np.log(share)
        # behaviour omega(start - zeta) = alpha mu; one action alone would need this zeta, so all together need no less
        alone = start - alpha / share - np.log(alpha / share)
        zeta = np.where(inside, alone, -np.inf).max(-1, keepdims=True)
        rounding = 8.0 * np.finfo(float).eps * (1.0 + np.abs(start).max(-1, keepdims=True) + np.abs(zeta))
        for _ in range(_STEPS):
            omega = np.where(inside, np.real(wrightomega(start - zeta)), 0.0)
            over = (share * omega).sum(-1, keepdims=True) - alpha
            move = over / (share * omega / (1.0 + omega)).sum(-1, keepdims=True)
            if (move <= rounding).all():  # from this side every move is upwards
                return np.where(behaviour > 0, target + alpha - omega, target)
            zeta = zeta + move
        raise DivergedError(
            f"{_STEPS} steps of Newton did not find the penalty; are Q and penalty_weight of one scale?"
        )


@dataclass(frozen=True, kw_only=True)
class Variance:
    """CQL(var): alpha (max of E_mu Q over the chi-square ball about a prior - E_behaviour Q).

    Source: [kumar2020] Eq. (8), (9). Symbols: penalty_weight = alpha, prior = P-hat, radius = 2 delta / N, or 1 / (d(s) |D|).
    Differs from the paper: the maximum of the ball itself, which mean + sqrt(radius variance) bounds; they are equal where
    every mu(a) is positive.
    """

    penalty_weight: float
    radius: float | np.ndarray
    """One for all states, or one for each [S], of those that are not terminal: 1 / (d(s) |D|) is 1 over how often s was logged."""
    prior: np.ndarray | str = "uniform"
    """[S, A]; "uniform" over the support, or "inverse": in proportion to 1 / behaviour, which is the paper's D-hat."""

    def lowered(self, q: np.ndarray, behaviour: np.ndarray, policy: np.ndarray) -> np.ndarray:
        """Of the prior's ball the best against q; where actions tie for it, one of several."""
        return chi_square.ball(q, _prior(self.prior, behaviour, policy), radius=self.radius)

    def minimiser(self, target: np.ndarray, behaviour: np.ndarray, policy: np.ndarray) -> np.ndarray:
        """By its saddle point: mu is best in the ball for E_mu target - alpha / 2 chi-square(mu, behaviour)."""
        alpha = within("penalty_weight", self.penalty_weight, 0.0, np.inf)
        radius = np.array([within("radius", float(x), 0.0, np.inf) for x in np.ravel(self.radius)])
        if radius.size not in (1, len(target)):
            raise DataError(f"has {radius.size} numbers for {len(target)} live states", field="radius")
        prior = _prior(self.prior, behaviour, policy)
        mu = chi_square.penalised_in_ball(target, behaviour, prior, weight=alpha, radius=radius)
        ratio = np.divide(mu, behaviour, out=np.ones_like(mu), where=behaviour > 0)
        return target - alpha * (ratio - 1.0)


Acting = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""From Q and the behaviour [S, A] to a policy inside its support."""


def softmax(q: np.ndarray, behaviour: np.ndarray) -> np.ndarray:
    """exp(Q) over the support, normalised: the policy of CQL's Theorem 3.3."""
    return policies.log_mean_exp(q, behaviour > 0, parameter=1.0)


def conservative_control(
    mdp: FiniteMDP,
    penalised: Penalty,
    *,
    acting: Acting = policies.maximum,
    step: float = 1.0,
    start: np.ndarray | None = None,
    tolerance: float = 1e-10,
    max_iterations: int = 100_000,
) -> Solution:
    """The fixed point of CQL(R): Q = r + discount E V - alpha (mu / behaviour - 1), V = E_policy Q, policy = acting(Q).

    Args:
        acting: `policies.maximum` is the Q-learning form (a contraction); `softmax` the actor-critic one.
        step: how much of the way to the next iterate each iteration goes, in (0, 1].
        start: [S, A]; default 0.

    Raises DivergedError where `max_iterations` do not bring two iterates together; a smaller `step` may.

    Source: [kumar2020] Eq. (3), (4), Algorithm 1.
    """
    part = within("step", step, 0.0, np.nextafter(1.0, 2.0))
    live = ~mdp.terminal
    behaviour, shape = mdp.behaviour[live], (int(live.sum()), mdp.actions)

    def value(q: np.ndarray) -> np.ndarray:
        v = np.zeros(mdp.states)
        v[live] = (acting(q, behaviour) * q).sum(-1)
        return v

    def next_q(flat: np.ndarray) -> np.ndarray:
        q = flat.reshape(shape)
        target = mdp.backup(value(q))[live]
        better = penalised.minimiser(target, behaviour, acting(q, behaviour))
        return (q + part * (better - q)).ravel()

    first = np.zeros(shape) if start is None else np.asarray(start, np.float64)[live]
    found, residuals = iterate(next_q, first.ravel(), 1.0 - part * (1.0 - mdp.discount), tolerance, max_iterations)
    q, policy = np.zeros((mdp.states, mdp.actions)), np.array(mdp.behaviour)
    q[live] = found.reshape(shape)
    policy[live] = acting(q[live], behaviour)
    return Solution(q=q, v=value(q[live]), policy=policy, residuals=residuals)


def without_half(penalty_weight: float) -> float:
    """The alpha of the paper's objective to which alpha = penalty_weight comes where its squared error has no factor 1/2.

    alpha x + y^2 has the minimiser of alpha / 2 x + y^2 / 2; published code has no factor 1/2.
    """
    return penalty_weight / 2.0


def _prior(prior: np.ndarray | str, behaviour: np.ndarray, policy: np.ndarray) -> np.ndarray:
    """[S, A], restricted to the behaviour's support: nothing bounds Q from below where the data has no action."""
    if isinstance(prior, str):
        inverse = np.divide(1.0, behaviour, out=np.zeros_like(behaviour), where=behaviour > 0)
        known = {"uniform": np.ones_like(behaviour), "inverse": inverse, "policy": policy}
        if prior not in known:
            raise ConfigError(f"prior is {', '.join(map(repr, known))} or an array [S, A], not {prior!r}")
        weights = known[prior]
    else:
        weights = np.asarray(prior, np.float64)
        if weights.shape != behaviour.shape:
            raise DataError(f"has shape {weights.shape}, not {behaviour.shape} (live states)", field="prior")
    weights = np.where(behaviour > 0, weights, 0.0)
    total = weights.sum(-1, keepdims=True)
    if (total <= 0).any():
        raise DataError(f"state {int(np.argmax(total <= 0))} has no action of the data's support", field="prior")
    return weights / total
