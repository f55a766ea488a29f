"""Trained stochastic policies from files of numbers, as functions of arrays. Nothing is ever unpickled.

    snapshots of TRPO    HDF5: snapshots/iter0000040/GaussianPolicy/...    one file holds a whole training, every 20 iterations
    actors of SAC, TQC   npz: actor.latent_pi.0.weight, ..., actor.log_std.bias

An actor is given the noise that it acts with, so that an action depends on its arguments alone.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from extremal.core.errors import DataError, require
from extremal.data.loaders.files import check_size, existing, reading
from extremal.data.loaders.npz import read_member

_GROUP = "snapshots/iter{:07d}/GaussianPolicy"
_LAYERS = ("hidden/FeedforwardNet/layer_0", "hidden/FeedforwardNet/layer_2", "out")  # layer_1 is the tanh between
_ACTOR = ("latent_pi.0", "latent_pi.2", "mu", "log_std")
_LOG_STD = (-20.0, 2.0)  # where SAC and TQC clip the logarithm of the deviation

Layer = tuple[np.ndarray, np.ndarray]  # weight [inputs, outputs], bias [outputs]


class Actor(Protocol):
    """Actions [B, A] at observations [B, O], with independent standard normal `noise` [B, A]; some may leave [-1, 1]."""

    def __call__(self, observation: np.ndarray, noise: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True)
class Uniform:
    """Uniform on [-1, 1], whatever the observation: a normal variable in its own distribution function is uniform."""

    def __call__(self, observation: np.ndarray, noise: np.ndarray) -> np.ndarray:
        from scipy.special import ndtr  # a tenth of a second of import that hardly anybody needs

        return 2.0 * ndtr(noise) - 1.0


@dataclass(frozen=True)
class Gaussian:
    """A network of tanh layers gives the mean; one deviation for all observations. Its actions have no bounds."""

    mean: np.ndarray  # [O] of the observations in training
    deviation: np.ndarray  # [O]
    layers: tuple[Layer, ...]
    spread: np.ndarray  # [A] deviation of each action

    def __call__(self, observation: np.ndarray, noise: np.ndarray) -> np.ndarray:
        value = (observation - self.mean) / (self.deviation + 1e-6)
        for weight, bias in self.layers[:-1]:
            value = np.tanh(value @ weight + bias)
        weight, bias = self.layers[-1]
        return value @ weight + bias + self.spread * noise


@dataclass(frozen=True)
class Squashed:
    """tanh of a Gaussian whose mean and deviation a network of rectified layers gives. Its actions lie within [-1, 1]."""

    layers: tuple[Layer, ...]
    mean: Layer
    log_deviation: Layer

    def __call__(self, observation: np.ndarray, noise: np.ndarray) -> np.ndarray:
        value = observation.astype(np.float32)
        for weight, bias in self.layers:
            value = np.maximum(value @ weight + bias, 0.0)
        mean = value @ self.mean[0] + self.mean[1]
        deviation = np.exp(np.clip(value @ self.log_deviation[0] + self.log_deviation[1], *_LOG_STD))
        return np.tanh(mean + deviation * noise)


def read_snapshot(path: Path, iteration: int) -> Gaussian:
    """The policy after `iteration` iterations of TRPO, from a training's file of snapshots.

    Raises:
        DataError: the file is missing or damaged, holds no such snapshot, or its arrays do not fit together.
        MissingExtraError: h5py is not installed.
    """
    h5py = require("h5py", extra="formats", purpose="reading snapshots of policies")
    file, group = existing(path, ".h5", ".hdf5"), _GROUP.format(iteration)
    norm, names = f"{group}/obsnorm/Standardizer", [f"{group}/{layer}/AffineLayer" for layer in _LAYERS]
    with reading(path, kind="HDF5"), h5py.File(file, "r") as archive:
        if archive.get(group) is None:
            has = ", ".join(str(int(name[4:])) for name in sorted(archive.get("snapshots", ())))
            raise DataError(f"is missing; the file has the iterations {has or 'none'}", field=group)
        entries = [f"{n}/{part}" for n in names for part in ("W", "b")]
        entries += [f"{norm}/mean_1_D", f"{norm}/meansq_1_D", f"{group}/logstdevs_1_Da"]
        held = {name: _numbers(archive, name) for name in entries}
        layers = _chain(held, [(f"{n}/W", f"{n}/b") for n in names])
        inputs, outputs = len(layers[0][0]), len(layers[-1][1])
        mean, square = (_vector(held, f"{norm}/{name}", inputs) for name in ("mean_1_D", "meansq_1_D"))
        spread = np.exp(_vector(held, f"{group}/logstdevs_1_Da", outputs))
    return Gaussian(mean, np.sqrt(np.maximum(square - mean**2, 0.0)), layers, spread)


def read_actor(path: Path) -> Squashed:
    """The actor of a SAC or TQC agent from its weights; weights [outputs, inputs], as PyTorch keeps them.

    Raises:
        DataError: the file is missing or damaged, or its arrays do not fit together.
    """
    file = existing(path, ".npz")
    with reading(path, kind="NumPy .npz"), zipfile.ZipFile(file) as archive:
        held: dict[str, np.ndarray] = {}
        for name in (f"actor.{layer}.{part}" for layer in _ACTOR for part in ("weight", "bias")):
            held[name] = _finite(read_member(archive, name), name)
            held[name] = np.ascontiguousarray(held[name].T)
        layers, deviation = (
            _chain(held, [(f"actor.{n}.weight", f"actor.{n}.bias") for n in (*_ACTOR[:2], head)])
            for head in ("mu", "log_std")
        )
        _vector(held, "actor.log_std.bias", len(layers[-1][1]))
    return Squashed(layers[:-1], layers[-1], deviation[-1])


def sizes(actor: Actor) -> tuple[int, int] | None:
    """How many observation entries an actor takes and how many action entries it gives; None: any number of both."""
    if isinstance(actor, Gaussian):
        return len(actor.mean), len(actor.spread)
    if isinstance(actor, Squashed):
        return len(actor.layers[0][0]), len(actor.mean[1])
    return None


def _numbers(archive: Any, name: str) -> np.ndarray:
    """An array inside the file itself, with the leading axis of length one that the file gives to vectors."""
    h5py = require("h5py", extra="formats", purpose="reading snapshots of policies")
    value = archive.get(name)
    if not isinstance(value, h5py.Dataset):
        raise DataError("is missing" if value is None else "is a group, expected an array", field=name)
    if value.file.filename != archive.filename or value.external or value.is_virtual:
        raise DataError("keeps its numbers in another file, which is not followed", field=name)
    if value.shape is None:
        raise DataError("holds nothing, expected an array of real numbers", field=name)
    check_size(value.shape, value.dtype, name)
    return _finite(np.asarray(value[()]), name)


def _finite(value: np.ndarray, name: str) -> np.ndarray:
    if value.dtype.kind != "f":
        raise DataError(f"holds {value.dtype}, expected floating-point numbers", field=name)
    if not np.isfinite(value).all():
        raise DataError("is NaN or infinite", field=name)
    return value


def _vector(held: Mapping[str, np.ndarray], name: str, length: int) -> np.ndarray:
    if (value := held[name]).size != length:
        raise DataError(f"has shape {value.shape}, expected {length} numbers", field=name)
    return value.reshape(length)


def _chain(held: Mapping[str, np.ndarray], names: list[tuple[str, str]]) -> tuple[Layer, ...]:
    """The layers, each taking what the one before gives."""
    layers: list[Layer] = []
    for weight, bias in names:
        shape, outputs = held[weight].shape, held[bias].size
        inputs = len(layers[-1][1]) if layers else shape[0] if shape else "inputs"
        if shape != (inputs, outputs):
            raise DataError(f"has shape {shape} as (inputs, outputs), expected ({inputs}, {outputs})", field=weight)
        layers.append((held[weight], held[bias].reshape(-1)))
    return tuple(layers)
