"""Logged steps of a finite MDP as a dataset of one-hot vectors, and back: what a network learns from, and what is solved."""

from __future__ import annotations

import numpy as np

from extremal.core.errors import DataError
from extremal.data.dataset import Card, Dataset
from extremal.tabular.sampling import Logged, counts


def to_dataset(logged: Logged, *, states: int, actions: int, name: str = "tabular") -> Dataset:
    """Observations [states] and actions [actions] as one-hot vectors; an episode that did not terminate was truncated.

    Raises:
        DataError: a state or an action out of range, with its row.
    """
    counts(logged, states, actions)  # for its check of the range: a negative index would count from the end
    lengths = np.diff(logged.offsets)
    last = np.zeros(logged.rows, bool)
    last[logged.offsets[1:] - 1] = True
    one_hot = lambda index, size: np.eye(size, dtype=np.float32)[index]  # noqa: E731
    return Dataset.from_rows(
        observation=one_hot(logged.state, states),
        action=one_hot(logged.action, actions),
        reward=logged.reward,
        terminated=logged.terminated,
        truncated=last & ~logged.terminated,
        next_observation=one_hot(logged.next_state, states),
        episode=np.repeat(np.arange(lengths.size), lengths),
        card=Card(name=name, action_low=(0.0,) * actions, action_high=(1.0,) * actions),
    )


def from_dataset(dataset: Dataset) -> Logged:
    """The steps of a dataset whose observations are one-hot; actions are one-hot, or numbers where they are discrete.

    Raises:
        DataError: the first row that is not one-hot.
    """
    slot, action = np.asarray(dataset.slot), np.asarray(dataset.action)
    observation = np.asarray(dataset.observation)
    return Logged(
        state=_index("observation", observation[slot]),
        action=_index("action", action) if dataset.card.actions is None else action.astype(np.int64),
        reward=np.asarray(dataset.reward, np.float64),
        next_state=_index("next_observation", observation[slot + 1]),
        terminated=np.asarray(dataset.terminated),
        offsets=np.asarray(dataset.starts, np.int64),
    )


def _index(field: str, value: np.ndarray) -> np.ndarray:
    """[N] position of the single 1 in each row of [N, K]."""
    if value.ndim != 2:
        raise DataError(f"has shape {value.shape}, expected one one-hot vector a row", field=field)
    fits = np.isin(value, (0.0, 1.0)).all(axis=1) & (value.sum(axis=1) == 1.0)
    if not fits.all():
        row = int(np.argmin(fits))
        raise DataError(f"is {value[row].tolist()}, not one-hot: a single 1 and otherwise 0", field=field, row=row)
    return value.argmax(axis=1)
