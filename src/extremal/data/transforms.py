"""What is done to data before training: fitted on the training episodes, saved with the agent, undone when acting."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np

from extremal.core.errors import DataError, SpecError, nearest
from extremal.core.record import record
from extremal.core.types import Transform
from extremal.data.dataset import Dataset
from extremal.data.strays import usual_range


class _Unchanged:
    """Acting is the same with and without this transform, and there is nothing to fit."""

    precision: ClassVar[type] = np.float32  # of fitted numbers

    def fit(self, dataset: Dataset) -> Any:
        return self

    def observation(self, observation: Any) -> Any:
        return observation

    def action(self, action: Any) -> Any:
        return action

    def reward(self, reward: Any) -> Any:
        return reward


class _OfReward(_Unchanged):
    """Rewards change, one by one, as `reward` says."""

    def apply(self, dataset: Dataset) -> Dataset:
        return dataset.replace(reward=self.reward(dataset.reward).astype(np.float32))


@record
class RescaleAction(_Unchanged):
    """Actions to [-1, 1], feature by feature, from the declared range or else the observed one; clipped to it.

    Whatever a policy does comes back within that range. A feature of which only one value is known comes back as that value.
    Stray numbers, such as one -9999, do not widen the observed range (`strays`; `check_dataset` names them).
    """

    centre: Any = None  # [A]
    half: Any = None  # [A]

    def fit(self, dataset: Dataset) -> RescaleAction:
        card = dataset.card
        given = None if card.action_low is None or card.action_high is None else (card.action_low, card.action_high)
        ends = np.asarray(given or usual_range(np.asarray(dataset.action)), np.float32)
        low, high = ends.astype(np.float64)  # the two ends of float32 lie further apart than float32 reaches
        centre = ((low + high) / 2.0).astype(np.float32)
        reach = np.minimum(high - centre, centre - low)  # of the nearer end, so that rounding leads beyond neither
        half = reach.astype(np.float32)
        half = np.where(half > reach, np.nextafter(half, np.float32(0.0)), half)
        return RescaleAction(centre=centre, half=np.where(half >= np.finfo(np.float32).tiny, half, np.float32(0.0)))

    def apply(self, dataset: Dataset) -> Dataset:
        half = np.where(self.half > 0.0, self.half, np.float32(1.0))
        with np.errstate(over="ignore"):  # a stray at the end of float32 becomes infinite, and is clipped
            scaled = (dataset.action - self.centre) / half
        return dataset.replace(action=np.clip(scaled, -1.0, 1.0))

    def action(self, action: Any) -> Any:
        return action * jnp.broadcast_to(self.half, action.shape) + jnp.broadcast_to(self.centre, action.shape)


@record
class NormaliseObservation(_Unchanged):
    """Zero mean and unit deviation, feature by feature: (x - mean) / (deviation + 1e-3).

    Both are of the states in which actions were taken: what follows an episode's last step may be padding. Centred in double
    precision, so that what is far from 0 and varies little keeps what it tells.

    Source: [fujimoto2021] Eq. (6).
    """

    precision: ClassVar[type] = np.float64
    mean: Any = None  # [O]
    deviation: Any = None  # [O]
    double: Any = 0.0  # [] 1 where float32 would round away how the data vary: then it is refused

    def fit(self, dataset: Dataset) -> NormaliseObservation:
        x = np.asarray(dataset.observation)[dataset.slot]
        mean, deviation = (statistic(axis=0, dtype=np.float64) for statistic in (x.mean, x.std))
        return NormaliseObservation(mean=mean, deviation=deviation + 1e-3, double=np.float64(x.dtype == np.float64))

    def apply(self, dataset: Dataset) -> Dataset:
        return dataset.replace(observation=self.observation(dataset.observation))

    def observation(self, observation: Any) -> Any:
        given = np.asarray(observation)
        if self.double and given.dtype.kind == "f" and given.dtype.itemsize < 8:
            raise SpecError(
                f"observations are {given.dtype}, which rounds away how some feature varies (their mean is up to "
                f"{np.abs(self.mean).max():g}); give them as float64, as the data were"
            )
        centred = np.asarray(given, np.float64) - self.mean
        return np.divide(centred, self.deviation, dtype=np.float64).astype(np.float32)


@record
class ScaleReward(_OfReward):
    """Rewards times `scale` over the range of the episodes' returns (best less worst), of those that are whole.

    Source: [kostrikov2021] App. B, locomotion.
    Differs from the paper: the paper divides by the range only; its published code multiplies by 1000, and the inverse
    temperature of 3 depends on that. That code counts a last episode that the file cuts; a re-implementation and this one do not.
    """

    scale: float
    spread: Any = None  # [] best return less worst

    def fit(self, dataset: Dataset) -> ScaleReward:
        spread = float(np.ptp(dataset.returns[dataset.whole]))
        if not spread > 0.0:
            raise DataError(
                "all episodes have the same return, so rewards cannot be divided by its range; drop `reward_range`",
                field="reward",
            )
        return ScaleReward(scale=self.scale, spread=np.float32(spread))

    def reward(self, reward: Any) -> Any:
        return reward * (self.scale / self.spread)


@record
class MultiplyReward(_OfReward):
    """Rewards times `factor`, whatever the data; with a shift after it, any affine change: (r - 0.5) * 4 is 4 r - 2."""

    factor: float

    def reward(self, reward: Any) -> Any:
        return reward * np.float32(self.factor)


@record
class UnitOfReturns(_OfReward):
    """Rewards divided by the power of two next to the deviation of discounted returns over the logged steps.

    A power of two, so that rewards that are multiplied by another one come out the same to the last bit. An episode that was cut
    counts as if it went on with the mean reward: rewards that are shifted, where nothing ends, have the same unit.
    """

    discount: float
    unit: Any = None  # []

    def fit(self, dataset: Dataset) -> UnitOfReturns:
        discount = float(self.discount)
        beyond = float(np.mean(np.asarray(dataset.reward, np.float64))) / (1.0 - discount) if discount < 1.0 else 0.0
        spread = float(np.std(discounted_returns(dataset, discount, beyond=beyond)))
        if not spread > 0.0:
            raise DataError(
                "all steps have the same discounted return, so there is nothing to learn from; check the rewards",
                field="reward",
            )
        return UnitOfReturns(discount=self.discount, unit=np.float32(2.0 ** np.round(np.log2(spread))))

    def reward(self, reward: Any) -> Any:
        return reward / self.unit


def discounted_returns(dataset: Dataset, discount: float, *, beyond: float = 0.0) -> np.ndarray:
    """[rows] float64: what each logged step's episode brings from there on, discounted; `beyond` after one that was cut."""
    total, lengths = np.asarray(dataset.reward, np.float64).copy(), np.asarray(dataset.lengths)
    last = np.asarray(dataset.starts)[1:] - 1
    total[last] += discount * beyond * ~np.asarray(dataset.terminated)[last]
    for back in range(2, int(lengths.max()) + 1):  # all episodes at once, from their last but one step to their first
        at = np.asarray(dataset.starts)[1:][lengths >= back] - back
        total[at] += discount * total[at + 1]
    return total


