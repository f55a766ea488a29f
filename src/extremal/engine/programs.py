"""Compiled programs that are found again by the next process: the seconds of compiling are spent once for each method and size."""

from __future__ import annotations

import hashlib
import platform
from pathlib import Path

import jax


def keep_programs(folder: Path) -> None:
    """Let JAX keep in `folder` what takes it long to compile; without effect where the user has named a place of his own.

    A program is made for one kind of processor: each has a folder of its own in there, since a home may be shared by machines.
    """
    if jax.config.values["jax_compilation_cache_dir"] is None:
        jax.config.update("jax_compilation_cache_dir", str(folder / _processor()))


def _processor() -> str:
    """A short name of this kind of processor: a digest of all that it says it can do."""
    known = {platform.machine(), platform.processor()}
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    known |= {line for line in lines if line.startswith(("model name", "flags", "Features"))}
    return hashlib.sha256("\n".join(sorted(known)).encode()).hexdigest()[:12]
