"""How heavy CQL's penalty must be, and what then is certain: sampling error, thresholds of alpha, safe improvement.

Data is counts [S, A] of what was tried in each state, and rewards within +-reward_bound; `failure` is the chance, at most,
that any of the bounds is broken. The counts are random themselves, and depend on what was seen: so every inequality is
asked of every number n of tries at once, with the share 1 / (n (n + 1)) of the chance, and all shares add up to 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from extremal.core.errors import DataError
from extremal.tabular.chi_square import divergence
from extremal.tabular.mdp import FiniteMDP
from extremal.tabular.policies import within
from extremal.tabular.solvers import occupancy, returned


def backup_constant(counts: Any, *, failure: float) -> float:
    """C, without unit: |sampled - true backup of V^pi| <= C reward_bound / ((1 - discount) sqrt(n)) at every pair.

    r + discount V^pi(s') of one try is within +-b, b = reward_bound / (1 - discount), and V^pi does not depend on the data.
    By Hoeffding the mean of n of them is off by t with a chance of at most 2 exp(-n t^2 / (2 b^2)), which is the share
    failure / (S A n (n + 1)) where t = b sqrt(2 log(2 S A n (n + 1) / failure) / n). C is that of the largest count.

    Source: [kumar2020] Sec. 3.1, App. D.3. Symbols: C = C_{r,T,delta}, failure = delta.
    Differs from the paper: for the value of a policy that is fixed before the data, not for every Q.
    """
    return float(np.sqrt(2.0 * (np.log(2.0) + _union(counts, failure))))


def sampling_error(counts: Any, *, reward_bound: float, discount: float, failure: float) -> np.ndarray:
    """[S, A]: C reward_bound / ((1 - discount) sqrt(n)); 2 reward_bound / (1 - discount) where nothing was tried.

    Source: [kumar2020] Theorem 3.1. Symbols: failure = delta.
    """
    counts = np.asarray(counts, np.float64)
    largest = within("reward_bound", reward_bound, 0.0, np.inf) / (1.0 - discount)
    error = backup_constant(counts, failure=failure) * largest / np.sqrt(np.maximum(counts, 1.0))
    return np.where(counts > 0, error, 2.0 * largest)


def reward_constant(counts: Any, *, reward_bound: float, failure: float) -> float:
    """C_r with |mean of n rewards - r| <= C_r / sqrt(n) at every pair: Hoeffding, as in `backup_constant`.

    Source: [kumar2020] Assumption D.1. Symbols: failure = delta.
    """
    return float(reward_bound * np.sqrt(2.0 * (np.log(2.0) + _union(counts, failure))))


def transition_constant(counts: Any, *, failure: float) -> float:
    """C_T with ||frequencies - transition||_1 <= C_T / sqrt(n) at every pair.

    The chance that the distance is t or more is at most (2^S - 2) exp(-n t^2 / 2).

    Source: [weissman2003] Theorem 2.1; [kumar2020] Assumption D.1. Symbols: failure = delta.
    """
    states = np.shape(counts)[0]
    if states == 1:
        return 0.0
    subsets = states * np.log(2.0) + np.log1p(-(2.0 ** (1 - states)))
    return float(np.sqrt(2.0 * (subsets + _union(counts, failure))))


def pointwise_threshold(error: Any, lowered: Any, behaviour: Any) -> float:
    """The alpha from which Eq. (1) is below Q^pi at every action: the largest error behaviour / lowered; may be infinite.

    Source: [kumar2020] App. C, after Eq. (12). Symbols: lowered = mu, behaviour = pi_beta.
    Differs from the paper: the largest product, where the paper has the product of the largest factors.
    """
    error, lowered, behaviour = np.broadcast_arrays(*(np.asarray(x, np.float64) for x in (error, lowered, behaviour)))
    inside = behaviour > 0
    return _largest(error[inside], (lowered[inside] / behaviour[inside]))


def value_threshold(error: Any, policy: Any, behaviour: Any) -> float:
    """The alpha from which Eq. (2) is below V^pi in every state: the largest E_pi error / D_CQL; infinite if pi = behaviour.

    `error` and the distributions are [S, A], of the states that are not terminal.

    Source: [kumar2020] Theorem 3.2. Symbols: behaviour = pi_beta.
    Differs from the paper: the error of each action, averaged by pi; the error of a state's count is smaller, and not enough.
    """
    policy = np.asarray(policy, np.float64)
    return _largest((policy * np.broadcast_to(error, policy.shape)).sum(-1), divergence(policy, behaviour))


def gap_threshold(lowered: Any, behaviour: Any, ahead: Any, plain: Any, *, error: Any = 0.0) -> np.ndarray:
    """[S]: the alpha above which an iteration widens the gap E_behaviour Q - E_lowered Q, against one without penalty.

    `ahead` and `plain` [S, A] are the backups of CQL's iterate and of the plain one; `error` bounds that of `ahead`. Infinite
    where lowered = behaviour: both gaps are 0 there.

    Source: [kumar2020] Theorem 3.4. Symbols: lowered = mu_k, behaviour = pi_beta.
    Differs from the paper: the sign of the difference (the proof turns it round), and the error is divided by D_CQL too.
    """
    difference = np.asarray(lowered, np.float64) - np.asarray(behaviour, np.float64)
    over = (difference * (np.asarray(ahead) - np.asarray(plain))).sum(-1) + (np.abs(difference) * error).sum(-1)
    spread = divergence(lowered, behaviour)
    return np.where(spread > 0, np.maximum(over, 0.0) / np.where(spread > 0, spread, 1.0), np.inf)


def lag_margin(lowered: Any, policy: Any, behaviour: Any) -> np.ndarray:
    """[S]: D_CQL(lowered) - max(lowered / behaviour) TV(lowered, policy); not below 0: the next value is underestimated.

    TV is half of the sum of absolute differences.

    Source: [kumar2020] Theorem 3.3. Symbols: lowered = the softmax policy of Q-hat_k, policy = pi-hat_{k+1}.
    """
    lowered, behaviour = np.asarray(lowered, np.float64), np.asarray(behaviour, np.float64)
    ratio = np.divide(lowered, behaviour, out=np.zeros_like(lowered), where=behaviour > 0)
    lag = np.abs(lowered - np.asarray(policy, np.float64)).sum(-1) / 2.0
    return divergence(lowered, behaviour) - ratio.max(-1) * lag


def return_error(
    mdp: FiniteMDP, policy: Any, counts: Any, *, reward_constant: float, transition_constant: float, reward_bound: float
) -> float:
    """The most that J(policy) of the empirical `mdp` is off: one term per state, by its count and D_CQL of the policy.

    Source: [kumar2020] Lemma D.4.1. Symbols: mdp = M-hat, counts = |D(s, a)|, reward_bound = R_max.
    """
    tried = np.asarray(counts, np.float64).sum(-1)
    visits = occupancy(mdp, policy).sum(-1)
    if (visits[tried == 0] > 0).any():
        at = int(np.argmax((tried == 0) & (visits > 0)))
        raise DataError(f"is 0 in state {at}, which the policy visits; nothing is known there", field="counts")
    apart = np.where(visits > 0, divergence(policy, mdp.behaviour), 0.0)
    weight = visits * np.sqrt(mdp.actions * (apart + 1.0) / np.maximum(tried, 1.0))
    horizon = 1.0 / (1.0 - mdp.discount)
    scale = reward_constant * horizon + mdp.discount * reward_bound * transition_constant * horizon**2
    return float(scale * weight.sum())


def shortfall(
    mdp: FiniteMDP, policy: Any, counts: Any, *, reward_constant: float, transition_constant: float, reward_bound: float
) -> float:
    """zeta, which may be negative: in truth, J(policy) >= J(behaviour of the data) - zeta.

    Source: [kumar2020] Theorem 3.6, Theorem D.4. Symbols: mdp = M-hat, policy = pi*, counts = |D(s, a)|.
    Differs from the paper: the error terms of both policies. The paper has twice that of pi*, for D_CQL(behaviour) = 0 in
    each state; but the two policies visit different states.
    """
    known = {"reward_constant": reward_constant, "transition_constant": transition_constant}
    errors = sum(
        return_error(mdp, each, counts, **known, reward_bound=reward_bound) for each in (policy, mdp.behaviour)
    )
    return float(errors - (returned(mdp, policy) - returned(mdp, mdp.behaviour)))


def _union(counts: Any, failure: float) -> float:
    """log(S A n (n + 1) / failure) at the largest count n."""
    within("failure", failure, 0.0, 1.0)
    most = max(float(np.max(counts)), 1.0)
    return float(np.log(np.size(counts)) + np.log(most) + np.log1p(most) - np.log(failure))


def _largest(over: np.ndarray, under: np.ndarray) -> float:
    """The largest over / under, 0 where there is nothing to make up for, infinite where nothing makes up for it."""
    needed = np.divide(over, under, out=np.where(over > 0, np.inf, 0.0), where=under > 0)
    return float(needed.max())
