"""The scripts in `benchmarks/` run, and write what they measured."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "benchmarks"
ASKED = {
    "engine": ["--updates", "2", "--rounds", "1", "--widths", "8", "--replicas", "1"],
    "methods": ["--updates", "2", "--rounds", "1", "--methods", "xql", "cql"],
    "libraries": ["--updates", "2", "--rounds", "1", "--methods", "bc", "--widths", "8"],
    "products": ["--rounds", "1"],
    "emaq": ["--rounds", "1", "--samples", "2", "--critics", "1"],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ASKED)
def test_a_script_measures_and_writes(name, tmp_path):
    out = tmp_path / "found.json"
    ran = subprocess.run(
        [sys.executable, SCRIPTS / f"{name}.py", *ASKED[name], "--out", out],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(out.read_text("utf-8"))
