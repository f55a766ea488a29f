"""A run directory, read back: settings, curves, results. Nothing here trains or draws."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from extremal.core.errors import RunError
from extremal.core.files import read_json
from extremal.io.log import KEYS, SUMMARY_AGAIN, WITHOUT_DIVERGED, damaged, read_table
from extremal.report.check import finding_text

_TOLD = 4  # settings in a run's name, at most

Columns = dict[str, np.ndarray]

SPELT = {  # methods whose name is not its registered one in capitals
    "bc10": "10%BC",
    "td3bc": "TD3+BC",
    "onestep": "Onestep",
    "emaq": "EMaQ",
    "behaviour": "behaviour",
}

# What an evaluation can be judged by, best first: column of evaluations.csv, name in summary.json, words for an axis.
JUDGES = (
    ("score", "normalised_score", "normalised score"),
    ("success", "success_rate", "success rate"),
    ("return", "return", "return"),
)


_OF_CONFIG: dict[str, Any] = {
    "settings": dict,
    "updates": int,
    "versions": dict,
    "check": dict,
    "initial": dict,
    "extensions": list,
}
_OF_DATASET: dict[str, Any] = {
    "id": str,
    "name": str,
    "hash": str,
    "environment": str | None,
    "reference": str | None,
    "recipe": dict,
    "statistics": dict,
}
_OF_A_RESULT = ("dataset", "metric", "mean", "seeds", "updates", "updates_per_second")


@dataclass(frozen=True)
class Group:
    """Replicas that differ by their seed alone."""

    label: str
    overrides: dict[str, Any]
    replicas: tuple[int, ...]


@dataclass(frozen=True)
class Run:
    """What a run directory holds. `summary` is empty, `maze` and `calibration` None where the run has not got so far, or has none."""

    path: Path
    config: dict[str, Any]
    summary: dict[str, Any]
    divergences: list[Any]
    metrics: Columns  # one row a chunk and replica
    evaluations: Columns  # one row an evaluation episode
    maze: dict[str, np.ndarray] | None
    calibration: dict[str, np.ndarray] | None  # of its model of the behaviour

    @property
    def method(self) -> str:
        name = str(self.config["method"])
        return SPELT.get(name, name.upper())

    @property
    def dataset(self) -> dict[str, Any]:
        return self.config["dataset"]

    @property
    def settings(self) -> dict[str, Any]:
        return self.config.get("settings", {})

    @property
    def results(self) -> list[dict[str, Any]]:
        """As in summary.json, with the number of seeds as `seeds`; of held-out numbers those that judge a fit."""
        count = lambda seeds: len(seeds) if isinstance(seeds, list) else seeds  # noqa: E731
        results = self.summary.get("results", [])
        return [result | {"seeds": count(result["seeds"])} for result in results if _judges(result["metric"])]

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """One per combination of swept settings, in the order of the replicas."""
        found: dict[str, Group] = {}
        for number, replica in enumerate(self.config["replicas"]):
            overrides = replica.get("overrides", {})
            name = ", ".join(f"{key} {value_text(value)}" for key, value in overrides.items())
            before = found.get(name, Group(name, overrides, ()))
            found[name] = Group(name, overrides, (*before.replicas, number))
        return tuple(found.values())

    @cached_property
    def judge(self) -> tuple[str, str, str] | None:
        """The best measure that the evaluations hold; None without a simulator."""
        for judge in JUDGES:
            if np.isfinite(self.evaluations.get(judge[0], np.empty(0))).any():
                return judge
        return None

    @property
    def reached(self) -> int:
        """The last update that the metrics tell of."""
        update = self.metrics.get("update", np.empty(0))
        return int(update.max()) if update.size else 0

    @property
    def alarms(self) -> list[str]:
        """One sentence per identity of the density ratios that the run misses."""
        return list(self.summary.get("alarms", []))

    @property
    def check(self) -> list[str]:
        """One sentence for each warning of the data's check, and for each error that was let pass."""
        check = self.config.get("check", {})
        sentences = ["the data are trained on although their check calls them wrong"] if check.get("unchecked") else []
        findings = check.get("findings", [])
        sentences = sentences if any(finding["level"] == "error" for finding in findings) else []
        return sentences + [f"{finding['level']}: {finding_text(finding)}" for finding in findings]

    @property
    def course(self) -> list[str]:
        """One sentence for the run that it started from, and for each time that it was made longer."""
        origin, sentences = self.config.get("initial"), []
        if origin:
            sentences.append(
                f"started from {origin['path']} at update {origin['update']:,} (SHA-256 {origin['sha256'][:12]})"
            )
        for one in self.config.get("extensions", []):
            laid = f": {', '.join(one['laid_anew'])} laid anew over {one['to']:,} updates" if one["laid_anew"] else ""
            sentences.append(f"extended from {one['from']:,} to {one['to']:,} updates at update {one['at']:,}{laid}")
        return sentences

    @property
    def diverged(self) -> list[str]:
        """One sentence per replica that left the finite numbers."""
        return [_told(item) for item in self.divergences]


