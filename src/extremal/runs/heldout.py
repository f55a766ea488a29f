"""What a run's networks make of episodes that training never saw, beside what they make of those that it did."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from extremal.core.algorithm import Algorithm
from extremal.core.types import Sampler
from extremal.data.dataset import Dataset
from extremal.evaluation.statistics import grouped_error

STEPS = 4096  # at most, in the batch on which losses are measured


def unseen(algorithm: Algorithm, state: Any, held_out: Dataset, data: Dataset) -> dict[str, float]:
    """Columns of metrics.csv: every loss and metric on held-out steps.

    Of a V with density ratios also `calibration/error`, the standard error of their held-out mean over episodes, if there are two; and
    their mean and KL on rows of training. V is never still, so that held out is judged beside seen, by the same networks.
    """
    rows = spread(algorithm.sampler, held_out)
    batch = at(algorithm.sampler, held_out, rows)
    found = _measure(algorithm, state, batch)
    row = {f"heldout/{name}": float(value) for name, value in sorted(found.items())}
    if "v/kl" not in found:
        return row
    error = grouped_error(_ratios(algorithm, state, batch), np.searchsorted(held_out.starts, rows, side="right"))
    seen = _measure(algorithm, state, at(algorithm.sampler, data, spread(algorithm.sampler, data)))
    row |= {f"seen/{name}": float(seen[name]) for name in ("v/kl", "v/weight")}
    return row if error is None else row | {"calibration/error": error}


def spread(sampler: Sampler, dataset: Dataset, *, steps: int = STEPS) -> np.ndarray:
    """[B] rows where the entries of a batch of so many steps begin, spread evenly over a dataset: the same at every call."""
    count = max(min(dataset.rows, steps // sampler.length), 1)
    return np.linspace(0, dataset.rows - 1, count).astype(np.int32)


def at(sampler: Sampler, dataset: Dataset, rows: np.ndarray) -> Any:
    """The batch whose entries begin at `rows`, on the device."""
    return jax.tree.map(jax.numpy.asarray, sampler.at(dataset, rows))


@jax.jit
def _measure(algorithm: Algorithm, state: Any, batch: Any) -> dict[str, jax.Array]:
    return algorithm.measure(state, batch)


@jax.jit
def _ratios(algorithm: Algorithm, state: Any, batch: Any) -> jax.Array:
    """[B] V's weight of each row."""
    objective: Any = next(step.objective for step in algorithm.steps if step.trains == "v")
    return objective.weight(state.online._replace(**state.target), batch)
