"""What a dataset holds, and what in it would make training wrong: the report behind `extremal data check`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from extremal.data.dataset import Dataset
from extremal.data.finding import Finding
from extremal.data.suspicions import RULES
from extremal.data.suspicions.actions import saturation
from extremal.data.suspicions.log import Log, constant_columns

_COUNTED = 1000  # discrete actions at most, for a count of each


@dataclass(frozen=True, kw_only=True)
class Report:
    """Figures and findings of one dataset, errors first."""

    name: str
    figures: dict[str, Any]
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing found makes training wrong."""
        return all(finding.level != "error" for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """The report as plain numbers, strings, lists and dictionaries."""
        findings = [asdict(finding) | {"rows": list(finding.rows)} for finding in self.findings]
        return {"name": self.name, "ok": self.ok, "figures": self.figures, "findings": findings}


def check_dataset(dataset: Dataset) -> Report:
    """The report on `dataset`: rows, episodes, returns, ranges, jumps, and every suspicion with its advice."""
    log = Log.of(dataset)
    findings = [*dataset.card.findings, *(finding for rule in RULES for finding in rule(log))]
    order = ("error", "warning", "note")
    return Report(
        name=dataset.card.name,
        figures=_figures(log),
        findings=tuple(sorted(findings, key=lambda finding: order.index(finding.level))),
    )


def _figures(log: Log) -> dict[str, Any]:
    dataset, jumps = log.data, log.jumps
    reward = dataset.reward.astype(np.float64)
    counts, edges = np.histogram(reward, bins=20)
    neither = dataset.episodes - int(dataset.terminated.sum()) - int(dataset.truncated.sum())
    return {
        "hash": dataset.hash(),
        "rows": dataset.rows,
        "episodes": dataset.episodes,
        "observation_shape": list(dataset.spec.observation),
        "action_shape": list(dataset.spec.action),
        "return": _summary(dataset.returns[dataset.whole]),
        "length": _summary(dataset.lengths),
        "ends": {
            "terminated": int(dataset.terminated.sum()),
            "truncated": int(dataset.truncated.sum()),
            "neither": neither,
            "cut": int((~dataset.whole).sum()),
        },
        "reward": _summary(reward) | {"histogram": {"edges": edges.tolist(), "counts": counts.tolist()}},
        "action": _action_figures(dataset),
        "observation": _observation_figures(log),
        "jumps": None
        if jumps is None
        else {
            "inside": _summary(jumps.inside),
            "boundary": _summary(jumps.boundary) if len(jumps.boundary) else None,
            "far": int(jumps.far.sum()),
        },
    }


def _action_figures(dataset: Dataset) -> dict[str, Any]:
    card = dataset.card
    if card.actions is not None:
        taken, counts = np.unique(dataset.action, return_counts=True)
        if card.actions > _COUNTED:
            return {"actions": card.actions, "taken": len(taken)}
        each = np.zeros(card.actions, int)
        each[taken] = counts
        return {"actions": card.actions, "counts": each.tolist()}
    return {
        "low": dataset.action.min(axis=0).tolist(),
        "high": dataset.action.max(axis=0).tolist(),
        "declared_low": None if card.action_low is None else list(card.action_low),
        "declared_high": None if card.action_high is None else list(card.action_high),
        "saturation": saturation(dataset).tolist(),
        "constant": constant_columns(dataset.action),
    }


def _observation_figures(log: Log) -> dict[str, Any]:
    """Of what rows saw; what follows an end is no state."""
    value = log.state
    figures = {"largest": float(max(value.max(), -value.min()))}
    if value.ndim != 2:
        return figures
    return figures | {
        "mean": value.mean(axis=0, dtype=np.float64).tolist(),
        "deviation": value.std(axis=0, dtype=np.float64).tolist(),
        "constant": log.constant,
        "duplicated": log.duplicated,
    }


def _summary(value: np.ndarray) -> dict[str, float]:
    value = np.asarray(value, np.float64)
    numbers = (value.mean(), value.std(), value.min(), np.median(value), value.max())
    return dict(zip(("mean", "deviation", "min", "median", "max"), map(float, numbers), strict=True))
