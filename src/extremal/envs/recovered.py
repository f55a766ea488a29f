"""The environment that a file describes, as a name: all that it says, so that whatever cannot be honoured is refused by `make`.

The description is that of Gymnasium (`EnvSpec.to_json`). Nothing that it names is imported.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from extremal.envs.naming import ENTRY_POINT, LIMIT, Environment, Wrapper
from extremal.envs.registered import root, specification

# They change neither observations nor rewards nor ends.
_WITHOUT_EFFECT = {
    *("PassiveEnvChecker", "OrderEnforcing", "RecordEpisodeStatistics"),
    *("RecordVideo", "HumanRendering", "RenderCollection"),
}


def recovered(description: Mapping[str, Any]) -> str:
    """The name of the environment; arguments that the registered id has anyway are left out.

    Raises:
        KeyError, TypeError, AttributeError: it is no description.
    """
    id, arguments = description["id"], {}
    known = specification(id)
    own = {} if known is None else json.loads(json.dumps(known.kwargs, default=repr))
    for key, value in (description.get("kwargs") or {}).items():
        if key != "render_mode" and (key not in own or own[key] != value):
            arguments[key] = value
    limit = description.get(LIMIT)
    if LIMIT in description and limit != (None if known is None else known.max_episode_steps):
        arguments[LIMIT] = limit
    entry = description.get("entry_point")
    if entry and (known is None or root(entry) != root(known.entry_point)):
        arguments[ENTRY_POINT] = entry
    before = 0 if known is None else len(known.additional_wrappers)  # `make` puts these around it by itself
    wrappers = [_wrapper(each) for each in (description.get("additional_wrappers") or ())[before:]]
    return str(Environment(id, arguments, tuple(w for w in wrappers if w.name not in _WITHOUT_EFFECT)))


def _wrapper(described: Mapping[str, Any]) -> Wrapper:
    """One of Gymnasium's by its name; any other by its whole path, which `make` does not know."""
    entry, arguments = str(described["entry_point"]), described["kwargs"]
    own = root(entry) == "gymnasium" and arguments is not None
    collects = entry.startswith("minari.data_collector")
    name = "RecordEpisodeStatistics" if collects else described["name"] if own else entry.replace(":", ".")
    return Wrapper(name, arguments or {})
