"""Exact values of finite MDPs: of a policy, and under any operator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import linalg

from extremal.core.errors import ConfigError, DivergedError
from extremal.tabular.mdp import FiniteMDP
from extremal.tabular.operators import Operator, known, maximum, policy_of


@dataclass(frozen=True, kw_only=True, eq=False)
class Solution:
    """Values, the policy that belongs to them, and how they were reached."""

    q: np.ndarray
    """[S, A]."""
    v: np.ndarray
    """[S]; 0 in terminal states."""
    policy: np.ndarray
    """[S, A]; in terminal states, the behaviour."""
    residuals: np.ndarray
    """[K]: the largest change of a value in each iteration; empty where the solution is a linear solve."""


def policy_evaluation(mdp: FiniteMDP, policy: Any, *, bonus: Any = 0.0) -> Solution:
    """Q and V of a policy [S, A] by one linear solve; `bonus` [S, A] is added to the reward.

    Q includes the bonus of its own action; V = sum_a pi Q.
    """
    chain, reward = mdp.under(policy)
    extra = np.where(mdp.terminal[:, None], 0.0, bonus)
    v = linalg.solve(np.eye(mdp.states) - mdp.discount * chain, reward + (policy * extra).sum(-1))
    return Solution(q=mdp.backup(v) + extra, v=v, policy=np.asarray(policy, np.float64), residuals=np.empty(0))


def value_iteration(
    mdp: FiniteMDP,
    operator: Operator = maximum,
    *,
    weights: np.ndarray | None = None,
    policy: Operator | None = None,
    start: np.ndarray | None = None,
    tolerance: float = 1e-10,
    max_iterations: int = 1_000_000,
    **parameter: Any,
) -> Solution:
    """V = operator(r + discount E V, weights), iterated from `start` [S] (0) until V is within `tolerance`.

    `weights` [S, A] are the behaviour's unless given; `parameter` goes to the operator. The result's policy is the one
    that belongs to the operator (`extremal.tabular.policies`); for an operator of your own, `policy`, or else the best
    actions of the support. Each residual bounds the error by discount / (1 - discount) times it, where the operator
    is a contraction. Raises DivergedError where `max_iterations` do not suffice (soft_expected_maximum may cycle).

    Source: [sutton2018] Sec. 4.4; [garg2023] Eq. (35); [ghasemipour2021] Eq. (5); [kostrikov2021] Sec. 4.4.
    """
    weights = mdp.behaviour if weights is None else np.asarray(weights, np.float64)
    live, v = ~mdp.terminal, np.zeros(mdp.states)

    def step(live_v: np.ndarray) -> np.ndarray:
        v[live] = live_v
        return operator(mdp.backup(v)[live], weights[live], **parameter)

    first = np.zeros(live.sum()) if start is None else np.asarray(start, np.float64)[live]
    v[live], residuals = iterate(step, first, mdp.discount, tolerance, max_iterations)
    q = mdp.backup(v)
    chosen = np.array(mdp.behaviour)
    if policy is not None or known(operator):
        chosen[live] = (policy or policy_of(operator))(q[live], weights[live], **parameter)
    else:
        chosen[live] = policy_of(maximum)(q[live], weights[live])
    return Solution(q=q, v=v, policy=chosen, residuals=residuals)


def iterate(
    step: Callable[[np.ndarray], np.ndarray],
    x: np.ndarray,
    modulus: float,
    tolerance: float = 1e-10,
    max_iterations: int = 1_000_000,
) -> tuple[np.ndarray, np.ndarray]:
    """The fixed point of a contraction of this modulus within `tolerance`, and the residual of each iteration.

    It ends where the residual is below tolerance (1 - modulus) / modulus, or no larger than rounding makes it.
    """
    if not tolerance > 0:
        raise ConfigError(f"tolerance must be above 0, not {tolerance}")
    x = np.array(x, np.float64)
    residuals: list[float] = []
    enough = tolerance * (1.0 - modulus) / max(modulus, 1e-300)
    for _ in range(max_iterations):
        new = step(x)
        residuals.append(float(np.max(np.abs(new - x))))
        x = new
        if not np.isfinite(residuals[-1]):
            raise DivergedError(f"iteration {len(residuals)} left the finite numbers; is the step a contraction?")
        if residuals[-1] <= max(enough, 4.0 * np.finfo(float).eps * float(np.max(np.abs(x)))):
            return x, np.array(residuals)
    raise DivergedError(
        f"{max_iterations} iterations left a change of {residuals[-1]:.3g}, not {enough:.3g}; raise max_iterations or "
        "tolerance, unless the operator is no contraction"
    )


def occupancy(mdp: FiniteMDP, policy: Any) -> np.ndarray:
    """[S, A]: the discounted share (1 - discount) sum_t discount^t P(s_t = s, a_t = a) from the start distribution.

    It sums to less than 1 where terminal states are reached.
    """
    chain, _ = mdp.under(policy)
    visits = linalg.solve(np.eye(mdp.states) - mdp.discount * chain.T, (1.0 - mdp.discount) * mdp.start * ~mdp.terminal)
    return visits[:, None] * policy


def returned(mdp: FiniteMDP, policy: Any) -> float:
    """J(policy): the discounted return from the start distribution."""
    return float(mdp.start @ policy_evaluation(mdp, policy).v)
