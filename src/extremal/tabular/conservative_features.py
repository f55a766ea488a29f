"""CQL where Q is not free: one iteration by least squares on features, and one by a gradient step.

In both, the next Q is what it would be without penalty, less alpha times a direction. On average over the data's states
and the policy, that makes a lower bound from some alpha on, if the direction lowers this average at all: least squares
does where a constant is among the features, a gradient step need not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from extremal.core.errors import DataError
from extremal.tabular.conservative import penalty, policy_backup
from extremal.tabular.mdp import FiniteMDP


@dataclass(frozen=True, kw_only=True, eq=False)
class Iterate:
    """The next Q as a function of alpha: unpenalised - alpha lowering, both [S, A]."""

    unpenalised: np.ndarray
    lowering: np.ndarray

    def at(self, penalty_weight: float) -> np.ndarray:
        """Q [S, A] at this alpha."""
        return self.unpenalised - penalty_weight * self.lowering

    def threshold(self, visits: np.ndarray, policy: np.ndarray, tabular: np.ndarray) -> float:
        """The least alpha with E Q <= E `tabular` [S, A], over states by `visits` [S] and actions by `policy` [S, A].

        Infinite where `lowering` does not lower this average and there is something to make up for.

        Source: [kumar2020] Theorem D.1, Theorem D.2. Symbols: penalty_weight = alpha_k, visits = d^{pi_beta}.
        """
        weight = visits[:, None] * policy
        over, under = float((weight * (self.unpenalised - tabular)).sum()), float((weight * self.lowering).sum())
        return max(over, 0.0) / under if under > 0 else (np.inf if over > 0 else 0.0)


def least_squares(mdp: FiniteMDP, policy: Any, q: Any, features: Any, visits: Any) -> Iterate:
    """Eq. (2) from q [S, A], minimised among Q = features w, in closed form. features [S, A, F], visits [S].

    Both parts are projections on the features, in squares weighted by visits times behaviour: of the backup, and of
    policy / behaviour - 1. With a constant among the features the average over visits and policy of the second is a
    square, so it is not negative. Raises DataError where the features are dependent on the data.

    Source: [kumar2020] Theorem D.1, Eq. (15), (16). Symbols: features = F, visits = d^{pi_beta}, lowered = policy.
    """
    policy = np.asarray(policy, np.float64)
    features = np.asarray(features, np.float64)
    basis = features.reshape(-1, features.shape[-1])
    density = (np.asarray(visits)[:, None] * mdp.behaviour).ravel()
    gram = basis.T @ (density[:, None] * basis)
    if np.linalg.matrix_rank(gram, hermitian=True) < len(gram):
        raise DataError("are dependent on the states and actions of the data; leave some out", field="features")

    def projected(values: np.ndarray) -> np.ndarray:
        return (basis @ np.linalg.solve(gram, basis.T @ (density * values.ravel()))).reshape(policy.shape)

    return Iterate(
        unpenalised=projected(policy_backup(mdp, policy, q)), lowering=projected(penalty(mdp.behaviour, policy))
    )


def gradient_step(mdp: FiniteMDP, policy: Any, q: Any, jacobian: Any, visits: Any, *, rate: float) -> Iterate:
    """Eq. (2) from q [S, A] by one gradient step, to first order in `rate`. jacobian [S, A, parameters] is dQ / dtheta.

    Source: [kumar2020] Theorem D.2, Eq. (17). Symbols: rate = eta, M_k = jacobian jacobian^T, visits = d^{pi_beta}.
    """
    policy, q = np.asarray(policy, np.float64), np.asarray(q, np.float64)
    slopes = np.asarray(jacobian, np.float64).reshape(q.size, -1)
    density = (np.asarray(visits)[:, None] * mdp.behaviour).ravel()

    def moved(direction: np.ndarray) -> np.ndarray:
        return rate * (slopes @ (slopes.T @ (density * direction.ravel()))).reshape(q.shape)

    return Iterate(
        unpenalised=q + moved(policy_backup(mdp, policy, q) - q), lowering=moved(penalty(mdp.behaviour, policy))
    )
