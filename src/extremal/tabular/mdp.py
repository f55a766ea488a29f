"""Finite Markov decision processes, with the behaviour whose data is logged."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse

from extremal.core.errors import ConfigError, DataError


@dataclass(frozen=True, kw_only=True, eq=False)
class FiniteMDP:
    """P(s'|s, a), r, discount, terminal states, a start distribution and the behaviour mu(a|s); all float64 and checked.

    A terminal state is entered and never left: its value is 0, whatever its rows of `transition` and `reward` say.
    Actions of behaviour 0 are outside of the data's support. Raises DataError with the field and the entry.
    """

    transition: np.ndarray
    """[S, A, S]; every row is a distribution."""
    reward: np.ndarray
    """[S, A], or [S, A, S] where it depends on the state that is reached."""
    discount: float
    """In [0, 1)."""
    terminal: np.ndarray = None  # type: ignore[assignment]
    """[S] bool; default: no state."""
    start: np.ndarray = None  # type: ignore[assignment]
    """[S], a distribution; default: uniform over the states that are not terminal."""
    behaviour: np.ndarray = None  # type: ignore[assignment]
    """[S, A], a distribution in every state; default: uniform."""

    def __post_init__(self) -> None:
        transition = _real("transition", self.transition)
        if transition.ndim != 3 or transition.shape[0] != transition.shape[2] or 0 in transition.shape:
            raise DataError(f"has shape {transition.shape}, not [states, actions, states]", field="transition")
        states, actions, _ = transition.shape
        _distribution("transition", transition)
        reward = _real("reward", self.reward)
        if reward.shape not in ((states, actions), (states, actions, states)):
            raise DataError(f"has shape {reward.shape}, not {(states, actions)} or with {states} more", field="reward")
        if not 0.0 <= self.discount < 1.0:
            raise ConfigError(f"discount must be in [0, 1), not {self.discount}")
        terminal = np.zeros(states, bool) if self.terminal is None else np.asarray(self.terminal, bool)
        if terminal.shape != (states,):
            raise DataError(f"has shape {terminal.shape}, not ({states},)", field="terminal")
        if terminal.all():
            raise DataError("every state is terminal; some state must be left", field="terminal")
        start = ~terminal / (~terminal).sum() if self.start is None else _real("start", self.start)
        behaviour = np.full((states, actions), 1.0 / actions) if self.behaviour is None else self.behaviour
        behaviour = _real("behaviour", behaviour)
        for name, value, shape in (("start", start, (states,)), ("behaviour", behaviour, (states, actions))):
            if value.shape != shape:
                raise DataError(f"has shape {value.shape}, not {shape}", field=name)
            _distribution(name, value)
        given = {"transition": transition, "reward": reward, "terminal": terminal, "start": start}
        for name, value in (given | {"behaviour": behaviour}).items():
            value = np.array(value)  # of its own: what the caller writes later changes nothing
            value.flags.writeable = False
            object.__setattr__(self, name, value)

    @property
    def states(self) -> int:
        return self.transition.shape[0]

    @property
    def actions(self) -> int:
        return self.transition.shape[1]

    @cached_property
    def mean_reward(self) -> np.ndarray:
        """[S, A]: E[r | s, a]; 0 in terminal states."""
        mean = self.reward if self.reward.ndim == 2 else np.einsum("ijk,ijk->ij", self.transition, self.reward)
        return np.where(self.terminal[:, None], 0.0, mean)

    @cached_property
    def _kernel(self) -> Any:
        """[S A, S] without the steps out of and into terminal states; sparse where that is faster."""
        kernel = self.transition * ~self.terminal[:, None, None] * ~self.terminal
        kernel = kernel.reshape(-1, self.states)
        return sparse.csr_array(kernel) if np.count_nonzero(kernel) < 0.1 * kernel.size else kernel

    def expect(self, v: np.ndarray) -> np.ndarray:
        """[S, A]: E[v(s') | s, a] for v [S]; terminal states count as 0."""
        return (self._kernel @ v).reshape(self.states, self.actions)

    def backup(self, v: np.ndarray) -> np.ndarray:
        """[S, A]: r(s, a) + discount E[v(s') | s, a]."""
        return self.mean_reward + self.discount * self.expect(v)

    def under(self, policy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """P_pi [S, S], without the steps out of and into terminal states, and r_pi [S], under a policy [S, A]."""
        policy = _policy(self, policy)
        rows = np.repeat(np.arange(self.states), self.actions)
        chooser = sparse.csr_array((policy.ravel(), (rows, np.arange(rows.size))), shape=(self.states, rows.size))
        chain = chooser @ self._kernel
        return chain.toarray() if sparse.issparse(chain) else chain, (policy * self.mean_reward).sum(-1)

    def replace(self, **changes: Any) -> FiniteMDP:
        """The same MDP with some fields changed, checked again."""
        return dataclasses.replace(self, **changes)


def random_mdp(
    states: int,
    actions: int,
    *,
    seed: int,
    discount: float = 0.9,
    branching: int | None = None,
    support: int | None = None,
    terminal: int = 0,
) -> FiniteMDP:
    """Dirichlet transitions and behaviour, standard normal rewards [S, A, S].

    `branching` bounds the states that an action leads to, `support` the actions that the behaviour takes in a state;
    the last `terminal` states are terminal.
    """
    random = np.random.default_rng(seed)

    def distributions(shape: tuple[int, ...], size: int, among: int | None) -> np.ndarray:
        drawn = random.dirichlet(np.ones(size), shape)
        if among is not None and among < size:
            drawn *= random.random(drawn.shape).argsort(-1) < among
        return drawn / drawn.sum(-1, keepdims=True)

    return FiniteMDP(
        transition=distributions((states, actions), states, branching),
        reward=random.standard_normal((states, actions, states)),
        discount=discount,
        terminal=np.arange(states) >= states - terminal,
        behaviour=distributions((states,), actions, support),
    )


def _real(name: str, value: Any) -> np.ndarray:
    value = np.asarray(value, np.float64)
    if not np.isfinite(value).all():
        at = tuple(int(i) for i in np.argwhere(~np.isfinite(value))[0])
        raise DataError(f"entry {list(at)} is {value[at]}; every entry must be finite", field=name)
    return value


def _distribution(name: str, value: np.ndarray) -> None:
    if (value < 0).any():
        at = tuple(int(i) for i in np.argwhere(value < 0)[0])
        raise DataError(f"entry {list(at)} is {value[at]}; a probability cannot be negative", field=name)
    total = value.sum(-1)
    wrong = np.abs(total - 1.0) > 1e-9
    if wrong.any():
        at = tuple(int(i) for i in np.argwhere(wrong)[0])
        what = f"row {list(at)} sums" if at else "sums"
        raise DataError(f"{what} to {total[at]:.9g}, not to 1; divide it by its sum", field=name)


def _policy(mdp: FiniteMDP, policy: Any) -> np.ndarray:
    policy = _real("policy", policy)
    if policy.shape != (mdp.states, mdp.actions):
        raise DataError(f"has shape {policy.shape}, not {(mdp.states, mdp.actions)}", field="policy")
    _distribution("policy", policy)
    return policy
