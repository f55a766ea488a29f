"""What is saved is read back bit for bit, and what is not a checkpoint is refused."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from extremal.core.errors import RunError
from extremal.core.record import record
from extremal.io.checkpoint import FORMAT, load, save


@record
class Layer:
    weight: jax.Array
    bias: jax.Array


class State(NamedTuple):
    online: Layer
    slow: dict[str, tuple[Layer, ...]]
    count: jax.Array


def state(scale: float = 1.0) -> State:
    layer = Layer(weight=scale * jnp.arange(6.0).reshape(2, 3), bias=jnp.array([np.pi, np.nan, -0.0], jnp.float32))
    return State(online=layer, slow={"q": (layer, layer)}, count=jnp.asarray(7, jnp.int32))


LIKE = jax.eval_shape(state)


@pytest.fixture
def path(tmp_path):
    save(tmp_path / "deep" / "10.safetensors", state(), update=10)
    return tmp_path / "deep" / "10.safetensors"


def test_it_is_read_back_bit_for_bit(path):
    loaded, update = load(path, LIKE)
    assert update == 10
    assert jax.tree.structure(loaded) == jax.tree.structure(state())
    for one, other in zip(jax.tree.leaves(loaded), jax.tree.leaves(state()), strict=True):
        assert np.asarray(one).tobytes() == np.asarray(other).tobytes()
        assert one.dtype == other.dtype


def test_arrays_are_named_by_their_path_in_the_tree(path):
    with safe_open(path, framework="numpy") as file:
        assert sorted(file.keys()) == sorted(
            ["online/weight", "online/bias", "count"]
            + [f"slow/q/{number}/{name}" for number in (0, 1) for name in ("weight", "bias")]
        )
        assert file.metadata() == {"format": str(FORMAT), "update": "10"}


def test_a_failed_save_leaves_the_old_one_and_nothing_else(path):
    before = path.read_bytes()
    with pytest.raises(Exception, match=r"object|dtype"):
        save(path, {"bad": np.array([object()])}, update=11)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda p: p.write_bytes(p.read_bytes()[:-9]), "not a readable checkpoint"),
        (lambda p: p.write_bytes(p.read_bytes()[:4]), "not a readable checkpoint"),
        (lambda p: p.write_bytes(b""), "not a readable checkpoint"),
        (lambda p: p.write_bytes(b"\xff" * 500), "not a readable checkpoint"),
        (lambda p: p.unlink(), "not a readable checkpoint"),
        (lambda p: save_file({"x": np.zeros(1)}, p), "format None"),
        (
            lambda p: save_file({"x": np.zeros(1)}, p, metadata={"format": "99", "update": "1"}),
            "format '99'.* reads format",
        ),
        (lambda p: save_file({"x": np.zeros(1)}, p, metadata={"format": str(FORMAT), "update": "1"}), "other networks"),
        (lambda p: save(p, state()._replace(online=None), update=1), "'online/bias' is on one side only"),
        (lambda p: save(p, state()._replace(count=jnp.zeros(2)), update=1), r"count is float32\(2,\), expected int32"),
    ],
)
def test_what_is_not_a_checkpoint_of_these_networks_is_refused(path, damage, words):
    damage(path)
    with pytest.raises(RunError, match=words) as told:
        load(path, LIKE)
    assert str(path) in str(told.value)
