"""Compiled programs that are found again by the next process: the seconds of compiling are spent once for each method and size."""

from __future__ import annotations

import hashlib
import os
import platform
import warnings
from pathlib import Path

import jax
from jax.experimental.compilation_cache.compilation_cache import reset_cache

from extremal.core.errors import ConfigError
from extremal.data import cache

WORTH_KEEPING = (
    0.1  # seconds of compilation; JAX's own 1.0 leaves out what together takes longer than one large program
)
_ours: str | None = None  # the place that was chosen by default


def keep_programs(folder: str | os.PathLike[str] | None = None) -> None:
    """Let JAX keep in `folder` what it compiles; without effect where the user has named a place of his own to JAX.

    A program is made for one kind of processor: each has a folder of its own in there, since a home may be shared by machines.
    Training, loading and evaluating call this.

    Args:
        folder: default: what `EXTREMAL_PROGRAMS` names, or `programs` in the cache folder. `EXTREMAL_PROGRAMS=none`:
            nothing is kept, whatever is asked for here.
    """
    global _ours
    named = os.environ.get("EXTREMAL_PROGRAMS")
    before = jax.config.values["jax_compilation_cache_dir"]
    if named == "none" or (before is not None and (folder is None or before != _ours)):
        return
    place = _writable(folder or named)
    if place is None:
        return
    if folder is None:
        _ours = str(place)
    jax.config.update("jax_compilation_cache_dir", str(place))
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", WORTH_KEEPING)
    reset_cache()  # at its first compilation JAX settles whether there is a place; that may be over


def own_place() -> Path | None:
    """The folder of this processor's programs, for what is known of it besides; None where nothing is to be kept."""
    named = os.environ.get("EXTREMAL_PROGRAMS")
    return None if named == "none" else _writable(named)


def _writable(chosen: str | os.PathLike[str] | None) -> Path | None:
    """The folder for this processor's programs; None where it cannot be had: then they are compiled anew in every process."""
    try:
        place = Path(chosen).expanduser() if chosen else cache.folder() / "programs"
        place = place / _processor()
        place.mkdir(mode=0o700, parents=True, exist_ok=True)  # whoever writes there decides what this process runs
        if os.access(place, os.W_OK | os.X_OK):
            return place
        reason = "no right to write there"
    except (OSError, RuntimeError, ConfigError) as error:
        reason = getattr(error, "strerror", None) or str(error)
    if chosen:
        warnings.warn(f"compiled programs are not kept in {os.fspath(chosen)}: {reason}", stacklevel=3)
    return None


def _processor() -> str:
    """A short name of this kind of processor: a digest of all that it says it can do."""
    known = {platform.machine(), platform.processor()}
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    known |= {line for line in lines if line.startswith(("model name", "flags", "Features"))}
    return hashlib.sha256("\n".join(sorted(known)).encode()).hexdigest()[:12]
