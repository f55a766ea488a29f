"""The whole comparison: a race for each method, the library's own growth, and the files that hold them.

`bench.json` has everything, and is written after every race; `figure.png` and `growth.png` are drawn from it.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import platform
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from extremal.bench import growth
from extremal.bench.job import Job, call_size, synthetic, write_rows
from extremal.bench.peers import METHODS, OURS, PEERS, SERVE, check_names
from extremal.bench.pythons import place, python_with
from extremal.bench.race import Entry, Result, race, ratio
from extremal.core.errors import ConfigError, PeerError, require
from extremal.core.files import atomic, write_json
from extremal.core.types import Follow
from extremal.data.dataset import Dataset

Record = dict[str, Any]
NUMBERS, FIGURE, GROWTH = "bench.json", "figure.png", "growth.png"
OWN = "extremal"
BUSY = 0.5  # load a core before anything is measured, from which the figures are not to be quoted
INSIDE = {"batches": True, "updates": True, "compilation": False, "evaluation": False}  # of the seconds of a round


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """What is measured; `extremal bench --help` says what each means."""

    methods: Sequence[str] = METHODS
    peers: Sequence[str] = tuple(PEERS)
    dataset: str | None = None
    rows: int = 100_000
    width: int = 256
    depth: int = 2
    batch: int = 256
    updates: int | None = None
    rounds: int = 5
    threads: int | None = None
    grow: Sequence[str] = ()

    def __post_init__(self) -> None:
        check_names(self.methods, self.peers)
        growth.check(self.grow)
        for name in ("rows", "width", "depth", "batch", "updates", "rounds", "threads"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ConfigError(f"{name} is {value}; it must be at least 1")
        if self.cores > (there := len(os.sched_getaffinity(0))):
            raise ConfigError(f"threads is {self.cores}; this process may use {there} cores")
        if not self.methods:
            raise ConfigError(f"name a method at least: {', '.join(METHODS)}")

    @property
    def cores(self) -> int:
        return len(os.sched_getaffinity(0)) if self.threads is None else self.threads

    def job(self, method: str, data: Path, **changes: Any) -> Job:
        """What is asked for, or that at another size."""
        sizes = {"width": self.width, "batch": self.batch, "replicas": 1, **changes}
        call = call_size(method, width=sizes["width"], batch=sizes["batch"] * sizes["replicas"])
        call = call if self.updates is None else max(min(call, self.updates) // 2 * 2, 2)  # even, as delays are
        return Job(method=method, data=str(data), depth=self.depth, threads=self.cores, call=call, **sizes)


def bench(
    out: Path,
    options: Options,
    *,
    overwrite: bool = False,
    watch: Follow = lambda name, finished, total: None,
) -> Record:
    """Measure, write the files into the folder `out`, and return what `bench.json` holds.

    Raises:
        ConfigError: a file that exists where `overwrite` is false; nothing is measured then.
        PeerError: the library itself could not go on. What befalls a peer is told in the record.
        MissingExtraError: matplotlib is absent.
    """
    require("matplotlib", extra="report", purpose="a figure")
    files = [NUMBERS, FIGURE, *([GROWTH] if options.grow else [])]
    if (there := [out / name for name in files if (out / name).exists()]) and not overwrite:
        raise ConfigError(f"{there[0]} exists; choose another --out, or replace what is there by --overwrite")
    data = _data(options)
    record = _head(options, data)
    commands = _commands(options, record["failures"], watch)
    with tempfile.TemporaryDirectory(prefix="extremal-bench-") as folder:
        rows = Path(folder) / "rows.npz"
        write_rows(data, rows)
        for method in options.methods:
            record["rows"] += _race(method, commands, options, rows, record["failures"], watch)
            write_json(out / NUMBERS, record)
        for axis in options.grow:
            record["growth"].append(growth.along(axis, options, own_command(), data, rows, watch=watch))
            write_json(out / NUMBERS, record)
    _draw(record, out)
    return record


def own_command() -> list[str]:
    return [sys.executable, str(SERVE), str(OURS)]


def _data(options: Options) -> Dataset:
    if options.dataset is None:
        return synthetic(options.rows)
    from extremal.data.ids import load_dataset

    data = load_dataset(options.dataset)
    if data.card.actions is not None or len(data.spec.observation) != 1:
        raise ConfigError(f"{options.dataset} is not of vectors; the bench compares methods on vectors")
    return data


def _commands(options: Options, failures: list[str], watch: Follow) -> dict[str, list[str]]:
    """How each peer is started that has one of the methods and can be installed."""
    found = {}
    wanted = [name for name in options.peers if set(PEERS[name].methods) & set(options.methods)]
    for number, name in enumerate(wanted):
        peer = PEERS[name]
        there = place(peer.packages).exists()
        watch(f"{name} {'found' if there else 'is installed (minutes, once)'}", number, len(wanted))
        try:
            found[name] = [str(python_with(peer.packages)), str(SERVE), str(peer.side)]
        except PeerError as error:
            failures.append(f"{name}: {error}")
    return found


def _race(
    method: str, commands: dict[str, list[str]], options: Options, rows: Path, failures: list[str], watch: Follow
) -> list[Record]:
    job = options.job(method, rows)
    peers = [Entry(name=n, command=c, job=job) for n, c in commands.items() if method in PEERS[n].methods]
    told: Follow = lambda name, finished, total: watch(f"{method}: {name}", finished, total)  # noqa: E731
    entries = [Entry(name=OWN, command=own_command(), job=job, own=True), *peers]
    (own, *others), failed = race(entries, rounds=options.rounds, updates=options.updates, watch=told)
    failures += failed
    return [row(own, None), *(row(other, ratio(own, other)) for other in others)]


def row(result: Result, ours_to_it: float | None) -> Record:
    """What the record keeps of one program's race."""
    facts, job = result.facts, result.entry.job
    return {
        "method": job.method,
        "program": result.entry.name,
        "version": facts["versions"][result.entry.name],
        "updates_per_second": result.rate,
        "ours_to_it": ours_to_it,
        "rounds": result.rates,
        "cores": result.cores,
        "processor_seconds_per_update": [taken.processor_seconds / result.updates for taken in result.rounds],
        "first_call_seconds": facts["first_call"],
        "peak_bytes": facts["peak_bytes"],
        "updates_per_round": result.updates,
        "updates_per_call": job.call,
        **{name: facts[name] for name in ("device", "dtype", "differs", "versions")},
    }


