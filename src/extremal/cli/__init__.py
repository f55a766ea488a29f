"""The command line: it parses, calls the library, and prints. The only place that imports the command-line library."""

from __future__ import annotations

import dataclasses
import itertools
import sys
from collections.abc import Sequence
from typing import Any

import tyro
from tyro.conf import OmitArgPrefixes, OmitSubcommandPrefixes

from extremal.cli.bench import Bench
from extremal.cli.console import either
from extremal.cli.data import Data
from extremal.cli.reproduce import Reproduce
from extremal.cli.results import Algorithms, Demo, Evaluate, Report
from extremal.cli.resume import Resume, resumes
from extremal.cli.sweep import Sweep
from extremal.cli.train import train_command
from extremal.core.errors import ExtremalError, nearest
from extremal.data import cache
from extremal.engine.programs import keep_programs


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; errors of ours are one sentence and exit code 2."""
    if argv is None:  # a process of its own
        keep_programs(cache.folder() / "programs")
    argv = list(sys.argv[1:] if argv is None else argv)
    try:
        command: Any = tyro.cli(
            _commands(argv),
            args=argv,
            prog="extremal",
            description="Learn policies from logged data: Extreme Q-Learning and the methods it is measured against.",
            config=(OmitSubcommandPrefixes, OmitArgPrefixes),
        )
        return command.run()
    except ExtremalError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            "interrupted; what was saved can be resumed by --resume (a sweep or a figure: by the same command)",
            file=sys.stderr,
        )
        return 130


def _commands(argv: Sequence[str]) -> Any:
    """All commands; `train` is built for the preset that the arguments name, so that its values are the defaults."""
    from extremal.algorithms.registry import METHODS

    words = [word for a in argv for word in (a.split("=", 1) if a.startswith("--preset=") else [a])]
    wanted = next((b for a, b in itertools.pairwise(words) if a == "--preset"), None)
    if argv[:1] == ["train"] and resumes(argv[1:]):
        return either({"train": Resume, "data": Data})
    asked = argv[1] if len(argv) > 1 and argv[0] == "train" and not argv[1].startswith("-") else None
    if asked is not None and asked not in METHODS:
        raise nearest(asked, METHODS, kind="method")
    methods = {name: train_command(name, wanted if name == asked else None) for name in METHODS}
    made = dataclasses.make_dataclass(
        "Train", [("method", either(methods))], namespace={"run": lambda self: self.method.run()}
    )
    made.__doc__ = (
        "Train a method on logged data; `extremal train METHOD --help` lists its settings, and `extremal train --resume OUT` goes on "
        "with a run."
    )
    return either(
        {
            "demo": Demo,
            "train": made,
            "sweep": Sweep,
            "evaluate": Evaluate,
            "data": Data,
            "report": Report,
            "reproduce": Reproduce,
            "bench": Bench,
            "algorithms": Algorithms,
        }
    )
