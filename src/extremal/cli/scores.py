"""The table of `extremal bench --scores`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from extremal.cli.console import table


def show(record: Mapping[str, Any], out: Path) -> None:
    """A line a method and peer, the notes, and where the rest is."""
    notes = list(dict.fromkeys(row["differs"] for row in record["rows"] if row["differs"]))
    header = ["method", "peer", "ours", "theirs", "difference", "90 %", "95 %", "verdict", "differs"]
    table(header, [_cells(row, notes) for row in record["rows"]])
    print()
    for number, note in enumerate(notes, start=1):
        print(f"[{number}] {note}")
    for row in record["rows"]:
        if row["peer"] and row["because"]:
            print(f"no verdict on {row['method']} beside {row['peer']}: {row['because']}")
    for entry in record["published"]:
        print(f"{entry['method']}: " + (entry["because"] or _published(entry["curves"])))
    options, unit = record["options"], "normalised score" if record["reference"] else "return"
    print(
        f"\n{unit.capitalize()} of the last checkpoint after {options['updates']:,} updates, mean of {options['last_episodes']} "
        f"episodes, mean ± deviation over {options['seeds']} seeds; difference: ours less theirs, with Welch intervals.\n"
        f"{record['data']['id']}, {record['data']['rows']:,} rows (hash {record['data']['hash'][:16]}), all of them, the same for "
        f"both; {options['depth']} hidden layers of {options['width']}, batch {options['batch']}; {record['environment']}"
    )
    for failure in record["failures"]:
        print(f"\nnot measured: {failure}")
    print(f"\n{out / 'scores.png'}, {out / 'scores.json'}")


def _cells(row: Mapping[str, Any], notes: list[str]) -> list[str]:
    ninety, ninety_five = (_interval(row["intervals"].get(level)) for level in ("0.9", "0.95"))
    return [
        row["method"],
        row["peer"] or "",
        _mean(row["ours"]),
        _mean(row["theirs"]),
        "" if row["difference"] is None else f"{row['difference']:+.1f}",
        ninety,
        ninety_five,
        row["verdict"] if row["peer"] else "no peer has it",
        f"[{notes.index(row['differs']) + 1}]" if row["differs"] else "",
    ]


def _published(curves: list[Mapping[str, Any]]) -> str:
    """The last points of published curves, which were measured elsewhere, at other sizes and budgets."""
    ends = [curve["curve"][-1] for curve in curves]
    return (
        f"{curves[0]['program']}, with its own sizes and simulator: "
        f"{_mean([end['score'] for end in ends])} after {max(end['update'] for end in ends):,} updates"
    )


def _mean(scores: list[float]) -> str:
    if not scores:
        return ""
    return f"{np.mean(scores):.1f}" + (f" ± {np.std(scores, ddof=1):.1f}" if len(scores) > 1 else "")


def _interval(ends: list[float] | None) -> str:
    return "" if ends is None else f"[{ends[0]:.1f}, {ends[1]:.1f}]"
