"""Datasets that are built once, from files that the user has, and are then known on this machine by their name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from extremal.core.checked import admitted
from extremal.core.errors import ConfigError, DataError, nearest
from extremal.core.ranges import Count, Seed
from extremal.data import adroit, cache, mujoco
from extremal.data.dataset import Dataset

Progress = Callable[[int, int], None]

NAMES: dict[str, str] = dict.fromkeys(adroit.BUILDS, "built from recordings by `extremal data build`") | dict.fromkeys(
    mujoco.NAMES, "built from trained policies by `extremal data build`"
)
"""What `build` takes, and how it comes about."""


def is_id(id: str) -> bool:
    """Whether this is what a built dataset is called: a name, or a name with a size or seed of its own."""
    return id in adroit.BUILDS or mujoco.parse(id) is not None


def load(id: str) -> Dataset:
    """The dataset that was built under `id`.

    Raises:
        DataError: it was not built on this machine, or its file is damaged; says which command builds it.
    """
    return cache.load_built(id, _command(id))


def build(
    name: str,
    source: Path,
    *,
    rows: int | None = None,
    seed: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Dataset:
    """The dataset `name`, made from `source` and kept under its card's name, which says size and seed where they are special.

    Raises:
        ConfigError: an unknown name; one that stands already, where `overwrite` is false; a size or seed for recordings.
        DataError: what `source` holds cannot be used.
        MissingExtraError: a package is not installed.
    """
    rows, seed = admitted("rows", rows, Count | None), admitted("seed", seed, Seed | None)
    if name not in NAMES:
        raise nearest(name, NAMES, kind="dataset to build")
    if name in adroit.BUILDS:
        if rows is not None or seed is not None:
            raise ConfigError(f"'{name}' is what was recorded; it has no size or seed to choose")
        id, make = name, lambda: adroit.BUILDS[name](source)
    else:
        size, number = mujoco.ROWS if rows is None else rows, seed or 0
        id = mujoco.dataset_id(name, size, number)
        make = lambda: mujoco.build(name, source, rows=size, seed=number, progress=progress)  # noqa: E731
    if not overwrite:
        _refuse_another(id)
    dataset = make()
    cache.save_built(id, dataset)
    return dataset


def _refuse_another(id: str) -> None:
    """A build takes time, and runs may stand on its numbers: only damage is replaced unasked."""
    try:
        there = load(id)
    except DataError:
        return
    choice = "" if id in adroit.BUILDS else "; another size or seed has a name of its own"
    raise ConfigError(
        f"'{id}' is built already: {there.rows} rows, hash {there.hash()[:16]}; build it again with --overwrite{choice}"
    )


def _command(id: str) -> str:
    if (parts := mujoco.parse(id)) is None:
        return f"extremal data build {id} --source DEMOS.npz"
    name, rows, seed = parts
    options = (f" --rows {rows}" if rows != mujoco.ROWS else "") + (f" --seed {seed}" if seed else "")
    return f"extremal data build {name} --source POLICIES{options}"
