"""A causal transformer over the steps of an episode: three tokens a step, and an action read from the middle one.

    token       R0   s0   a0   R1   s1   a1   R2   s2   a2
    sees        itself and whatever stands to its left
    gives            a0'            a1'            a2'

Padding, which stands where an episode has no step to fill a window, is on the left and hidden from every token.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from extremal.core.record import record, static
from extremal.distributions import Deterministic
from extremal.networks.layers import LayerNorm, Linear

TOKENS = 3  # a step: return to go, observation, action
OBSERVATION = 1  # where the observation stands among them
DRAWN = 2**18  # random numbers at once


class Dropout:
    """Silences a share of the numbers that it is called with, one array after the other; without a key it does nothing.

    All is drawn at once, for `count` numbers: a generator's code is long, and would be compiled for each array again.

    Source: [srivastava2014] Sec. 4.
    Differs from the paper: what is kept is scaled up in training, so that nothing is scaled down afterwards.
    """

    def __init__(self, share: jax.Array | float | None, key: jax.Array | None, count: int):
        self.share, self.used = share, 0
        self.keep = None if share is None or key is None else _keep(share, key, count)

    def __call__(self, x: jax.Array) -> jax.Array:
        if self.share is None or self.keep is None:
            return x
        keep = self.keep[self.used : self.used + x.size].reshape(x.shape)
        self.used += x.size
        return jnp.where(keep, x / (1.0 - self.share), 0.0)


@record
class Block:
    """Attention, then a hidden layer of four times the width; each after a LayerNorm, and added to what came in.

    Source: [radford2019] Sec. 2.3.
    Differs from the paper: ReLU instead of GELU, as in [chen2021].
    """

    attention_norm: LayerNorm
    query: Linear
    key_value: Linear
    mix: Linear
    hidden_norm: LayerNorm
    hidden: Linear
    out: Linear
    heads: int = static()

    @classmethod
    def init(cls, key: jax.Array, width: int, heads: int) -> Block:
        keys = jax.random.split(key, 5)
        return cls(
            attention_norm=LayerNorm.init(width),
            query=_normal(keys[0], width, width),
            key_value=_normal(keys[1], width, 2 * width),
            mix=_normal(keys[2], width, width),
            hidden_norm=LayerNorm.init(width),
            hidden=_normal(keys[3], width, 4 * width),
            out=_normal(keys[4], 4 * width, width),
            heads=heads,
        )

    def __call__(self, x: jax.Array, seen: jax.Array, read: slice, dropout: Dropout) -> jax.Array:
        """[B, R, D]: the tokens at `read` after this block, from all tokens [B, T, D]; each looks at `seen` [B, R, T]."""
        norm = _rows(self.attention_norm, x)
        mixed = self._attend(_rows(self.query, norm[:, read]), _rows(self.key_value, norm), seen, dropout)
        x = x[:, read] + dropout(_rows(self.mix, mixed))
        hidden = jax.nn.relu(_rows(self.hidden, _rows(self.hidden_norm, x)))
        return x + dropout(_rows(self.out, hidden))

    def dropped(self, batch: int, read: int, tokens: int) -> int:
        """How many numbers dropout is asked for."""
        return batch * read * (self.heads * tokens + 2 * self.mix.bias.shape[0])

    def _attend(self, query: jax.Array, key_value: jax.Array, seen: jax.Array, dropout: Dropout) -> jax.Array:
        """[B, R, D]: the values of what each token sees, by a softmax of its products with their keys, head by head."""
        batch, read, width = query.shape

        def apart(x: jax.Array) -> jax.Array:
            """[B H, T, D / H] from [B, T, D]."""
            heads = x.reshape(batch, -1, self.heads, width // self.heads).swapaxes(1, 2)
            return heads.reshape(batch * self.heads, -1, width // self.heads)

        query, key, value = map(apart, (query, key_value[..., :width], key_value[..., width:]))
        logits = jnp.einsum("nrd,ntd->nrt", query, key) * query.shape[-1] ** -0.5
        weight = jax.nn.softmax(jnp.where(jnp.repeat(seen, self.heads, axis=0), logits, -jnp.inf))
        mixed = jnp.einsum("nrt,ntd->nrd", dropout(weight), value)
        return mixed.reshape(batch, self.heads, read, -1).swapaxes(1, 2).reshape(batch, read, width)


@record
class SequencePolicy:
    """pi(a_t | the last steps' returns to go, observations and actions): an action for each step of a window.

    Source: [chen2021] Sec. 3, Algorithm 1.
    Differs from the paper: observations and returns are not predicted, which its published code does not train either;
    the last block runs for the observations' tokens only, since no other is read (the numbers are the same).
    """

    return_to_go: Linear
    observation: Linear
    action: Linear
    timestep: jax.Array  # [T, D] one row a step of an episode; later steps share the last
    norm: LayerNorm
    blocks: tuple[Block, ...]
    last_norm: LayerNorm
    head: Linear

    @classmethod
    def init(
        cls, key: jax.Array, observation: int, action: int, *, width: int, depth: int, heads: int, timesteps: int
    ) -> SequencePolicy:
        kr, ko, ka, kt, kh, kb = jax.random.split(key, 6)
        return cls(
            return_to_go=_uniform(kr, 1, width),
            observation=_uniform(ko, observation, width),
            action=_uniform(ka, action, width),
            timestep=jax.random.normal(kt, (timesteps, width)),
            norm=LayerNorm.init(width),
            blocks=tuple(Block.init(k, width, heads) for k in jax.random.split(kb, depth)),
            last_norm=LayerNorm.init(width),
            head=_uniform(kh, width, action),
        )

    def __call__(
        self,
        observation: jax.Array,
        action: jax.Array,
        return_to_go: jax.Array,
        timestep: jax.Array,
        valid: jax.Array,
        *,
        newest: bool = False,
        dropout: jax.Array | float | None = None,
        key: jax.Array | None = None,
    ) -> Deterministic:
        """Actions [B, L, A], each from what stands up to its observation; where `valid` is false they mean nothing.

        Args:
            observation: [B, L, O]; action: [B, L, A]; return_to_go: [B, L], scaled; timestep: [B, L], from 0;
            valid: [B, L] bool, false on padding, which stands on the left.
            newest: the action of the last step only, [B, 1, A]. dropout: share silenced, drawn from `key`.
        """
        x, seen = self._embed(observation, action, return_to_go, timestep), _seen(jnp.repeat(valid, TOKENS, axis=1))
        tokens = x.shape[1]
        observations = slice(tokens - TOKENS + OBSERVATION if newest else OBSERVATION, None, TOKENS)
        reads = [slice(None)] * (len(self.blocks) - 1) + [observations]
        counts = [b.dropped(*seen[:, read].shape) for b, read in zip(self.blocks, reads, strict=True)]
        drop = Dropout(dropout, key, x.size + sum(counts))
        x = drop(x)
        for block, read in zip(self.blocks, reads, strict=True):
            x = block(x, seen[:, read], read, drop)
        return Deterministic(jnp.tanh(_rows(self.head, _rows(self.last_norm, x))))

    def _embed(
        self, observation: jax.Array, action: jax.Array, return_to_go: jax.Array, timestep: jax.Array
    ) -> jax.Array:
        """[B, 3 L, D] tokens in the order of the diagram."""
        time = self.timestep[jnp.minimum(timestep, self.timestep.shape[0] - 1)]
        parts = (
            _rows(self.return_to_go, return_to_go[..., None]),
            _rows(self.observation, observation),
            _rows(self.action, action),
        )
        together = jnp.stack([part + time for part in parts], axis=2)  # [B, L, 3, D]
        return _rows(self.norm, together.reshape(observation.shape[0], -1, time.shape[-1]))


def _keep(share: jax.Array | float, key: jax.Array, count: int) -> jax.Array:
    """[count] bool, false for about `share` of them; piece by piece, since a generator's scratch must fit the caches."""
    size = min(count, DRAWN)
    keys = jax.random.split(key, -(-count // size))
    return jax.lax.map(lambda key: jax.random.bernoulli(key, 1.0 - share, (size,)), keys).reshape(-1)[:count]


def _seen(valid: jax.Array) -> jax.Array:
    """[B, T, T] bool, by whom and whom: what is valid and not in the future; and itself, so that each sees something."""
    tokens = valid.shape[1]
    past = jnp.tril(jnp.ones((tokens, tokens), bool))
    shape = (valid.shape[0], tokens, tokens)
    valid = jnp.broadcast_to(valid[:, None], shape)
    return (valid & jnp.broadcast_to(past, shape)) | jnp.broadcast_to(jnp.eye(tokens, dtype=bool), shape)


def _rows(layer: Callable[[jax.Array], jax.Array], x: jax.Array) -> jax.Array:
    """`layer` on [B, T, I] as on B T rows: a product of rank 2 is the fast path on a CPU."""
    y = layer(x.reshape(-1, x.shape[-1]))
    return y.reshape(*x.shape[:-1], y.shape[-1])


def _normal(key: jax.Array, inputs: int, outputs: int) -> Linear:
    """Weights of deviation 0.02, no bias to begin with: how GPT-2 starts its blocks."""
    return Linear(weight=0.02 * jax.random.normal(key, (inputs, outputs)), bias=jnp.zeros(outputs))


def _uniform(key: jax.Array, inputs: int, outputs: int) -> Linear:
    """Weights and bias up to 1 / sqrt(inputs): how the published code starts embeddings and head."""
    kw, kb = jax.random.split(key)
    edge = inputs**-0.5
    weight = jax.random.uniform(kw, (inputs, outputs), minval=-edge, maxval=edge)
    return Linear(weight=weight, bias=jax.random.uniform(kb, (outputs,), minval=-edge, maxval=edge))
