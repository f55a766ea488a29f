"""The best distribution near another one, where near is chi-square: sum over a of mu(a)^2 / rho(a), less 1.

It is what CQL's bounds count with (D_CQL is a chi-square), and what its distributionally robust variant maximises over.
Everything is over the last axis and exact: a sort finds which actions keep a share.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from extremal.core.errors import DivergedError
from extremal.tabular.policies import support, within

_STEPS = 200  # of a safeguarded Newton search; a few are used


def divergence(policy: Any, behaviour: Any) -> np.ndarray:
    """D_CQL(pi, mu) = sum over a of pi (pi / mu - 1) = sum over a of (pi - mu)^2 / mu, [...]; infinite outside of the support.

    Source: [kumar2020] Theorem 3.5. Symbols: behaviour = pi_beta.
    """
    policy, behaviour = np.asarray(policy, np.float64), np.asarray(behaviour, np.float64)
    inside = behaviour > 0
    terms = np.divide((policy - behaviour) ** 2, behaviour, out=np.zeros(np.shape(policy - behaviour)), where=inside)
    return np.where(~inside & (policy > 0), np.inf, terms).sum(-1)


def penalised(q: Any, weights: Any, *, parameter: float) -> np.ndarray:
    """argmax over pi of E_pi Q - alpha chi-square(pi, weights): weights (Q - eta)_+ / (2 alpha), with shares that sum to 1.

    Source: [kumar2020] Eq. (5). Symbols: parameter = alpha, of one state.
    """
    alpha = within("the weight of the divergence", parameter, 0.0, np.inf)
    q, weights = support(q, weights)
    return shares(q, weights / (2.0 * alpha))


def ball(q: Any, weights: Any, *, radius: Any) -> np.ndarray:
    """argmax over mu of E_mu Q where chi-square(mu, weights) <= radius [...].

    While no action falls to share 0 it is weights (1 + t (Q - mean)), of value mean + sqrt(radius variance). Else the
    lowest actions are dropped, and the rest are the ball about the weights of those that stay.

    Source: [kumar2020] Eq. (8). Symbols: radius = 2 delta / N.
    Differs from the paper: the maximum itself; Eq. (8) bounds it from above, and is it where every share is positive.
    """
    q, weights = support(q, weights)
    radius = np.asarray(radius, np.float64)[..., None]
    order = np.argsort(np.where(weights > 0, -q, np.inf), -1, kind="stable")
    z = np.take_along_axis(q - q.max(-1, keepdims=True), order, -1)
    share = np.take_along_axis(weights, order, -1)
    mass = np.cumsum(share, -1)
    mass[..., -1] = 1.0
    centre = np.cumsum(share * z, -1) / mass
    variance = np.maximum(np.cumsum(share * z**2, -1) / mass - centre**2, 0.0)
    room = mass * (1.0 + radius) - 1.0  # below 0: no distribution on these actions alone is in the ball
    tilt = np.sqrt(np.divide(np.maximum(room, 0.0), variance, out=np.zeros_like(room), where=variance > 0))
    valid = (room >= 0.0) & (1.0 + tilt * (z - centre) >= 0.0)
    kept = z.shape[-1] - 1 - valid[..., ::-1].argmax(-1)[..., None]  # the most actions for which no share is negative
    mass, centre, tilt = (np.take_along_axis(x, kept, -1) for x in (mass, centre, tilt))
    found = share / mass * np.where(np.arange(z.shape[-1]) <= kept, 1.0 + tilt * (z - centre), 0.0)
    chosen = np.empty_like(found)
    np.put_along_axis(chosen, order, found, -1)
    return chosen / chosen.sum(-1, keepdims=True)


def shares(q: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    """slopes (Q - eta)_+ [..., A], with the eta that makes them sum to 1; slopes [..., A] are not negative, and not all 0.

    It is the argmax over distributions of E Q - 1/2 sum over a of pi(a)^2 / slopes(a).
    """
    top = q.max(-1, keepdims=True)
    order = np.argsort(top - q, -1, kind="stable")
    z, slope = np.take_along_axis(q - top, order, -1), np.take_along_axis(np.broadcast_to(slopes, q.shape), order, -1)
    total = np.cumsum(slope, -1)
    eta = np.divide(np.cumsum(slope * z, -1) - 1.0, total, out=np.full_like(total, -np.inf), where=total > 0)
    last = z.shape[-1] - 1 - (z > eta)[..., ::-1].argmax(-1)[..., None]
    found = slopes * np.maximum(q - top - np.take_along_axis(eta, last, -1), 0.0)
    return found / found.sum(-1, keepdims=True)


def penalised_in_ball(target: Any, behaviour: Any, prior: Any, *, weight: float, radius: Any) -> np.ndarray:
    """argmax over mu, chi-square(mu, prior) <= radius, of E_mu target - weight / 2 chi-square(mu, behaviour), all [..., A].

    mu = (target - eta)_+ / (weight / behaviour + multiplier / prior), with the multiplier that puts mu on the sphere,
    or 0 where it is inside of the ball without one. The prior's support must be part of the behaviour's.
    """
    target, behaviour = support(target, behaviour)
    prior = np.broadcast_to(prior, target.shape)
    radius = np.broadcast_to(np.asarray(radius, np.float64)[..., None], (*target.shape[:-1], 1))
    multiplier, low = np.zeros((2, *radius.shape))
    high = np.full(radius.shape, np.inf)
    for _ in range(_STEPS):
        below = weight * prior + multiplier * behaviour
        slopes = np.divide(behaviour * prior, below, out=np.zeros(target.shape), where=(prior > 0) & (behaviour > 0))
        mu = shares(target, slopes)
        squares = np.divide(mu, prior, out=np.zeros_like(mu), where=prior > 0)
        distance = (mu * squares).sum(-1, keepdims=True) - 1.0
        outside = distance > radius
        done = (np.abs(distance - radius) <= 1e-14 * (1.0 + radius)) | (~outside & (multiplier == 0.0))
        if done.all():
            return mu
        low, high = np.where(outside, multiplier, low), np.where(outside, high, multiplier)
        done |= high - low <= 4.0 * np.finfo(float).eps * low
        if done.all():
            return mu
        multiplier = np.where(
            done, multiplier, _newton(mu, slopes, squares, prior, distance, radius, multiplier, low, high)
        )
    raise DivergedError("the radius of the ball was not met; are target, behaviour and prior finite and of one scale?")


def _newton(
    mu: Any, slopes: Any, squares: Any, prior: Any, distance: Any, radius: Any, at: Any, low: Any, high: Any
) -> Any:
    """The next multiplier: Newton on 1 / sqrt(distance), which is nearly a straight line of it; else the bracket's middle."""
    bend = np.divide(slopes, prior, out=np.zeros_like(mu), where=prior > 0)  # d log slopes = - bend d multiplier
    total = (slopes * (mu > 0)).sum(-1, keepdims=True)
    change = -bend * mu + slopes * (mu > 0) * (bend * mu).sum(-1, keepdims=True) / total
    slope = 2.0 * (squares * change).sum(-1, keepdims=True)  # of the distance
    with np.errstate(divide="ignore", invalid="ignore"):
        step = at + 2.0 * distance * (1.0 - np.sqrt(distance / radius)) / slope
    middle = np.where(np.isinf(high), 2.0 * at + 1.0, (low + np.where(np.isinf(high), 0.0, high)) / 2.0)
    return np.where((step > low) & (step < high), step, middle)
