"""How good is the best action that the data supports? Eight exact answers, from mean to maximum, in float64.

An operator takes Q [..., A] and the weights of the actions [..., A] (mu, normalised here; counts will do), and gives
V [...]. Weight 0 is outside of the support, and Q is not read there. What each says of the single actions is in
`extremal.tabular.policies`, under the same name.

>>> round(float(log_mean_exp([0.0, 1.0, 3.0], [0.5, 0.3, 0.2], parameter=1.0)), 6)
1.673837
>>> float(maximum([0.0, 1.0, 3.0], [0.5, 0.5, 0.0]))
1.0
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from extremal.core.errors import ConfigError
from extremal.tabular import policies
from extremal.tabular.policies import support, within

Operator = Callable[..., np.ndarray]
"""(q, weights) or (q, weights, *, parameter): V [...] of Q [..., A] on a weighted support."""


def mean(q: Any, weights: Any) -> np.ndarray:
    """E_mu Q: the value of the behaviour (SARSA, Onestep RL)."""
    return _average(policies.mean(q, weights), q)


def maximum(q: Any, weights: Any) -> np.ndarray:
    """The largest Q of the support (Q-learning on the data's actions)."""
    return _average(policies.maximum(q, weights), q)


def expectile(q: Any, weights: Any, *, parameter: float) -> np.ndarray:
    """The m with level E (Q - m)_+ = (1 - level) E (m - Q)_+; the level is inside (0, 1), one half is the mean.

    Source: [kostrikov2021] Sec. 4.1, 4.4. Symbols: parameter = tau.
    """
    return _average(policies.expectile(q, weights, parameter=parameter), q)


def quantile(q: Any, weights: Any, *, parameter: float) -> np.ndarray:
    """The lowest m with P(Q <= m) >= level; the level is inside (0, 1)."""
    return _average(policies.quantile(q, weights, parameter=parameter), q)


def log_mean_exp(q: Any, weights: Any, *, parameter: float) -> np.ndarray:
    """beta log E_mu exp(Q / beta): the soft maximum of XQL; beta > 0 is in units of Q.

    Source: [garg2023] Eq. (1). Symbols: parameter = beta.
    """
    beta = within("beta", parameter, 0.0, np.inf)
    q, weights = support(q, weights)
    top = q.max(-1, keepdims=True)
    z = (q - top) / beta
    less = (weights * np.expm1(z)).sum(
        -1
    )  # E exp(z) - 1: what a large beta leaves of it would be rounded away in E exp(z)
    log_mean = np.where(less > -0.5, np.log1p(np.maximum(less, -0.5)), np.log((weights * np.exp(z)).sum(-1)))
    return top[..., 0] + beta * log_mean


def expected_maximum(q: Any, weights: Any, *, parameter: float) -> np.ndarray:
    """E of the largest Q among N actions drawn from mu, by order statistics; N is any real number from 1 on.

    Source: [ghasemipour2021] Eq. (5). Symbols: parameter = N.
    """
    return _average(policies.expected_maximum(q, weights, parameter=parameter), q)


def soft_expected_maximum(q: Any, weights: Any, *, parameter: int, inverse_temperature: float = 1.0) -> np.ndarray:
    """E of the softmax-weighted mean of Q over N actions drawn from mu; no contraction, and not monotone in Q.

    Source: [ghasemipour2021] App. J. Symbols: parameter = N, inverse_temperature = alpha.
    """
    share = policies.soft_expected_maximum(q, weights, parameter=parameter, inverse_temperature=inverse_temperature)
    return _average(share, q)


def kl_ball(q: Any, weights: Any, *, parameter: float) -> np.ndarray:
    """max of E_pi Q over KL(pi || mu) <= kappa, that is min over beta of beta log E_mu exp(Q / beta) + kappa beta.

    The entropic value at risk of Q at the level 1 - exp(-kappa). kappa >= 0 is in nats and has no unit of Q.

    Source: [ahmadi2012] Definition 3.1; [garg2023] Sec. 3.2.1. Symbols: parameter = kappa.
    """
    return _average(policies.kl_ball(q, weights, parameter=parameter), q)


def known(operator: Any) -> bool:
    """Whether it is one of the eight."""
    return getattr(operator, "__module__", None) == __name__


def policy_of(operator: Any) -> Any:
    """The function of `extremal.tabular.policies` that belongs to an operator of this module."""
    if not known(operator):
        raise ConfigError(f"{operator!r} is no operator of extremal.tabular; give the policy that belongs to it")
    return getattr(policies, operator.__name__)


def _average(share: np.ndarray, q: Any) -> np.ndarray:
    return (share * np.where(share > 0, np.asarray(q, np.float64), 0.0)).sum(-1)
