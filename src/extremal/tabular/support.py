"""How much better the best supported action is than the best of N draws: Delta(s, N), and what EMaQ may lose by it."""

from __future__ import annotations

from typing import Any

import numpy as np

from extremal.tabular.mdp import FiniteMDP
from extremal.tabular.operators import expected_maximum, maximum


def best_of_draws_gap(q: Any, weights: Any, *, samples: float) -> np.ndarray:
    """Delta(s, N) [...]: the largest Q of the support less the expected maximum of N draws; 0 for one action alone.

    It falls in N, the sooner the more weight the best actions have: a measure of how difficult a logged state is.

    Source: [ghasemipour2021] Theorem 3.5, Sec. 3.3. Symbols: samples = N; Q is that of the optimum or that of EMaQ.

    >>> float(best_of_draws_gap([0.0, 1.0], [0.5, 0.5], samples=3))
    0.125
    """
    return maximum(q, weights) - expected_maximum(q, weights, parameter=samples)


def emaq_bounds(mdp: FiniteMDP, q: np.ndarray, *, samples: float) -> tuple[float, float]:
    """Two upper bounds of max |Q_N - Q*|, of EMaQ with N samples: of Eq. (8), and the looser one of Eq. (9).

    `q` [S, A] is either of the two: the optimum's within the support, or EMaQ's own, which needs no knowledge of the
    optimum.

    Source: [ghasemipour2021] Eq. (8), (9). Symbols: samples = N.
    """
    gap = np.where(mdp.terminal, 0.0, best_of_draws_gap(q, mdp.behaviour, samples=samples))
    scale = mdp.discount / (1.0 - mdp.discount)
    return float(scale * mdp.expect(gap).max()), float(scale * gap.max())
