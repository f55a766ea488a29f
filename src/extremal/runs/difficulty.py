"""How hard a data set is: Delta(s, N) of a run that has a critic and a model of the behaviour, in states of the data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from extremal.core.algorithm import Algorithm
from extremal.core.checked import admitted
from extremal.core.errors import ConfigError
from extremal.core.ranges import Count, Seed
from extremal.data.dataset import Dataset
from extremal.evaluation.difficulty import SAMPLES, Difficulty, difficulty
from extremal.runs.run import Run


def difficulty_of(
    run: Run,
    data: Dataset,
    *,
    behaviour: Run | None = None,
    samples: Sequence[int] = SAMPLES,
    states: int = 256,
    draws: int = 2000,
    first: bool = False,
    replica: int = 0,
    seed: int = 0,
) -> Difficulty:
    """Delta(s, N) of one replica, at its last checkpoint, in some states of the data that it learned from.

    Args:
        behaviour: a run whose model of the behaviour is taken (of its first replica) instead of the run's own.
        states: drawn from the data's steps; `first`: from the episodes' first states alone. draws: of each state.

    Raises:
        ConfigError: something does not fit: other data, no critic, no model, too few draws.
        RunError: the run has no checkpoint.
    """
    samples, states, draws, seed = asked(samples, states, draws, seed)
    critic = _networks(run, data, replica)
    if not hasattr(critic[1], "q"):
        raise ConfigError(
            f"{run.path}: {run.plan.method} learns no critic; give a run of a method that does, such as emaq"
        )
    model = critic if behaviour is None else _networks(behaviour, data, 0)
    named = run if behaviour is None else behaviour
    if getattr(model[1], "behaviour", None) is None:
        raise ConfigError(
            f"{named.path}: {named.plan.method} has no model of the behaviour; train one, `extremal train behaviour "
            f"--dataset {run.plan.dataset['id']} --out runs/behaviour`, and give it by --behaviour runs/behaviour"
        )
    rows = _rows(data, states, first, seed)
    episode = np.searchsorted(np.asarray(data.starts), rows, side="right")
    weight = getattr(run.plan.settings, "ensemble_weight", 1.0)
    chosen = {"samples": samples, "draws": draws, "weight": weight, "seed": seed}
    return difficulty(critic, model, np.asarray(data.row(rows).observation), episode, **chosen)


def asked(samples: Sequence[int], states: int, draws: int, seed: int) -> tuple[tuple[int, ...], int, int, int]:
    """These as Python's own numbers, before anything is read.

    Raises:
        ConfigError: one is out of its range, or there is no N in `samples`.
    """
    if not len(samples):
        raise ConfigError("samples is empty; give at least one N")
    counts = tuple(admitted("samples", count, Count) for count in samples)
    return counts, admitted("states", states, Count), admitted("draws", draws, Count), admitted("seed", seed, Seed)


def _networks(run: Run, data: Dataset, replica: int) -> tuple[Algorithm, Any]:
    plan = run.plan
    if plan.dataset["hash"] != data.hash():
        raise ConfigError(
            f"{run.path} was trained on {plan.dataset['id']!r} (hash {plan.dataset['hash'][:16]}), and not on this data "
            f"(hash {data.hash()[:16]}); give a run on this data"
        )
    policy = run.policy(replica)
    return policy.algorithm, policy.online


def _rows(data: Dataset, states: int, first: bool, seed: int) -> np.ndarray:
    """Different rows of the data, in order; all there are, where more are asked for."""
    among = np.asarray(data.starts)[:-1] if first else np.arange(data.rows)
    return np.sort(np.random.default_rng(seed).choice(among, min(states, len(among)), replace=False))
