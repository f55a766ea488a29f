"""The library that takes the matrix products: measured where it matters, kept, and the same when a run goes on."""

import json
from dataclasses import replace
from importlib.metadata import version

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from extremal import BC, DT, XQL, train
from extremal.core.errors import RunError
from extremal.engine import products
from extremal.engine.loop import train as loop
from extremal.engine.products import compiler_options, fastest_library
from extremal.engine.replicas import init_replicas, run_keys, stack
from extremal.runs.plan import read_plan


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Two idle cores; `measured` holds the sizes that were measured, and Eigen wins each time."""
    measured = []

    def measure(rows, width):
        measured.append((rows, width))
        return "eigen"

    products._kept.cache_clear()
    monkeypatch.setattr(products.os, "sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setattr(products.os, "getloadavg", lambda: (0.1, 0.1, 0.1))
    monkeypatch.setattr(products, "_measure", measure)
    monkeypatch.setenv("EXTREMAL_PROGRAMS", str(tmp_path))
    yield measured
    products._kept.cache_clear()


def algorithm(spec, settings):
    return settings.algorithm(spec, updates=10)


def test_a_product_that_one_core_would_keep_to_itself_is_measured_once_for_its_size(machine, data):
    small = algorithm(data.spec, XQL(width=128, batch_size=256))
    assert fastest_library(small, 1) == "eigen"
    products._kept.cache_clear()  # as in the next process, which finds what was noted
    assert fastest_library(small, 1) == "eigen"
    assert machine == [(256, 128)]
    assert fastest_library(algorithm(data.spec, BC(width=64, batch_size=512)), 1) == "eigen"
    assert fastest_library(algorithm(data.spec, DT(width=64, batch_size=32)), 1) == "eigen"
    assert machine == [(256, 128), (512, 64), (32 * 20, 64)]


@pytest.mark.parametrize(("width", "replicas"), [(8, 1), (256, 1), (128, 2)])
def test_nothing_is_measured_where_both_are_equal_or_replicas_keep_the_cores_busy(machine, data, width, replicas):
    assert fastest_library(algorithm(data.spec, XQL(width=width, batch_size=256)), replicas) == "ynnpack"
    assert machine == []


def test_the_users_own_word_holds_and_one_core_has_nothing_to_share(machine, data, monkeypatch):
    small = algorithm(data.spec, XQL(width=128))
    with monkeypatch.context() as patch:
        patch.setenv("XLA_FLAGS", f"--{products.FLAG}=")
        assert fastest_library(small, 1) == "ynnpack"
    with monkeypatch.context() as patch:
        patch.setattr(products.os, "sched_getaffinity", lambda _: {0})
        assert fastest_library(small, 1) == "ynnpack"
    assert machine == []


def test_what_a_busy_machine_would_say_is_not_asked_for(machine, data, monkeypatch, tmp_path):
    monkeypatch.setattr(products.os, "getloadavg", lambda: (1.5, 0.1, 0.1))
    assert fastest_library(algorithm(data.spec, XQL(width=128)), 1) == "ynnpack"
    assert machine == []
    assert not list(tmp_path.rglob(products.NOTES))


@pytest.mark.parametrize("damage", ["", "{", "[]", "[1]", '{"256 x 128, 2 cores, jaxlib X": "gpu"}'])
def test_damaged_notes_are_made_anew(machine, data, tmp_path, damage):
    small = algorithm(data.spec, XQL(width=128))
    assert fastest_library(small, 1) == "eigen"
    (notes,) = tmp_path.rglob(products.NOTES)
    notes.write_text(damage.replace("X", version("jaxlib")))
    products._kept.cache_clear()
    assert fastest_library(small, 1) == "eigen"
    assert list(json.loads(notes.read_text()).values()) == ["eigen"]


def test_a_note_that_cannot_be_written_costs_no_run(machine, data, monkeypatch):
    def full(path, value):
        raise RunError("no room left")

    monkeypatch.setattr(products, "write_json", full)
    assert fastest_library(algorithm(data.spec, XQL(width=128)), 1) == "eigen"


def test_each_library_is_the_one_that_is_asked_for_and_both_give_the_product():
    x, weight = jax.random.normal(jax.random.key(0), (64, 32)), jax.random.normal(jax.random.key(1), (32, 32))
    lowered, exact = jax.jit(jnp.dot).lower(x, weight), np.asarray(x, np.float64) @ np.asarray(weight, np.float64)
    for library in products.LIBRARIES:
        program = lowered.compile(compiler_options=compiler_options(library))
        assert ("ynn" in str(program.as_text())) == (library == "ynnpack")
        np.testing.assert_allclose(program(x, weight), exact, atol=2e-5)


def test_the_measurement_names_one_of_them():
    assert products._measure(64, 16) in products.LIBRARIES


@pytest.mark.slow
def test_updates_are_the_same_but_for_rounding(data):
    settings = XQL(width=32, batch_size=64)
    made = algorithm(data.spec, settings)
    init, keys = run_keys([0])
    ends = []
    for library in products.LIBRARIES:
        states = init_replicas(stack([made]), init)
        (end,) = loop(stack([made]), states, data.device(), keys, updates=10, every=(10,), library=library)
        ends.append(jax.device_get(end.states.online))
    for one, other in zip(*map(jax.tree.leaves, ends), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_a_run_goes_on_with_the_library_that_it_began_with(monkeypatch, data, tmp_path):
    out, used, data = tmp_path / "run", [], jax.tree.map(np.asarray, data)
    options = products.compiler_options
    monkeypatch.setattr("extremal.runs.run.fastest_library", lambda algorithm, replicas: "eigen")
    monkeypatch.setattr(
        "extremal.engine.loop.compiler_options", lambda library: used.append(library) or options(library)
    )
    shape = {"environment": "none", "holdout": 0.0, "unchecked": True, "out": out}
    train(BC(width=8, batch_size=16), data, updates=4, **shape)
    monkeypatch.setattr("extremal.runs.run.fastest_library", lambda algorithm, replicas: "ynnpack")
    plan = read_plan(out)
    assert plan.library == "eigen" == json.loads((out / "config.json").read_text())["library"]
    train(BC(width=8, batch_size=16), data, updates=4, resume=True, **shape)  # it is the same run, and finished
    replace(plan, library="mkl").save(out)
    with pytest.raises(RunError, match="library is 'mkl'; it is one of ynnpack, eigen"):
        read_plan(out)
    assert used == ["eigen"]
