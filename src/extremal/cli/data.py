"""`extremal data`: list, check, build, generate, convert and judge datasets."""

from __future__ import annotations

import dataclasses
import functools
import json
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg

from extremal.cli.console import ActionKind, Json, print_json, table
from extremal.core.errors import ConfigError


@dataclasses.dataclass
class DataList:
    """The forms of dataset ids, and the names that Extremal generates itself."""

    json: Json = False

    def run(self) -> int:
        from extremal.data.ids import KINDS, names

        rows = [[k.form, k.reads, k.extra or ""] for k in KINDS.values()]
        rows += [[name, how, _extras(name)] for name, how in names().items()]
        if self.json:
            print_json([dict(zip(("id", "reads", "extra"), row, strict=True)) for row in rows])
        else:
            table(["id", "what it reads", "extra"], rows)
        return 0


@dataclasses.dataclass
class DataCheck:
    """Report on a dataset; exits with 1 on what makes training wrong."""

    id: Positional[str]
    """Id of the data (`extremal data list`)."""
    actions: ActionKind = None
    json: Json = False

    def run(self) -> int:
        from extremal.data.check import check_dataset
        from extremal.data.ids import load_dataset
        from extremal.data.kinds import parse
        from extremal.report.check import check_text

        report = check_dataset(load_dataset(self.id, actions=parse(self.actions)))
        print(json.dumps(report.to_json(), indent=1) if self.json else check_text(report.to_json()))
        return 0 if report.ok else 1


@dataclasses.dataclass
class DataGenerate:
    """Generate a maze dataset of your own size and seed, and write it to a file."""

    name: Positional[str]
    """pointmaze-{umaze,medium,large}-{goal,sparse,dense}."""
    out: Annotated[str, arg(metavar="FORM:PATH")]
    """Where to: npz:PATH or parquet:PATH."""
    rows: int = 1_000_000
    """How many."""
    seed: int = 0
    """Of the simulation."""

    def run(self) -> int:
        from extremal.cli.progress import counting
        from extremal.data import pointmaze
        from extremal.data.ids import save_dataset

        with counting("generating") as progress:
            data = pointmaze.generate(self.name, rows=self.rows, seed=self.seed, progress=progress)
        print(f"{save_dataset(data, self.out)}: {data.rows} rows, {data.episodes} episodes, hash {data.hash()[:16]}")
        return 0


@dataclasses.dataclass
class DataBuild:
    """Build a dataset in a simulator, from recordings or trained policies that you have, and keep it under its name."""

    name: Positional[str]
    """adroit-door-human, or {hopper,halfcheetah,walker2d}-{random,medium,expert,medium-expert,medium-replay-like}."""
    source: Path
    """The recordings, an .npz of demonstrations; or the folder of policies."""
    rows: int | None = None
    """How many, of what policies do (200,000 where none is given). Another size or seed has a name of its own."""
    seed: int | None = None
    """Of what policies do (0 where none is given)."""
    out: Annotated[str | None, arg(metavar="FORM:PATH")] = None
    """Also write it to npz:PATH or parquet:PATH; it is kept under its name in any case."""
    overwrite: bool = False
    """Replace what stands under this name, or at `out`."""

    def run(self) -> int:
        from extremal.cli.progress import naming
        from extremal.data import builds
        from extremal.data.ids import save_dataset
        from extremal.evaluation.scores import normalised

        chosen = {"rows": self.rows, "seed": self.seed, "overwrite": self.overwrite}
        with naming() as watch:
            told = functools.partial(watch, "simulating")
            data = builds.build(self.name, self.source, **chosen, progress=told)
        if self.out is not None:
            save_dataset(data, self.out, overwrite=self.overwrite)
        mean, reference = data.returns[data.whole].mean(), data.card.reference
        score = f" (score {normalised(mean, reference):.1f})" if reference else ""
        size = f"{data.rows} rows, {data.episodes} episodes"
        print(f"{data.card.name}: {size}, mean return {mean:.1f}{score}, hash {data.hash()[:16]}")
        return 0


@dataclasses.dataclass
class DataConvert:
    """Write any dataset as Extremal's .npz or as Parquet."""

    id: Positional[str]
    """Id of the data (`extremal data list`)."""
    out: Annotated[Positional[str], arg(metavar="FORM:PATH")]
    """Where to: npz:PATH or parquet:PATH."""
    actions: ActionKind = None
    overwrite: bool = False
    """Replace what is there."""

    def run(self) -> int:
        from extremal.data.ids import load_dataset, save_dataset
        from extremal.data.kinds import parse

        data = load_dataset(self.id, actions=parse(self.actions))
        print(f"{save_dataset(data, self.out, overwrite=self.overwrite)}: {data.rows} rows, hash {data.hash()[:16]}")
        return 0


@dataclasses.dataclass
class DataDifficulty:
    """How much better the best action of the data's behaviour is than the best of N that it draws: EMaQ's Delta(s, N)."""

    id: Positional[str]
    """Id of the data (`extremal data list`)."""
    run_path: Annotated[Path | None, arg(name="run", metavar="RUN")] = None
    """A run on this data with a critic, such as one of emaq."""
    behaviour: Annotated[Path | None, arg(metavar="RUN")] = None
    """A run on this data whose model of the behaviour is taken, instead of the first run's own."""
    samples: tuple[int, ...] = (1, 2, 5, 10, 20, 50, 100)
    """N, in the table's rows."""
    states: int = 256
    """How many of the data's states to look at."""
    draws: int = 2000
    """Actions drawn in each state; the best of them stands for the best of all."""
    first: bool = False
    """Look at the first states of episodes alone."""
    replica: int = 0
    """Of the run with the critic."""
    seed: int = 0
    """Of the states and the draws."""
    out: Path | None = None
    """Also draw it, as a PNG."""
    json: Json = False

    def run(self) -> int:
        from extremal.report.difficulty import difficulty_text, write_difficulty

        told = self._found()
        if self.json:
            print_json(told)
        else:
            print(difficulty_text(told))
        if self.out is not None:
            write_difficulty(told, self.out)
        return 0

    def _found(self) -> dict[str, Any]:
        from extremal.data.ids import load_dataset
        from extremal.runs.difficulty import asked, difficulty_of
        from extremal.runs.run import Run

        if self.run_path is None:
            raise ConfigError(
                "Delta(s, N) is of a critic and a model of the behaviour; train them, `extremal train emaq --dataset "
                f"{self.id} --out runs/emaq`, and give the run by --run runs/emaq. A run of another method with a critic does "
                "with a run of `extremal train behaviour` beside it, given by --behaviour"
            )
        given = {name: getattr(self, name) for name in ("samples", "states", "draws", "first", "replica", "seed")}
        model = None if self.behaviour is None else Run(self.behaviour)
        run = Run(self.run_path)
        asked(self.samples, self.states, self.draws, self.seed)
        found = difficulty_of(
            run, load_dataset(self.id, actions=run.plan.source.get("actions")), behaviour=model, **given
        ).to_json()
        paths = {"run": str(self.run_path), "behaviour": str(self.behaviour or self.run_path)}
        return {"data": self.id, "method": run.plan.method, **paths, "first": self.first, **found}


def _extras(name: str) -> str:
    """The extras of the installation that a named dataset needs to come about."""
    from extremal.data import adroit, builds

    if name in adroit.BUILDS:
        return "robotics"
    return "envs, formats" if builds.is_id(name) else "envs"
