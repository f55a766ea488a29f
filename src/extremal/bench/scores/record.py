"""What `scores.json` holds: every cell, and for each method and peer the difference, its intervals and the verdict."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from extremal.bench.scores.cells import Cell, Cells
from extremal.bench.scores.options import Options, peers_of
from extremal.bench.scores.ours import OWN
from extremal.bench.scores.published import published
from extremal.bench.scores.verdict import LEAST, verdict, welch
from extremal.data.dataset import Dataset
from extremal.runs.judge import evaluation_seed

Record = dict[str, Any]
LEVELS = (0.9, 0.95)


def record(options: Options, data: Dataset, cells: Cells, failures: Sequence[str]) -> Record:
    """All that is known so far; what is not finished is absent."""
    rows, found, others = [], [], []
    for method in options.methods:
        own = _of(cells, method, OWN, options.seeds)
        found += own
        for name in peers_of(method, options):
            other = _of(cells, method, name, options.seeds)
            found += other
            rows.append(compared(method, name, own, other, points=data.card.reference is not None))
        if not peers_of(method, options):
            rows.append(compared(method, None, own, [], points=data.card.reference is not None))
            others.append(published(method, options.dataset, data.card.reference))
    return {
        "version": importlib.metadata.version("extremal"),
        "options": options.decisive() | {"methods": list(options.methods), "peers": list(options.peers)},
        "data": {"id": options.dataset, "name": data.card.name, "hash": data.hash(), "rows": data.rows},
        "environment": options.environment or data.card.environment,
        "reference": data.card.reference,
        "points": options.points,
        "evaluation_seeds": {
            str(seed): {str(update): evaluation_seed(seed, update) for update in options.points}
            for seed in range(options.seeds)
        },
        "rows": rows,
        "cells": found,
        "published": others,
        "failures": list(failures),
    }


def _of(cells: Cells, method: str, program: str, seeds: int) -> list[Cell]:
    return [cell for seed in range(seeds) if (cell := cells.read(method, program, seed)) is not None]


def compared(
    method: str, peer: str | None, own: Sequence[Cell], other: Sequence[Cell], *, points: bool
) -> dict[str, Any]:
    """One row of the table."""
    mine, its = _scores(own), _scores(other)
    row: dict[str, Any] = {
        "method": method,
        "peer": peer,
        "ours": mine,
        "theirs": its,
        "differs": other[0]["facts"]["differs"] if other else "",
        "difference": float(np.mean(mine) - np.mean(its)) if mine and its else None,
        "intervals": {},
        "verdict": "no verdict",
        "because": _silence(own, other),
    }
    if min(len(mine), len(its)) > 1:
        row["intervals"] = {str(level): list(welch(mine, its, level)[1:3]) for level in LEVELS}
    if not row["because"]:
        row["verdict"] = verdict(welch(mine, its, LEVELS[0]), points=points)
    return row


def _scores(cells: Sequence[Cell]) -> list[float]:
    """Of the last checkpoints, a seed each; a seed that diverged has none."""
    return [cell["last"]["score"] for cell in cells if cell["last"] is not None]


def _silence(own: Sequence[Mapping[str, Any]], other: Sequence[Mapping[str, Any]]) -> str:
    """Why there is no verdict; nothing where there may be one."""
    if fallen := [cell for cell in (*own, *other) if cell["failure"]]:
        return f"{fallen[0]['program']}, seed {fallen[0]['seed']}, {fallen[0]['failure']}"
    enough = min(len(own), len(other)) >= LEAST
    return "" if enough else f"{len(own)} seeds of ours and {len(other)} of theirs; {LEAST} of each are the least"
