"""Compiled programs are kept for the next process, and where the user wants them."""

import subprocess
import sys

import jax
import pytest

from extremal.engine.programs import keep_programs


@pytest.fixture
def place():
    """JAX's own setting, put back afterwards."""
    before = jax.config.values["jax_compilation_cache_dir"]
    yield lambda: jax.config.values["jax_compilation_cache_dir"]
    jax.config.update("jax_compilation_cache_dir", before)


def test_a_place_that_the_user_has_named_stays(place, tmp_path):
    jax.config.update("jax_compilation_cache_dir", None)
    keep_programs(tmp_path)
    chosen = place()
    assert chosen.startswith(str(tmp_path) + "/")
    keep_programs(tmp_path / "elsewhere")
    assert place() == chosen


def test_the_command_finds_its_programs_again(tmp_path):
    """In a process of its own, which keeps whatever takes any time to compile."""
    code = "import sys; from extremal.cli import main; sys.argv = ['extremal', 'algorithms']; main(); import jax; jax.jit(lambda x: x + 1)(1.0)"
    asked = {"EXTREMAL_CACHE": str(tmp_path), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0", "PATH": ""}
    subprocess.run([sys.executable, "-c", code], env=asked, check=True, capture_output=True)
    assert list(tmp_path.glob("programs/*/*-cache"))
