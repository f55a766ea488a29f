"""What a number means, in words: how it is printed, and the one sentence that a run comes to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from extremal.report.runs import JUDGES, Run, curves, value_text

NO_SIMULATOR = "no simulator belongs to this dataset, so there is no score: losses on held-out episodes and value statistics stand in"

KEEPS_SOME = "--holdout 0.1 (in Python holdout=0.1) keeps episodes for that"


def measure(metric: str) -> str:
    """A metric of summary.json as a person says it."""
    if metric.startswith("heldout/"):
        return f"{metric.removeprefix('heldout/')}, held out"
    return {"normalised_score": "normalised score", "success_rate": "success rate"}.get(
        metric, metric.replace("_", " ")
    )


def number(value: float | None, metric: str) -> str:
    """A result with its unit: a rate in percent, a score with one decimal, a loss with three digits, a return with four."""
    if value is None or not np.isfinite(value):
        return "–"
    if metric.endswith("rate"):
        return f"{100 * value:.1f} %"
    if metric.startswith("heldout/"):
        return f"{value:.3g}"
    return f"{value:.1f}" if metric == "normalised_score" else f"{value:.4g}"


def swept(result: dict[str, Any]) -> str:
    """The swept values that a result belongs to; empty where nothing was swept."""
    return ", ".join(f"{key} {value_text(value)}" for key, value in result.get("overrides", {}).items())


def label(name: str, result: dict[str, Any]) -> str:
    """The name of a run and, in a sweep, the values that were swept."""
    return ", ".join(filter(None, (name, swept(result))))


def interval(result: dict[str, Any]) -> str:
    """The interval of a result, or why there is none."""
    if result.get("low") is None or result.get("high") is None:
        return "one seed" if result.get("seeds") == 1 else "–"
    low, high = (number(result[end], result["metric"]) for end in ("low", "high"))
    return f"{low.removesuffix(' %')} to {high}"


def verdict(run: Run, name: str) -> str:
    """One sentence: what the run achieved, over how many seeds, after how many updates."""
    if not run.summary:
        return f"{name} is unfinished: {run.reached:,} of {run.config.get('updates', 0):,} updates."
    result = _best(run.results)
    if result is None:
        return f"{name}: {NO_SIMULATOR}. {_held_out(run)}"
    value, metric = number(result["mean"], result["metric"]), result["metric"]
    claim = {
        "success_rate": f"reaches the goal in {value} of the episodes",
        "normalised_score": f"scores {value} on the scale from 0 (low reference) to 100 (high one)",
        "return": f"collects a return of {value} an episode",
    }[metric]
    seeds = result["seeds"]
    sure = f"95 % interval {interval(result)}, {seeds} seeds" if seeds > 1 else "one seed, so no interval"
    count = len(run.groups)
    best = f" with {swept(result)}, the best of {count} swept settings by this same evaluation" if count > 1 else ""
    return f"{name} {claim}{best} ({sure}), at the last checkpoint, after {result['updates']:,} updates."


def apart(runs: Sequence[Run], named: Sequence[str]) -> list[str]:
    """One sentence for each data set of which the runs hold out different shares, and so are trained on different rows."""
    sentences = []
    for data in {run.dataset["hash"]: run.dataset for run in runs}.values():
        of = {
            n: run.config.get("holdout", 0)
            for n, run in zip(named, runs, strict=True)
            if run.dataset["hash"] == data["hash"]
        }
        if len(set(of.values())) > 1:
            listed = ", ".join(f"{name} {share:g}" for name, share in of.items())
            sentences.append(
                f"of {data['name']} the runs hold out different shares of the episodes ({listed}), and so learn from different rows; "
                "one --holdout for all of them (holdout in a sweep file) makes them alike"
            )
    return sentences


def _best(results: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The result to speak of: of the best kind of measure, the highest mean."""
    for _, metric, _ in JUDGES:
        if same := [result for result in results if result["metric"] == metric]:
            return max(same, key=lambda result: -np.inf if result["mean"] is None else result["mean"])
    return None


def _held_out(run: Run) -> str:
    """The last held-out losses, each beside its training loss; learned scalars (`log_...`) are no fit to the data."""
    said = []
    for column in sorted(run.metrics):
        name = column.removeprefix("heldout/")
        if name != column and name.endswith("/loss") and not name.startswith("log_"):
            held, seen = (_last(run, c) for c in (column, name))
            said.append(f"{name} {held:.3g} held out" + (f" ({seen:.3g} in training)" if np.isfinite(seen) else ""))
    if said:
        return f"Last values: {'; '.join(said)}."
    return "No held-out loss was logged." if run.config.get("holdout") else f"No episode is held out; {KEEPS_SOME}."


def _last(run: Run, column: str) -> float:
    _, values = curves(run.metrics, column, range(len(run.config["replicas"])))
    return float(np.nanmean(values[:, -1])) if values.size else float("nan")
