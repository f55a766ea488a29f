"""`extremal train METHOD`: the options of a run, and one flag for each setting of the method."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import arg

from extremal.cli.console import ActionKind, Json, print_json
from extremal.core.errors import ConfigError

if TYPE_CHECKING:
    from extremal.runs.run import Run

GOES_ON = "what was saved can be resumed by --resume"


@dataclasses.dataclass
class TrainOptions:
    """What every `extremal train METHOD` takes besides the method's settings."""

    dataset: str
    """Id of the data, e.g. pointmaze-medium-goal or npz:mine.npz (`extremal data list`)."""
    out: Path
    """Folder of the run; one that holds a run already is refused, unless --resume."""
    actions: ActionKind = None
    updates: int = 100_000
    """Of each replica."""
    seeds: tuple[int, ...] = (1,)
    """One number: how many seeds (0, 1, ...). Several: these seeds."""
    environment: str | None = None
    """Simulator to evaluate in, instead of the dataset's own: an id, also with arguments ('Pendulum-v1?g=1.0'), or
    module:Env-v0; none: train without one."""
    evaluate_every: int | None = None
    """Updates between evaluations and checkpoints; default: a tenth of the updates."""
    episodes: int = 20
    """Evaluation episodes per seed."""
    max_steps: int = 10_000
    """An evaluation episode that has not ended after so many steps is cut there, and the result says so."""
    log_every: int = 1000
    """Updates that a row of metrics.csv averages over."""
    holdout: float | None = None
    """Share of episodes kept from training, the same for every method; default: 0.1 where there is no simulator, 0.05 where there is
    one (and 40 episodes), 0 under a preset."""
    resume: bool = False
    """Go on with the run in --out, to the numbers that it would have come to uninterrupted (or `extremal train --resume OUT`)."""
    unchecked: bool = False
    """Train although the check of the data (`extremal data check`) calls something wrong."""
    initial: Annotated[Path | None, arg(name="from", metavar="RUN")] = None
    """Run of the same method to start from: with its weights in place of fresh ones, and its fitted transforms."""
    json: Json = False


def train_command(name: str, preset_name: str | None) -> type:
    """A dataclass with the options of a run and one flag per setting of the method; floats take several values."""
    from extremal.algorithms.registry import METHODS, preset
    from extremal.core.checked import bounds, declared
    from extremal.io.config import field_docs, field_types, sweepable

    known = METHODS[name]
    default = known.default if preset_name is None else preset(name, preset_name)
    cls, docs, ranged = type(default), field_docs(type(default)), declared(type(default))
    fields: list[Any] = []
    for field, hint in field_types(cls).items():
        value: Any = getattr(default, field)
        if field in sweepable(cls):
            hint, value = tuple[hint, ...], (value,)  # type: ignore[valid-type]
        described = f"{docs.get(field, '')} {bounds(ranged[field])}".strip()
        fields.append((field, Annotated[hint, arg(help=described)], dataclasses.field(default=value)))
    made = dataclasses.make_dataclass(
        f"Train{name}", fields, bases=(TrainOptions,), namespace={"run": _train, "goes_on": GOES_ON}
    )
    made.__doc__, made.method = f"{known.line}.", name  # type: ignore[attr-defined]
    return made


def _train(self: Any) -> int:
    from extremal.algorithms.registry import METHODS
    from extremal.cli.progress import bars
    from extremal.data.kinds import parse
    from extremal.io.config import from_json
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
            actions=parse(self.actions),
            evaluate_every=self.evaluate_every,
            episodes=self.episodes,
            max_steps=self.max_steps,
            log_every=self.log_every,
            holdout=self.holdout,
            resume=self.resume,
            unchecked=self.unchecked,
            initial=self.initial,
            watch=bar(self.method, self.updates),
        )
    show(run, json=self.json)
    return 0


def show(run: Run, *, json: bool) -> None:
    """Print the results of a finished run, and how to draw it and act with it."""
    from extremal.report.text import table as runs_table

    if json:
        print_json(run.summary)
    else:
        print(runs_table([run.path]))
        print(f"\n{run.path}; `extremal report {run.path}` draws it, `extremal.load({str(run.path)!r})` acts with it")


def _chosen(flags: Any, cls: type) -> tuple[dict[str, Any], dict[str, tuple[float, ...]]]:
    """The settings that the flags name, the first value of each; and those with several values."""
    from extremal.algorithms.registry import preset_called
    from extremal.io.config import field_types, sweepable

    many = {name: getattr(flags, name) for name in sweepable(cls)}
    for name, values in many.items():
        if not values:
            raise ConfigError(f"--{name.replace('_', '-')} needs a value, or several to sweep over")
    one = {name: many[name][0] if name in many else getattr(flags, name) for name in field_types(cls)}
    if one.get("preset") is not None:
        one["preset"] = preset_called(
            flags.method, one["preset"]
        ).settings.preset  # by the name that it is listed under
    return one, {name: values for name, values in many.items() if len(values) > 1}
