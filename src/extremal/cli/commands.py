"""All commands by name. Only the one that is asked for is built, and what it needs imported."""

from __future__ import annotations

import dataclasses
import itertools
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import tyro
from tyro.conf import OmitArgPrefixes, OmitSubcommandPrefixes

from extremal.cli.console import either
from extremal.cli.places import named
from extremal.core.errors import nearest

_COMMANDS = {  # by name: module in `extremal.cli`, and class there; or a group
    "demo": "results.Demo",
    "train": {},
    "sweep": "sweep.Sweep",
    "evaluate": "results.Evaluate",
    "data": {
        "list": "data.DataList",
        "check": "data.DataCheck",
        "build": "data.DataBuild",
        "generate": "data.DataGenerate",
        "convert": "data.DataConvert",
        "difficulty": "data.DataDifficulty",
    },
    "report": "results.Report",
    "reproduce": "reproduce.Reproduce",
    "bench": "bench.Bench",
    "algorithms": "results.Algorithms",
}
_ABOUT = {  # the groups
    (): "Learn policies from logged data: Extreme Q-Learning and the methods it is measured against.",
    ("train",): "Train a method on logged data; `extremal train METHOD --help` lists its settings, and "
    "`extremal train --resume OUT` goes on with a run.",
    ("data",): "List, check, build, generate, convert and judge datasets.",
}


def command_of(words: Sequence[str]) -> Any:
    """The command that these words ask for, with its options.

    Raises:
        ConfigError: there is no such command, method or preset.
        SystemExit: help was asked for, or an option is wrong; it is printed.
    """
    return _method(words[1:]) if words[:1] == ["train"] else _chosen(words, _COMMANDS)


def _chosen(words: Sequence[str], group: Mapping[str, Any], *before: str) -> Any:
    """The command of a group that the first word names."""
    name = _name(words)
    if name is None:
        listed = {known: _ABOUT.get((*before, known)) or _class(of).__doc__ for known, of in group.items()}
        return _heading(words, listed, *before)
    if name not in group:
        raise nearest(name, group, kind=" ".join([*before, "command"]))
    if isinstance(group[name], dict):
        return _chosen(words[1:], group[name], *before, name)
    return _parsed(_class(group[name]), words[1:], *before, name)


def _method(words: Sequence[str]) -> Any:
    """`extremal train`: the preset that the words name gives the defaults of the method's options."""
    from extremal.algorithms.registry import METHODS
    from extremal.cli.resume import Resume, resumes

    name = _name(words)
    if name is None and resumes(words):
        return _parsed(Resume, words, "train")
    if name is None:
        return _heading(words, {known: f"{method.line}." for known, method in METHODS.items()}, "train")
    if name not in METHODS:
        raise nearest(name, METHODS, kind="method")
    from extremal.cli.train import train_command

    split = [part for word in words for part in (word.split("=", 1) if word.startswith("--preset=") else [word])]
    preset = next((value for flag, value in itertools.pairwise(split) if flag == "--preset"), None)
    return _parsed(train_command(name, preset), words[1:], "train", name)


def _name(words: Sequence[str]) -> str | None:
    return words[0] if words and not words[0].startswith("-") else None


def _class(place: str) -> type:
    module, _, kind = place.partition(".")
    return getattr(import_module(f"extremal.cli.{module}"), kind)


def _tell_twice(words: Sequence[str]) -> None:
    """Say of a flag that is given twice that the last counts, lest a value vanish in silence."""
    seen: set[str] = set()
    for word in words:
        if not word.startswith("--"):
            continue
        flag = "--" + word.split("=")[0].replace("_", "-").removeprefix("--").removeprefix("no-")
        if flag in seen:
            print(
                f"warning: {flag} is given twice, and the last counts; several values follow one flag", file=sys.stderr
            )
        seen.add(flag)


def _heading(words: Sequence[str], listed: Mapping[str, str | None], *before: str) -> Any:
    """A group's help, or the complaint that no command of it is named: its commands without their options."""
    kinds: dict[str, type] = {}
    for name, doc in listed.items():
        kinds[name] = dataclasses.make_dataclass(name.title(), [], namespace={"__doc__": doc})
    return _parsed(either(kinds), words, *before, doc=_ABOUT[before])


def _parsed(kind: Any, words: Sequence[str], *before: str, doc: str | None = None) -> Any:
    _tell_twice(words)
    return tyro.cli(
        named(kind) if isinstance(kind, type) else kind,
        args=list(words),
        prog=" ".join(["extremal", *before]),
        description=doc,
        config=(OmitSubcommandPrefixes, OmitArgPrefixes),
    )
