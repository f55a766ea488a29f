"""`import extremal` is light, the parts import each other as the design says, and `python -m extremal` works."""

import subprocess
import sys

import pytest

OPTIONAL = ["gymnasium", "mujoco", "h5py", "pyarrow", "minari", "matplotlib", "jinja2", "tyro", "rich", "sklearn"]


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_the_package_loads_nothing_optional():
    loaded = python("import sys, extremal; print(*{name.split('.')[0] for name in sys.modules})").split()
    assert "extremal" in loaded
    assert [name for name in OPTIONAL if name in loaded] == []


def test_importing_the_package_loads_none_of_its_parts_and_no_jax():
    code = (
        "import sys, extremal; print(*[name for name in sys.modules if name.startswith(('extremal', 'jax', 'numpy'))])"
    )
    assert python(code).split() == ["extremal"]


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["train", "--help"],
        ["train"],
        ["data", "--help"],
        ["data", "check", "--help"],
        ["algorithms"],
        ["trian"],
    ],
)
def test_who_asks_for_help_waits_for_nothing_that_trains(words):
    """The list of methods included: none of them is imported before its settings are asked for."""
    code = f"""if True:
        import sys
        from extremal.cli import main
        try:
            main({words})
        except SystemExit:
            pass
        heavy = ("jax", "numpy", "scipy", "optax", "gymnasium", "h5py", "mujoco", "matplotlib", "extremal.runs", "extremal.data")
        print("loaded:", *[name for name in heavy if name in sys.modules])
    """
    assert python(code).splitlines()[-1] == "loaded:"


def test_the_package_is_a_command():
    done = subprocess.run([sys.executable, "-m", "extremal", "algorithms"], capture_output=True, text=True, check=True)
    assert "xql" in done.stdout
