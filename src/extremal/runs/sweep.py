"""Many runs as the fewest compiled programs: number settings and seeds are replicas of one, everything else is one each.

A program's run lives in a folder named after its settings, so that it is found again, and goes on where it stopped.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from extremal.algorithms import registry
from extremal.core.checked import admitted
from extremal.core.errors import ConfigError, DivergedError, nearest, require
from extremal.core.files import atomic, write_json
from extremal.core.types import Follow
from extremal.data.ids import load_dataset
from extremal.io import config
from extremal.report.runs import Run as Finished
from extremal.report.runs import read_run
from extremal.report.style import png, styled
from extremal.report.sweep import draw_sweep
from extremal.runs.check import checked
from extremal.runs.plan import OPTIONS, replicas_of
from extremal.runs.run import Run, train
from extremal.runs.train import checkpoints

# What a sweep file may say besides its data sets and methods: of `train`, with the types that each may have.
TRAINING: dict[str, Any] = {
    "updates": int,
    "seeds": int | list,
    "evaluate_every": int,
    "episodes": int,
    "max_steps": int,
    "log_every": int,
    "holdout": float | int,
    "environment": str,
    "actions": str | int,
    "unchecked": bool,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Program:
    """One run: a method on a data set. Several values of a number setting are replicas in it."""

    label: str
    dataset: str
    settings: Any
    training: Mapping[str, Any]
    """What else `train` is told: updates, seeds, ..."""
    swept: Mapping[str, tuple[float, ...]] = dataclasses.field(default_factory=dict)

    @property
    def replicas(self) -> int:
        """Values times seeds."""
        return len(replicas_of(self.settings, self.training["seeds"], self.swept))

    @property
    def folder(self) -> str:
        """Where the run lives: readable, and another one for whatever would give other numbers."""
        training = {name: value for name, value in self.training.items() if name != "unchecked"}  # changes no number
        told = [type(self.settings).__name__, config.to_json(self.settings), training, self.dataset]
        text = json.dumps([*told, dict(self.swept)] if self.swept else told, sort_keys=True)
        name = f"{Path(self.dataset).name} {self.label}".lower()
        slug = "".join(c if c.isalnum() else "-" for c in name).strip("-")
        return f"{slug}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"

    def place(self, runs: Path) -> Path:
        """Its folder below `runs`: the one that is there, whatever the label under which the same was asked for, or its own."""
        there = sorted(runs.glob(f"*-{self.folder.rpartition('-')[2]}"))
        return there[0] if there else runs / self.folder

    def run(self, runs: Path, follow: Follow, *, said: str | None = None) -> Run:
        """Train it below `runs`, or what is left of it."""
        updates = self.training["updates"]
        return train(
            self.settings,
            self.dataset,
            out=self.place(runs),
            resume=True,
            sweep=self.swept,
            watch=lambda update, metrics: follow(said or self.label, update, updates),
            **self.training,
        )


def read_sweep(path: Path) -> tuple[Program, ...]:
    """The programs that a sweep file asks for, all of them checked.

    The file is TOML: `datasets = [...]`, `updates = ...` and whatever else `train` takes, and a table `[[method]]` for each
    method with its `name`, maybe a `preset`, `datasets` of its own, and settings: one value, or a list of values. "none"
    stands for none.

    Raises:
        ConfigError: says what is wrong in which table.
    """
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} is no sweep file: {error}") from error
    methods, datasets = given.pop("method", []), given.pop("datasets", [])
    if not (isinstance(methods, list) and methods and all(isinstance(table, dict) for table in methods)):
        raise ConfigError(f"{path} names no method; begin a table [[method]] with a name for each")
    training = {"updates": 100_000, "seeds": 1} | _training(given, path)
    programs = []
    for number, table in enumerate(methods, start=1):
        where = f"{path}, method {number}"
        own = table.pop("datasets", datasets)
        if not (isinstance(own, list) and own and all(isinstance(name, str) for name in own)):
            raise ConfigError(f"{where}: datasets is {own!r}; give a list of at least one id")
        try:
            programs += _programs(table, own, training)
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from error
    if len({program.folder for program in programs}) < len(programs):
        raise ConfigError(f"{path} asks for the same run twice; leave one of the equal [[method]] tables out")
    return tuple(programs)


def run_sweep(programs: Sequence[Program], out: Path, *, follow: Follow) -> list[Run]:
    """Train what is not trained yet below `out`/runs. A program of which every replica diverges is told of by its run.

    Raises:
        ConfigError, DataError, SpecError, MissingExtraError: a data set cannot be read, the check calls it wrong, a method cannot
            learn from it, or the results could not be drawn; nothing is trained then.
    """
    require("matplotlib", extra="report", purpose="the picture of a sweep")
    for name in dict.fromkeys(program.dataset for program in programs):
        own = [program for program in programs if program.dataset == name]
        data = load_dataset(name, actions=own[0].training.get("actions"))
        for program in own:
            program.settings.algorithm(data.spec, updates=program.training["updates"])
        if not all(checkpoints(program.place(out / "runs")) for program in own):
            checked(data, hash=data.hash(), unchecked=own[0].training.get("unchecked", False))
    finished = []
    for number, program in enumerate(programs, start=1):
        said = f"{number} of {len(programs)}: {program.label}, {Path(program.dataset).name}"
        try:
            finished.append(program.run(out / "runs", follow, said=said))
        except DivergedError:
            finished.append(Run(program.place(out / "runs")))
    return finished


def write_sweep(programs: Sequence[Program], runs: Sequence[Run], out: Path) -> list[dict[str, Any]]:
    """Write sweep.json, one entry for each combination of settings and data set, and sweep.png of it; gives the entries.

    Each says which run it is of. Without a simulator there is no score, and nothing to draw.
    """
    read = [read_run(run.path) for run in runs]
    judges = {
        run.dataset["name"]: run.judge[1] for run in read if run.judge
    }  # a run may end before its first evaluation
    found = [
        entry
        for program, run in zip(programs, read, strict=True)
        if run.dataset["environment"] is not None
        for entry in _entries(run, _varied(program, programs), judges.get(run.dataset["name"], "return"), out)
    ]
    write_json(out / "sweep.json", found)
    if found:
        with styled():
            picture = png(draw_sweep(found), dpi=160)
        with atomic(out / "sweep.png") as file:
            file.write_bytes(picture)
    return found


def _varied(program: Program, programs: Sequence[Program]) -> dict[str, Any]:
    """Of its settings, those in which programs of its kind differ on its data set."""
    kind = lambda one: (type(one.settings), one.dataset)  # noqa: E731
    alike = [config.to_json(one.settings) for one in programs if kind(one) == kind(program)]
    own = config.to_json(program.settings)
    return {name: value for name, value in own.items() if any(other[name] != value for other in alike)}


def _entries(run: Finished, varied: Mapping[str, Any], metric: str, out: Path) -> Iterator[dict[str, Any]]:
    """Its results by `metric`, and what they were made with; a mean of none: every seed diverged."""
    told = {
        "method": run.method,
        "dataset": run.dataset["name"],
        "run": run.path.relative_to(out).as_posix(),
        "data_hash": run.dataset["hash"],
        "updates": run.config["updates"],
    }
    results = {json.dumps(r["overrides"]): r for r in run.summary.get("results", []) if r["metric"] == metric}
    for group in run.groups:
        result = results.get(json.dumps(group.overrides), {})
        numbers = {name: result.get(name) for name in ("mean", "iqm", "low", "high", "per_seed", "seeds")}
        yield {**told, "settings": {**varied, **group.overrides}, "metric": metric, **numbers}


def _training(given: Mapping[str, Any], path: Path) -> dict[str, Any]:
    for name, value in given.items():
        if name not in TRAINING:
            raise nearest(name, [*TRAINING, "datasets", "method"], kind=f"entry of {path}")
        parts = value if isinstance(value, list) else [value]
        truth = TRAINING[name] is bool
        if not isinstance(value, TRAINING[name]) or any(
            isinstance(part, bool) != truth or isinstance(part, list) for part in parts
        ):
            raise ConfigError(f"{path}: {name} is {value!r}, of another type than `extremal train` takes")
        if name == "seeds" and not all(isinstance(seed, int) for seed in parts):
            raise ConfigError(f"{path}: seeds is {value!r}; give a number of seeds, or a list of seeds")
        if name in OPTIONS:
            admitted(f"{path}: {name}", value, OPTIONS[name])
    return dict(given)


def _programs(table: Mapping[str, Any], datasets: Sequence[str], training: Mapping[str, Any]) -> list[Program]:
    """Those of one [[method]]: the product of its lists, but for numbers, which are replicas."""
    rest = dict(table)
    name, preset = rest.pop("name", None), rest.pop("preset", None)
    if not isinstance(name, str):
        raise ConfigError("it has no name; `extremal algorithms` lists them")
    if not isinstance(preset, str | None):
        raise ConfigError(f"preset is {preset!r}; give the name of one, and begin a table for each of several")
    base = registry.method(name).default if preset is None else registry.preset(name, preset)
    one = {key: _value(value) for key, value in rest.items() if not isinstance(value, list)}
    many = {key: [_value(v) for v in value] for key, value in rest.items() if isinstance(value, list)}
    for key, values in many.items():
        if not values or any(value in values[:place] for place, value in enumerate(values)):
            raise ConfigError(f"{key} is {values}; give at least one value, and each once")
    base = config.from_json(base, one)
    numbers = config.sweepable(type(base))
    swept = {
        key: tuple(values)
        for key, values in many.items()
        if key in numbers and None not in values and getattr(base, key) is not None
    }
    replicas_of(base, training["seeds"], swept)
    choices = [[(key, value) for value in values] for key, values in many.items() if key not in swept]
    return [
        Program(
            label=" ".join([name, *(f"{key} {value}" for key, value in point)]),
            dataset=dataset,
            settings=config.from_json(base, dict(point)),
            training=training,
            swept=swept,
        )
        for dataset in datasets
        for point in itertools.product(*choices)
    ]


def _value(value: Any) -> Any:
    return None if value == "none" else value
