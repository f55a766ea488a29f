"""Delta(s, N): how much better the best action of the behaviour is than the best of N that it draws, from a critic.

It falls in N, the sooner the more often the behaviour does the right thing: a measure of how difficult logged data is.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from extremal.core.algorithm import Algorithm
from extremal.core.errors import ConfigError
from extremal.evaluation.statistics import grouped_interval

SAMPLES = (1, 2, 5, 10, 20, 50, 100)
ROWS = 64  # states at a time


@dataclasses.dataclass(frozen=True)
class Difficulty:
    """Delta in some states, in units of Q."""

    samples: tuple[int, ...]  # N, [K]
    draws: int  # M, a state
    gap: np.ndarray  # [S, K] Delta(s, N), as far as M draws see it
    episode: np.ndarray  # [S] which one each state is of
    rise: float  # E max of M draws less E max of M / 2, on average over states: what the last doubling still brought

    def to_json(self) -> dict[str, Any]:
        """One entry per N: mean over states and its interval over episodes, share of that of N = 1, spread over states."""
        mean = self.gap.mean(axis=0)
        first = mean[self.samples.index(1)] if 1 in self.samples else None
        low, high = grouped_interval(self.gap, self.episode) or ([None] * len(mean), [None] * len(mean))
        number = lambda x: None if x is None else float(x)  # noqa: E731
        rows = [
            {
                "samples": count,
                "mean": float(mean[k]),
                "low": number(low[k]),
                "high": number(high[k]),
                "share": float(mean[k] / first) if first else None,
                "tenth": float(np.quantile(self.gap[:, k], 0.1)),
                "median": float(np.median(self.gap[:, k])),
                "ninetieth": float(np.quantile(self.gap[:, k], 0.9)),
                "largest": float(self.gap[:, k].max()),
            }
            for k, count in enumerate(self.samples)
        ]
        counted = {"states": len(self.gap), "episodes": len(np.unique(self.episode)), "draws": self.draws}
        return {"delta": rows, **counted, "rise": self.rise}


def order_weights(draws: int, samples: int) -> np.ndarray:
    """[M] w with sum_i w_i x_(i) = E max of N without replacement out of M = `draws` numbers, x_(1) <= ... <= x_(M).

    w_i = C(i - 1, N - 1) / C(M, N): the share of the choices of N in which the i-th smallest is the largest. The sum is
    the U-statistic of E max of N, so it has no bias.

    Source: [hoeffding1948]. Symbols: samples = N.

    >>> order_weights(4, 2).tolist()  # 0, 1, 2 and 3 of the 6 pairs
    [0.0, 0.16666666666666666, 0.3333333333333333, 0.5]
    """
    if not 1 <= samples <= draws:
        raise ConfigError(f"the best of {samples} cannot be told from {draws} draws; take 1 to {draws}, or more draws")
    place = np.arange(draws, 1, -1, dtype=np.float64)  # w_(i - 1) / w_i = (i - N) / (i - 1), from the top
    ratio = np.maximum(place - samples, 0.0) / (place - 1.0)
    return (samples / draws * np.cumprod(np.append(1.0, ratio)))[::-1]


def expected_maximum(values: np.ndarray, samples: int) -> np.ndarray:
    """[...] the estimate without bias of E max of N draws, from values [M, ...] of M >= N draws.

    Source: [ghasemipour2021] Eq. (5); [hoeffding1948]. Symbols: samples = N.
    """
    return np.tensordot(order_weights(len(values), samples), np.sort(np.asarray(values, np.float64), axis=0), axes=1)


def sampled_gap(values: np.ndarray, samples: Sequence[int]) -> np.ndarray:
    """[S, K] Delta(s, N) for each N, from the Q [M, S] of M draws in each state.

    Source: [ghasemipour2021] Theorem 3.5, Sec. 3.3. Symbols: samples = N.
    Differs from the paper: the maximum over the support is the largest of the M draws, so that what is estimated without
    bias is Delta(s, N) - Delta(s, M). For N near M little of it is left. The density of a fitted model is nowhere 0, so
    that its support to the letter is every action: what it draws once in M times is the support that is meant here.
    """
    largest = np.max(np.asarray(values, np.float64), axis=0)
    return np.stack([largest - expected_maximum(values, count) for count in samples], axis=-1)


def last_rise(values: np.ndarray) -> float:
    """E max of M draws less E max of M / 2, on average over states, from the Q [M, S] of M >= 2 draws; without bias.

    It tells whether Delta(s, M), by which `sampled_gap` is too small, is small itself. Where Delta falls as N^-p, that is
    1 / (2^p - 1) times this: as much for a uniform Q, and many times as much where each doubling brings little less than
    the one before it. To carry it on beyond the draws would be to guess.
    """
    draws = len(values)
    if draws < 2:
        raise ConfigError(f"{draws} draw cannot tell what more would show; take at least 2")
    return float(np.mean(expected_maximum(values, draws) - expected_maximum(values, draws // 2)))


def difficulty(
    critic: tuple[Algorithm, Any],
    model: tuple[Algorithm, Any],
    observation: np.ndarray,
    episode: np.ndarray,
    *,
    samples: Sequence[int] = SAMPLES,
    draws: int = 2000,
    weight: float = 1.0,
    seed: int = 0,
) -> Difficulty:
    """Delta(s, N) of a trained critic and a fitted model of the behaviour, in raw observations [S, O].

    Args:
        critic: an algorithm with its networks, among them `q`. model: likewise, among them `behaviour`.
        episode: [S] the number of the episode of each state. draws: M, at least the largest N.
        weight: of the critics' minimum, beside their maximum, as in EMaQ's target.

    Raises:
        ConfigError: too few draws, or a critic without finite values.
    """
    for count in samples:
        order_weights(draws, count)  # refuses what cannot be told, before anything is drawn
    keys = jax.random.split(jax.random.key(seed), -(-len(observation) // ROWS))
    seen = [algorithm.prepared(observation) for algorithm, _ in (critic, model)]
    parts = [
        np.asarray(
            drawn_values(critic, model, *(x[at : at + ROWS] for x in seen), key, jnp.float32(weight), draws=draws)
        )
        for at, key in zip(range(0, len(observation), ROWS), keys, strict=True)
    ]
    values = np.concatenate(parts, axis=1)
    if not np.isfinite(values).all():
        raise ConfigError("the critic or the model is not finite everywhere: this replica diverged; choose another one")
    return Difficulty(tuple(samples), draws, sampled_gap(values, samples), np.asarray(episode), last_rise(values))


@partial(jax.jit, static_argnames="draws")
def drawn_values(
    critic: tuple[Algorithm, Any],
    model: tuple[Algorithm, Any],
    state: jax.Array,
    seen: jax.Array,
    key: jax.Array,
    weight: jax.Array,
    *,
    draws: int,
) -> jax.Array:
    """[M, S] what the critic says of M actions that the model draws in each of some states; see `difficulty`.

    Args:
        state, seen: [S, O] the same observations, as the critic's algorithm prepares them, and as the model's does.
    """
    judge, judged = critic
    drawer, drawn = model
    action = jnp.clip(drawn.behaviour(seen).samples(key, draws), -1.0, 1.0)
    action, q = _rescaled(judge, _raw(drawer, action)), judged.q
    found = q.over(state, action) if hasattr(q, "over") else jax.lax.map(partial(q, state), action).swapaxes(0, 1)
    return weight * jnp.min(found, axis=0) + (1.0 - weight) * jnp.max(found, axis=0)


def _raw(algorithm: Algorithm, action: jax.Array) -> jax.Array:
    for transform in reversed(algorithm.prepare):
        action = transform.action(action)
    return action


def _rescaled(algorithm: Algorithm, action: jax.Array) -> jax.Array:
    """The way back of `_raw`, which goes along a line in each entry, so that two points of it tell all; a point is at 0."""
    centre = _raw(algorithm, jnp.zeros_like(action))
    half = _raw(algorithm, jnp.ones_like(action)) - centre
    return jnp.clip((action - centre) / jnp.where(half == 0.0, 1.0, half), -1.0, 1.0)
