"""A command and a script start at once, and what was compiled once is found again; how the rest holds stands in
tests/test_import.py and tests/engine/test_programs.py."""

import io
import os
import subprocess
import sys

import numpy as np
import pytest

import extremal
from extremal.algorithms.registry import METHODS, name_of
from extremal.engine import replicas
from extremal.engine.loop import train
from extremal.engine.replicas import init_replicas, run_keys, stack


def loaded(code: str, *names: str) -> set[str]:
    """Which of these modules a process has when the code is done."""
    code = f"import sys\n{code}\nprint(*[name for name in {names} if name in sys.modules], file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


def test_a_script_loads_what_it_names_and_no_more():
    heavy = ("jax", "optax", "tyro", "rich", "extremal.runs.run", "extremal.algorithms.xql")
    assert loaded("from extremal import DataError, METHODS\nMETHODS['xql'].line", *heavy) == set()
    assert loaded("import extremal; extremal.METHODS['xql'].default", *heavy) == {
        "jax",
        "optax",
        "extremal.algorithms.xql",
    }


def test_what_trains_waits_for_no_simulator_no_pictures_and_no_statistics():
    heavy = ("gymnasium", "mujoco", "matplotlib", "h5py", "pyarrow", "minari", "scipy", "extremal.algorithms.cql")
    assert (
        loaded("import extremal; extremal.train, extremal.load_dataset, extremal.XQL, extremal.check_dataset", *heavy)
        == set()
    )


def test_every_method_is_where_the_list_says():
    for name, method in METHODS.items():
        assert name_of(method.default) == name
        assert all(type(preset.settings) is type(method.default) for preset in method.presets.values())
    with pytest.raises(extremal.ConfigError, match="unknown method 'object'"):
        name_of(object())


def test_a_program_is_traced_once(monkeypatch):
    """Tracing is most of the start when the program is kept."""
    calls, chunk = [], replicas.train_chunk
    monkeypatch.setattr(replicas, "train_chunk", lambda *args: calls.append(1) or chunk(*args))
    episode = {"observation": np.eye(6, 2), "action": np.linspace(-1, 1, 5), "reward": np.zeros(5)}
    data = extremal.Dataset.from_episodes([episode])
    algorithms = stack([extremal.BC(width=5, batch_size=3).algorithm(data.spec, updates=3)])
    init, keys = run_keys([0])
    begun = []
    chunks = train(
        algorithms, init_replicas(algorithms, init), data.device(), keys, updates=3, every=(2,), begins=begun.append
    )
    assert [progress.update for progress in chunks] == [2, 3]
    assert len(calls) == 1
    assert len(begun) == 1  # once for a program, not for each chunk
    assert begun[0] > 0


def test_a_line_says_that_training_begins_after_compiling_and_before_the_first_update(monkeypatch):
    from extremal.cli.progress import bars

    monkeypatch.setattr(sys, "stderr", written := io.StringIO())
    with bars() as bar:
        watch = bar("xql", 10)
        watch(0, {"compiling": "xql"})
        assert "training begins" not in written.getvalue()
        watch(0, {"compiled": 0.25})
        assert "xql: training begins; its program took 0.2 s" in written.getvalue()


def test_the_user_s_own_place_for_programs_is_left_alone(tmp_path):
    """Named to JAX in the environment, before anything of ours is imported."""
    code = """if True:
        import jax, extremal
        try:
            extremal.load("nowhere")
        except extremal.RunError:
            print(jax.config.values["jax_compilation_cache_dir"], jax.config.values["jax_persistent_cache_min_compile_time_secs"])
    """
    given = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(tmp_path), "EXTREMAL_CACHE": str(tmp_path / "cache")}
    given.pop("EXTREMAL_PROGRAMS", None)
    done = subprocess.run([sys.executable, "-c", code], env=given, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(tmp_path), "1.0"]
    assert not (tmp_path / "cache").exists()
