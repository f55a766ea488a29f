"""Progress bars of the command line, on standard error: updates, rate, time left, and the last evaluation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from extremal.core.types import Follow
from extremal.runs.train import Watcher


class _Errors(Console):
    """Standard error; training goes on where nobody reads it any more."""

    def on_broken_pipe(self) -> None:
        self.quiet = True


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description:12}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(),
        console=_Errors(stderr=True),
    )


@contextmanager
def bars() -> Iterator[Callable[[str, int], Watcher]]:
    """Gives a function from (name, updates) to a watcher that moves a bar of its own."""
    with saying() as (bar, _):
        yield bar


@contextmanager
def saying() -> Iterator[tuple[Callable[[str, int], Watcher], Callable[[str], None]]]:
    """As `bars`; and a function that prints a sentence above the bars."""
    with _progress() as progress:
        say = partial(progress.console.print, markup=False, highlight=False, soft_wrap=True)

        def bar(name: str, updates: int) -> Watcher:
            task = progress.add_task(name, total=updates, note="reading the data")
            known: dict[str, float] = {}

            def watch(update: int, metrics: dict[str, Any]) -> None:
                for sentence in metrics.get("warnings", ()):
                    say(sentence, style="yellow")
                known.update(metrics)
                note = f"{known['updates_per_second']:,.0f} updates/s" if "updates_per_second" in known else ""
                if "fitting" in metrics:
                    note = f"fitting {metrics['fitting']}"
                if "compiling" in metrics:
                    note = "compiling"
                if "compiled" in metrics:
                    say(
                        f"{name}: training begins; its program took {metrics['compiled']:.1f} s to compile or to find again"
                    )
                    note = "training"
                if "health" in known:
                    note += f", {known['health']}"
                if "evaluation" in known:
                    note += f", last evaluation {known['evaluation']:.3g}"
                progress.update(task, completed=update, note=note)

            return watch

        yield bar, say


@contextmanager
def counting(name: str) -> Iterator[Callable[[int, int], None]]:
    """Gives a function that is told (finished, total)."""
    with _progress() as progress:
        task = progress.add_task(name, total=None, note="")
        yield lambda finished, total: progress.update(task, completed=finished, total=total)


@contextmanager
def naming() -> Iterator[Follow]:
    """Gives a function that is told (name of what is at work, finished, total); the bar is there from its first call on."""
    progress = _progress()
    task = progress.add_task("", total=None, note="")

    def watch(name: str, finished: int, total: int) -> None:
        progress.start()
        progress.update(task, description=name, completed=finished, total=total)

    try:
        yield watch
    finally:
        if progress.live.is_started:
            progress.stop()
