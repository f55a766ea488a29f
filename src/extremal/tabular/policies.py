"""Which action gets what share under each operator: a distribution over the support, weights [..., A] to shares [..., A].

The value of an operator is the mean of Q under its own shares (for log_mean_exp less beta KL to the weights), and the
shares are its derivative in Q wherever it has one: a step of value iteration is a step of policy evaluation. Only
soft_expected_maximum's shares are not its derivative.

Every function takes `q` and `weights` that broadcast to [..., A] (weights are normalised, counts will do; actions of
weight 0 are outside of the support and their Q is not read) and raises ConfigError where they cannot be a support.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from extremal.core.errors import ConfigError

_STEPS = 200  # of a safeguarded Newton search; a few are used


def support(q: Any, weights: Any) -> tuple[np.ndarray, np.ndarray]:
    """Q and normalised weights as float64 [..., A], checked; outside of the support Q is set to the support's lowest."""
    q, weights = np.broadcast_arrays(np.asarray(q, np.float64), np.asarray(weights, np.float64))
    if weights.ndim == 0 or weights.shape[-1] == 0:
        raise ConfigError("the support is empty: q and weights need at least one action on their last axis")
    if not np.isfinite(weights).all() or (weights < 0).any():
        at = tuple(int(i) for i in np.argwhere(~np.isfinite(weights) | (weights < 0))[0])
        raise ConfigError(f"weights{list(at)} is {weights[at]}: weights are finite and not negative")
    total = weights.sum(-1, keepdims=True)
    if (total <= 0).any():
        at = tuple(int(i) for i in np.argwhere(total[..., 0] <= 0)[0])
        raise ConfigError(f"the support is empty: all weights{list(at)} are 0; give some action a weight")
    inside = weights > 0
    if not np.isfinite(q[inside]).all():
        at = tuple(int(i) for i in np.argwhere(inside & ~np.isfinite(q))[0])
        raise ConfigError(f"q{list(at)} is {q[at]} for an action inside the support; Q must be finite there")
    if not inside.all():
        q = np.where(inside, q, np.where(inside, q, np.inf).min(-1, keepdims=True))
    return q, weights / total


def mean(q: Any, weights: Any) -> np.ndarray:
    """The behaviour itself."""
    return support(q, weights)[1]


def maximum(q: Any, weights: Any) -> np.ndarray:
    """The best actions of the support; ties share by weight."""
    q, weights = support(q, weights)
    best = weights * (q == q.max(-1, keepdims=True))
    return best / best.sum(-1, keepdims=True)


def expectile(q: Any, weights: Any, *, parameter: float) -> np.ndarray:
    """Each action by weight, times the level above the expectile and 1 - level below it."""
    level = within("expectile", parameter, 0.0, 1.0)
    q, weights = support(q, weights)
    order = np.argsort(q, -1)
    ordered, ascending = np.take_along_axis(q, order, -1), np.take_along_axis(weights, order, -1)
    # Of the means that weigh the k lowest by 1 - level and the rest by level, the expectile is the largest (the
    # smallest where the level is below one half).
    slope = 2.0 * level - 1.0
    mass = level - slope * np.cumsum(ascending, -1)
    value = (level * (ascending * ordered).sum(-1, keepdims=True) - slope * np.cumsum(ascending * ordered, -1)) / mass
    centre = value[..., :-1] if q.shape[-1] > 1 else value
    extreme = centre.max(-1, keepdims=True) if level >= 0.5 else centre.min(-1, keepdims=True)
    share = weights * np.where(q > extreme, level, 1.0 - level)
    return share / share.sum(-1, keepdims=True)


def quantile(q: Any, weights: Any, *, parameter: float) -> np.ndarray:
    """The actions at the lowest value whose distribution function reaches the level; ties share by weight."""
    level = within("quantile level", parameter, 0.0, 1.0)
    q, weights = support(q, weights)
    order = np.argsort(q, -1)
    reached = np.cumsum(np.take_along_axis(weights, order, -1), -1) >= level - 1e-12  # sums of weights are rounded
    value = np.take_along_axis(np.take_along_axis(q, order, -1), reached.argmax(-1)[..., None], -1)
    share = weights * (q == value)
    return share / share.sum(-1, keepdims=True)


def log_mean_exp(q: Any, weights: Any, *, parameter: float) -> np.ndarray:
    """mu(a) exp((Q - V) / beta), the soft-optimal policy.

    Source: [garg2023] Eq. (2). Symbols: parameter = beta.
    """
    beta = within("beta", parameter, 0.0, np.inf)
    q, weights = support(q, weights)
    return _tilted(q, weights, 1.0 / beta)


def expected_maximum(q: Any, weights: Any, *, parameter: float) -> np.ndarray:
    """The best of N actions drawn from mu: F(q)^N - F(q-)^N, where F is the distribution function of Q under mu.

    N may be any real number from 1 on. Ties share by weight.

    Source: [ghasemipour2021] Theorem 3.2. Symbols: parameter = N.
    """
    samples = within("the number of samples N", parameter, 1.0, np.inf, closed=True)
    q, weights = support(q, weights)
    order = np.argsort(q, -1)
    ordered, ascending = np.take_along_axis(q, order, -1), np.take_along_axis(weights, order, -1)
    upto = np.minimum(np.cumsum(ascending, -1), 1.0)
    upto[..., -1] = 1.0
    first = np.ones(q.shape, bool)
    first[..., 1:] = ordered[..., 1:] != ordered[..., :-1]
    last = np.ones(q.shape, bool)
    last[..., :-1] = first[..., 1:]
    before = np.concatenate([np.zeros_like(upto[..., :1]), upto[..., :-1]], -1)
    below = np.maximum.accumulate(np.where(first, before, 0.0), -1)
    through = np.minimum.accumulate(np.where(last, upto, np.inf)[..., ::-1], -1)[..., ::-1]
    mass = through - below  # of the actions of equal Q
    chance = ascending * (through**samples - below**samples) / np.where(mass > 0, mass, 1.0)
    share = np.empty_like(chance)
    np.put_along_axis(share, order, chance, -1)
    return share / share.sum(-1, keepdims=True)


