"""What an experiment is: methods trained on data sets under a stated budget, and a figure drawn from the runs they leave."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from extremal.core.errors import nearest
from extremal.core.types import Follow
from extremal.reproduce.figure import Numbers, Options, plain

if TYPE_CHECKING:
    from extremal.report.runs import Run


@dataclasses.dataclass(frozen=True, kw_only=True)
class Budget:
    """How much an experiment spends; it stands beside every number that comes of it."""

    updates: int
    seeds: int
    episodes: int  # of each evaluation, per seed
    evaluations: int = 5  # in the course of training
    width: float = 1.0  # factor on every width of every network
    holdout: float = 0.0  # share of the episodes that no method sees
    ours: str = ""  # of it and of the arms' settings, what the paper does not print


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arm:
    """A method as an experiment trains it."""

    label: str
    settings: Callable[[str], Any]  # from the name of a data set
    updates: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """By budget, where it is another number than the budget's."""


@dataclasses.dataclass(frozen=True)
class Cell:
    """One arm on one data set, trained."""

    arm: str
    dataset: str
    run: Run


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A figure or table of a paper whose numbers come from training; how to add one stands in `reproduce/registry.py`."""

    name: str
    paper: str
    shows: str
    arms: Mapping[str, tuple[Arm, ...]]  # by budget
    datasets: tuple[str, ...]
    budgets: Mapping[str, Budget]
    read: Callable[[Sequence[Cell]], Numbers]
    """From the finished runs to the numbers of the figure."""
    draw: Callable[[Numbers], Any]

    def check(self, options: Options) -> None:
        """Refuse an unknown budget or method before anything is trained.

        Raises:
            ConfigError: says the nearest one.
        """
        self._budget(options)
        self._arms(options)

    def record(self, out: Path, options: Options, *, seed: int, watch: Follow) -> dict[str, Any]:
        """Train what is not trained yet below `out`/runs; what stands in the JSON file: budget, runs, numbers.

        Runs are found again by their settings: a command that was interrupted goes on where it stopped, and two
        experiments share the runs that they have in common.
        """
        budget, arms = self._budget(options), self._arms(options)
        datasets = tuple(options.datasets or self.datasets)
        cells, total = [], len(arms) * len(datasets)
        for dataset in datasets:
            for arm in arms:
                said = f"{self.name}, {len(cells) + 1} of {total}: {arm.label}, {dataset}"
                cells.append(self._train(arm, dataset, options.budget, budget, seed, out / "runs", said, watch))
        return {
            "budget": {"name": options.budget, **dataclasses.asdict(budget)},
            "runs": [_record(cell, out) for cell in cells],
            "numbers": plain(self.read(cells)),
        }

    def _budget(self, options: Options) -> Budget:
        if options.budget not in self.budgets:
            raise nearest(options.budget, self.budgets, kind=f"budget of {self.name}")
        budget = self.budgets[options.budget]
        return budget if options.seeds is None else dataclasses.replace(budget, seeds=options.seeds)

    def _arms(self, options: Options) -> tuple[Arm, ...]:
        """Those asked for: arms of the experiment by their labels, and any other method with its defaults."""
        from extremal.algorithms.registry import METHODS

        known = {arm.label: arm for arm in self.arms[options.budget]}
        for name in options.methods or ():
            if name not in known and name not in METHODS:
                raise nearest(name, [*known, *METHODS], kind=f"method of {self.name}")
        return tuple(known.get(name) or Arm(label=name, settings=preset_of(name)) for name in options.methods or known)

    def _train(
        self, arm: Arm, dataset: str, name: str, budget: Budget, seed: int, runs: Path, said: str, follow: Follow
    ) -> Cell:
        from extremal.report.runs import read_run
        from extremal.runs.sweep import Program

        settings = narrowed(arm.settings(dataset), budget.width)
        updates = arm.updates.get(name, budget.updates)
        chosen = {
            "updates": updates,
            "seeds": list(range(seed, seed + budget.seeds)),
            "evaluate_every": max(updates // budget.evaluations, 1),
            "episodes": budget.episodes,
            "holdout": budget.holdout,  # the same rows for every method
        }
        program = Program(label=arm.label, dataset=dataset, settings=settings, training=chosen)
        run = program.run(runs, follow, said=said)
        return Cell(arm.label, dataset, read_run(run.path))


def preset_of(
    method: str, preset: str | Callable[[str], str | None] | None = None, **changes: Any
) -> Callable[[str], Any]:
    """Settings of a method for an `Arm`: its defaults, a preset, or the preset that belongs to a data set; with `changes`."""

    def settings(dataset: str) -> Any:
        from extremal.algorithms import registry

        which = preset(dataset) if callable(preset) else preset
        chosen = registry.method(method).default if which is None else registry.preset(method, which)
        return dataclasses.replace(chosen, **changes)

    return settings


def on_every_budget(arms: tuple[Arm, ...]) -> dict[str, tuple[Arm, ...]]:
    """The same arms, whatever is spent on them."""
    return {"reduced": arms, "paper": arms}


def narrowed(settings: Any, factor: float) -> Any:
    """Settings with every width times `factor`."""
    names = [field.name for field in dataclasses.fields(settings) if field.name.endswith("width")]
    widths = {name: getattr(settings, name) for name in names}
    return dataclasses.replace(settings, **{name: round(x * factor) for name, x in widths.items() if x is not None})


def _record(cell: Cell, out: Path) -> dict[str, Any]:
    """What a number was made with."""
    config = cell.run.config
    return {
        "arm": cell.arm,
        "dataset": cell.dataset,
        "run": str(cell.run.path.relative_to(out)),
        "method": config["method"],
        "settings": config["settings"],
        "updates": config["updates"],
        "seeds": [replica["seed"] for replica in config["replicas"]],
        "episodes": config["episodes"],
        "data_hash": config["dataset"]["hash"],
        "versions": config["versions"],
    }
