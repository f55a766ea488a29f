"""`extremal train --resume OUT`: go on with a run from its folder alone, or make it longer."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, ClassVar

from tyro.conf import arg

from extremal.cli.console import Json
from extremal.cli.train import GOES_ON, show
from extremal.core.errors import ConfigError


@dataclasses.dataclass
class Resume:
    """Go on with the run in a folder: everything is taken from its config.json. A method comes with other flags: `extremal train METHOD --help`."""

    resume: Annotated[Path, arg(metavar="OUT")]
    """Folder of the run."""
    updates: int | None = None
    """More than the run has: it is extended. A schedule over the run's length is laid anew over the new one, from here on."""
    episodes: int | None = None
    """Evaluation episodes per seed, from here on."""
    log_every: int | None = None
    """Updates that a row of metrics.csv averages over, from here on."""
    json: Json = False
    goes_on: ClassVar[str] = GOES_ON

    def run(self) -> int:
        import sys

        from extremal.cli.progress import bars
        from extremal.runs.plan import read_plan
        from extremal.runs.resume import resume
        from extremal.runs.run import Run

        plan, was_finished = read_plan(self.resume), Run(self.resume).finished
        updates = plan.updates if self.updates is None else self.updates
        if was_finished and updates == plan.updates:
            print(
                f"{self.resume} is finished: it has all of its {updates:,} updates; a larger --updates extends it",
                file=sys.stderr,
            )
            show(Run(self.resume), json=self.json)
            return 0
        with bars() as bar:
            run = resume(
                self.resume,
                updates=self.updates,
                episodes=self.episodes,
                log_every=self.log_every,
                watch=bar(plan.method, updates),
            )
        show(run, json=self.json)
        return 0


def resumes(words: Sequence[str]) -> bool:
    """Whether the words after `extremal train` go on with a run, without a method.

    Raises:
        ConfigError: they do, and say what stands in config.json, or name no folder.
    """
    if not words or not words[0].startswith("-") or not any(word.split("=")[0] == "--resume" for word in words):
        return False
    flags = {f"--{field.name.replace('_', '-')}" for field in dataclasses.fields(Resume)} | {"--help", "-h"}
    wanted, odd = False, []
    for word in words:
        flag, value = word.startswith("-") and not word.lstrip("-")[:1].isdigit(), wanted
        name = word.split("=")[0].replace("_", "-")
        wanted = flag and "=" not in word and name not in ("--json", "--help", "-h")
        if name not in flags if flag else not value:
            odd.append(word)
    if odd:
        raise ConfigError(
            "`extremal train --resume OUT` takes everything from config.json, and allows only --updates, --episodes and "
            f"--log-every; leave out {odd[0]!r}, or name the method and all of its flags: extremal train METHOD ... --out OUT --resume"
        )
    return True
