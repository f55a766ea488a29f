"""An MLP whose state part is worked out once is that MLP."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from extremal.networks import conditional
from extremal.networks.conditional import Conditional, in_tiles
from extremal.networks.layers import MLP, Linear

KEY = jax.random.key(0)
STATE, X = jax.random.normal(KEY, (5, 3)), jax.random.normal(jax.random.key(1), (4, 5, 2))


def joined(state, x):
    """[N B, H + X]: every state with each of its x."""
    return jnp.concatenate([jnp.tile(state, (x.shape[0], 1)), x.reshape(-1, x.shape[-1])], axis=-1)


@pytest.mark.parametrize(("depth", "layer_norm"), [(0, False), (2, False), (2, True)])
def test_it_is_the_network_on_state_and_x(depth, layer_norm):
    net = MLP.init(KEY, (5, *(7,) * depth, 6), layer_norm=layer_norm)
    found, expected = jax.jit(lambda net: (Conditional.of(net, STATE)(X), net(joined(STATE, X))))(net)
    np.testing.assert_allclose(found.reshape(-1, 6), expected, rtol=1e-5, atol=1e-5)


def test_a_linear_layer_before_is_made_part_of_the_first():
    net, layer = MLP.init(KEY, (3 + 4, 8, 6)), Linear.init(jax.random.key(2), 2, 4)
    layer = Linear(weight=layer.weight, bias=jnp.arange(4.0))
    found = Conditional.of(net, STATE).after(layer)(X)
    expected = net(joined(STATE, layer(X.reshape(-1, 2)).reshape(4, 5, 4)))
    np.testing.assert_allclose(found.reshape(-1, 6), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("rows", "count", "asked"), [(4, 3, 3), (4, 10, 3), (4, 5, 3), (4, 4, 2), (20, 3, 1)])
def test_tiles_hold_as_many_rows_as_they_may_and_differ(monkeypatch, rows, count, asked):
    monkeypatch.setattr(conditional, "TILE", 12)
    sizes = []

    def draw(key, size):
        sizes.append(size)
        return jax.random.uniform(key, (size, rows, 2))

    drawn = in_tiles(draw, KEY, count, rows)
    assert drawn.shape == (count, rows, 2)
    assert set(sizes) == {asked}
    assert len(np.unique(drawn)) == drawn.size
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")  # all tiles at once
    np.testing.assert_array_equal(in_tiles(draw, KEY, count, rows), drawn)
