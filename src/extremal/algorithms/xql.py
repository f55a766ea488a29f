"""Extreme Q-Learning: V is the soft maximum of Q over the data's actions, by Gumbel regression."""

from __future__ import annotations

import dataclasses
from typing import Literal

from extremal.algorithms.implicit import Ball, Implicit
from extremal.algorithms.settings import Preset
from extremal.core.algorithm import Algorithm
from extremal.core.errors import ConfigError
from extremal.core.ranges import NotNegative, Positive
from extremal.core.record import record, static
from extremal.core.types import Spec
from extremal.objectives.statistic import Gumbel, KLBall, Statistic

LEAST_BETA = 1e-6  # where a KL is held, in units of Q


@record
class XQL(Implicit):
    """Extreme Q-Learning, offline.

    Source: [garg2023] Algorithm 1, Eq. (11), (12), (14), App. D.3, D.4.
    Differs from the paper: beyond `clip` the exponential goes on as its tangent, where the paper clamps z on both sides; each eighth of a
    batch is divided by the mean exponential of the others, where the paper divides by the batch's largest (`normaliser="batch_max"` is both
    as printed); the policy's weight has a temperature of its own and a largest value, where Eq. (12) has V's beta and no bound
    (`policy_weight="statistic"` has V's beta, and exp(`clip`) for a bound); some episodes are held out, by which the density ratios are judged.
    """

    inverse_temperature: NotNegative = 10.0
    """Of the policy weight exp(inverse_temperature (Q - V)); the paper has 3, 10 and 0.5 by domain."""
    beta: Positive = 1.0
    """Temperature of the soft maximum, in units of return: small is near the maximum, large near the mean."""
    clip: Positive = 8.0
    """Largest exponent (Q - V) / beta; beyond it the loss goes on as its tangent (batch_max: it is flat)."""
    normaliser: Literal["others", "running", "none", "batch_max"] = static(default="others")
    """The loss is divided by the mean exponential of the batch's other rows, of earlier batches, by 1, or as the paper by the batch's largest."""
    clamp: Literal["both", "above"] = static(default="both")
    """Of batch_max: z is clamped from both sides (App. D.3), or from above alone (published code)."""
    target_kl: Positive | None = None
    """Hold the policy exp((Q - V) / beta) at this KL from the data's, in nats, by one beta that is learned; none: beta stays."""

    def algorithm(self, spec: Spec, *, updates: int) -> Algorithm:
        statistic, ball = self._statistic()
        return self.recipe(
            spec,
            statistic,
            self.weight(statistic),
            updates=updates,
            normaliser=self.normaliser,
            ball=ball,
        )

    def _statistic(self) -> tuple[Statistic, Ball | None]:
        """The soft maximum at a fixed beta; or at the one at which E z exp(z) = target_kl, which the KL ball's own loss finds."""
        batch_max = self.normaliser == "batch_max"
        if self.clamp == "above" and not batch_max:
            raise ConfigError(
                f"clamp 'above' belongs to the normaliser 'batch_max'; with {self.normaliser!r} the loss goes on as its tangent "
                "above the clip, and is not clamped below: leave clamp out"
            )
        if self.target_kl is None:
            return Gumbel(beta=self.beta, clip=self.clip, batch_max=batch_max, clamp=self.clamp), None
        if batch_max:
            raise ConfigError(
                "a KL can be held with the normaliser 'others', 'running' or 'none'; 'batch_max' has no density ratio"
            )
        held = KLBall(kappa=self.target_kl, clip=self.clip, floor=LEAST_BETA, bonus=False)
        return held, Ball(floor=LEAST_BETA, beta=self.beta, shared=True)


# Task; then beta, clip, batch, V updates of the consistent settings, and of the tuned ones.
_TABLE_4 = """
halfcheetah-medium-v2         2 7 256 1    1 7 256 1
hopper-medium-v2              2 7 256 1    5 7 256 1
walker2d-medium-v2            2 7 256 1    10 7 256 1
halfcheetah-medium-replay-v2  2 7 256 1    1 5 256 1
hopper-medium-replay-v2       2 7 256 1    2 7 256 1
walker2d-medium-replay-v2     2 7 256 1    5 7 256 1
halfcheetah-medium-expert-v2  2 7 256 1    1 5 1024 1
hopper-medium-expert-v2       2 7 256 1    2 7 1024 1
walker2d-medium-expert-v2     2 7 256 1    2 5 1024 1
antmaze-umaze-v0              0.6 7 256 1  1 7 256 1
antmaze-umaze-diverse-v0      0.6 7 256 1  5 7 256 1
antmaze-medium-play-v0        0.6 7 256 1  0.8 7 1024 2
antmaze-medium-diverse-v0     0.6 7 256 1  0.6 7 256 4
antmaze-large-play-v0         0.6 7 256 1  0.6 5 1024 1
antmaze-large-diverse-v0      0.6 7 256 1  0.6 5 1024 1
kitchen-complete-v0           5 7 256 1    2 7 1024 1
kitchen-partial-v0            5 7 256 1    5 7 1024 1
kitchen-mixed-v0              5 7 256 1    8 7 1024 1
pen-human-v0                  5 7 256 1    5 7 256 1
hammer-human-v0               5 7 256 1    0.5 3 1024 4
door-human-v0                 5 7 256 1    1 5 256 1
relocate-human-v0             5 7 256 1    0.8 5 1024 2
pen-cloned-v0                 5 7 256 1    0.8 5 1024 2
hammer-cloned-v0              5 7 256 1    5 7 256 1
door-cloned-v0                5 7 256 1    5 7 256 1
relocate-cloned-v0            5 7 256 1    5 7 256 1
"""

