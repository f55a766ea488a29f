"""`extremal bench`: how fast the library is beside its peers, measured on this machine, and how well its policies do."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import arg

from extremal.cli.console import Json, print_json, table
from extremal.core.errors import ConfigError

_BOTH = ("methods", "peers", "dataset", "width", "depth", "batch", "updates", "threads")
_SPEED = ("rows", "rounds", "grow")
_SCORES = ("seeds", "evaluate_every", "episodes", "last_episodes", "reward_range", "environment")


@dataclasses.dataclass
class Bench:
    """The library beside others: gradient updates per second (wants an idle machine), or with --scores what their policies bring.

    Same data, sizes and method, each program in a Python of its own.
    """

    out: Path
    """Folder to write bench.json, figure.png and growth.png into; with --scores scores.json and scores.png, and it goes on there."""
    scores: bool = False
    """Train the library and its peers to the end, judge their policies in one simulator, and say which is better."""
    methods: Annotated[tuple[str, ...] | None, arg(metavar="METHOD...")] = None
    """Default: all of them (with --scores: iql td3bc bc cql awac)."""
    peers: Annotated[tuple[str, ...] | None, arg(metavar="PEER...")] = None
    """Each is installed once, into a Python of its own in the cache folder (gigabytes, from the package index); empty: none."""
    dataset: str | None = None
    """Id of the data (`extremal data list`), instead of random ones of the size of D4RL's locomotion."""
    width: int | None = None
    """Of each hidden layer; default: 256."""
    depth: int | None = None
    """Hidden layers of each network; default: 2."""
    batch: int | None = None
    """Rows of an update; default: 256."""
    updates: int | None = None
    """Of a round, for every program (default: as many as take each about five seconds); of each seed with --scores (100000)."""
    threads: int | None = None
    """Of each program; default: every core. With --scores: of each peer; default: 1."""
    rows: int | None = None
    """Speed only: of the random data; default: 100000."""
    rounds: int | None = None
    """Speed only: turns of each program, whose median is told; default: 5."""
    grow: Annotated[tuple[str, ...] | None, arg(metavar="{replicas,batch,width,rows}...")] = None
    """Speed only: also measure the first method, the library alone, along these."""
    seeds: int | None = None
    """Scores only: of each program; default: 5, and 4 are the least for a verdict."""
    evaluate_every: int | None = None
    """Scores only: updates between two points of a curve; default: a tenth of them all."""
    episodes: int | None = None
    """Scores only: of a point of a curve, and seed; default: 10."""
    last_episodes: int | None = None
    """Scores only: of the last checkpoint, on which the verdict rests; default: 20."""
    reward_range: Annotated[float | Literal["none"] | None, arg(metavar="SCALE|none")] = None
    """Scores only: iql and xql divide rewards by the range of returns and multiply by this; default: 1000; none: as they are."""
    environment: str | None = None
    """Scores only: the simulator, instead of the dataset's own."""
    overwrite: bool = False
    """Replace what is there already."""
    json: Json = False

    @property
    def goes_on(self) -> str | None:
        """About an interrupted one."""
        return "the same command goes on where it stopped" if self.scores else None

    def run(self) -> int:
        own, other = (_SCORES, _SPEED) if self.scores else (_SPEED, _SCORES)
        if strange := [name for name in other if getattr(self, name) is not None]:
            flag = f"--{strange[0].replace('_', '-')}"
            raise ConfigError(
                f"{flag} has no meaning with --scores" if self.scores else f"{flag} wants --scores beside it"
            )
        given = {name: value for name in (*_BOTH, *own) if (value := getattr(self, name)) is not None}
        return (self._compare if self.scores else self._race)(given)

    def _race(self, given: dict[str, Any]) -> int:
        from extremal.bench.measure import Options, bench
        from extremal.cli.progress import naming

        with naming() as watch:
            record = bench(self.out, Options(**given), overwrite=self.overwrite, watch=watch)
        if self.json:
            print_json(record)
        else:
            _show(record, self.out)
        return 0

    def _compare(self, given: dict[str, Any]) -> int:
        from extremal.bench.scores.options import Options
        from extremal.bench.scores.run import scores
        from extremal.cli.progress import saying
        from extremal.cli.scores import show

        if "dataset" not in given:
            raise ConfigError("scores are those of policies that learn from data: name them by --dataset ID")
        if given.get("reward_range") == "none":
            given["reward_range"] = None
        with saying() as (bar, say):
            record = scores(self.out, Options(**given), overwrite=self.overwrite, bar=bar, say=say)
        if self.json:
            print_json(record)
        else:
            show(record, self.out)
        return 0


def _show(record: dict[str, Any], out: Path) -> None:
    from extremal.bench.draw import threads

    settings, machine = record["settings"], record["machine"]
    notes = list(dict.fromkeys(row["differs"] for row in record["rows"] if row["differs"]))
    table(
        ["method", "program", "updates/s", "ours / it", "first call", "memory", "on", "busy", "type", "differs"],
        [_cells(row, threads(settings["threads"]), notes) for row in record["rows"]],
    )
    print()
    for number, note in enumerate(notes, start=1):
        print(f"[{number}] {note}")
    print(
        f"\nMedians of {settings['rounds']} rounds, programs in turn; {settings['depth']} hidden layers of "
        f"{settings['width']}, batch {settings['batch']}, {settings['rows']:,} rows. Drawing batches is inside; compilation "
        f"(first call) and evaluation are not; memory: the most that the process had; busy: how many cores it kept.\n{machine['processor']}, {machine['cores']} cores, load before "
        f"{machine['load']:.1f}"
        + ("; the machine was busy, which slows programs unequally: not to be quoted" if machine["busy"] else "")
    )
    for grown in record["growth"]:
        print(f"\n{grown['method']} along {grown['axis']}, all replicas together:")
        points = grown["points"]
        rows = [["updates/s", *(f"{p['updates_per_second']:,.1f}" for p in points)], ["memory", *map(_memory, points)]]
        table(["", *(f"{p['value']:,}" for p in points)], rows)
    for failure in record["failures"]:
        print(f"\nnot measured: {failure}")
    print(f"\n{out / 'figure.png'}, {out / 'bench.json'}")


def _cells(row: dict[str, Any], cpu: str, notes: list[str]) -> list[str]:
    return [
        row["method"],
        f"{row['program']} {row['version']}",
        f"{row['updates_per_second']:,.1f}",
        "" if row["ours_to_it"] is None else f"{row['ours_to_it']:.2f}",
        f"{row['first_call_seconds']:.1f} s",
        _memory(row),
        cpu if row["device"] == "cpu" else row["device"],
        f"{row['cores']:.1f}",
        row["dtype"],
        f"[{notes.index(row['differs']) + 1}]" if row["differs"] else "",
    ]


def _memory(measured: dict[str, Any]) -> str:
    return f"{peak / 2**30:.2f} GiB" if (peak := measured["peak_bytes"]) else ""