@record
class ShiftReward(_OfReward):
    """Rewards plus `shift` (AntMaze: -1, so that every step costs).

    Source: [kostrikov2021] App. B, AntMaze.
    """

    shift: float

    def reward(self, reward: Any) -> Any:
        return reward + np.float32(self.shift)


@record
class BestEpisodes(_Unchanged):
    """The episodes of highest return that together hold at most `fraction` of the steps, and at least the best one.

    Of an episode that the recording cut, the return is not known: it comes after all the others.

    Source: [kostrikov2021] Table 1 (10%BC).
    """

    fraction: float

    def apply(self, dataset: Dataset) -> Dataset:
        order = np.lexsort((-dataset.returns, ~dataset.whole))
        steps = np.cumsum(dataset.lengths[order])
        kept = max(1, int(np.searchsorted(steps, self.fraction * dataset.rows, side="right")))
        return dataset.select(np.sort(order[:kept]))


@record
class ReturnsToGo(_Unchanged):
    """For each step, what its episode brings from there on, in the units of the rewards that stand before it.

    An episode that the recording cut is left out, as in published code: what it would still have brought is not known.
    """

    def apply(self, dataset: Dataset) -> Dataset:
        whole = dataset.whole
        return (dataset if whole.all() else dataset.select(whole)).with_returns_to_go()


_KNOWN: dict[str, Any] = {
    t.__name__: t
    for t in (
        RescaleAction,
        NormaliseObservation,
        ScaleReward,
        MultiplyReward,
        UnitOfReturns,
        ShiftReward,
        BestEpisodes,
        ReturnsToGo,
    )
}


def to_json(transform: Any) -> dict[str, Any]:
    """A fitted transform as plain data; its numbers survive the way there and back exactly."""
    fields = {f.name: getattr(transform, f.name) for f in dataclasses.fields(transform)}
    return {"kind": type(transform).__name__} | {
        n: np.asarray(v).tolist() if isinstance(v, np.ndarray | np.generic) else v for n, v in fields.items()
    }


def from_json(value: Mapping[str, Any]) -> Any:
    """The transform that `to_json` described.

    Raises:
        ConfigError: a kind of transform that this version does not know.
    """
    fields = dict(value)
    kind = fields.pop("kind")
    if kind not in _KNOWN:
        raise nearest(kind, _KNOWN, kind="transform")
    fitted = {f.name for f in dataclasses.fields(_KNOWN[kind]) if f.type == "Any"}
    precision = _KNOWN[kind].precision
    return _KNOWN[kind](**{n: np.asarray(v, precision) if n in fitted else v for n, v in fields.items()})


def prepare(
    transforms: Sequence[Transform], dataset: Dataset, *, known: Sequence[Transform] = ()
) -> tuple[tuple[Transform, ...], Dataset]:
    """Fit the transforms one after the other, each on what the ones before it left; the fitted ones, and the data, in float32.

    Of a kind that is `known`, the known one is taken as it is.
    """
    given, fitted = {type(transform): transform for transform in known}, []
    for transform in transforms:
        fitted.append(given.get(type(transform)) or transform.fit(dataset))
        dataset = fitted[-1].apply(dataset)
    return tuple(fitted), _in_single(dataset)


def apply(fitted: Sequence[Transform], dataset: Dataset) -> Dataset:
    """Other data as `prepare` left those that the transforms were fitted to."""
    for transform in fitted:
        dataset = transform.apply(dataset)
    return _in_single(dataset)


def _in_single(dataset: Dataset) -> Dataset:
    """With observations in float32, in which programs count; a store keeps float64 where that rounds what it tells away."""
    single = np.asarray(dataset.observation, np.float32)
    return dataset if dataset.observation.dtype == np.float32 else dataset.replace(observation=single)
