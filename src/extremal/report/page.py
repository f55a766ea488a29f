"""The report: one HTML file with everything in it, readable without a network for as long as there are browsers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from extremal.core.errors import require
from extremal.core.files import atomic, check_replaces
from extremal.report import figures
from extremal.report.runs import Run, names, read_runs, value_text
from extremal.report.style import PALETTE, colours, styled, svg
from extremal.report.words import NO_SIMULATOR, apart, interval, label, measure, number, verdict


def write_report(runs: Sequence[Path], out: Path, *, title: str) -> Path:
    """Write the report of some run directories to the HTML file `out`; returns `out`.

    The file appears whole or not at all. It loads nothing: figures are inline, and no address is in it.

    Raises:
        RunError: a run directory is missing or damaged, or `out` holds something else than a page.
        MissingExtraError: matplotlib or Jinja2 is not installed.
    """
    jinja2 = require("jinja2", extra="report", purpose="the HTML report")
    check_replaces(Path(out), b"<!doctype html>")
    context = _context(read_runs(runs), title)
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    template = resources.files("extremal.report").joinpath("page.html").read_text("utf-8")
    page = environment.from_string(template).render(context)
    with atomic(Path(out)) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return Path(out)


def _context(runs: Sequence[Run], title: str) -> dict[str, Any]:
    named = list(zip(names(runs), runs, strict=True))
    colour = colours([run.method for run in runs])
    return {
        "title": title,
        "palette": PALETTE,
        "verdicts": [{"text": verdict(run, name), "colour": colour[run.method]} for name, run in named],
        "diverged": [f"{name}: {text}" for name, run in named for text in run.diverged],
        "alarms": [*(f"{name}, {text}" for name, run in named for text in run.alarms), *apart(runs, names(runs))],
        "course": [f"{name} {text}" for name, run in named for text in run.course],
        "check": list(dict.fromkeys(f"{run.dataset['name']}, {text}" for run in runs for text in run.check)),
        "simulator": any(run.judge for run in runs),
        "no_simulator": NO_SIMULATOR,
        "results": [row for name, run in named for row in _results(name, run, colour)],
        "figures": _figures(runs),
        "cards": _cards(runs),
        "settings": _settings(named),
        "names": [name for name, _ in named],
        "times": [_times(name, run) for name, run in named if run.summary],
        "versions": next((run.config["versions"] for run in runs if run.config.get("versions")), {}),
    }


def _results(name: str, run: Run, colour: dict[str, str]) -> list[dict[str, Any]]:
    """One entry per combination of swept values: its measures, and what they were made with."""
    grouped: dict[str, list[dict[str, Any]]] = {}
    for result in run.results:
        grouped.setdefault(label(name, result), []).append(result)
    return [
        {
            "name": title,
            "colour": colour[run.method],
            "dataset": results[0]["dataset"],
            "measures": [_measure(result) for result in results],
            "seeds": results[0]["seeds"],
            "updates": f"{results[0]['updates']:,}",
            "speed": f"{results[0]['updates_per_second']:,.0f}",
            "hash": run.dataset["hash"][:12],
            "settings": ", ".join(
                f"{key} {value_text(value)}" for key, value in (run.settings | results[0].get("overrides", {})).items()
            ),
        }
        for title, results in grouped.items()
    ]


def _measure(result: dict[str, Any]) -> dict[str, str]:
    metric = result["metric"]
    return {
        "metric": measure(metric),
        "mean": number(result["mean"], metric),
        "iqm": number(result.get("iqm"), metric),
        "interval": interval(result),
        "per_seed": ", ".join(number(value, metric).removesuffix(" %") for value in result.get("per_seed", [])),
    }


def _figures(runs: Sequence[Run]) -> dict[str, str | None]:
    with styled():
        drawn = {
            "learning": figures.learning(runs),
            "mazes": figures.mazes(runs),
            "critics": figures.critics(runs),
            "calibrations": figures.calibrations(runs),
            "training": figures.training(runs),
        }
        return {name: svg(drawing, name) if drawing is not None else None for name, drawing in drawn.items()}


def _cards(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """One card per dataset: what it holds, where it came from."""
    cards = {run.dataset["hash"]: run.dataset for run in runs}
    return [{"name": data["name"], "rows": _card(data)} for data in cards.values()]


def _card(data: dict[str, Any]) -> list[tuple[str, str]]:
    known = data.get("statistics", {})
    spread = lambda s: f"mean {s['mean']:.4g}, from {s['min']:.4g} to {s['max']:.4g}"  # noqa: E731
    rows = [("id", data.get("id", "")), ("SHA-256 of the numbers", data["hash"])]
    if known:
        rows += [
            ("transitions", f"{known['rows']:,} in {known['episodes']:,} episodes"),
            ("episodes end by", f"{known['terminated']:,} terminated, {known['truncated']:,} truncated" + _cut(known)),
            ("return of an episode", spread(known["return"])),
            ("length of an episode", spread(known["length"])),
            ("reward of a step", spread(known["reward"])),
            ("observation, action", f"{known['observation_shape']}, {known['action_shape']}"),
            ("recorded actions", _actions(known)),
        ]
    rows += [("simulator", data.get("environment") or "none"), ("reference scores", data.get("reference") or "none")]
    recipe = data.get("recipe")
    if isinstance(recipe, str) and recipe:
        recipe = json.loads(recipe)
    if recipe:
        rows.append(("recipe", ", ".join(f"{key} {value_text(value)}" for key, value in recipe.items())))
    return rows


def _cut(known: dict[str, Any]) -> str:
    return f"; {known['cut']:,} cut by the recording, whose returns do not count" if known.get("cut") else ""


def _actions(known: dict[str, Any]) -> str:
    if known.get("discrete_actions") is not None:
        return f"{known['discrete_actions']} discrete ones"
    low, high = known["action_low"], known["action_high"]
    if len(low) > 4:
        return f"{len(low)} components within [{min(low):.3g}, {max(high):.3g}]"
    return ", ".join(f"[{a:.3g}, {b:.3g}]" for a, b in zip(low, high, strict=True))


def _settings(named: Sequence[tuple[str, Run]]) -> list[dict[str, Any]]:
    """One row per setting, one cell per run; rows where runs differ are marked."""
    keys = list(dict.fromkeys(key for _, run in named for key in run.settings))
    rows = []
    for key in keys:
        cells = [_cell(run, key) for _, run in named]
        rows.append({"key": key, "cells": cells, "differs": len({cell for cell in cells if cell}) > 1})
    return rows


def _cell(run: Run, key: str) -> str:
    swept = [value_text(group.overrides[key]) for group in run.groups if key in group.overrides]
    if swept:
        return "swept: " + ", ".join(dict.fromkeys(swept))
    return value_text(run.settings[key]) if key in run.settings else ""


def _times(name: str, run: Run) -> str:
    parts = {"compile": "compiling", "train": "training", "evaluate": "evaluating"}
    said = [
        f"{words} {run.summary[f'{key}_seconds']:.1f} s"
        for key, words in parts.items()
        if run.summary.get(f"{key}_seconds") is not None
    ]
    return f"{name}: {', '.join(said)}"
