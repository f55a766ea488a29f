"""Logged data of a finite MDP, and the MDP that the data alone would make one believe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from extremal.core.errors import ConfigError, DataError
from extremal.tabular.mdp import FiniteMDP


@dataclass(frozen=True, kw_only=True, eq=False)
class Logged:
    """Steps of whole episodes, one after the other; all arrays [n] but `offsets`."""

    state: np.ndarray
    action: np.ndarray
    reward: np.ndarray
    next_state: np.ndarray
    terminated: np.ndarray
    """True where the next state is terminal; an episode that ends otherwise was cut by its horizon."""
    offsets: np.ndarray
    """[episodes + 1]: episode e is the rows offsets[e] to offsets[e + 1]."""

    @property
    def rows(self) -> int:
        return len(self.state)

    def joined(self, other: Logged) -> Logged:
        """The episodes of both."""
        names = ("state", "action", "reward", "next_state", "terminated")
        rows = {name: np.concatenate([getattr(self, name), getattr(other, name)]) for name in names}
        return Logged(**rows, offsets=np.concatenate([self.offsets, self.rows + other.offsets[1:]]))


def sample(mdp: FiniteMDP, policy: Any = None, *, episodes: int, horizon: int, seed: int) -> Logged:
    """Episodes of at most `horizon` steps under a policy [S, A] (default: the behaviour), all walked at once."""
    if episodes < 1 or horizon < 1:
        raise ConfigError(f"episodes and horizon must be at least 1, not {episodes} and {horizon}")
    policy = mdp.behaviour if policy is None else np.asarray(policy, np.float64)
    random = np.random.default_rng(seed)
    state = _draw(random, np.broadcast_to(mdp.start, (episodes, mdp.states)))
    alive = np.flatnonzero(~mdp.terminal[state])
    steps: list[tuple[np.ndarray, ...]] = []
    for _ in range(horizon):
        if not alive.size:
            break
        at = state[alive]
        action = _draw(random, policy[at])
        to = _draw(random, mdp.transition[at, action])
        reward = mdp.reward[at, action] if mdp.reward.ndim == 2 else mdp.reward[at, action, to]
        ended = mdp.terminal[to]
        steps.append((alive, at, action, reward, to, ended))
        state[alive] = to
        alive = alive[~ended]
    if not steps:
        raise DataError("every episode starts in a terminal state", field="start")
    episode, *columns = (np.concatenate(column) for column in zip(*steps, strict=True))
    order = np.argsort(episode, kind="stable")
    names = ("state", "action", "reward", "next_state", "terminated")
    lengths = np.bincount(episode, minlength=episodes)
    return Logged(
        **{name: column[order] for name, column in zip(names, columns, strict=True)},
        offsets=np.concatenate([[0], np.cumsum(lengths[lengths > 0])]),
    )


def counts(logged: Logged, states: int, actions: int) -> np.ndarray:
    """[S, A]: how often each action was taken in each state. Raises DataError with the row of an entry out of range."""
    for field, limit in (("state", states), ("action", actions), ("next_state", states)):
        outside = (getattr(logged, field) < 0) | (getattr(logged, field) >= limit)
        if outside.any():
            row = int(outside.argmax())
            raise DataError(f"is {getattr(logged, field)[row]}, not in 0..{limit - 1}", field=field, row=row)
    taken = np.zeros((states, actions))
    np.add.at(taken, (logged.state, logged.action), 1.0)
    return taken


def empirical(logged: Logged, states: int, actions: int, *, discount: float) -> FiniteMDP:
    """The maximum-likelihood MDP of logged data: frequencies as transitions and behaviour, mean rewards.

    An action that was never taken in a state has behaviour 0 (outside of the support) and leads back to that state for
    nothing. A state in which nothing was ever logged is terminal, whether the data says so or not: it has no action
    that the data supports. States that end an episode by `terminated` are terminal.

    Source: [kumar2020] App. C. Symbols: the empirical MDP of the counts |D(s, a)|.
    """
    taken = counts(logged, states, actions)
    transition = np.zeros((states, actions, states))
    reward = np.zeros((states, actions))
    np.add.at(transition, (logged.state, logged.action, logged.next_state), 1.0)
    np.add.at(reward, (logged.state, logged.action), logged.reward)
    never = taken == 0
    transition[never] = np.repeat(np.eye(states)[:, None], actions, 1)[never]
    known = taken.sum(-1) > 0
    ended = np.isin(np.arange(states), logged.next_state[logged.terminated])
    if (ended & known).any():
        at = int(np.argmax(ended & known))
        row = int(np.argmax(logged.terminated & (logged.next_state == at)))
        raise DataError(f"ends in state {at}, from which other rows go on", field="terminated", row=row)
    first = np.bincount(logged.state[logged.offsets[:-1]], minlength=states)
    behaviour = np.where(known[:, None], taken, 1.0)
    return FiniteMDP(
        transition=transition / np.maximum(transition.sum(-1, keepdims=True), 1.0),
        reward=reward / np.maximum(taken, 1.0),
        discount=discount,
        terminal=~known,
        start=first / first.sum(),
        behaviour=behaviour / behaviour.sum(-1, keepdims=True),
    )


def _draw(random: np.random.Generator, probabilities: np.ndarray) -> np.ndarray:
    """One index per row [n] of distributions [n, K]; an index of probability 0 is never drawn."""
    cumulative = np.cumsum(probabilities, -1)
    at = random.random(len(probabilities))[:, None] * cumulative[:, -1:]
    return (cumulative > at).argmax(-1)
