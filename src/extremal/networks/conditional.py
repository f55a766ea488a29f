"""Networks on (state, x) for many x in each state: what depends on the state alone is worked out once a state."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from extremal.networks.layers import MLP, LayerNorm, Linear

TILE = 5120  # rows of one matrix product; with many more, what lies between two products leaves a CPU's caches


class Conditional(NamedTuple):
    """An MLP on (h, x) in B states h: the first layer's product with h is done, that with x is left."""

    state: jax.Array  # [B, W] the first layer's product with h, and its bias
    weight: jax.Array  # [X, W] the first layer's weights of x
    norms: tuple[LayerNorm, ...]  # one per hidden layer, or none
    layers: tuple[Linear, ...]  # after the first

    @classmethod
    def of(cls, net: MLP, state: jax.Array) -> Conditional:
        """`net` in states [B, H], which are the first H of its inputs."""
        first, size = net.layers[0], state.shape[-1]
        known = Linear(weight=first.weight[:size], bias=first.bias)(state)
        return cls(known, first.weight[size:], net.norms, net.layers[1:])

    def after(self, layer: Linear) -> Conditional:
        """The MLP on (h, layer(x)). No ReLU is between two products, so that they are made one, for all rows."""
        offset = jnp.broadcast_to(layer.bias @ self.weight, self.state.shape)
        return self._replace(state=self.state + offset, weight=layer.weight @ self.weight)

    def __call__(self, x: jax.Array) -> jax.Array:
        """[N, B, K] from x [N, B, X]; products are of rank 2, the fast path on a CPU."""
        count, rows, size = x.shape
        own = (x.reshape(count * rows, size) @ self.weight).reshape(count, rows, -1)
        y = (own + jnp.broadcast_to(self.state, own.shape)).reshape(count * rows, -1)
        for depth, layer in enumerate(self.layers):
            y = layer(jax.nn.relu(self.norms[depth](y) if self.norms else y))
        return y.reshape(count, rows, -1)


def in_tiles(draw: Callable[[jax.Array, int], jax.Array], key: jax.Array, count: int, rows: int) -> jax.Array:
    """[count, rows, ...] of `draw(key, n)` [n, rows, ...], with n such that about `TILE` rows are asked for at once."""
    tiles, size = _tiles(count, rows)
    if tiles == 1:
        return draw(key, count)
    drawn = _each(lambda key: draw(key, size), jax.random.split(key, tiles))
    return drawn.reshape(tiles * size, *drawn.shape[2:])[:count]


def tiled(function: Callable[[jax.Array], jax.Array], x: jax.Array) -> jax.Array:
    """[count, ...] of `function`, which goes row by row along the first axis of x [count, rows, ...], in such tiles."""
    count, rows = x.shape[:2]
    tiles, size = _tiles(count, rows)
    if tiles == 1:
        return function(x)
    whole = jnp.concatenate([x, jnp.zeros((tiles * size - count, *x.shape[1:]), x.dtype)])
    found = _each(function, whole.reshape(tiles, size, *x.shape[1:]))
    return found.reshape(tiles * size, *found.shape[2:])[:count]


def _each(function: Callable[[jax.Array], jax.Array], tiles: jax.Array) -> jax.Array:
    """One tile after the other where caches are small; an accelerator takes all at once, and draws the same."""
    return jax.lax.map(function, tiles) if jax.default_backend() == "cpu" else jax.vmap(function)(tiles)


def _tiles(count: int, rows: int) -> tuple[int, int]:
    """How many tiles, and how many of `count` are in each."""
    tiles = -(-count // max(TILE // rows, 1))
    return tiles, -(-count // tiles)
