"""The built wheel holds all that it needs, and works outside the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "extremal"


def call(*command: object, cwd: Path) -> str:
    """What a command prints; its errors are told where it fails."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "XLA_FLAGS")}
    done = subprocess.run([str(c) for c in command], cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel, built from a copy of what it is made of."""
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(PACKAGE, folder / "src" / "extremal", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    call(sys.executable, "-m", "build", "--wheel", "--no-isolation", cwd=folder)
    (found,) = (folder / "dist").glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """The bin folder of an environment that holds this wheel, and borrows every other package from this one."""
    folder = tmp_path_factory.mktemp("environment")
    call(sys.executable, "-m", "venv", "--without-pip", folder / "venv", cwd=folder)
    python = folder / "venv" / "bin" / "python"
    own = Path(call(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip())
    (own / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")  # its own .pth files are not followed
    call(
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        wheel,
        cwd=folder,
    )
    return python.parent


def test_the_wheel_holds_every_file_of_the_package(wheel):
    wanted = {
        str(p.relative_to(PACKAGE.parent)) for p in PACKAGE.rglob("*") if p.is_file() and "__pycache__" not in p.parts
    }
    assert {"extremal/py.typed"} < wanted
    assert wanted <= set(zipfile.ZipFile(wheel).namelist())


@pytest.mark.slow
def test_the_installed_wheel_trains_outside_the_checkout(installed, tmp_path):
    where = call(installed / "python", "-c", "import extremal; print(extremal.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(installed.parent)
    assert "train" in call(installed / "extremal", "--help", cwd=tmp_path)
    random, rows = np.random.default_rng(0), 40
    np.savez(
        tmp_path / "log.npz",
        observation=random.normal(size=(rows, 3)),
        action=random.uniform(-1.0, 1.0, (rows, 2)),
        reward=random.normal(size=rows),
        terminated=np.arange(rows) % 10 == 9,
    )
    options = ["--dataset", "npz:log.npz", "--out", "run", "--updates", "20", "--width", "8", "--batch-size", "8"]
    call(installed / "extremal", "train", "bc", *options, cwd=tmp_path)
    assert (tmp_path / "run" / "summary.json").exists()
    assert (tmp_path / "run" / "checkpoints" / "0000000020.safetensors").exists()