def _head(options: Options, data: Dataset) -> Record:
    """What the record says before anything is measured."""
    spec, load = data.spec, os.getloadavg()[0]
    settings = dataclasses.asdict(options) | {"threads": options.cores, "rows": data.rows}
    settings |= {"observation": spec.observation[0], "action": spec.action[0], "data": data.card.name}
    return {
        "version": importlib.metadata.version(OWN),
        "machine": {
            "processor": _processor(),
            "platform": platform.platform(),
            "cores": len(os.sched_getaffinity(0)),
            "load": load,
            "busy": load > BUSY * options.cores,
            "xla_flags": os.environ.get("XLA_FLAGS", ""),
        },
        "settings": {name: list(v) if isinstance(v, tuple) else v for name, v in settings.items()},
        "inside": INSIDE,
        "rows": [],
        "growth": [],
        "failures": [] if options.peers else ["no peer is named: the library stands alone"],
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def _draw(record: Record, out: Path) -> None:
    from extremal.bench import draw
    from extremal.report.style import png, styled

    for name, drawing in ((FIGURE, draw.bars), (GROWTH, draw.growth if record["growth"] else None)):
        if drawing is not None:
            with styled():
                image = png(drawing(record), dpi=200)
            with atomic(out / name) as temporary:
                temporary.write_bytes(image)
