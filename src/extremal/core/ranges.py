"""Ranges of numbers, as they stand with a declaration: `discount: Share`, or `Annotated[float, Range(above=0, below=1)]`."""

from __future__ import annotations

import dataclasses
import math
import sys
from typing import Annotated


@dataclasses.dataclass(frozen=True, kw_only=True)
class Range:
    """The numbers that are admitted: finite ones, between two bounds of which each may be left out.

    >>> 1.5 in Range(at_least=0, at_most=1)
    False
    >>> print(Range(above=0), Range(at_least=0, below=1), Range(at_least=1), sep="; ")
    above 0; from 0 to below 1; from 1 up
    """

    above: float = -math.inf
    at_least: float = -math.inf
    below: float = math.inf
    at_most: float = math.inf

    def __contains__(self, number: float) -> bool:
        return (
            abs(number) <= sys.float_info.max
            and self.above < number < self.below
            and self.at_least <= number <= self.at_most
        )

    def __str__(self) -> str:
        open_low, open_high = self.above > -math.inf, self.below < math.inf
        low = f"above {self.above}" if open_low else f"from {self.at_least}" if self.at_least > -math.inf else ""
        high = f"below {self.below}" if open_high else f"{self.at_most}" if self.at_most < math.inf else ""
        if low and high:
            joined = " and " if open_low else " to "
            return f"{low}{joined}{high if open_high or not open_low else f'at most {high}'}"
        if low:
            return low if open_low else f"{low} up"
        return high if open_high or not high else f"at most {high}"


Number = Annotated[float, Range()]  # any finite one
Positive = Annotated[float, Range(above=0)]
NotNegative = Annotated[float, Range(at_least=0)]
Share = Annotated[float, Range(at_least=0, at_most=1)]
PositiveShare = Annotated[float, Range(above=0, at_most=1)]
Between = Annotated[float, Range(above=0, below=1)]
Part = Annotated[float, Range(at_least=0, below=1)]
Count = Annotated[int, Range(at_least=1)]
Whole = Annotated[int, Range(at_least=0)]  # 0 included
Seed = Annotated[int, Range(at_least=0, at_most=2**32 - 1)]  # of another one JAX would take the last 32 bits
