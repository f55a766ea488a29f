"""XQL's objectives, minimised to the last digit: Gumbel regression, the ExtremeQ objective, iteration on V and on Q.

The closed forms of the minimisers are in `extremal.tabular.operators`; nothing here uses them. Every minimum is found by
Newton's method on the objective that the paper prints, so that the one can be held against the other.

>>> round(float(gumbel_minimiser([0.0, 1.0, 3.0], [0.5, 0.3, 0.2], parameter=1.0)), 6)
1.673837
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from scipy import linalg, sparse

from extremal.core.errors import ConfigError, DivergedError
from extremal.tabular import policies
from extremal.tabular.mdp import FiniteMDP
from extremal.tabular.policies import support, within
from extremal.tabular.solvers import Solution, value_iteration

_STEPS = 1000  # of Newton, at most; beyond -log(the smallest float), which is as far as a start can be away


def gumbel_objective(v: Any, q: Any, weights: Any, *, beta: float) -> np.ndarray:
    """E[exp(z) - z - 1] with z = (q - v) / beta, for v [...], q and weights [..., A]; infinite where exp overflows.

    Up to a constant, the mean negative log-likelihood of v under q = v - Gumbel(0, beta).

    Source: [garg2023] Eq. (7), (11), (37). Symbols: v = h, q = x.
    """
    beta = within("beta", beta, 0.0, np.inf)
    q, weights = support(q, weights)
    z = (q - np.asarray(v, np.float64)[..., None]) / beta
    with np.errstate(over="ignore"):
        return (weights * (np.expm1(z) - z)).sum(-1)


def gumbel_minimiser(q: Any, weights: Any, *, parameter: float) -> np.ndarray:
    """The v [...] that minimises `gumbel_objective`, to rounding; an operator for `value_iteration`.

    Each step adds beta E[exp(z) - 1] / E exp(z). It starts below the minimiser by at most beta log(actions), rises by at
    most beta a step, and never passes the minimiser, since the slope in v is concave.

    Source: [garg2023] Lemma 3.2, Lemma 3.5. Symbols: parameter = beta.
    """
    beta = within("beta", parameter, 0.0, np.inf)
    q, weights = support(q, weights)
    with np.errstate(divide="ignore"):
        v = np.maximum((weights * q).sum(-1), (q + beta * np.log(weights)).max(-1))
    rounding = 8.0 * np.finfo(float).eps * (beta + np.abs(q).max(-1))
    for _ in range(_STEPS):
        slope = (weights * np.expm1((q - v[..., None]) / beta)).sum(-1)
        step = beta * slope / (1.0 + slope)
        v = v + step
        if (np.abs(step) <= rounding).all():
            break
    return v


def extreme_q_objective(q: Any, target: Any, policy: Any, behaviour: Any, *, beta: float) -> np.ndarray:
    """E_mu exp(x) - E_pi x - 1 with x = (target - q) / beta, per state: [...] of arrays [..., A].

    `target` is T^pi Q_k, held fixed. Its minimum is -KL(pi || mu). With the behaviour in the place of the policy it is
    the equation as the paper prints it, whose minimiser is the target itself.

    Source: [garg2023] Eq. (8), App. C.2. Symbols: policy = pi, behaviour = mu, target = T^pi Q_k.
    Differs from the paper: the second expectation is under pi, as in App. C.2; Eq. (8) prints mu.
    """
    beta = within("beta", beta, 0.0, np.inf)
    x = (np.asarray(target, np.float64) - np.asarray(q, np.float64)) / beta
    with np.errstate(over="ignore"):
        return (np.asarray(behaviour) * np.exp(x) - np.asarray(policy) * x).sum(-1) - 1.0


def extreme_q_minimiser(target: Any, policy: Any, behaviour: Any, *, beta: float) -> np.ndarray:
    """The q [..., A] that minimises `extreme_q_objective`; where neither takes an action, the target.

    Raises ConfigError where the policy takes an action that the behaviour never does (no bound from below: the KL is
    infinite), or never takes one that the behaviour does (the infimum is at infinity).

    Source: [garg2023] Lemma 3.4. Symbols: policy = pi, behaviour = mu, target = T^pi Q_k.
    """
    beta = within("beta", beta, 0.0, np.inf)
    target, pi, mu = np.broadcast_arrays(*(np.asarray(value, np.float64) for value in (target, policy, behaviour)))
    if ((pi > 0) != (mu > 0)).any():
        at = [int(i) for i in np.argwhere((pi > 0) != (mu > 0))[0]]
        raise ConfigError(
            f"policy{at} is {pi[tuple(at)]} and behaviour{at} is {mu[tuple(at)]}: both or neither must be above 0"
        )
    inside = mu > 0
    # exp(x) mu is convex: Newton from above the minimiser comes down to it, by at most one a step.
    x = np.where(inside, -np.log(np.where(inside, mu, 1.0)), 0.0)
    ratio = np.where(inside, pi, 1.0) / np.where(inside, mu, 1.0)
    for _ in range(_STEPS):
        step = ratio * np.exp(-x) - 1.0
        x = x + step
        if (np.abs(step) <= 4.0 * np.finfo(float).eps * (1.0 + np.abs(x))).all():
            break
    return target - beta * x


def v_iteration(
    mdp: FiniteMDP, *, beta: float, targets: Literal["expected", "single"] = "expected", tolerance: float = 1e-10
) -> Solution:
    """V fitted to r + discount V(s') by Gumbel regression, until it is its own target; the policy is mu exp((Q - V) / beta).

    With "expected" targets, r + discount E V(s'), this is soft value iteration under any dynamics. With "single" ones
    the regression also runs over s' ~ P, as on logged transitions without a Q: then V counts on luck, at a price of
    beta KL for the choice of the next state, and is too large unless the dynamics are deterministic.

    Source: [garg2023] Eq. (35), (36), (37).
    """
    if targets not in ("expected", "single"):
        raise ConfigError(f"targets is 'expected' or 'single', not {targets!r}")
    if targets == "single":
        return _lucky(mdp, beta, beta, tolerance)
    soft = policies.log_mean_exp
    return value_iteration(mdp, gumbel_minimiser, policy=soft, parameter=beta, tolerance=tolerance)


def q_iteration(mdp: FiniteMDP, *, beta: float, tolerance: float = 1e-10) -> Solution:
    """Q fitted to r + discount Q(s', a') over s' ~ P, a' ~ mu at the temperature discount beta, until it is its own target.

    Under deterministic dynamics it is the soft Q. Otherwise it is the soft Q of an agent that picks the next state too,
    at a price of discount beta KL(picked || P): larger wherever the next state makes a difference. V is the soft
    maximum of Q, and the fit over (s', a') is done as the fit over s' of discount V(s') at the same temperature.

    Source: [garg2023] Eq. (38), (41), (42), Lemma C.1.
    Differs from the paper: after each fit V moves by a Newton step for the fixed point, not to the fitted value alone.
    """
    if not mdp.discount > 0:
        raise ConfigError("iteration on Q fits at the temperature discount * beta; the discount must be above 0")
    return _lucky(mdp, beta, mdp.discount * beta, tolerance)


def _lucky(mdp: FiniteMDP, beta: float, price: float, tolerance: float) -> Solution:
    """The fixed point of V = fit over a ~ mu at beta of Q, Q = fit over s' ~ P at `price` of r + discount V(s').

    One application of the map is a convex function of V, and its derivative is the discounted chain of the actions and
    the next states that are picked. So Newton's method gets there from everywhere, and in a few steps.
    """
    within("beta", price, 0.0, np.inf)
    most = int((mdp.transition > 0).sum(-1).max())
    to = np.argpartition(-mdp.transition, most - 1, axis=-1)[..., :most]
    chance = np.take_along_axis(mdp.transition, to, -1)
    reward = mdp.reward[..., None] if mdp.reward.ndim == 2 else np.take_along_axis(mdp.reward, to, -1)
    live, v = ~mdp.terminal, np.zeros(mdp.states)
    residuals: list[float] = []
    for _ in range(_STEPS):
        target = reward + mdp.discount * v[to]
        q = np.where(live[:, None], gumbel_minimiser(target, chance, parameter=price), 0.0)
        change = np.where(live, gumbel_minimiser(q, mdp.behaviour, parameter=beta), 0.0) - v
        policy = np.where(live[:, None], policies.log_mean_exp(q, mdp.behaviour, parameter=beta), mdp.behaviour)
        residuals.append(float(np.abs(change).max()))
        rounding = 64.0 * np.finfo(float).eps * float(np.abs(q).max() + beta)
        if residuals[-1] <= max(tolerance * (1.0 - mdp.discount), rounding):
            return Solution(q=q, v=v + change, policy=policy, residuals=np.array(residuals))
        picked = live[to] * live[:, None, None] * policies.log_mean_exp(target, chance, parameter=price)
        v = v + _newton_step(mdp.discount, policy[..., None] * picked, to, change)
    raise DivergedError(
        f"{_STEPS} steps of Newton left a change of {residuals[-1]:.3g}; raise the tolerance, {tolerance:g}"
    )


def _newton_step(discount: float, picked: np.ndarray, to: np.ndarray, change: np.ndarray) -> np.ndarray:
    """(I - discount P)^-1 change, where P(s'|s) is the sum of `picked` [S, A, K] over the (s, a, k) that lead to s'."""
    states = len(change)
    rows = np.repeat(np.arange(states), to[0].size)
    chain = sparse.csr_array((picked.ravel(), (rows, to.ravel())), shape=(states, states))
    return linalg.solve(np.eye(states) - discount * chain.toarray(), change)
