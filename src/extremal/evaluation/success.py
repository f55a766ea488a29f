"""Whether episodes succeeded, from what a simulator reports in `info`, and when that is enough for a rate."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

NAMES = ("success", "is_success")  # in `info`, whichever is there
WHEN_WON = "reported only when won, so an episode that never reported it counts as not won"
PARTIAL = "some episodes did not report whether they were won, so no rate is given"
UNCLEAR = "`info` holds a success that is neither true nor false, so no rate is given"


@dataclasses.dataclass
class Report:
    """One episode's reports of its success."""

    reported: bool = False
    won: bool = False
    lost: bool = False  # a step said that it has not succeeded
    unclear: bool = False  # something stood there that is no flag
    reached: float = np.nan  # steps until success was first reported

    def add(self, info: Mapping[str, Any], step: int) -> None:
        """Read the `info` of step `step`, counted from 1."""
        given = [info[name] for name in NAMES if info.get(name) is not None]
        value = next((found for each in given if (found := flag(each)) is not None), None)
        self.unclear |= bool(given) and value is None
        if value is None:
            return
        if value and not self.won:
            self.reached = step
        self.reported, self.won, self.lost = True, self.won or value, self.lost or not value


def judged(reports: Sequence[Report]) -> tuple[np.ndarray | None, str]:
    """[E] bool, and the rule by which episodes without a report were counted; or None, and why there is no rate.

    An episode succeeded where any step said so. Where some episodes never report, silence means failure only in a simulator
    that reports nothing but successes. The rule is '' where every episode reported, and where none did.
    """
    silent = sum(not report.reported for report in reports)
    if any(report.unclear for report in reports):
        return None, UNCLEAR
    if silent == len(reports):
        return None, ""
    if silent and any(report.lost for report in reports):
        return None, PARTIAL
    return np.array([report.won for report in reports], bool), WHEN_WON if silent else ""


def flag(value: Any) -> bool | None:
    """A flag from a boolean, 0 or 1, also as an array of one entry; None: anything else."""
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in "biuf" or array.item() not in (0, 1):
        return None
    return bool(array.item())
