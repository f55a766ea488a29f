"""Layers as callable records; every matrix product is of rank 2, which is the fast path on a CPU."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from extremal.core.record import record


@record
class Linear:
    """x @ weight + bias."""

    weight: jax.Array  # [I, O]
    bias: jax.Array  # [O]

    @classmethod
    def init(cls, key: jax.Array, inputs: int, outputs: int, *, scale: float = 2.0**0.5) -> Linear:
        """Orthogonal weights of gain `scale`, zero bias."""
        return cls(weight=jax.nn.initializers.orthogonal(scale)(key, (inputs, outputs)), bias=jnp.zeros(outputs))

    def __call__(self, x: jax.Array) -> jax.Array:
        y = product(x, self.weight)
        return y + jnp.broadcast_to(self.bias, y.shape)


NARROW = 32  # outputs at most, of a layer whose product is taken turned


def product(x: jax.Array, weight: jax.Array) -> jax.Array:
    """x @ weight: of [..., I] and [I, O].

    On a CPU the slope in a narrow weight, x^T dy of two tall factors, misses the fast path and costs as much as three such
    layers. Turned, (weight^T x^T)^T, the same slope is dy^T x, which is on it; the barriers keep the compiler from turning
    it back. A single output is a product with a vector, and fast as it is.
    """
    if jax.default_backend() != "cpu" or x.ndim != 2 or not 1 < weight.shape[1] <= NARROW:
        return x @ weight
    keep = jax.lax.optimization_barrier
    return keep(keep(weight.T) @ x.T).T


@record
class LayerNorm:
    """Zero mean and unit variance over the features, then scale and offset.

    Source: [ba2016] Eq. (4).
    """

    scale: jax.Array  # [O]
    offset: jax.Array  # [O]

    @classmethod
    def init(cls, features: int) -> LayerNorm:
        return cls(scale=jnp.ones(features), offset=jnp.zeros(features))

    def __call__(self, x: jax.Array) -> jax.Array:
        x = x - jnp.mean(x, axis=-1, keepdims=True)
        x = x * jax.lax.rsqrt(jnp.mean(x**2, axis=-1, keepdims=True) + 1e-6)
        return x * jnp.broadcast_to(self.scale, x.shape) + jnp.broadcast_to(self.offset, x.shape)


@record
class MLP:
    """Linear layers with ReLU between them; optionally LayerNorm before, and dropout after, each ReLU."""

    layers: tuple[Linear, ...]
    norms: tuple[LayerNorm, ...]  # one per hidden layer, or none

    @classmethod
    def init(cls, key: jax.Array, sizes: Sequence[int], *, layer_norm: bool = False) -> MLP:
        """`sizes` = (inputs, hidden, ..., outputs)."""
        keys = jax.random.split(key, len(sizes) - 1)
        layers = tuple(Linear.init(k, i, o) for k, i, o in zip(keys, sizes[:-1], sizes[1:], strict=True))
        return cls(layers=layers, norms=tuple(LayerNorm.init(n) for n in sizes[1:-1]) if layer_norm else ())

    def __call__(self, x: jax.Array, *, dropout: jax.Array | float | None = None, key: jax.Array | None = None):
        """[B, outputs]; `dropout` is the share of hidden units silenced, drawn from `key` (none without a key)."""
        for depth, layer in enumerate(self.layers[:-1]):
            x = layer(x)
            x = jax.nn.relu(self.norms[depth](x) if self.norms else x)
            if dropout is not None and key is not None:
                keep = jax.random.bernoulli(jax.random.fold_in(key, depth), 1.0 - dropout, x.shape)
                x = jnp.where(keep, x / (1.0 - dropout), 0.0)
        return self.layers[-1](x)
