"""What a run is made of, fixed before it starts and written to config.json: nothing else decides its numbers."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import itertools
import json
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import jax
import numpy as np

from extremal.algorithms.registry import method
from extremal.core.algorithm import Algorithm
from extremal.core.checked import admitted
from extremal.core.errors import ConfigError, RunError, nearest
from extremal.core.files import read_json, write_json
from extremal.core.ranges import Count, Part, Range, Seed
from extremal.core.types import Spec, Transform
from extremal.data import transforms
from extremal.data.dataset import Dataset
from extremal.data.kinds import Actions
from extremal.engine.products import LIBRARIES, Library
from extremal.evaluation.rollout import MAX_STEPS
from extremal.io import config

FORMAT = 1
# What `train` is told besides settings, and the numbers that each may be; updates are counted in 32 bits.
OPTIONS: dict[str, Any] = {
    "updates": Annotated[int, Range(at_least=1, at_most=2**31 - 2)],
    "evaluate_every": Count,
    "episodes": Count,
    "max_steps": Count,
    "log_every": Count,
    "holdout": Part,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """One run: a method with its settings, on a dataset, for some replicas."""

    method: str
    settings: Any
    replicas: tuple[tuple[int, Mapping[str, Any]], ...]  # (seed, swept settings) of each
    dataset: Mapping[str, Any]  # name, hash, environment, reference, recipe, statistics
    spec: Spec
    prepare: tuple[Transform, ...]  # fitted
    updates: int
    evaluate_every: int
    log_every: int
    episodes: int
    holdout: float
    held_out: Mapping[str, Any] = dataclasses.field(
        default_factory=dict
    )  # how many episodes and rows, and why (`holdout`)
    max_steps: int = MAX_STEPS  # of an evaluation episode
    fits: Mapping[str, str] = dataclasses.field(
        default_factory=dict
    )  # networks fitted before: what they come from, as a hash
    source: Mapping[str, Any] = dataclasses.field(
        default_factory=dict
    )  # where the data came from: id or not, and its folder
    check: Mapping[str, Any] = dataclasses.field(
        default_factory=dict
    )  # what the check of the data found that is no note
    initial: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # the run whose weights it starts from
    library: Library = "ynnpack"  # that takes the matrix products on a CPU: it shows in the last bits
    extensions: tuple[
        Mapping[str, Any], ...
    ] = ()  # from, to and at so many updates, and which schedules were laid anew

    @property
    def seeds(self) -> list[int]:
        return [seed for seed, _ in self.replicas]

    @property
    def environment(self) -> str | None:
        return self.dataset["environment"]

    def algorithm(self, replica: int, **changes: Any) -> Algorithm:
        """The algorithm of one replica, ready to act; with other settings, where `changes` are given.

        Raises:
            ConfigError: the method has no such setting.
        """
        settings = config.from_json(self.settings, {**self.replicas[replica][1], **changes})
        return dataclasses.replace(settings.algorithm(self.spec, updates=self.updates), prepare=self.prepare)

    def to_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "method": self.method,
            "settings": config.to_json(self.settings),
            "replicas": [{"seed": seed, "overrides": dict(overrides)} for seed, overrides in self.replicas],
            "dataset": dict(self.dataset),
            "spec": {"observation": self.spec.observation, "action": self.spec.action, "actions": self.spec.actions},
            "prepare": [transforms.to_json(t) for t in self.prepare],
            "updates": self.updates,
            "evaluate_every": self.evaluate_every,
            "log_every": self.log_every,
            "episodes": self.episodes,
            "max_steps": self.max_steps,
            "holdout": self.holdout,
            "held_out": dict(self.held_out),
            "fits": dict(self.fits),
            "source": dict(self.source),
            "check": dict(self.check),
            "initial": dict(self.initial),
            "library": self.library,
            "extensions": [dict(extension) for extension in self.extensions],
            "versions": versions(),
        }

    def save(self, path: Path) -> None:
        write_json(path / "config.json", self.to_json())


_OF_DATASET = {"id": str, "name": str, "environment": str | None, "reference": str | None, "recipe": dict}


def read_plan(path: Path) -> Plan:
    """The plan of the run in `path`.

    Raises:
        RunError: there is no run, its settings are damaged, or it was written by a version with another format.
    """
    try:
        value = read_json(path / "config.json")
    except RunError as error:
        raise RunError(f"{path} holds no run that can be read: {error}") from error
    if value is None:
        raise RunError(f"{path} holds no run: it has no config.json")
    if value.get("format") != FORMAT:
        raise RunError(f"{path}: run format {value.get('format')!r}; this version reads format {FORMAT}")
    try:
        return _plan(value)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = error if isinstance(error, ValueError) else f"{type(error).__name__} {error}"
        raise RunError(f"{path}: config.json is damaged: {reason}") from error


def _plan(value: Mapping[str, Any]) -> Plan:
    spec, returns = value["spec"], value["dataset"]["statistics"]["return"]
    settings = config.from_json(method(value["method"]).default, value["settings"])
    for name, kind in _OF_DATASET.items():
        if not isinstance(value["dataset"][name], kind):
            raise ValueError(f"{name} of the dataset is {value['dataset'][name]!r}")
    if value.get("library", LIBRARIES[0]) not in LIBRARIES:
        raise ValueError(f"library is {value['library']!r}; it is one of {', '.join(LIBRARIES)}")
    if not isinstance(value["replicas"], list) or not value["replicas"]:
        raise ValueError("replicas holds none")
    return Plan(
        method=value["method"],
        settings=settings,
        replicas=tuple(_replica(settings, **replica) for replica in value["replicas"]),
        dataset={**value["dataset"], "hash": str(value["dataset"]["hash"])},
        spec=Spec(
            observation=tuple(spec["observation"]),
            action=tuple(spec["action"]),
            actions=spec["actions"],
            best_return=returns["max"],
            worst_return=returns["min"],
        ),
        prepare=tuple(transforms.from_json(t) for t in value["prepare"]),
        held_out=dict(value.get("held_out", {})),
        fits=dict(value.get("fits", {})),
        source=dict(value.get("source", {})),
        check=dict(value.get("check", {})),
        initial=dict(value.get("initial", {})),
        library=value.get("library", LIBRARIES[0]),
        extensions=tuple(dict(extension) for extension in value.get("extensions", ())),
        **{name: admitted(name, value.get(name, MAX_STEPS), OPTIONS[name]) for name in OPTIONS},
    )


def _replica(settings: Any, seed: Any, overrides: Any) -> tuple[int, dict[str, Any]]:
    dataclasses.replace(settings, **overrides)  # refuses what no setting can be
    return admitted("seed", seed, Seed), dict(overrides)


def replicas_of(
    settings: Any, seeds: int | Sequence[int], sweep: Mapping[str, Sequence[Any]]
) -> tuple[tuple[int, dict[str, Any]], ...]:
    """Every combination of the swept values, each with every seed.

    Raises:
        ConfigError: an unknown field, or one that shapes the program and cannot be a batch; a value out of range, or twice.
    """
    chosen = _seeds(seeds)
    known, allowed = config.field_types(type(settings)), config.sweepable(type(settings))
    for name, values in sweep.items():
        if name not in known:
            raise nearest(name, known, kind=f"{type(settings).__name__} setting")
        if name not in allowed:
            raise ConfigError(
                f"{name!r} shapes the compiled program or the data and cannot take several values in one run; "
                f"train once per value. Settings that can: {', '.join(allowed)}"
            )
        if isinstance(values, str) or not isinstance(values, Sequence | np.ndarray) or not len(values):
            raise ConfigError(f"sweep over {name!r} is {values!r}; give a list of at least one value")
        if any(value in list(values[:place]) for place, value in enumerate(values)):
            raise ConfigError(f"sweep over {name!r} is {list(values)}; give each value once")
        for value in values:
            if value is None or getattr(settings, name) is None:
                raise ConfigError(f"{name!r}: 'none' and a number are different programs; sweep over numbers only")
            config.from_json(settings, {name: value})
    grid = itertools.product(*([(name, float(value)) for value in values] for name, values in sweep.items()))
    return tuple((seed, dict(point)) for point in grid for seed in chosen)


def _seeds(seeds: int | Sequence[int]) -> list[int]:
    """So many, or these."""
    if isinstance(seeds, str) or not isinstance(seeds, Sequence | np.ndarray) or np.ndim(seeds) == 0:
        return list(range(admitted("seeds", seeds, Count)))
    chosen = [admitted("seeds", seed, Seed) for seed in seeds]
    if not chosen or len(set(chosen)) != len(chosen):
        raise ConfigError(f"seeds {chosen}: at least one, each once")
    return chosen


def describe_dataset(dataset: Dataset, *, id: str, environment: str | None) -> dict[str, Any]:
    """What config.json keeps of a dataset."""
    card = dataset.card
    return {
        "id": id,
        "name": card.name,
        "hash": dataset.hash(),
        "environment": environment if environment is not None else card.environment,
        "reference": card.reference,
        "recipe": json.loads(card.recipe) if card.recipe else {},
        "statistics": dataset.statistics(),
    }


def source_of(dataset: Dataset | str, actions: Actions | None) -> dict[str, Any]:
    """Where the data of a run came from: an object of a Python program, or an id, read in a folder, with what was said of actions."""
    if not isinstance(dataset, str):
        return {"dataset": "object"}
    return {"dataset": "id", "folder": os.getcwd()} | ({} if actions is None else {"actions": actions})


def versions() -> dict[str, str]:
    """What the numbers were made with."""
    found = {"python": platform.python_version(), "device": jax.devices()[0].device_kind}
    for package in ("extremal", "jax", "jaxlib", "optax", "numpy", "gymnasium", "gymnasium-robotics", "mujoco"):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def options(**given: Any) -> tuple[Any, ...]:
    """Options of `train` as Python's own numbers, in the order given; none stays none where the run has a default.

    Raises:
        ConfigError: one is out of its range.
    """
    own = lambda name, value: value is None and name in ("evaluate_every", "holdout")  # noqa: E731
    return tuple(None if own(name, value) else admitted(name, value, OPTIONS[name]) for name, value in given.items())
