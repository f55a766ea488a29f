"""The command line: it parses, calls the library, and prints. The only place that imports the command-line library."""

from __future__ import annotations

import dataclasses
import itertools
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Union

import tyro
from rich.console import Console
from rich.table import Table
from tyro.conf import OmitArgPrefixes, OmitSubcommandPrefixes, Positional, arg, subcommand

from extremal.core.errors import ConfigError, ExtremalError, nearest

Json = Annotated[bool, arg(help="Print one JSON value instead of a table.")]


@dataclasses.dataclass
class Demo:
    """Generate maze data, train XQL, IQL and BC on it, evaluate them, and write a report."""

    out: Path = Path("runs/demo")
    """Folder of the demo; a demo that is there is replaced."""
    updates: int = 30_000
    seeds: int = 3
    episodes: int = 20
    """Evaluation episodes per seed."""

    def run(self) -> int:
        from extremal.cli_progress import bars
        from extremal.demo import demo
        from extremal.report.text import table

        with bars() as bar:
            runs = demo(
                self.out,
                updates=self.updates,
                seeds=self.seeds,
                episodes=self.episodes,
                watch=lambda name: bar(name, self.updates),
            )
        print(table([run.path for run in runs]))
        print(f"\n{self.out / 'report.html'}: curves, value maps, settings\n{self.out / 'summary.json'}: the numbers")
        return 0


@dataclasses.dataclass
class TrainOptions:
    """What every `extremal train METHOD` takes besides the method's settings."""

    dataset: str
    """Id of the data, e.g. pointmaze-medium-goal or npz:mine.npz (`extremal data list`)."""
    out: Path
    """Folder of the run; refused if it exists, unless --resume."""
    updates: int = 100_000
    seeds: tuple[int, ...] = (1,)
    """One number: how many seeds (0, 1, ...). Several: these seeds."""
    preset: str | None = None
    """Settings as printed for a benchmark (`extremal algorithms METHOD`); flags still win over it."""
    environment: str | None = None
    """Simulator to evaluate in, instead of the dataset's own."""
    evaluate_every: int | None = None
    """Updates between evaluations and checkpoints; default: a tenth of the updates."""
    episodes: int = 20
    """Evaluation episodes per seed."""
    log_every: int = 1000
    """Updates that a row of metrics.csv averages over."""
    holdout: float | None = None
    """Share of episodes kept from training; default: 0.1 where there is no simulator, else 0."""
    resume: bool = False
    """Go on with the run in --out, to the numbers that it would have come to uninterrupted."""
    json: Json = False


@dataclasses.dataclass
class Evaluate:
    """Let a trained run act in its simulator."""

    run_path: Annotated[Positional[Path], arg(metavar="RUN")]
    episodes: int = 100
    seed: int = 0
    environment: str | None = None
    """Simulator, instead of the dataset's own."""
    json: Json = False

    def run(self) -> int:
        from extremal.runs.run import Run

        found = Run(self.run_path).evaluate(episodes=self.episodes, seed=self.seed, environment=self.environment)
        if self.json:
            _print_json(found.to_json())
        else:
            print(found)
        return 0


@dataclasses.dataclass
class Report:
    """Write one HTML page from one or more runs."""

    runs: Annotated[Positional[tuple[Path, ...]], arg(metavar="RUN...")]
    out: Path = Path("report.html")
    title: str = "Results"

    def run(self) -> int:
        from extremal.report.page import write_report
        from extremal.report.text import table

        print(table(self.runs))
        print(write_report(self.runs, self.out, title=self.title))
        return 0


@dataclasses.dataclass
class Algorithms:
    """List the methods; with a name, its settings and presets."""

    name: Annotated[Positional[str | None], arg(metavar="METHOD")] = None
    json: Json = False

    def run(self) -> int:
        from extremal.algorithms.registry import METHODS, method
        from extremal.io.config import describe, field_docs, field_types, to_json

        if self.name is None:
            if self.json:
                _print_json({n: {"line": m.line, "paper": m.paper, "differs": m.differs} for n, m in METHODS.items()})
            else:
                _table(
                    ["method", "what it is", "paper", "departs from it"],
                    [[n, m.line, m.paper, m.differs] for n, m in METHODS.items()],
                )
            return 0
        known = method(self.name)
        if self.json:
            presets = {n: {"settings": to_json(p.settings), "source": p.source} for n, p in known.presets.items()}
            _print_json({"settings": to_json(known.default), "presets": presets})
            return 0
        types, docs = field_types(type(known.default)), field_docs(type(known.default))
        values = to_json(known.default)
        _table(
            ["setting", "default", "type", "meaning"],
            [[n, str(values[n]), describe(t), docs.get(n, "")] for n, t in types.items()],
        )
        if known.presets:
            _table(["preset", "source"], [[n, p.source] for n, p in known.presets.items()])
        return 0


