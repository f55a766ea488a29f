"""Implicit Q-Learning: V is an upper expectile of Q over the data's actions."""

from __future__ import annotations

from extremal.algorithms.implicit import Implicit
from extremal.algorithms.settings import Preset
from extremal.core.algorithm import Algorithm
from extremal.core.ranges import Between
from extremal.core.record import record
from extremal.core.types import Spec
from extremal.objectives.statistic import Expectile


@record
class IQL(Implicit):
    """Implicit Q-Learning.

    Source: [kostrikov2021] Algorithm 1, Eq. (5), (6), (7), App. B.
    """

    expectile: Between = 0.7
    """Level of the expectile: 0.5 is the mean (SARSA), towards 1 the maximum."""

    def algorithm(self, spec: Spec, *, updates: int) -> Algorithm:
        statistic = Expectile(expectile=self.expectile)
        return self.recipe(spec, statistic, self.weight(statistic), updates=updates)


_APPENDIX = "[kostrikov2021] App. B"
_FRANKA_ADROIT = IQL(inverse_temperature=0.5, policy_dropout=0.1)

PRESETS = {
    "paper/locomotion-v2": Preset(
        settings=IQL(reward_range=1.0),
        source=f"{_APPENDIX}; returns differ by 1 at most, and an inverse temperature of 3 is then all but plain cloning",
    ),
    "code/locomotion-v2": Preset(
        settings=IQL(reward_range=1000.0), source=f"{_APPENDIX}; the factor 1000 is in the published code only"
    ),
    "paper/antmaze-v0": Preset(
        settings=IQL(expectile=0.9, inverse_temperature=10.0, reward_shift=-1.0), source=_APPENDIX
    ),
    "paper/kitchen-v0": Preset(settings=_FRANKA_ADROIT, source=_APPENDIX),
    "paper/adroit-v0": Preset(settings=_FRANKA_ADROIT, source=_APPENDIX),
    "paper/dexterous-v0": Preset(
        settings=IQL(expectile=0.8),
        source="[kostrikov2021] App. C: 25,000 offline updates before it learns while acting; rewards and dropout not said",
    ),
}
