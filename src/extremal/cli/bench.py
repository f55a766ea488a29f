"""`extremal bench`: how fast the library is beside its peers, measured on this machine."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import arg

from extremal.bench.peers import METHODS, PEERS
from extremal.cli.console import Json, print_json, table


@dataclasses.dataclass
class Bench:
    """Gradient updates per second beside other libraries: same data, sizes and method, turn by turn. Wants an idle machine."""

    out: Path
    """Folder to write bench.json, figure.png and growth.png into."""
    methods: Annotated[tuple[str, ...], arg(metavar="METHOD...")] = METHODS
    """Those that are raced."""
    peers: Annotated[tuple[str, ...], arg(metavar="PEER...")] = tuple(PEERS)
    """Each is installed once, into a Python of its own in the cache folder (gigabytes, from the package index); empty: none."""
    dataset: str | None = None
    """Id of the data (`extremal data list`), instead of random ones of the size of D4RL's locomotion."""
    rows: int = 100_000
    """Of the random data."""
    width: int = 256
    """Of each hidden layer."""
    depth: int = 2
    """Hidden layers of each network."""
    batch: int = 256
    """Rows of an update."""
    updates: int | None = None
    """Of a round, for every program; default: as many as take each about five seconds."""
    rounds: int = 5
    """Turns of each program; medians over them are told."""
    threads: int | None = None
    """Of each program; default: every core."""
    grow: Annotated[tuple[str, ...], arg(metavar="{replicas,batch,width,rows}...")] = ()
    """Also measure the first method, the library alone, along these."""
    overwrite: bool = False
    """Replace a bench that is there already."""
    json: Json = False

    def run(self) -> int:
        from extremal.bench.measure import Options, bench
        from extremal.cli.progress import naming

        known = {field.name for field in dataclasses.fields(Options)}
        options = Options(**{name: value for name, value in vars(self).items() if name in known})
        with naming() as watch:
            record = bench(self.out, options, overwrite=self.overwrite, watch=watch)
        if self.json:
            print_json(record)
        else:
            _show(record, self.out)
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