# ---- data ----------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class DataList:
    """The forms of dataset ids, and the names that Extremal generates itself."""

    json: Json = False

    def run(self) -> int:
        from extremal.data.ids import KINDS, names

        rows = [[k.form, k.reads, k.extra or ""] for k in KINDS.values()]
        rows += [[name, how, "robotics" if name.startswith("adroit") else "envs"] for name, how in names().items()]
        if self.json:
            _print_json([dict(zip(("id", "reads", "extra"), row, strict=True)) for row in rows])
        else:
            _table(["id", "what it reads", "extra"], rows)
        return 0


@dataclasses.dataclass
class DataCheck:
    """Report on a dataset; exits with 1 on what makes training wrong."""

    id: Positional[str]
    json: Json = False

    def run(self) -> int:
        from extremal.data.check import check_dataset
        from extremal.data.ids import load_dataset
        from extremal.report.check import check_text

        report = check_dataset(load_dataset(self.id))
        print(json.dumps(report.to_json(), indent=1) if self.json else check_text(report.to_json()))
        return 0 if report.ok else 1


@dataclasses.dataclass
class DataGenerate:
    """Generate a maze dataset of your own size and seed, and write it to a file."""

    name: Positional[str]
    out: str
    """Where to: npz:PATH or parquet:PATH."""
    rows: int = 1_000_000
    seed: int = 0

    def run(self) -> int:
        from extremal.cli_progress import counting
        from extremal.data import pointmaze
        from extremal.data.ids import save_dataset

        with counting("generating") as progress:
            data = pointmaze.generate(self.name, rows=self.rows, seed=self.seed, progress=progress)
        print(f"{save_dataset(data, self.out)}: {data.rows} rows, {data.episodes} episodes, hash {data.hash()[:16]}")
        return 0


@dataclasses.dataclass
class DataBuild:
    """Build a dataset from recordings by replaying them in a simulator."""

    name: Positional[Literal["adroit-door-human"]]
    source: Path
    """The recordings: an .npz of demonstrations."""
    out: str | None = None
    """Also write it to npz:PATH or parquet:PATH; it is kept under its name in any case."""

    def run(self) -> int:
        from extremal.data.adroit import BUILDS
        from extremal.data.cache import save_built
        from extremal.data.ids import save_dataset

        data = BUILDS[self.name](self.source)
        save_built(self.name, data)
        if self.out is not None:
            save_dataset(data, self.out)
        print(
            f"{self.name}: {data.rows} rows, {data.episodes} episodes, mean return {data.returns.mean():.1f}, hash {data.hash()[:16]}"
        )
        return 0


@dataclasses.dataclass
class DataConvert:
    """Write any dataset as Extremal's .npz or as Parquet."""

    id: Positional[str]
    out: Positional[str]
    overwrite: bool = False

    def run(self) -> int:
        from extremal.data.ids import load_dataset, save_dataset

        data = load_dataset(self.id)
        print(f"{save_dataset(data, self.out, overwrite=self.overwrite)}: {data.rows} rows, hash {data.hash()[:16]}")
        return 0


@dataclasses.dataclass
class Data:
    """List, check, build, generate and convert datasets."""

    command: (
        Annotated[DataList, subcommand("list")]
        | Annotated[DataCheck, subcommand("check")]
        | Annotated[DataBuild, subcommand("build")]
        | Annotated[DataGenerate, subcommand("generate")]
        | Annotated[DataConvert, subcommand("convert")]
    )

    def run(self) -> int:
        return self.command.run()


# ---- train ---------------------------------------------------------------------------------------------------------------


