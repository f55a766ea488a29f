"""One thing worth knowing of a log: a loader says it while it reads, a rule of `check_dataset` once it is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["error", "warning", "note"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing worth knowing. An error makes training wrong; a warning often does; a note explains."""

    level: Level
    code: str  # a short fixed name, for machines
    says: str  # one sentence
    advice: str  # what to do
    rows: tuple[int, ...] = ()  # the first few rows concerned
