"""Checkpoints: a pytree as a safetensors file, each array under its path in the tree. Nothing is unpickled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from extremal.core.errors import RunError
from extremal.core.files import atomic

FORMAT = 1


def path_name(path: tuple[Any, ...]) -> str:
    """`online/q/members/0/layers/1/weight` for a path of `jax.tree_util`."""
    return "/".join(str(getattr(key, "name", getattr(key, "key", getattr(key, "idx", key)))) for key in path)


def save(path: Path, tree: Any, *, update: int) -> None:
    """Write the arrays of `tree` and the number of updates behind them, atomically."""
    arrays = {path_name(p): np.asarray(x) for p, x in jax.tree_util.tree_leaves_with_path(tree)}
    with atomic(path) as temporary:
        try:
            save_file(arrays, temporary, metadata={"format": str(FORMAT), "update": str(update)})
        except SafetensorError as error:  # a full disk, say
            raise OSError(str(error)) from error


def load(path: Path, like: Any) -> tuple[Any, int]:
    """The tree and its update number.

    Args:
        like: a tree of the same structure whose leaves have `shape` and `dtype` (`jax.eval_shape` gives one).

    Raises:
        RunError: the file is damaged, of another format version, or its arrays are not those of `like`.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            about = file.metadata() or {}
            if about.get("format") != str(FORMAT):
                raise RunError(f"{path}: checkpoint format {about.get('format')!r}; this version reads format {FORMAT}")
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            update = int(about["update"])
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise RunError(
            f"{path}: not a readable checkpoint ({error}); delete it to fall back on the one before"
        ) from error
    leaves, structure = jax.tree_util.tree_flatten_with_path(like)
    expected = {path_name(p): x for p, x in leaves}
    if expected.keys() != arrays.keys():
        odd = sorted(expected.keys() ^ arrays.keys())
        raise RunError(f"{path}: holds other networks than the settings describe, e.g. {odd[0]!r} is on one side only")
    for name, x in expected.items():
        if arrays[name].shape != x.shape or arrays[name].dtype != x.dtype:
            raise RunError(f"{path}: {name} is {arrays[name].dtype}{arrays[name].shape}, expected {x.dtype}{x.shape}")
    return jax.tree.unflatten(structure, [jnp.asarray(arrays[name]) for name in expected]), update
