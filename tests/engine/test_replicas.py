"""Stacking, spreading and starting replicas."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from extremal.data.dataset import Dataset
from extremal.engine.replicas import fastest, fill, init_replicas, mesh, run_keys, stack, take, train_replicas


def test_stack_and_take_undo_each_other(make_toy):
    one, two = make_toy(0.1), make_toy(0.2)
    both = stack([one, two])
    assert both.steps[0].optimiser.learning_rate.dtype == jnp.float32
    for number, algorithm in enumerate((one, two)):
        assert jax.tree.all(jax.tree.map(np.allclose, take(both, number), algorithm))


def test_fill_repeats_the_first_replica():
    assert fill({"x": jnp.array([1, 2])}, 2)["x"].tolist() == [1, 2, 1, 1]
    assert fill({"x": jnp.array([1, 2])}, 0)["x"].tolist() == [1, 2]


def test_keys_come_from_the_seed_alone():
    init, update = run_keys([5, 0])
    alone = [x[0] for x in run_keys([0])]
    assert init[1] == alone[0]
    assert update[1] == alone[1]
    assert init[0] != init[1]
    assert init[0] != update[0]


def test_fresh_replicas_are_what_a_loop_gives(make_toy):
    init, _ = run_keys([0, 1])
    states = init_replicas(stack([make_toy(0.1), make_toy(0.2)]), init)
    for number in range(2):
        alone = make_toy(0.1).init(init[number])
        assert jax.tree.all(jax.tree.map(np.allclose, take(states, number), alone))
        assert alone.online.b.x == alone.target["b"].x
    assert states.online.b.x[0] != states.online.b.x[1]


def test_there_are_never_more_devices_than_replicas():
    assert [mesh(count).devices.size for count in (1, 3, 4, 9)] == [1, 3, 4, 4]
    assert fastest() == ("map" if jax.default_backend() == "cpu" else "vmap")


def test_the_compiled_program_holds_no_data_and_takes_every_length(make_toy):
    rows = 100_000
    data = Dataset.from_rows(
        observation=np.arange(rows, dtype=np.float32)[:, None],
        action=np.linspace(-1, 1, rows, dtype=np.float32)[:, None],
        reward=np.zeros(rows, np.float32),
        terminated=np.zeros(rows, bool),
        next_observation=np.arange(1, rows + 1, dtype=np.float32)[:, None],
    ).device()
    algorithms, (init, keys) = stack([make_toy(0.1)] * 4), run_keys(range(4))
    states, at = init_replicas(algorithms, init), lambda update: jnp.asarray(update, jnp.int32)
    program = train_replicas.lower(
        algorithms, states, data, keys, np.ones(4, bool), at(0), at(10), how="map", devices=mesh(4)
    )
    assert len(program.as_text()) < 2**20


CORES = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("flags", "before", "expected"),
    [
        ("", "", CORES),
        ("", "jax.devices(); ", 1),  # JAX has started: no effect, and no complaint
        ("--xla_force_host_platform_device_count=3", "", 3),  # the user has chosen
    ],
)
def test_every_core_becomes_a_device_before_jax_starts(flags, before, expected):
    code = f"import jax; from extremal.engine.replicas import use_every_core as use; {before}use(); use(); print(jax.local_device_count())"
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert int(done.stdout) == expected
