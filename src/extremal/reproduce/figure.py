"""What a figure is: numbers that are computed, and a drawing that knows nothing but these numbers."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from extremal.core.errors import ConfigError
from extremal.core.types import Follow

Numbers = dict[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """What may be asked of a figure whose numbers come from training; none: as the figure has it."""

    budget: str = "reduced"
    methods: Sequence[str] | None = None
    datasets: Sequence[str] | None = None
    seeds: int | None = None


@dataclasses.dataclass(frozen=True)
class Figure:
    """A figure that `extremal reproduce` makes; how to add one stands in `reproduce/registry.py`."""

    name: str
    paper: str
    """The key of a reference and the figure there, "[garg2023] Fig. 2"; what it illustrates, for a figure of our own."""
    shows: str
    """One line: what a reader is to see in it."""
    compute: Callable[..., Any]
    """From keyword arguments with defaults, `seed` among them, to a dict of numbers, arrays and strings."""
    draw: Callable[[Numbers], Any]
    """From these numbers, as lists, to a matplotlib figure."""

    @property
    def settings(self) -> dict[str, Any]:
        """What `compute` can be told besides the seed, with the defaults."""
        found = inspect.signature(self.compute).parameters
        return {name: parameter.default for name, parameter in found.items() if name != "seed"}

    def check(self, options: Options) -> None:
        """Refuse, before anything is computed, what this figure cannot be asked.

        Raises:
            ConfigError: it trains nothing, so that every option is one that nothing would read.
        """
        given = [name for name, value in dataclasses.asdict(options).items() if value != getattr(Options(), name)]
        if given:
            raise ConfigError(f"{self.name} trains nothing and takes no --{given[0]}; leave it out")

    def record(self, out: Path, options: Options, *, seed: int, watch: Follow) -> dict[str, Any]:
        """What stands in the JSON file: settings and numbers."""
        return {"settings": plain(self.settings), "numbers": self.numbers(seed=seed)}

    def numbers(self, *, seed: int = 0, **settings: Any) -> Numbers:
        """The numbers behind every line and marker, as JSON has them: numbers, strings, lists and dicts of them."""
        return plain(self.compute(seed=seed, **settings))


def plain(value: Any) -> Any:
    """`value` with its arrays and tuples as lists and its scalars as Python's own.

    >>> plain({"x": np.arange(3), "best": np.float64(0.5)})
    {'x': [0, 1, 2], 'best': 0.5}
    """
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return value
