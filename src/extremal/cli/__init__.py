"""The command line: it parses, calls the library, and prints. The only place that imports the command-line library.

Nothing else is imported here: an interruption may come while the rest is read from the disk.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit status: 0, 1 for a bad verdict, 2 with one sentence for an error, 128 + a signal's number."""
    try:
        from extremal.cli.process import of_its_own

        with of_its_own() if argv is None else contextlib.nullcontext():
            return _run(sys.argv[1:] if argv is None else argv)
    except KeyboardInterrupt as stop:
        from extremal.cli.process import leave

        line = "; ".join(["interrupted", *getattr(stop, "__notes__", [])])
        code = 128 + getattr(stop, "signal", 2)  # of Ctrl-C, unless another signal asked for the end
        if argv is None:
            leave(code, line)
        print(line, file=sys.stderr)
        return code


def _run(words: Sequence[str]) -> int:
    from extremal.core.errors import ExtremalError

    command = None
    try:
        from extremal.cli.commands import command_of

        command = command_of(words)
        return command.run()
    except ExtremalError as error:
        print(f"error: {error}", file=sys.stderr)
    except BrokenPipeError:
        raise  # nobody reads any more
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        print(f"error: {error.strerror or error}{where}", file=sys.stderr)
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and "RESOURCE_EXHAUSTED" not in str(error):  # as JAX says it
            raise
        said = str(error).removeprefix("RESOURCE_EXHAUSTED: ").rstrip(".") or "no more is to be had"
        print(
            f"error: not enough memory ({said}); try fewer seeds or values, a smaller batch or width", file=sys.stderr
        )
    except KeyboardInterrupt as stop:
        if how := getattr(command, "goes_on", None):
            stop.add_note(how)
        raise
    return 2
