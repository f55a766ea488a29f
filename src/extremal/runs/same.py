"""Whether a run in a folder is the one that is asked for: it goes on only as what it began as."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from extremal.core.errors import RunError
from extremal.runs.plan import Plan

# Of config.json: what tells how a run came about and changes no number, and the library, which stays the one that it began with.
_ABOUT = frozenset(("versions", "source", "check", "extensions", "held_out", "settings.preset", "library"))


def check_data(hash: str, before: Plan, path: Path) -> None:
    """Refuse other data than the run was begun with.

    Raises:
        RunError: says first that the data changed.
    """
    if hash != before.dataset["hash"]:
        raise RunError(
            f"the data changed: {before.dataset['id']!r} has the hash {hash[:16]}, and {path} was begun when it had "
            f"{before.dataset['hash'][:16]}; go on with the data of then, or choose another --out"
        )


def check_same(plan: Plan, before: Plan, path: Path) -> None:
    """Refuse another plan than the run was begun with.

    Raises:
        RunError: names what differs.
    """
    differ = differing(plan, before)
    if differ:
        raise RunError(
            f"{path} was begun with {', '.join(differ)}; resume with the same ones, or choose another --out. "
            f"`extremal train --resume {path}` takes all of them from config.json, and a larger --updates"
        )


def differing(plan: Plan, before: Plan) -> list[str]:
    """The differences, as `updates 40 (now 50)`."""
    new, old = plan.to_json(), before.to_json()
    return sorted(name for part in new for name in _differing(part, new[part], old[part]))


def _differing(part: str, new: Any, old: Any) -> Iterator[str]:
    """The differences in one part of a plan: `beta 1.0 (now 2.0)` for a setting, the name alone where values are long."""
    if part in _ABOUT:
        return
    if isinstance(new, Mapping) and isinstance(old, Mapping):
        for name in new.keys() | old.keys():
            yield from _differing(f"{part}.{name}", new.get(name), old.get(name))
    elif json.dumps(new) != json.dumps(old):
        short = all(isinstance(value, str | int | float | None) for value in (new, old))
        yield f"{part} {old} (now {new})" if short else f"other {part}"
