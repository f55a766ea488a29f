"""What every method's settings share: the checks, the transforms they ask for, and the table rows of the papers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol

from extremal.core.algorithm import Algorithm
from extremal.core.checked import Checked
from extremal.core.errors import SpecError
from extremal.core.ranges import Number, Positive
from extremal.core.record import record, static
from extremal.core.types import Spec, Transform
from extremal.data.transforms import MultiplyReward, NormaliseObservation, RescaleAction, ScaleReward, ShiftReward


class Settings(Protocol):
    """The hyperparameters of one method as one flat record; floats may be swept, the rest shapes the program."""

    preset: str | None

    def algorithm(self, spec: Spec, *, updates: int) -> Algorithm: ...


@record
class Fit:
    """A network that a method wants fitted before it starts, by another method; settings have `fits() -> {name: Fit}`."""

    settings: Any  # of the method that fits it; its network of that name is taken
    updates: int = static()


@record
class Preset:
    """Settings for a benchmark, with where they are printed, and other names by which they are found."""

    settings: Any
    source: str = static()
    also: tuple[str, ...] = static(default=())


def continuous(method: str, spec: Spec) -> tuple[int, int]:
    """(O, A) for a method on vectors; anything else is refused in one sentence."""
    if spec.actions is not None:
        raise SpecError(f"{method} takes continuous actions; this dataset has {spec.actions} discrete ones")
    if len(spec.observation) != 1 or len(spec.action) != 1:
        raise SpecError(
            f"{method} takes one vector per observation and per action; this dataset has observations of shape "
            f"{spec.observation} and actions of shape {spec.action}"
        )
    return spec.observation[0], spec.action[0]


def extraction(after: float | None, updates: int) -> tuple[int, int | None]:
    """The policy's first update, and the first at which the values learn no more: 0 and none where both learn at once.

    Source: [kostrikov2021] Algorithm 1.
    """
    if after is None:
        return 0, None
    first = int(after * updates)
    return first, first


@record
class OfPreset(Checked):
    """Settings that know which preset they began as; changed ones (`dataclasses.replace`, flags) still do."""

    preset: str | None = static(default=None, compare=False)
    """Settings as printed for a benchmark (`extremal algorithms METHOD`), over which other flags still win. Under one nothing is
    held out of the data, unless --holdout says so."""


@record
class DataSettings(OfPreset):
    """What every method that learns from rewards lets be done to the data."""

    reward_range: Positive | None = static(default=None)
    """Divide rewards by the range of returns and multiply by this."""
    reward_scale: Positive | None = static(default=None)
    """Multiply every reward by this (after the division)."""
    reward_shift: Number | None = static(default=None)
    """Add this to every reward (after both)."""
    normalise_observation: bool = static(default=False)
    """Observations to zero mean and unit deviation."""

    def transforms(self) -> tuple[Transform, ...]:
        names = {field.name for field in dataclasses.fields(DataSettings)} - {"preset"}
        return transforms(**{name: getattr(self, name) for name in names})


def transforms(
    *,
    normalise_observation: bool,
    reward_range: Positive | None = None,
    reward_scale: float | None = None,
    reward_shift: float | None = None,
) -> tuple[Transform, ...]:
    """The usual transforms in the usual order; actions are always rescaled."""
    chosen: list[Transform] = [RescaleAction()]
    if reward_range is not None:
        chosen.append(ScaleReward(scale=reward_range))
    if reward_scale is not None:
        chosen.append(MultiplyReward(factor=reward_scale))
    if reward_shift is not None:
        chosen.append(ShiftReward(shift=reward_shift))
    if normalise_observation:
        chosen.append(NormaliseObservation())
    return tuple(chosen)


Presets = Mapping[str, Preset]
