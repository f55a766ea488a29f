"""CQL on a table: evaluation that lowers Q where a proposal acts and raises it where the data does.

Without function approximation each state's weight drops out of the minimisation, and one iteration of every form is
Q <- r + discount E V - alpha (lowered - raised) / behaviour, where `lowered` is the paper's mu and `raised` its nu:
nothing in Eq. (1), the behaviour in Eq. (2). So a fixed point is the evaluation of a policy with a changed reward. The
true MDP gives the paper's statements without sampling error, `sampling.empirical` those with it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from extremal.core.errors import DataError
from extremal.tabular import chi_square
from extremal.tabular.chi_square import divergence
from extremal.tabular.mdp import FiniteMDP
from extremal.tabular.policies import within
from extremal.tabular.solvers import Solution, occupancy, policy_evaluation, value_iteration


def penalty(behaviour: Any, lowered: Any, raised: Any = None) -> np.ndarray:
    """(lowered - raised) / behaviour, [..., A]: how far one iteration of weight 1 lowers Q. `raised` is the behaviour unless given.

    0 where nothing is lowered, raised or logged. Raises DataError where the data has no such action: nothing bounds Q there.

    Source: [kumar2020] Eq. (11), (13), (20). Symbols: behaviour = pi_beta, lowered = mu, raised = nu.
    """
    behaviour = np.asarray(behaviour, np.float64)
    difference = np.asarray(lowered, np.float64) - (behaviour if raised is None else np.asarray(raised, np.float64))
    outside = (behaviour == 0) & (difference != 0)
    if outside.any():
        at = [int(i) for i in np.argwhere(outside)[0]]
        raise DataError(f"is 0 at {at}, where Q is to be lowered or raised; move that share inside", field="behaviour")
    return np.divide(difference, behaviour, out=np.zeros_like(difference), where=behaviour > 0)


def policy_backup(mdp: FiniteMDP, policy: Any, q: Any) -> np.ndarray:
    """[S, A]: r + discount E over s' and a' ~ policy of q(s', a'), the Bellman operator of a policy."""
    return mdp.backup((np.asarray(policy) * np.asarray(q)).sum(-1))


def pointwise_step(mdp: FiniteMDP, policy: Any, q: Any, *, penalty_weight: float, lowered: Any = None) -> np.ndarray:
    """One iteration of Eq. (1) from q [S, A]; `lowered` is the policy unless given.

    Source: [kumar2020] Eq. (1), (11). Symbols: penalty_weight = alpha, lowered = mu.
    """
    return _step(mdp, policy, q, penalty_weight, _lowering(mdp, policy, lowered, 0.0))


def conservative_step(
    mdp: FiniteMDP, policy: Any, q: Any, *, penalty_weight: float, lowered: Any = None, raised: Any = None
) -> np.ndarray:
    """One iteration of Eq. (2) from q [S, A]; `lowered` is the policy and `raised` the behaviour unless given.

    Source: [kumar2020] Eq. (2), (13), (20). Symbols: penalty_weight = alpha, lowered = mu, raised = nu.
    """
    return _step(mdp, policy, q, penalty_weight, _lowering(mdp, policy, lowered, raised))


def counted_step(
    mdp: FiniteMDP, policy: Any, q: Any, counts: Any, *, penalty_weight: float, lowered: Any = None
) -> np.ndarray:
    """One iteration with the squared error weighted by counts [S, A]: -alpha (lowered - behaviour) / n(s, a).

    Where the behaviour is that of the counts it is Eq. (2) with the weight alpha / n(s). Actions that were never taken
    keep their backup where nothing lowers them.

    Source: [kumar2020] App. E. Symbols: penalty_weight = alpha, lowered = mu, counts = n.
    """
    counts = np.asarray(counts, np.float64)
    lowered = policy if lowered is None else lowered
    extra = penalty(counts, np.asarray(lowered, np.float64), mdp.behaviour)
    return _step(mdp, policy, q, penalty_weight, extra)


def pointwise_evaluation(mdp: FiniteMDP, policy: Any, *, penalty_weight: float, lowered: Any = None) -> Solution:
    """The fixed point of Eq. (1): Q^pi - alpha (I - discount P^pi)^-1 (lowered / behaviour), below Q^pi at every action.

    Source: [kumar2020] Eq. (1), Theorem 3.1. Symbols: penalty_weight = alpha, lowered = mu.
    """
    return _evaluation(mdp, policy, penalty_weight, _lowering(mdp, policy, lowered, 0.0))


def conservative_evaluation(
    mdp: FiniteMDP, policy: Any, *, penalty_weight: float, lowered: Any = None, raised: Any = None
) -> Solution:
    """The fixed point of Eq. (2); its V is V^pi - alpha (I - discount P^pi)^-1 D_CQL where the policy itself is lowered.

    Source: [kumar2020] Eq. (2), (19), Theorem 3.2. Symbols: penalty_weight = alpha, lowered = mu, raised = nu.
    """
    return _evaluation(mdp, policy, penalty_weight, _lowering(mdp, policy, lowered, raised))


def counted_evaluation(
    mdp: FiniteMDP, policy: Any, counts: Any, *, penalty_weight: float, lowered: Any = None
) -> Solution:
    """The fixed point of `counted_step`.

    Source: [kumar2020] App. E.
    """
    lowered = policy if lowered is None else lowered
    return _evaluation(mdp, policy, penalty_weight, penalty(counts, lowered, mdp.behaviour))


def penalised_return(mdp: FiniteMDP, policy: Any, *, penalty_weight: float) -> float:
    """J(pi) - alpha / (1 - discount) E over the discounted visits of pi of D_CQL: what Eq. (2) makes of a return.

    Source: [kumar2020] Eq. (5). Symbols: mdp = the empirical MDP, penalty_weight = alpha.
    """
    visits = occupancy(mdp, policy)
    gain = (visits * mdp.mean_reward).sum()
    cost = visits.sum(-1) @ np.where(mdp.terminal, 0.0, divergence(policy, mdp.behaviour))
    return float((gain - penalty_weight * cost) / (1.0 - mdp.discount))


def penalised_control(mdp: FiniteMDP, *, penalty_weight: float) -> Solution:
    """The policy that is best by `penalised_return`, from every start at once, with its penalised Q and V.

    V is the maximum over pi of E_pi Q - alpha D_CQL, which is a contraction; Q has the penalties of later steps only.

    Source: [kumar2020] Theorem 3.5. Symbols: mdp = the empirical MDP, penalty_weight = alpha.
    """
    alpha = within("penalty_weight", penalty_weight, 0.0, np.inf)

    def value(q: np.ndarray, weights: np.ndarray) -> np.ndarray:
        policy = chi_square.penalised(q, weights, parameter=alpha)
        return (policy * q).sum(-1) - alpha * divergence(policy, weights)

    def chosen(q: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return chi_square.penalised(q, weights, parameter=alpha)

    return value_iteration(mdp, value, policy=chosen)


def _lowering(mdp: FiniteMDP, policy: Any, lowered: Any, raised: Any) -> np.ndarray:
    return penalty(mdp.behaviour, policy if lowered is None else lowered, raised)


def _step(mdp: FiniteMDP, policy: Any, q: Any, penalty_weight: float, extra: np.ndarray) -> np.ndarray:
    alpha = within("penalty_weight", penalty_weight, 0.0, np.inf, closed=True)
    return policy_backup(mdp, policy, q) - alpha * np.where(mdp.terminal[:, None], 0.0, extra)


def _evaluation(mdp: FiniteMDP, policy: Any, penalty_weight: float, extra: np.ndarray) -> Solution:
    alpha = within("penalty_weight", penalty_weight, 0.0, np.inf, closed=True)
    return policy_evaluation(mdp, policy, bonus=-alpha * extra)