def soft_expected_maximum(q: Any, weights: Any, *, parameter: int, inverse_temperature: float = 1.0) -> np.ndarray:
    """The mean share of each action where N are drawn from mu and one of them is chosen by a softmax.

    N E[e_1 / (e_1 + ... + e_N)] with e = exp(inverse_temperature Q), and 1 / x the integral of exp(-t x): one
    trapezoidal sum over log t, which converges exponentially.

    Source: [ghasemipour2021] Eq. (74). Symbols: parameter = N, inverse_temperature = alpha.
    """
    samples = within("the number of samples N", parameter, 1.0, np.inf, closed=True)
    inverse = within("inverse_temperature", inverse_temperature, 0.0, np.inf, closed=True)
    q, weights = support(q, weights)
    log_e = inverse * (q - q.max(-1, keepdims=True))
    step, share = 0.2, np.zeros_like(q)
    for log_t in np.arange(-40.0, 5.0 - log_e.min(), step):
        decay = np.exp(-np.exp(np.minimum(log_t + log_e, 7.0)))  # exp(-e^7) is 0 already
        others = (weights * decay).sum(-1, keepdims=True) ** (samples - 1.0)
        share += samples * step * weights * np.exp(log_t + log_e) * decay * others
    return share / share.sum(-1, keepdims=True)


def kl_ball(q: Any, weights: Any, *, parameter: float) -> np.ndarray:
    """The best policy within KL(pi || mu) <= kappa: mu tilted by the 1 / beta at which the KL is kappa.

    Where kappa is at least -log mu(best actions), the best actions alone.

    Source: [ahmadi2012] Definition 3.1. Symbols: parameter = kappa, in nats.
    """
    radius = within("kappa", parameter, 0.0, np.inf, closed=True)
    q, weights = support(q, weights)
    best = maximum(q, weights)
    spread = np.sqrt((weights * (q - (weights * q).sum(-1, keepdims=True)) ** 2).sum(-1, keepdims=True))
    reach = -np.log((weights * (best > 0)).sum(-1, keepdims=True))  # the largest KL that the support allows
    inner = (reach > radius) & (spread > 0)
    if radius == 0.0 or not inner.any():
        return np.where(inner, weights, best)
    z = (q - q.max(-1, keepdims=True)) / np.where(spread > 0, spread, 1.0)
    tilt = _tilt_of_divergence(z, weights, np.where(inner, radius, 0.0))
    return np.where(inner, _tilted(z, weights, tilt), best)


def _tilt_of_divergence(z: np.ndarray, weights: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """x [..., 1] with KL(tilted by x || weights) = radius: Newton on the root of the KL, kept inside a bracket."""
    goal = np.sqrt(2.0 * radius)  # a normal Q of deviation 1 has x = sqrt(2 KL)
    x, low, high = goal.copy(), np.zeros_like(goal), np.full_like(goal, np.inf)
    for _ in range(_STEPS):
        share = _tilted(z, weights, x)
        centre = (share * z).sum(-1, keepdims=True)
        divergence = np.maximum(x * centre - _log_mean(x * z, weights), 0.0)
        rounding = 8.0 * np.finfo(float).eps * (1.0 - x * centre)
        done = np.abs(divergence - radius) <= rounding
        if done.all():
            break
        over = divergence > radius
        high, low = np.where(over, x, high), np.where(over, low, x)
        root = np.sqrt(2.0 * divergence)
        with np.errstate(over="ignore"):  # where nothing is left of a slope, the step leaves the bracket
            slope = x * (share * (z - centre) ** 2).sum(-1, keepdims=True) / np.maximum(root, 1e-300)
            newton = x - (root - goal) / np.maximum(slope, 1e-300)
        # Almost equal actions are told apart at a tilt of another order of magnitude: the middle of a bracket is geometric.
        middle = np.where(
            np.isinf(high), 64.0 * x, np.sqrt(np.maximum(low, 1e-3 * x)) * np.sqrt(np.minimum(high, 1e300))
        )
        x = np.where(done, x, np.where((newton > low) & (newton < np.minimum(high, 64.0 * x)), newton, middle))
    return x


def _tilted(q: np.ndarray, weights: np.ndarray, x: np.ndarray | float) -> np.ndarray:
    share = weights * np.exp(x * (q - q.max(-1, keepdims=True)))
    return share / share.sum(-1, keepdims=True)


def _log_mean(z: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """log E exp(z) [..., 1]; the largest z of the support must not be above 700."""
    return np.log((weights * np.exp(z)).sum(-1, keepdims=True))


def within(name: str, value: float, low: float, high: float, *, closed: bool = False) -> float:
    """`value` as a number, or ConfigError where it is not above `low` (or at it, if `closed`) and below `high`."""
    if not (low < value < high or (closed and value == low)):
        bound = f"at least {low:g}" if closed else f"above {low:g}"
        raise ConfigError(f"{name} must be {bound}{'' if np.isinf(high) else f' and below {high:g}'}, not {value}")
    return float(value)
