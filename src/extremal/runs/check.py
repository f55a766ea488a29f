"""The check of the data before training on it: what it calls wrong refuses the run, the rest is written down with it.

What was found is kept in the cache folder by all that it depends on: the numbers, the card, and the rules as they are written. A
damaged file is made again, and one that cannot be written costs the next check.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache as once
from pathlib import Path
from typing import TYPE_CHECKING, Any

from extremal import data as rules
from extremal.core.errors import DataError, RunError
from extremal.core.files import read_json, write_json
from extremal.data import cache
from extremal.data.check import check_dataset
from extremal.data.dataset import Dataset
from extremal.data.finding import Finding

if TYPE_CHECKING:
    from extremal.runs.train import Watcher

ADVICE = "to train all the same, give --unchecked (in Python unchecked=True, in a sweep file unchecked = true)"


def checked(data: Dataset, *, hash: str, unchecked: bool, more: Sequence[Finding] = ()) -> dict[str, Any]:
    """The check as config.json keeps it: errors and warnings, and whether errors were let pass.

    Args:
        hash: of the data, which is known already.
        more: findings that are not of the data alone.

    Raises:
        DataError: the check calls something wrong and `unchecked` is false; lists each, with rows and advice.
    """
    findings = [finding for finding in (*_findings(data, hash), *more) if finding.level != "note"]
    errors = [finding for finding in findings if finding.level == "error"]
    if errors and not unchecked:
        from extremal.report.check import finding_text

        listed = "; ".join(f"({number}) {finding_text(_plain(one))}" for number, one in enumerate(errors, start=1))
        count = "one thing" if len(errors) == 1 else f"{len(errors)} things"
        raise DataError(f"the check of {data.card.name!r} calls {count} wrong: {listed}; {ADVICE}")
    return {"unchecked": unchecked, "findings": [_plain(finding) for finding in findings]}


def tell(check: Mapping[str, Any], more: Sequence[str], watch: Watcher) -> None:
    """Pass the findings on to the watcher, and whatever else there is to be warned of."""
    from extremal.report.check import finding_text

    warnings = [f"{finding['level']}: {finding_text(finding)}" for finding in check.get("findings", ())]
    if warnings := [*warnings, *(f"warning: {one}" for one in more)]:
        watch(0, {"warnings": warnings})


def _plain(finding: Finding) -> dict[str, Any]:
    return dataclasses.asdict(finding) | {"rows": [int(row) for row in finding.rows]}


def _findings(data: Dataset, hash: str) -> Sequence[Finding]:
    card = json.dumps(dataclasses.asdict(data.card), sort_keys=True, default=str)
    file = cache.folder() / "checks" / f"{cache.key({'data': hash, 'card': card, 'rules': _rules()})}.json"
    if (kept := _kept(file)) is not None:
        return kept
    findings = check_dataset(data).findings
    entries = [_plain(finding) for finding in findings]
    with contextlib.suppress(RunError):
        write_json(file, {"findings": entries, "sha256": _digest(entries)})
    return findings


def _kept(file: Path) -> list[Finding] | None:
    """The findings of an earlier check; None where there is nothing, or it is damaged."""
    try:
        value: Mapping[str, Any] = read_json(file) or {}
        entries = value["findings"]
        if value["sha256"] != _digest(entries):
            return None
        return [Finding(**entry | {"rows": tuple(entry["rows"])}) for entry in entries]
    except (RunError, KeyError, TypeError):
        return None


def _digest(entries: Any) -> str:
    return hashlib.sha256(json.dumps(entries, sort_keys=True).encode()).hexdigest()


@once
def _rules() -> str:
    """The sources of all that checks: with another rule, what was found before says nothing."""
    digest = hashlib.sha256()
    for folder in rules.__path__:
        for file in sorted(Path(folder).rglob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()
