"""The demo: logged data from a MuJoCo maze, three methods trained on it, one table, one page."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from extremal.algorithms.bc import BC
from extremal.algorithms.iql import IQL
from extremal.algorithms.xql import XQL
from extremal.core.checked import admitted
from extremal.core.errors import RunError
from extremal.core.files import unwritable, write_json
from extremal.core.lock import alone
from extremal.core.ranges import Count
from extremal.data.ids import load_dataset
from extremal.runs.folder import content_of
from extremal.runs.plan import options
from extremal.runs.run import Run, train
from extremal.runs.train import Watcher

DATASET = "pointmaze-medium-goal"
FOLLOW = 0.02  # rate of the slow critic: the papers have 0.005 for 1,000,000 updates, here there are 30,000
METHODS: dict[str, Any] = {
    "xql": XQL(width=128, target_rate=FOLLOW),
    # The paper's AntMaze values: the rewards are the same.
    "iql": IQL(width=128, target_rate=FOLLOW, expectile=0.9, inverse_temperature=10.0),
    "bc": BC(width=128),
}


def demo(out: Path, *, updates: int, seeds: int, episodes: int, watch: Callable[[str], Watcher]) -> list[Run]:
    """Train the three methods into `out` (a demo that is there already is replaced) and write report and summary.

    Args:
        watch: gives the watcher of the method that starts.

    Raises:
        ConfigError: a count below one. Nothing is replaced then.
        RunError: `out` holds something else than a demo.
    """
    from extremal.report.page import write_report
    from extremal.report.picture import picture

    options(updates=updates, episodes=episodes)
    admitted("seeds", seeds, Count)
    _clear(out)
    write_json(out / "demo.json", {"updates": updates, "seeds": seeds, "episodes": episodes, "methods": list(METHODS)})
    data = load_dataset(DATASET)
    runs = [
        train(
            settings,
            data,
            updates=updates,
            seeds=seeds,
            episodes=episodes,
            evaluate_every=max(updates // 6, 1),
            out=out / name,
            watch=watch(name),
        )
        for name, settings in METHODS.items()
    ]
    paths = [run.path for run in runs]
    write_report(paths, out / "report.html", title="Three methods on the same logged data")
    picture(paths, out / "picture.png")
    results = [result for run in runs for result in run.results]
    seconds = {
        run.path.name: {k: run.summary[k] for k in ("compile_seconds", "train_seconds", "evaluate_seconds")}
        for run in runs
    }
    about = json.loads((out / "xql" / "summary.json").read_text(encoding="utf-8"))
    write_json(
        out / "summary.json",
        {
            "results": results,
            "seconds": seconds,
            "data_hash": about["data_hash"],
            "versions": about["versions"],
            "settings": {run.path.name: run.summary["settings"] for run in runs},
            "diverged": [d for run in runs for d in run.summary["diverged"]],
        },
    )
    return runs


def _clear(out: Path) -> None:
    """Take a demo that is there away, unless it is under way.

    Raises:
        RunError: something else is there, a process is at work in it, or it cannot be taken away.
    """
    there = content_of(out)
    if there and "demo.json" not in there:
        raise RunError(f"{out} holds something else than a demo; choose another --out")
    for name in METHODS:
        if name in there and (out / name).is_dir():
            with alone(out / name):
                pass
    try:
        if there:
            shutil.rmtree(out)
    except OSError as error:
        raise unwritable(out, error) from error