def read_run(path: Path) -> Run:
    """Read a run directory.

    Raises:
        RunError: `path` is no run directory, or a file in it is damaged; names the file and the line.
    """
    config = read_json(path / "config.json")
    if config is None:
        raise RunError(f"{path} is no run directory: it has no config.json; give the folder that `--out` named")
    _check_kinds(path / "config.json", config)
    summary, fallen = path / "summary.json", path / "diverged.json"
    maze, calibration = path / "maze.npz", path / "calibration.npz"
    results = read_json(summary, advice=SUMMARY_AGAIN) or {}
    run = Run(
        path=path,
        config=config,
        summary=results,
        divergences=results.get("diverged") or read_json(fallen, list, advice=WITHOUT_DIVERGED) or [],
        metrics=_columns(path / "metrics.csv"),
        evaluations=_columns(path / "evaluations.csv"),
        maze=_arrays(maze, "extent x y walls offsets trajectories start goal") if maze.exists() else None,
        calibration=_arrays(calibration, "share low high") if calibration.exists() else None,
    )
    with _whole(path / "config.json", "restore it from a copy"):
        _ = run.groups, run.check, run.course, run.dataset["name"], run.dataset["hash"][:12]
        _ = {**run.settings}, {**config.get("versions", {})}, config.get("updates", 0) + 0
    with _whole(
        summary if results.get("diverged") else fallen, SUMMARY_AGAIN if results.get("diverged") else WITHOUT_DIVERGED
    ):
        _ = run.diverged
    with _whole(summary, SUMMARY_AGAIN):
        _ = run.alarms, [[result[key] for key in _OF_A_RESULT] for result in run.results]
    return run


def _check_kinds(file: Path, config: dict[str, Any]) -> None:
    """What a report reads of config.json is of the kind that a run writes; what may be absent may be."""
    for field, kind in (("method", str), ("replicas", list), ("dataset", dict)):
        if not isinstance(config.get(field), kind) or not config[field]:
            raise RunError(f"{file} has no '{field}'; the file is damaged or of another format")
    for holder, kinds in ((config, _OF_CONFIG), (config["dataset"], _OF_DATASET)):
        for field, kind in kinds.items():
            if field in holder and (not isinstance(holder[field], kind) or isinstance(holder[field], bool)):
                raise RunError(f"{file} is damaged: '{field}' is {str(holder[field])[:60]!r}; restore it from a copy")


@contextmanager
def _whole(file: Path, advice: str) -> Iterator[None]:
    """A value of the wrong kind inside is damage of this file."""
    try:
        yield
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise RunError(f"{file} is damaged: {type(error).__name__} {error}; {advice}") from error


def read_runs(paths: Sequence[Path]) -> list[Run]:
    """Read run directories, in this order."""
    if not paths:
        raise RunError("no run was given; name at least one run directory")
    return [read_run(Path(path)) for path in paths]


def names(runs: Sequence[Run]) -> list[str]:
    """A short name for each run: the method, and what tells it apart from the others of it: settings, data, or else the folder."""
    labels = [", ".join([run.method, *_apart(run, [one for one in runs if one.method == run.method])]) for run in runs]
    return [
        name if labels.count(name) == 1 else f"{name} ({run.path.resolve().name})"
        for name, run in zip(labels, runs, strict=True)
    ]


def _apart(run: Run, alike: Sequence[Run]) -> list[str]:
    """The settings in which runs of one method differ, where these are few, and the data, where they differ."""
    swept = {name for one in alike for group in one.groups for name in group.overrides}  # told of each result
    differ = [
        name
        for name, value in run.settings.items()
        if name not in swept and any(one.settings.get(name) != value for one in alike)
    ]
    settings = [f"{name} {value_text(run.settings[name])}" for name in differ] if len(differ) <= _TOLD else []
    data = [one.dataset.get("name") for one in alike]
    return settings + [str(run.dataset.get("name"))] * any(name != data[0] for name in data)


def curves(columns: Columns, name: str, replicas: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Updates [P] and values [S, P] of column `name`: the mean of a replica's rows at each update, NaN where it has none."""
    if name not in columns:
        return np.empty(0), np.empty((len(replicas), 0))
    updates = np.unique(columns["update"])
    values = np.full((len(replicas), len(updates)), np.nan)
    for number, replica in enumerate(replicas):
        rows = (columns["replica"] == replica) & np.isfinite(columns[name])
        at = np.searchsorted(updates, columns["update"][rows])
        count = np.bincount(at, minlength=len(updates))
        total = np.bincount(at, weights=columns[name][rows], minlength=len(updates))
        values[number, count > 0] = total[count > 0] / count[count > 0]
    some = np.isfinite(values).any(axis=0)
    return updates[some], values[:, some]


def value_text(value: Any) -> str:
    """A setting as a person writes it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    return "none" if value is None else str(value)


def _judges(metric: str) -> bool:
    """Whether a metric belongs into a table; the rest is in the figures. A learned scalar (`log_...`) is no fit to the data."""
    name = metric.removeprefix("heldout/")
    return name == metric or (not name.startswith("log_") and name.endswith(("/loss", "/mean", "v/weight")))


def _told(divergence: Any) -> str:
    """The advice that goes with a divergence, or else where it was."""
    if not isinstance(divergence, dict):
        return str(divergence)
    where = "replica {replica} left the finite numbers at update {update}, first seen in {metric}"
    return divergence["advice"] if "advice" in divergence else where.format_map(divergence)


def _columns(path: Path) -> Columns:
    """Columns of a CSV file as float64; an empty cell is NaN, and a missing or empty file has no columns."""
    if not path.exists():
        return {}
    names, rows = read_table(path)
    if names and (missing := [name for name in KEYS if name not in names]):
        raise damaged(path, 1, f"there is no column {missing[0]!r}")
    if not rows:
        return {}
    table = [[np.nan if row[name] == "" else row[name] for name in names] for _, row in rows]
    return dict(zip(names, np.asarray(table, np.float64).T, strict=True))


def _arrays(path: Path, needs: str) -> dict[str, np.ndarray]:
    """The arrays of an archive, among them those whose names `needs` lists."""
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
    except (ValueError, TypeError, OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise RunError(f"{path} is damaged: {error}; delete it: only its figure is lost") from error
    if missing := [name for name in needs.split() if name not in found]:
        raise RunError(f"{path} is damaged: {missing[0]!r} is missing; delete it: only its figure is lost")
    return found
