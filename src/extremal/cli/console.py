"""What the commands share: one flag, one table, one JSON value, one choice of subcommands."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, Union

from tyro.conf import arg, subcommand

ActionKind = Annotated[
    str | None,
    arg(
        metavar="{discrete,continuous,N}",
        help="Where the data do not declare it: whether actions are choices, quantities, or N choices.",
    ),
]
Json = Annotated[bool, arg(help="Print one JSON value instead of a table.")]


def either(commands: dict[str, type]) -> Any:
    """One of several subcommands, by name."""
    return Union[tuple(Annotated[command, subcommand(name)] for name, command in commands.items())]  # noqa: UP007


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(*header, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        drawn.add_row(*map(Text, row))  # text: a key in brackets is no markup
    console = Console()
    with console.capture() as text:
        console.print(drawn)
    print(text.get(), end="")  # so that a pipe without a reader is met as everywhere else


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=1, allow_nan=False))