# Published code: beta, clip, batch, V updates, uniform actions. Rows that add noise to actions are left out.
_PUBLISHED_CODE = """
halfcheetah-medium-replay-v2  1 5 256 1 0
halfcheetah-medium-expert-v2  1 5 1024 1 0
hopper-medium-v2              5 7 1024 1 0
hopper-medium-replay-v2       2 7 256 1 0
hopper-medium-expert-v2       2 7 1024 1 1
walker2d-medium-v2            10 7 1024 1 0
walker2d-medium-replay-v2     5 5 1024 1 0
walker2d-medium-expert-v2     2 5 256 1 0
antmaze-umaze-v0              2 7 256 1 0
antmaze-umaze-diverse-v0      5 7 256 1 1
antmaze-medium-play-v0        0.8 5 256 1 0
antmaze-medium-diverse-v0     0.6 7 256 4 0
antmaze-large-play-v0         0.6 5 1024 1 0
antmaze-large-diverse-v0      0.55 5 1024 1 0
kitchen-complete-v0           2 7 1024 1 0
kitchen-partial-v0            5 7 1024 1 0
kitchen-mixed-v0              8 7 1024 1 0
pen-human-v0                  8 5 1024 1 1
"""


_LOCOMOTION = ("halfcheetah", "hopper", "walker2d")
_TABLE = "[garg2023] Table 4, whose Grad Clip is read as the clip of z, App. D.3, D.4; [kostrikov2021] App. B"
_PRINTED = (
    f"{_TABLE}; rewards are divided by the range of returns and no more, as printed: every beta of the table is then far above "
    "the spread of Q, V is its mean, and Table 1 cannot come of it"
)
_TIMES_1000 = f"{_TABLE}; rewards times 1000, which is in the published code only"
_SCRIPTS = "published code of [garg2023], scripts per task: z is clamped from above alone, and V's updates are on one and the same batch"


def _domain(task: str) -> XQL:
    """A benchmark's settings besides Table 4: IQL's preprocessing, inverse temperature and dropout."""
    common = XQL(normaliser="batch_max")
    if task.startswith(_LOCOMOTION):
        return dataclasses.replace(common, inverse_temperature=3.0, reward_range=1.0)
    if task.startswith("antmaze"):
        return dataclasses.replace(common, inverse_temperature=10.0, reward_shift=-1.0, value_layer_norm=True)
    return dataclasses.replace(common, inverse_temperature=0.5, policy_dropout=0.1)


def _row(task: str, beta: str, clip: str, batch: str, updates: str, random_actions: str = "0") -> XQL:
    return dataclasses.replace(
        _domain(task),
        beta=float(beta),
        clip=float(clip),
        batch_size=int(batch),
        value_updates=int(updates),
        random_actions=int(random_actions),
    )


def _times_1000(task: str, settings: XQL) -> XQL:
    """Rewards of locomotion as the published code has them."""
    return dataclasses.replace(settings, reward_range=1000.0) if task.startswith(_LOCOMOTION) else settings


def _table_4(name: str, task: str, row: XQL) -> dict[str, Preset]:
    """A row as it is printed; and of locomotion, whose code has a factor that the paper does not print, as the code has it."""
    if not task.startswith(_LOCOMOTION):
        return {f"paper/{name}": Preset(settings=row, source=_TABLE, also=(name,))}
    ours = _times_1000(task, row)  # the older names have had the factor all along
    return {
        f"paper/{name}": Preset(settings=row, source=_PRINTED),
        f"code/{name}": Preset(settings=ours, source=_TIMES_1000, also=(name,)),
    }


def _script(task: str, row: XQL) -> XQL:
    return dataclasses.replace(
        _times_1000(task, row),
        clamp="above",
        value_batch="same",
        value_layer_norm=True,
        huber=20.0,
        policy_schedule="constant" if task.startswith("antmaze") else "cosine",
    )


def _presets() -> dict[str, Preset]:
    known: dict[str, Preset] = {}
    for task, *numbers in map(str.split, _TABLE_4.strip().splitlines()):
        known |= _table_4(f"consistent/{task}", task, _row(task, *numbers[:4]))
        known |= _table_4(f"tuned/{task}", task, _row(task, *numbers[4:]))
    for task, *numbers in map(str.split, _PUBLISHED_CODE.strip().splitlines()):
        settings = _script(task, _row(task, *numbers))
        known[f"code/scripts/{task}"] = Preset(settings=settings, source=_SCRIPTS, also=(f"code/{task}",))
    return known


PRESETS = _presets()
