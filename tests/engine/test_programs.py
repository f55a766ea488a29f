"""Compiled programs are kept for the next process, and where the user wants them."""

import os
import subprocess
import sys

import jax
import pytest
from jax.experimental.compilation_cache.compilation_cache import reset_cache

import extremal
from extremal.engine import programs
from extremal.engine.programs import keep_programs

SETTINGS = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")


@pytest.fixture
def place(monkeypatch, tmp_path):
    """JAX's own setting, none at first, and put back afterwards; `tmp_path`/cache is the user's cache folder."""
    before = {name: jax.config.values[name] for name in SETTINGS}
    monkeypatch.delenv("EXTREMAL_PROGRAMS", raising=False)
    monkeypatch.setenv("EXTREMAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(programs, "_ours", None)
    jax.config.update(SETTINGS[0], None)
    yield lambda: jax.config.values[SETTINGS[0]]
    for name, value in before.items():
        jax.config.update(name, value)
    reset_cache()


def test_a_place_that_the_user_has_named_stays(place, tmp_path):
    keep_programs(tmp_path)
    chosen = place()
    assert chosen.startswith(str(tmp_path) + "/")
    keep_programs(tmp_path / "elsewhere")
    assert place() == chosen
    keep_programs()
    assert place() == chosen


def test_what_the_library_chose_gives_way_to_what_the_user_names(place, tmp_path):
    keep_programs()
    assert place().startswith(str(tmp_path / "cache" / "programs"))
    keep_programs(str(tmp_path / "mine"))
    assert place().startswith(str(tmp_path / "mine"))


@pytest.mark.parametrize("call", [extremal.load, lambda path: extremal.Run(path).evaluate()])
def test_python_keeps_its_programs_as_the_command_does(place, tmp_path, call):
    with pytest.raises(extremal.RunError):
        call(tmp_path / "nowhere")
    assert place().startswith(str(tmp_path / "cache" / "programs"))


def test_training_in_python_keeps_its_programs(place, tmp_path, monkeypatch):
    monkeypatch.setenv("EXTREMAL_PROGRAMS", str(tmp_path / "named"))
    with pytest.raises(extremal.DataError):
        extremal.train("bc", "npz:nowhere.npz", out=tmp_path / "run")
    assert place().startswith(str(tmp_path / "named"))


def test_none_keeps_nothing(place, tmp_path, monkeypatch):
    monkeypatch.setenv("EXTREMAL_PROGRAMS", "none")
    keep_programs()
    keep_programs(tmp_path)
    assert place() is None
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_done_without(place, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EXTREMAL_CACHE", str(tmp_path / "file"))
    keep_programs()  # nobody asked for it: nobody is told
    assert place() is None
    with pytest.warns(UserWarning, match="are not kept in .*file: Not a directory"):
        keep_programs(str(tmp_path / "file"))
    assert place() is None


def test_who_has_no_home_does_without(place, monkeypatch):
    for name in ("EXTREMAL_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pathlib.Path.home", lambda: (_ for _ in ()).throw(RuntimeError("Could not determine home")))
    keep_programs()
    assert place() is None


def test_a_program_is_found_by_the_next_process_though_jax_had_begun_before_it_was_told(tmp_path):
    """JAX settles at its first compilation whether there is a place for programs."""
    code = """if True:
        import sys, jax
        jax.jit(lambda x: x + 1)(1.0)
        from extremal.engine.programs import keep_programs
        keep_programs(sys.argv[1])
        found = []
        jax.monitoring.register_event_listener(lambda event, **_: found.append(event) if event.endswith("/cache_hits") else None)
        jax.jit(lambda x: 3 * x + 1)(1.0)
        print(len(found))
    """
    given = os.environ | {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    given.pop("EXTREMAL_PROGRAMS")
    seen = []
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", code, tmp_path], env=given, check=True, capture_output=True)
        seen.append((int(done.stdout), len(list(tmp_path.glob("*/*-cache")))))
    (cold, kept), (warm, still) = seen
    assert (cold, warm > 0, kept > 0, still == kept) == (0, True, True, True)
