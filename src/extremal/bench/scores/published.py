"""Published learning curves, for methods that no peer has: drawn where the data are the very set that they were measured on.

`EXTREMAL_DATA/results` holds them, as other libraries publish them; the licence of each lies beside it.
"""

from __future__ import annotations

import csv
import gzip
import os
from pathlib import Path
from typing import Any

from extremal.core.errors import DataError
from extremal.evaluation.scores import normalised

VARIABLE = "EXTREMAL_DATA"
_FILES = {
    "nnabla-rl": "nnabla_rl_curves.csv.gz"
}  # columns algo, env, seed, iteration, mean (return of 10 episodes), ...
_D4RL = "d4rl:"  # what is read so is D4RL's own file; other logs may share a name with it, and nothing else


def published(method: str, dataset: str, reference: str | None) -> dict[str, Any]:
    """Curves of one method on D4RL's set `reference`, and why there is none.

    Returns:
        `curves`: a list of {program, seed, curve: [{update, score}]}, perhaps empty; `because`: why it is.

    Raises:
        DataError: a file of curves is damaged.
    """
    curves, because = [], ""
    folder = os.environ.get(VARIABLE)
    if not dataset.startswith(_D4RL) or reference is None:
        because = f"{dataset} is not one of D4RL's sets, so that published curves say nothing of it"
    elif not folder:
        because = f"{VARIABLE} names no folder with results/ of other libraries"
    else:
        for program, name in _FILES.items():
            curves += _read(Path(folder) / "results" / name, program, method, reference)
        if not curves:
            because = f"no curve of {method} on {reference} is among the published ones"
    return {"method": method, "curves": curves, "because": because}


def _read(file: Path, program: str, method: str, reference: str) -> list[dict[str, Any]]:
    """A curve a seed; none where there is no such file."""
    if not file.exists():
        return []
    seeds: dict[int, list[dict[str, Any]]] = {}
    try:
        with gzip.open(file, "rt", newline="", encoding="utf-8") as lines:
            for row in csv.DictReader(lines):
                if (row["algo"], row["env"]) == (method, reference):
                    score = float(normalised(float(row["mean"]), reference))
                    seeds.setdefault(int(row["seed"]), []).append({"update": int(row["iteration"]), "score": score})
    except (OSError, EOFError, KeyError, ValueError, csv.Error) as error:
        raise DataError(f"holds no curves that can be read: {error}", file=file) from error
    return [{"program": f"{program}, published", "seed": seed, "curve": curve} for seed, curve in sorted(seeds.items())]
