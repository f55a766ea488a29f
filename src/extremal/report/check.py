"""The report of `extremal data check` for a terminal, from its JSON form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_BARS = " ▁▂▃▄▅▆▇█"
_SHOWN = 8  # entries of a list


def check_text(report: Mapping[str, Any]) -> str:
    """Figures, one a line, then the findings with their advice, errors first."""
    lines = [report["name"], *(f"  {name:28} {value}" for name, value in _lines(report["figures"]))]
    for finding in report["findings"]:
        lines += ["", f"{finding['level']}: {finding['says']}{_rows(finding)}", f"  {finding['advice']}"]
    errors = sum(finding["level"] == "error" for finding in report["findings"])
    verdict = f"{errors} finding(s) that make training wrong" if errors else "nothing that makes training wrong"
    return "\n".join([*lines, "", verdict])


def finding_text(finding: Mapping[str, Any]) -> str:
    """One finding as one sentence: what it is, in which rows, and what to do."""
    return f"{finding['says']}{_rows(finding)}: {finding['advice']}"


def _rows(finding: Mapping[str, Any]) -> str:
    numbers = finding["rows"]
    return f" (row{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))})" if numbers else ""


def _lines(figures: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in figures.items():
        if name == "histogram":
            yield f"{prefix}histogram", _histogram(value)
        elif isinstance(value, Mapping):
            if all(isinstance(v, int | float) for v in value.values()):
                yield f"{prefix}{name}", ", ".join(f"{k} {v:.6g}" for k, v in value.items())
            else:
                yield from _lines(value, f"{prefix}{name} ")
        elif isinstance(value, list):
            shown = ", ".join(f"{v:.4g}" if isinstance(v, float) else str(v) for v in value[:_SHOWN])
            yield f"{prefix}{name}", shown + (f", ... ({len(value)})" if len(value) > _SHOWN else "")
        else:
            yield f"{prefix}{name}", f"{value:.6g}" if isinstance(value, float) else str(value)


def _histogram(value: Mapping[str, Any]) -> str:
    """Counts as bars between the two ends; any count above zero shows."""
    top = max(value["counts"])
    bars = "".join(_BARS[0 if not n else max(1, round(n / top * (len(_BARS) - 1)))] for n in value["counts"])
    return f"{value['edges'][0]:.4g} |{bars}| {value['edges'][-1]:.4g}"
