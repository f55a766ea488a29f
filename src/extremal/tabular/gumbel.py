"""The Gumbel noise behind the soft maximum: choices under noise, noise under Bellman backups, and bounds on estimates."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from extremal.core.errors import ConfigError, DataError
from extremal.tabular.mdp import FiniteMDP
from extremal.tabular.policies import within

_NODES = 4001  # of a trapezoidal sum over a smooth density that vanishes at both ends, which converges exponentially


class Noise(Protocol):
    """A continuous distribution, such as `scipy.stats.gumbel_r(scale=beta)`."""

    def pdf(self, x: Any, /) -> Any: ...

    def cdf(self, x: Any, /) -> Any: ...

    def ppf(self, q: Any, /) -> Any: ...


def noisy_choice(q: Any, noise: Noise) -> tuple[np.ndarray, np.ndarray]:
    """P(argmax_a (q + noise) = a) [..., A] and E max_a (q + noise) [...], for independent noise of one smooth density.

    Under Gumbel(0, beta) noise these are softmax(q / beta) and beta log sum exp(q / beta) + 0.5772 beta.

    Source: [garg2023] Eq. (19), (20), (23).
    """
    q = np.asarray(q, np.float64)
    low, high = noise.ppf(1e-17) + q.min(), noise.ppf(1.0 - 1.2e-16) + q.max()
    x, width = np.linspace(low, high, _NODES, retstep=True)
    centred = x[:, None] - q[..., None, :]  # [..., nodes, A]
    below = noise.cdf(centred)
    others = np.stack([np.prod(np.delete(below, a, -1), -1) for a in range(q.shape[-1])], -1)
    chosen = noise.pdf(centred) * others * width
    return chosen.sum(-2), (chosen.sum(-1) * x).sum(-1)


def gumbel_process(mdp: FiniteMDP, location: Any, *, scale: float, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Locations [steps + 1, S, A] and scales [steps + 1] of Z(s, a) ~ Gumbel under Z <- r + discount max_a' Z(s', a').

    The soft maximum is over all actions, with weight 1 each. Dynamics must be deterministic and without terminal states;
    Z must be independent over the actions of a state at every step.

    Source: [garg2023] Eq. (26). Symbols: location = Q_t, scale = beta.
    Differs from the paper: the temperature of the soft maximum is that of the step at hand, discount^t beta.
    """
    beta = within("scale", scale, 0.0, np.inf)
    if (mdp.transition.max(-1) < 1.0).any():
        at = [int(i) for i in np.argwhere(mdp.transition.max(-1) < 1.0)[0]]
        raise DataError(f"row {at} leads to several states; a Gumbel process needs one", field="transition")
    if mdp.terminal.any():
        raise DataError(f"state {int(mdp.terminal.argmax())} is terminal: nothing is random there", field="terminal")
    locations, scales = [np.asarray(location, np.float64)], beta * mdp.discount ** np.arange(steps + 1)
    for temperature in scales[:-1]:
        top = locations[-1].max(-1)
        v = top + temperature * np.log(np.exp((locations[-1] - top[:, None]) / temperature).sum(-1))
        locations.append(mdp.backup(v))
    return np.stack(locations), scales


def overestimation_bound(largest: float, *, beta: float) -> float:
    """2 beta log cosh(largest / beta): what beta log E exp(Q / beta) is above E Q at most, for |Q| <= largest.

    Source: [garg2023] Lemma B.1. Symbols: largest = Q_max.
    Differs from the paper: twice its bound, and of the estimate's range, not of the true Q's; as printed it is violated.
    """
    x = within("largest", largest, 0.0, np.inf, closed=True) / within("beta", beta, 0.0, np.inf)
    return float(2.0 * beta * (x + np.log1p(np.exp(-2.0 * x)) - np.log(2.0)))


def overestimation(largest: float, *, beta: float) -> float:
    """The largest beta log E exp(Q / beta) - E Q of any distribution on [-largest, largest]; two points attain it.

    The logarithm of Specht's ratio of exp(2 largest / beta).
    """
    x = 2.0 * within("largest", largest, 0.0, np.inf, closed=True) / within("beta", beta, 0.0, np.inf)
    if x < 1e-2:  # the closed form loses its digits; its series
        return float(beta * (x**2 / 8.0 - x**4 / 576.0))
    return float(beta * (x + np.log(-np.expm1(-x) / x) - 1.0 + x * np.exp(-x) / -np.expm1(-x)))


def partition_margin(largest: float, *, beta: float, samples: int, delta: float) -> float:
    """What the mean of exp(X / beta) over `samples` draws exceeds its expectation by, with probability at most `delta`.

    For |X| <= largest; Hoeffding's inequality. Divided by the partition function and times beta, it is the margin of
    beta log of that mean.

    Source: [garg2023] Lemma B.2. Symbols: largest = X_max, samples = N.
    """
    within("delta", delta, 0.0, 1.0)
    if samples < 1:
        raise ConfigError(f"samples must be at least 1, not {samples}")
    x = within("largest", largest, 0.0, np.inf, closed=True) / within("beta", beta, 0.0, np.inf)
    return float(np.sinh(x) * np.sqrt(-2.0 * np.log(delta) / samples))
