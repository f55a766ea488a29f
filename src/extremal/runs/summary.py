"""The numbers of a finished run: last checkpoint, mean and interval over seeds, and what they were made with."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from extremal.evaluation.measures import notes
from extremal.evaluation.statistics import summarise
from extremal.evaluation.success import PARTIAL, WHEN_WON
from extremal.runs.health import alarms
from extremal.runs.holdout import unjudged
from extremal.runs.plan import Plan, versions

# column of evaluations.csv -> metric of summary.json; steps to the goal are those of the episodes that reached it
_MEASURES = {
    "success": "success_rate",
    "score": "normalised_score",
    "return": "return",
    "steps_to_goal": "steps_to_goal",
}

Row = Mapping[str, Any]


def summary(
    plan: Plan,
    metrics: Sequence[Row],
    evaluations: Sequence[Row],
    diverged: Sequence[Any],
    *,
    compile_seconds: float,
    evaluate_seconds: float,
) -> dict[str, Any]:
    """summary.json; its results hold one entry per metric and swept combination, over the seeds that did not diverge."""
    last = max((int(row["update"]) for row in (*metrics, *evaluations)), default=0)
    finished = {int(row["replica"]) for row in (*metrics, *evaluations) if int(row["update"]) == last}
    chunks = {int(row["update"]): (float(row["seconds"]), float(row["updates_per_second"])) for row in metrics}
    train_seconds = sum(seconds for seconds, _ in chunks.values())
    updates = sum(seconds * rate for seconds, rate in chunks.values())  # of those that metrics.csv tells of
    rate = updates / train_seconds if train_seconds > 0 else 0.0
    results = []
    for overrides, group in _groups(plan):
        members = [r for r in group if r in finished]  # one that diverged has no result; `diverged` tells of it
        for metric, per_seed in _per_seed(plan, members, last, metrics, evaluations).items():
            found = summarise(per_seed)
            results.append(
                {
                    "algorithm": plan.method,
                    "dataset": plan.dataset["name"],
                    "metric": metric,
                    "mean": _number(found.mean),
                    "iqm": _number(found.iqm),
                    "low": _number(found.low),
                    "high": _number(found.high),
                    "per_seed": [_number(x) for x in per_seed],
                    "seeds": [plan.replicas[r][0] for r in members],
                    "overrides": dict(overrides),
                    "updates": last,
                    "updates_per_second": rate,
                }
            )
    return {
        "results": results,
        "compile_seconds": compile_seconds,
        "train_seconds": train_seconds,
        "evaluate_seconds": evaluate_seconds,
        "data_hash": plan.dataset["hash"],
        "versions": versions(),
        "settings": plan.to_json()["settings"],
        "extensions": [dict(extension) for extension in plan.extensions],
        "alarms": [
            *alarms(metrics, [plan.to_json()["settings"] | dict(own) for _, own in plan.replicas], plan.updates),
            *unjudged(plan, metrics),
            *_notes(plan, [row for row in evaluations if int(row["update"]) == last]),
        ],
        "diverged": [
            {"replica": d.replica, "update": d.update, "metric": d.metric, "advice": d.advice} for d in diverged
        ],
    }


def _notes(plan: Plan, final: Sequence[Row]) -> list[str]:
    """Remarks on the last evaluation: episodes that were cut, and how success was counted."""
    capped = [str(row.get("capped", "")) == "1" for row in final]
    reported = [str(row.get("success_reported", "")) for row in final]
    judged = any(row["success"] != "" for row in final)
    partly = "1" in reported and "0" in reported
    return notes(capped, plan.max_steps, (WHEN_WON if judged else PARTIAL) if partly else "")


def _groups(plan: Plan) -> list[tuple[Mapping[str, Any], list[int]]]:
    """Replicas that differ by their seed alone, in order."""
    groups: list[tuple[Mapping[str, Any], list[int]]] = []
    for number, (_, overrides) in enumerate(plan.replicas):
        for known, members in groups:
            if known == overrides:
                members.append(number)
                break
        else:
            groups.append((overrides, [number]))
    return groups


def _per_seed(
    plan: Plan, members: Sequence[int], last: int, metrics: Sequence[Row], evaluations: Sequence[Row]
) -> dict[str, list[float]]:
    """Each metric at the last checkpoint, one number a seed: means over episodes, or held-out losses."""
    found: dict[str, list[float]] = {}
    if not members:
        return found
    final = [row for row in evaluations if int(row["update"]) == last]
    mine = [[row for row in final if int(row["replica"]) == r] for r in members]
    for column, metric in _MEASURES.items():
        values = [[float(row[column]) for row in rows if row.get(column, "") != ""] for rows in mine]
        if all(values):
            found[metric] = [float(np.mean(v)) for v in values]
    if plan.environment is None:
        rows = [next(m for m in metrics if int(m["update"]) == last and int(m["replica"]) == r) for r in members]
        for column in sorted({name for row in rows for name in row if name.startswith("heldout/")}):
            if all(row.get(column, "") != "" for row in rows):
                found[column] = [float(row[column]) for row in rows]
    return found


def _number(x: Any) -> float | None:
    return None if x is None or not math.isfinite(x) else float(x)
