"""`import extremal` is light, the parts import each other as the design says, and `python -m extremal` works."""

import subprocess
import sys

OPTIONAL = ["gymnasium", "mujoco", "h5py", "pyarrow", "minari", "matplotlib", "jinja2", "tyro", "rich", "sklearn"]


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_the_package_loads_nothing_optional():
    loaded = python("import sys, extremal; print(*{name.split('.')[0] for name in sys.modules})").split()
    assert "extremal" in loaded
    assert [name for name in OPTIONAL if name in loaded] == []


def test_the_package_is_a_command():
    done = subprocess.run([sys.executable, "-m", "extremal", "algorithms"], capture_output=True, text=True, check=True)
    assert "xql" in done.stdout