def train_command(name: str, preset_name: str | None) -> type:
    """A dataclass with the options of a run and one flag per setting of the method; floats take several values."""
    from extremal.algorithms.registry import METHODS, preset
    from extremal.io.config import field_docs, field_types, sweepable

    known = METHODS[name]
    default = known.default if preset_name is None else preset(name, preset_name)
    cls, docs = type(default), field_docs(type(default))
    fields: list[Any] = []
    for field, hint in field_types(cls).items():
        value: Any = getattr(default, field)
        if field in sweepable(cls):
            hint, value = tuple[hint, ...], (value,)  # type: ignore[valid-type]
        fields.append((field, Annotated[hint, arg(help=docs.get(field, ""))], dataclasses.field(default=value)))
    made = dataclasses.make_dataclass(f"Train{name}", fields, bases=(TrainOptions,), namespace={"run": _train})
    made.__doc__, made.method = f"{known.line}.", name  # type: ignore[attr-defined]
    return made


def _train(self: Any) -> int:
    from extremal.algorithms.registry import METHODS
    from extremal.cli_progress import bars
    from extremal.io.config import from_json
    from extremal.report.text import table
    from extremal.runs.run import train

    default = METHODS[self.method].default
    single, swept = _chosen(self, type(default))
    with bars() as bar:
        run = train(
            from_json(default, single),
            self.dataset,
            updates=self.updates,
            out=self.out,
            sweep=swept,
            seeds=self.seeds[0] if len(self.seeds) == 1 else self.seeds,
            environment=self.environment,
            evaluate_every=self.evaluate_every,
            episodes=self.episodes,
            log_every=self.log_every,
            holdout=self.holdout,
            resume=self.resume,
            watch=bar(self.method, self.updates),
        )
    if self.json:
        _print_json(run.summary)
    else:
        print(table([run.path]))
        print(f"\n{run.path}; `extremal report {run.path}` draws it, `extremal.load({str(run.path)!r})` acts with it")
    return 0


def _chosen(flags: Any, cls: type) -> tuple[dict[str, Any], dict[str, tuple[float, ...]]]:
    """The settings that the flags name, the first value of each; and those with several values."""
    from extremal.io.config import field_types, sweepable

    many = {name: getattr(flags, name) for name in sweepable(cls)}
    for name, values in many.items():
        if not values:
            raise ConfigError(f"--{name.replace('_', '-')} needs a value, or several to sweep over")
    one = {name: many[name][0] if name in many else getattr(flags, name) for name in field_types(cls)}
    return one, {name: values for name, values in many.items() if len(values) > 1}


# ---- entry ---------------------------------------------------------------------------------------------------------------


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; errors of ours are one sentence and exit code 2."""
    argv = list(sys.argv[1:] if argv is None else argv)
    try:
        command: Any = tyro.cli(
            _commands(argv),
            args=argv,
            prog="extremal",
            description="Learn policies from logged data: Extreme Q-Learning and the methods it is measured against.",
            config=(OmitSubcommandPrefixes, OmitArgPrefixes),
        )
        return command.run()
    except ExtremalError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; what was saved can be resumed by --resume", file=sys.stderr)
        return 130


def _commands(argv: Sequence[str]) -> Any:
    """All commands; `train` is built for the preset that the arguments name, so that its values are the defaults."""
    from extremal.algorithms.registry import METHODS

    words = [word for a in argv for word in (a.split("=", 1) if a.startswith("--preset=") else [a])]
    wanted = next((b for a, b in itertools.pairwise(words) if a == "--preset"), None)
    asked = argv[1] if len(argv) > 1 and argv[0] == "train" and not argv[1].startswith("-") else None
    if asked is not None and asked not in METHODS:
        raise nearest(asked, METHODS, kind="method")
    methods = {name: train_command(name, wanted if name == asked else None) for name in METHODS}
    made = dataclasses.make_dataclass(
        "Train", [("method", _either(methods))], namespace={"run": lambda self: self.method.run()}
    )
    made.__doc__ = "Train a method on logged data; `extremal train METHOD --help` lists its settings."
    return _either(
        {"demo": Demo, "train": made, "evaluate": Evaluate, "data": Data, "report": Report, "algorithms": Algorithms}
    )


def _either(commands: dict[str, type]) -> Any:
    """One of several subcommands, by name."""
    return Union[tuple(Annotated[command, subcommand(name)] for name, command in commands.items())]  # noqa: UP007


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    drawn = Table(*header, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        drawn.add_row(*row)
    Console().print(drawn)


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=1, allow_nan=False))
