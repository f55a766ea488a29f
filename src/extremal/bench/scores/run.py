"""The whole comparison, method by method: ours, then each peer, seed by seed; `scores.json` is written after every cell."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from extremal.bench.job import write_prepared
from extremal.bench.peers import LEARNERS, SERVE
from extremal.bench.pythons import place, python_with
from extremal.bench.scores import ours, theirs
from extremal.bench.scores.cells import FIGURE, NUMBERS, Cells
from extremal.bench.scores.options import Options, peers_of
from extremal.bench.scores.record import Record, record
from extremal.core import lock
from extremal.core.errors import ConfigError, PeerError, require
from extremal.core.files import atomic, unwritable, write_json
from extremal.data.dataset import Dataset
from extremal.data.ids import load_dataset
from extremal.data.transforms import apply
from extremal.envs.make import make
from extremal.runs.plan import Plan
from extremal.runs.simulator import NO_SIMULATOR
from extremal.runs.train import Watcher

Bars = Callable[[str, int], Watcher]
Say = Callable[[str], None]


class Comparison:
    """One under way in the folder `out`."""

    def __init__(self, out: Path, options: Options, data: Dataset, *, bar: Bars, say: Say):
        self.out, self.options, self.data, self.bar, self.say = out, options, data, bar, say
        self.cells, self.failures = Cells(out), list[str]()
        self.commands = _commands(options, self.failures, say)

    def run(self) -> Record:
        with tempfile.TemporaryDirectory(prefix="extremal-scores-") as folder:
            for method in self.options.methods:
                plan = ours.learn(method, self.options, self.cells, bar=self.bar)
                self.save()
                for name in peers_of(method, self.options):
                    if name in self.commands:
                        self._peer(name, plan, Path(folder) / f"{method}.npz")
                _draw(self.save(), self.out)
        return self.save()

    def save(self) -> Record:
        found = record(self.options, self.data, self.cells, self.failures)
        write_json(self.out / NUMBERS, found)
        return found

    def _peer(self, name: str, plan: Plan, rows: Path) -> None:
        method, updates = plan.method, self.options.updates
        missing = [seed for seed in range(self.options.seeds) if self.cells.read(method, name, seed) is None]
        if not missing:
            return
        if not rows.exists():
            write_prepared(apply(plan.prepare, self.data), rows)
        watch = self.bar(f"{method} {name}", updates * self.options.seeds)
        for number, seed in enumerate(missing, start=self.options.seeds - len(missing)):
            before = number * updates
            moved = lambda update, metrics, before=before: watch(before + update, metrics)  # noqa: E731
            try:
                cell = theirs.learn(name, self.commands[name], plan, rows, seed, self.options, watch=moved)
            except PeerError as error:
                self.failures.append(f"{method}, seed {seed}: {error}")
                continue
            self.cells.write(cell)
            self.save()
            self.say(_line(cell))


def scores(
    out: Path,
    options: Options,
    *,
    overwrite: bool = False,
    bar: Bars = lambda name, updates: lambda update, metrics: None,
    say: Say = lambda sentence: None,
) -> Record:
    """Compare, or go on with what is there, leave the files in the folder `out`, and return what `scores.json` holds.

    Args:
        overwrite: begin anew where `out` holds a comparison already.
        bar: gives a watcher for a part of so many updates. say: is told a sentence at the end of each.

    Raises:
        ConfigError: the data have no simulator or no vectors, or `out` holds another comparison; nothing is trained then.
        MissingExtraError: the simulator is not installed. RunError: `out` cannot be written, or another process is at work there.
        What `extremal.runs.run.train` raises. What befalls a peer is told in the record.
    """
    require("matplotlib", extra="report", purpose="a figure")
    data = load_dataset(options.dataset)
    _check(options, data)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(out, error) from error
    with lock.alone(out):
        Cells(out).begin(options.decisive() | {"hash": data.hash()}, overwrite=overwrite)
        return Comparison(out, options, data, bar=bar, say=say).run()


def _check(options: Options, data: Dataset) -> None:
    """Refuse data on which policies cannot be compared."""
    if data.card.actions is not None or len(data.spec.observation) != 1 or len(data.spec.action) != 1:
        raise ConfigError(f"{options.dataset} is not of vectors; the bench compares methods on vectors")
    judge = options.environment or data.card.environment
    if judge in (None, NO_SIMULATOR):
        raise ConfigError(
            f"{options.dataset} names no simulator, and scores are measured in one; name it by --environment ID"
        )
    make(judge, imports=options.environment is not None).close()  # whether it is there; `train` sees whether it fits


def _commands(options: Options, failures: list[str], say: Say) -> dict[str, list[str]]:
    """How each peer is started that has one of the methods and can be installed."""
    commands = {}
    for name in options.peers:
        peer = LEARNERS[name]
        if not any(method in peer.methods for method in options.methods):
            continue
        if not place(peer.packages).exists():
            say(f"{name} is installed, once; that takes minutes")
        try:
            commands[name] = [str(python_with(peer.packages)), str(SERVE), str(peer.side)]
        except PeerError as error:
            failures.append(f"{name}: {error}")
    return commands


def _line(cell: Mapping[str, Any]) -> str:
    """That a cell is finished, for who follows a log."""
    told = cell["failure"] or f"{cell['last']['score']:.1f} at the end, {cell['seconds']:,.0f} s of training"
    return f"{cell['method']}, {cell['program']}, seed {cell['seed']}: {told}"


def _draw(found: Record, out: Path) -> None:
    from extremal.bench.scores.draw import curves
    from extremal.report.style import png, styled

    with styled():
        image = png(curves(found), dpi=200)
    with atomic(out / FIGURE) as temporary:
        temporary.write_bytes(image)
