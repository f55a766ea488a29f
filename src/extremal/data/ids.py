"""Dataset ids: what to write where a dataset is asked for, and what each form reads."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from extremal.core.errors import ConfigError, nearest
from extremal.data import builds, cache, pointmaze
from extremal.data.dataset import Dataset
from extremal.data.foreign import foreign
from extremal.data.kinds import Actions, agree
from extremal.data.loaders.d3rlpy import load_d3rlpy
from extremal.data.loaders.d4rl import load_d4rl
from extremal.data.loaders.minari import load_minari
from extremal.data.loaders.neorl2 import load_neorl2
from extremal.data.loaders.npz import load_npz, save_npz
from extremal.data.loaders.parquet import load_parquet, save_parquet


class Kind(NamedTuple):
    """One form of id."""

    form: str  # what to write
    reads: str  # what it reads
    extra: str | None  # the optional extra of the installation that it needs
    load: Callable[[str, Actions | None], Dataset]


KINDS: dict[str, Kind] = {
    "npz": Kind("npz:PATH", "Extremal's own archive, or a NumPy archive with one row a step", None, load_npz),
    "parquet": Kind("parquet:PATH", "a Parquet table with one row a step", "formats", load_parquet),
    "d4rl": Kind("d4rl:PATH", "a D4RL HDF5 file, versions 0 to 2", "formats", load_d4rl),
    "d3rlpy": Kind("d3rlpy:PATH", "a file that d3rlpy dumped, of version 1 or 2", "formats", load_d3rlpy),
    "minari": Kind("minari:NAME", "a dataset of the local Minari root", "formats", load_minari),
    "neorl2": Kind("neorl2:PATH", "a NeoRL-2 archive", None, load_neorl2),
}
"""The prefixed forms; every other id is one of `names()`."""

_SAVERS = {"npz": save_npz, "parquet": save_parquet}
_SUFFIXES = {
    ".npz": ("npz", "neorl2"),
    ".parquet": ("parquet",),
    ".pq": ("parquet",),
    ".hdf5": ("d4rl", "d3rlpy"),
    ".h5": ("d4rl", "d3rlpy"),
}


def load_dataset(id: str, *, actions: Actions | None = None) -> Dataset:
    """The dataset that `id` names: 'pointmaze-medium-goal', 'npz:runs.npz', 'minari:D4RL/door/human-v2', ...

    Args:
        actions: "discrete", "continuous" or the number of choices, where the data do not declare it (`data.kinds`).

    Raises:
        ConfigError: an unknown name or prefix; says the nearest ones. `actions` that contradict what the data declare.
        DataError: the file is missing or would make training wrong; says file, field and row.
        MissingExtraError: the format needs a package that is not installed.
    """
    scheme, colon, rest = id.partition(":")
    if colon:
        if scheme not in KINDS:
            raise _unknown_kind(scheme, rest)
        return KINDS[scheme].load(rest, actions)
    if id not in pointmaze.NAMES and not builds.is_id(id):
        raise _unknown(id)
    data = pointmaze.load(id) if id in pointmaze.NAMES else builds.load(id)
    agree(data.card, actions)
    return data


def save_dataset(dataset: Dataset, id: str, *, overwrite: bool = False) -> Path:
    """Write `dataset` where `id` says, 'npz:PATH' or 'parquet:PATH', all or nothing.

    Raises:
        ConfigError: another form of id, or a file that exists where `overwrite` is false.
        RunError: there is no such place, no right to write there, or no room left; what stood there still does.
    """
    scheme, _, rest = id.partition(":")
    if scheme not in _SAVERS or not rest:
        forms = " or ".join(KINDS[name].form for name in _SAVERS)
        raise ConfigError(f"cannot write a dataset to {id!r}; expected {forms}")
    return _SAVERS[scheme](dataset, rest, overwrite=overwrite)


def names() -> dict[str, str]:
    """The datasets that have a name of their own, and how each comes about; with what was built in other sizes and seeds."""
    generated = dict.fromkeys(pointmaze.NAMES, "simulated on this machine when first asked for")
    here = {id: "stands on this machine, built by `extremal data build`" for id in cache.built() if builds.is_id(id)}
    return generated | builds.NAMES | here


def _unknown(id: str) -> ConfigError:
    """The error for an id without a prefix that is no name: a path that lacks one, a file that is not read, or a slip."""
    path = Path(id).expanduser()
    ending = path.suffix.lower()
    if not id:
        return ConfigError("the id of the dataset is empty; `extremal data list` shows what to write")
    if path.is_dir():
        if (path / "config.json").exists():
            return ConfigError(
                f"{id!r} is the folder of a run, not data; its config.json names the data that it learned from"
            )
        return ConfigError(f"{id!r} is a folder; name a file in it, or give parquet:{id} for a folder of Parquet files")
    here = f"{id!r} is a file" if path.exists() else f"there is no file {id!r} here"
    if how := foreign(Path(id)):
        return ConfigError(f"{here}; {how}")
    if path.exists() or ending in _SUFFIXES:
        kinds = _SUFFIXES.get(ending, [kind for kind in KINDS if KINDS[kind].form.endswith(":PATH")])
        return ConfigError(
            f"{here}; a path is given with what it holds: {' or '.join(f'{kind}:{id}' for kind in kinds)}"
        )
    if os.sep in id:
        return ConfigError(f"{here}, and no dataset of this name; `extremal data list` shows what to write")
    known = [*names(), *(kind.form for kind in KINDS.values())]
    return nearest(id, known, kind="dataset", listing="extremal data list")


def _unknown_kind(scheme: str, rest: str) -> ConfigError:
    """The error for an unknown prefix, or for the ending of a file that is not read as one."""
    if how := foreign(Path(f"{rest}.{scheme}" if not rest.endswith(f".{scheme}") else rest)):
        return ConfigError(f"there is no kind of dataset {scheme!r}: {how}")
    return nearest(scheme, KINDS, kind="kind of dataset")
