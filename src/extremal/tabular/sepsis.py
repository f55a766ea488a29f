"""A sepsis-treatment MDP of real size, from the matrices of its simulator: 720 states, 8 actions, with and without diabetes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from extremal.core.errors import DataError
from extremal.tabular.mdp import FiniteMDP

FIELDS = ("tx_mat", "r_mat", "p_initial_state", "p_mixture")


def load_sepsis(path: str | Path, *, discount: float = 0.99) -> FiniteMDP:
    """The MDP of an .npz with tx_mat and r_mat [D, A, S, S], p_initial_state [D, S] and p_mixture [D].

    A hidden state d (diabetes) never changes: state d S + s stands for (d, s). States that pay on being entered (-1:
    death, 1: discharge) are terminal. The behaviour is uniform; `replace(behaviour=...)` puts in another. Files hold
    float32: rows are divided by their sums. Raises DataError with the file and the field.
    """
    with np.load(path, allow_pickle=False) as file:
        missing = [name for name in FIELDS if name not in file]
        if missing:
            raise DataError(f"lacks {', '.join(missing)}; a sepsis file has {', '.join(FIELDS)}", file=path)
        chance, reward, initial, mixture = (np.asarray(file[name], np.float64) for name in FIELDS)
    if chance.ndim != 4 or chance.shape[2] != chance.shape[3]:
        raise DataError(f"has shape {chance.shape}, not [D, A, S, S]", file=path, field="tx_mat")
    hidden, actions, states, _ = chance.shape
    for name, value, shape in (
        ("r_mat", reward, chance.shape),
        ("p_initial_state", initial, (hidden, states)),
        ("p_mixture", mixture, (hidden,)),
    ):
        if value.shape != shape:
            raise DataError(f"has shape {value.shape}, not {shape}", file=path, field=name)
    if not np.allclose(chance.sum(-1), 1.0, atol=1e-5):
        raise DataError("has rows that do not sum to 1", file=path, field="tx_mat")
    if (reward != reward[:, :1, :1]).any():
        raise DataError("depends on more than the state that is entered", file=path, field="r_mat")
    entered = reward[:, 0, 0]  # [D, S]
    transition = np.zeros((hidden, states, actions, hidden, states))
    for d in range(hidden):
        transition[d, :, :, d] = np.moveaxis(chance[d], 0, 1)
    transition = transition.reshape(hidden * states, actions, hidden * states)
    transition /= transition.sum(-1, keepdims=True)
    start = (mixture[:, None] * initial).ravel()
    return FiniteMDP(
        transition=transition,
        reward=np.einsum("ijk,k->ij", transition, entered.ravel()),
        discount=discount,
        terminal=entered.ravel() != 0,
        start=start / start.sum(),
    )
