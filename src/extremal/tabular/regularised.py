"""Policies held near the behaviour, on a table: BRAC's two penalties, one step of improvement, and AWR's weights.

Each takes a policy of `extremal.tabular.policies` and differs from the rest in what its values know of the distance: the
value penalty pays it at every step to come, the policy penalty only where a policy is chosen, one step of improvement
never asks for values of the improved policy at all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from extremal.core.errors import ConfigError
from extremal.tabular import policies
from extremal.tabular.mdp import FiniteMDP
from extremal.tabular.operators import log_mean_exp
from extremal.tabular.policies import within
from extremal.tabular.solvers import Solution, iterate, policy_evaluation, value_iteration

Where = Literal["value", "policy"]


def relative_entropy(policy: Any, behaviour: Any) -> np.ndarray:
    """KL(policy, behaviour) [...] in nats, over the last axis; infinite outside of the behaviour's support."""
    log_ratio = _log_ratio(policy, behaviour)
    share = np.broadcast_to(np.asarray(policy, np.float64), log_ratio.shape)
    return (share * np.where(share > 0, log_ratio, 0.0)).sum(-1)


def regularised_evaluation(
    mdp: FiniteMDP, policy: Any, *, penalty_weight: float, penalises: Where = "value"
) -> Solution:
    """Q and V of a policy [S, A]: V = E_pi Q - alpha KL(pi, behaviour) where the value is penalised, else E_pi Q.

    Q(s, a) has the penalties of later states, not that of s. The policy must be inside of the behaviour's support.

    Source: [wu2019]. Symbols: penalty_weight = alpha.
    """
    alpha = within("penalty_weight", penalty_weight, 0.0, np.inf, closed=True)
    if _penalises(penalises) == "policy":
        return policy_evaluation(mdp, policy)
    log_ratio = np.where(np.asarray(policy) > 0, _log_ratio(policy, mdp.behaviour), 0.0)
    if not np.isfinite(log_ratio[~mdp.terminal]).all():
        at = [int(i) for i in np.argwhere(~np.isfinite(log_ratio))[0]]
        raise ConfigError(
            f"the policy takes action {at[1]} in state {at[0]}, where the behaviour has 0: KL is infinite"
        )
    found = policy_evaluation(mdp, policy, bonus=-alpha * np.where(mdp.terminal[:, None], 0.0, log_ratio))
    return Solution(q=mdp.backup(found.v), v=found.v, policy=found.policy, residuals=found.residuals)


def regularised_control(
    mdp: FiniteMDP,
    *,
    penalty_weight: float,
    penalises: Where = "value",
    step: float = 1.0,
    tolerance: float = 1e-10,
    max_iterations: int = 100_000,
) -> Solution:
    """The fixed point where the policy maximises E_pi Q - alpha KL(pi, behaviour): behaviour exp(Q / alpha), normalised.

    The two penalties differ in the target alone. "value": V is that maximum, alpha log E_behaviour exp(Q / alpha), which is
    a contraction. "policy": V = E_pi Q, which is larger and need not be one; `step` below 1 damps it.

    Source: [wu2019]. Symbols: penalty_weight = alpha.
    """
    if _penalises(penalises) == "value":
        return value_iteration(
            mdp, log_mean_exp, parameter=penalty_weight, tolerance=tolerance, max_iterations=max_iterations
        )
    part = within("step", step, 0.0, np.nextafter(1.0, 2.0))
    live, v = ~mdp.terminal, np.zeros(mdp.states)
    behaviour = mdp.behaviour[live]

    def moved(live_v: np.ndarray) -> np.ndarray:
        v[live] = live_v
        q = mdp.backup(v)[live]
        return live_v + part * ((policies.log_mean_exp(q, behaviour, parameter=penalty_weight) * q).sum(-1) - live_v)

    modulus = 1.0 - part * (1.0 - mdp.discount)
    v[live], residuals = iterate(moved, np.zeros(live.sum()), modulus, tolerance, max_iterations)
    q, policy = mdp.backup(v), np.array(mdp.behaviour)
    policy[live] = policies.log_mean_exp(q[live], behaviour, parameter=penalty_weight)
    return Solution(q=q, v=v, policy=policy, residuals=residuals)


def one_step(mdp: FiniteMDP, improved: Callable[..., np.ndarray] = policies.maximum, **parameter: Any) -> Solution:
    """Q and V of the behaviour, and the policy that `improved` (of `extremal.tabular.policies`) makes of this Q, once.

    It is no worse than the behaviour in any state, where `improved` has E_pi Q >= E_behaviour Q (all of them; expectile
    and quantile from one half up).

    Source: [brandfonbrener2021].
    """
    found = policy_evaluation(mdp, mdp.behaviour)
    policy, live = np.array(mdp.behaviour), ~mdp.terminal
    policy[live] = improved(found.q[live], mdp.behaviour[live], **parameter)
    return Solution(q=found.q, v=found.v, policy=policy, residuals=found.residuals)


def advantage_weighted(
    q: Any, v: Any, behaviour: Any, *, inverse_temperature: float, max_weight: float = np.inf
) -> np.ndarray:
    """behaviour min(exp(inverse_temperature (q - v)), max_weight) [..., A], normalised, for q [..., A] and v [...].

    The table that minimises the weighted negative log-likelihood of the data. Without `max_weight`, v drops out.

    Source: [peng2019] Eq. (14); [kostrikov2021] Eq. (7).
    """
    inverse = within("inverse_temperature", inverse_temperature, 0.0, np.inf, closed=True)
    cap = np.log(within("max_weight", max_weight, 0.0, np.nextafter(np.inf, 0)) if np.isfinite(max_weight) else np.inf)
    q, weights = policies.support(q, behaviour)
    exponent = np.minimum(inverse * (q - np.asarray(v, np.float64)[..., None]), cap)
    share = weights * np.exp(exponent - exponent.max(-1, keepdims=True))
    return share / share.sum(-1, keepdims=True)


def _penalises(penalises: str) -> str:
    if penalises not in ("value", "policy"):
        raise ConfigError(f"penalises is 'value' or 'policy', not {penalises!r}")
    return penalises


def _log_ratio(policy: Any, behaviour: Any) -> np.ndarray:
    """log(policy / behaviour); -inf where the policy is 0, inf where the behaviour alone is."""
    policy, behaviour = np.broadcast_arrays(np.asarray(policy, np.float64), np.asarray(behaviour, np.float64))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(policy > 0, np.log(policy) - np.log(behaviour), -np.inf)
