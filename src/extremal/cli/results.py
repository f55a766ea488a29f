"""`extremal demo`, `evaluate`, `report` and `algorithms`: what is shown of methods and of runs."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from extremal.cli.console import Json, print_json, table


@dataclasses.dataclass
class Demo:
    """Generate maze data, train XQL, IQL and BC on it, evaluate them, and write a report."""

    out: Path = Path("runs/demo")
    """Folder of the demo; a demo that is there is replaced."""
    updates: int = 30_000
    """Of each method."""
    seeds: int = 3
    """How many."""
    episodes: int = 20
    """Evaluation episodes per seed."""

    def run(self) -> int:
        from extremal.cli.progress import bars
        from extremal.demo import demo
        from extremal.report.text import table as runs_table

        with bars() as bar:
            runs = demo(
                self.out,
                updates=self.updates,
                seeds=self.seeds,
                episodes=self.episodes,
                watch=lambda name: bar(name, self.updates),
            )
        print(runs_table([run.path for run in runs]))
        print(f"\n{self.out / 'report.html'}: curves, value maps, settings\n{self.out / 'summary.json'}: the numbers")
        return 0


@dataclasses.dataclass
class Evaluate:
    """Let a trained run act in its simulator."""

    run_path: Annotated[Positional[Path], arg(metavar="RUN")]
    """Folder of the run."""
    episodes: int = 100
    """Of each replica."""
    seed: int = 0
    """Of the episodes."""
    environment: str | None = None
    """Simulator, instead of the dataset's own: an id, also with arguments ('Pendulum-v1?g=1.0'), or module:Env-v0."""
    max_steps: int = 10_000
    """An episode that has not ended after so many steps is cut there, and the result says so."""
    target_return: float | None = None
    """Return that a method conditioned on returns (dt) is asked for, instead of its setting."""
    json: Json = False

    def run(self) -> int:
        from extremal.runs.run import Run

        found = Run(self.run_path).evaluate(
            episodes=self.episodes,
            seed=self.seed,
            environment=self.environment,
            target_return=self.target_return,
            max_steps=self.max_steps,
        )
        if self.json:
            print_json(found.to_json())
        else:
            print(found)
        return 0


@dataclasses.dataclass
class Report:
    """Write one HTML page from one or more runs."""

    runs: Annotated[Positional[tuple[Path, ...]], arg(metavar="RUN...")]
    """Folders of runs."""
    out: Path = Path("report.html")
    """File to write."""
    title: str = "Results"
    """Of the page."""

    def run(self) -> int:
        from extremal.report.page import write_report
        from extremal.report.text import table as runs_table

        print(runs_table(self.runs))
        print(write_report(self.runs, self.out, title=self.title))
        return 0


@dataclasses.dataclass
class Algorithms:
    """List the methods; with a name, its settings and presets."""

    name: Annotated[Positional[str | None], arg(metavar="METHOD")] = None
    """Of which to list settings and presets."""
    json: Json = False

    def run(self) -> int:
        from extremal.algorithms.registry import METHODS, method

        if self.name is None:
            if self.json:
                print_json({n: {"line": m.line, "paper": m.paper, "differs": m.differs} for n, m in METHODS.items()})
            else:
                table(
                    ["method", "what it is", "paper", "departs from it"],
                    [[n, m.line, m.paper, m.differs] for n, m in METHODS.items()],
                )
                print("\nEach takes continuous actions: no method takes discrete ones yet.")
            return 0
        from extremal.core.checked import declared, describe
        from extremal.io.config import field_docs, to_json

        known = method(self.name)
        types = declared(type(known.default))
        if self.json:
            presets = {
                n: {"settings": to_json(p.settings), "source": p.source, "also": p.also}
                for n, p in known.presets.items()
            }
            told = {name: describe(hint) for name, hint in types.items()}
            print_json({"settings": to_json(known.default), "types": told, "presets": presets})
            return 0
        docs = field_docs(type(known.default))
        values = to_json(known.default)
        table(
            ["setting", "default", "type", "meaning"],
            [[n, str(values[n]), describe(t), docs.get(n, "")] for n, t in types.items()],
        )
        if known.presets:
            named = [[" or ".join((n, *p.also)), p.source] for n, p in known.presets.items()]
            table(["preset", "source"], named)
        return 0
