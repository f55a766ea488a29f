"""Distributions over actions: sample, samples (many of each state), log_prob, mode."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp


class Gaussian(NamedTuple):
    """Independent normals over the last axis."""

    mean: jax.Array  # [..., A]
    log_std: jax.Array  # [..., A]

    def log_prob(self, action: jax.Array) -> jax.Array:
        """[...] log density of `action` [..., A]."""
        z = (action - self.mean) * jnp.exp(-self.log_std)
        return jnp.sum(-0.5 * z**2 - self.log_std - 0.5 * math.log(2.0 * math.pi), axis=-1)

    def mode(self) -> jax.Array:
        return self.mean

    def sample(self, key: jax.Array) -> jax.Array:
        return self.mean + jnp.exp(self.log_std) * jax.random.normal(key, self.mean.shape, self.mean.dtype)

    def samples(self, key: jax.Array, count: int) -> jax.Array:
        """[count, ..., A], apart from one another."""
        noise = jax.random.normal(key, (count, *self.mean.shape), self.mean.dtype)
        return self.mean[None] + jnp.exp(self.log_std)[None] * noise


class TanhGaussian(NamedTuple):
    """Independent normals over the last axis, squashed to (-1, 1) by tanh; its mode is taken as the squashed mean.

    Source: [haarnoja2018] App. C.
    Differs from the paper: log(1 - tanh(u)^2) is 2 (log 2 - u - softplus(-2 u)), which keeps its digits where tanh(u) rounds to 1.
    """

    mean: jax.Array  # [..., A], before tanh
    log_std: jax.Array  # [..., A]

    @property
    def before_tanh(self) -> Gaussian:
        """What is squashed."""
        return Gaussian(self.mean, self.log_std)

    def log_prob(self, action: jax.Array) -> jax.Array:
        """[...] log density of `action` [..., A] inside (-1, 1); -1 and 1 count as the numbers next to them."""
        edge = jnp.nextafter(jnp.ones((), action.dtype), jnp.zeros((), action.dtype))
        action = jnp.clip(action, -edge, edge)
        up, down = jnp.log1p(action), jnp.log1p(-action)
        return self.before_tanh.log_prob(0.5 * (up - down)) - jnp.sum(up + down, axis=-1)

    def mode(self) -> jax.Array:
        return jnp.tanh(self.mean)

    def sample(self, key: jax.Array) -> jax.Array:
        return self.sample_with_log_prob(key)[0]

    def samples(self, key: jax.Array, count: int) -> jax.Array:
        """[count, ..., A], apart from one another."""
        return jnp.tanh(self.before_tanh.samples(key, count))

    def sample_with_log_prob(self, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        """An action [..., A] and its log density [...], from the number before tanh and so exact however near the edge."""
        normal = self.before_tanh
        u = normal.sample(key)
        squeeze = 2.0 * (math.log(2.0) - u - jax.nn.softplus(-2.0 * u))
        return jnp.tanh(u), normal.log_prob(u) - jnp.sum(squeeze, axis=-1)


class TruncatedMixture(NamedTuple):
    """A mixture of C independent normals over the last axis, each cut to [-1, 1], with its mean inside.

    It is cut, and neither squashed by tanh nor clipped, because logged actions often lie on -1 and 1 themselves: near
    them a squashed density has no bound, and a clipped one gives them a probability of their own. This one is finite,
    integrates to 1 over [-1, 1], and is that of what is drawn.
    """

    logits: jax.Array  # [..., C]
    mean: jax.Array  # [..., C, A] in [-1, 1]
    log_std: jax.Array  # [..., C, A], before the cut

    def log_prob(self, action: jax.Array) -> jax.Array:
        """[...] log density of `action` [..., A]; one out of range counts as the nearest in range."""
        action = jnp.broadcast_to(jnp.clip(action, -1.0, 1.0)[..., None, :], self.mean.shape)
        each = Gaussian(self.mean, self.log_std).log_prob(action) - jnp.sum(jnp.log(self._inside()), axis=-1)
        return jax.nn.logsumexp(jax.nn.log_softmax(self.logits) + each, axis=-1)

    def levels(self, action: jax.Array) -> tuple[jax.Array, jax.Array]:
        """[..., A] twice: the probability of less than each entry of `action`, and of no more, given the entries before it.

        Here the two are one number. Over actions that follow the distribution it is uniform, and independent of that of
        another entry.

        Source: [rosenblatt1952].
        """
        action = jnp.broadcast_to(jnp.clip(action, -1.0, 1.0)[..., None, :], self.mean.shape)
        root, inside = math.sqrt(0.5), self._inside()
        z = (action - self.mean) * jnp.exp(-self.log_std)
        below = 0.5 * (jax.lax.erf(root * z) - jax.lax.erf(root * self._edges()[0])) / inside
        entry = Gaussian(self.mean[..., None], self.log_std[..., None]).log_prob(action[..., None]) - jnp.log(inside)
        before = jnp.cumsum(entry[..., :-1], axis=-1)  # what the entries before say of the component
        before = jnp.concatenate([jnp.zeros_like(entry[..., :1]), before], axis=-1)
        weight = jax.nn.softmax(self.logits[..., None] + before, axis=-2)
        level = jnp.clip(jnp.sum(weight * below, axis=-2), 0.0, 1.0)
        return level, level

    def mode(self) -> jax.Array:
        """[..., A]: of the components' means the one where the density is largest."""
        density = jax.vmap(self.log_prob, in_axes=-2, out_axes=-1)(self.mean)
        best = jnp.argmax(density, axis=-1)[..., None, None]
        return jnp.take_along_axis(self.mean, best, axis=-2)[..., 0, :]

    def sample(self, key: jax.Array) -> jax.Array:
        return self.samples(key, 1)[0]

    def samples(self, key: jax.Array, count: int) -> jax.Array:
        """[count, ..., A], apart from one another."""
        choose, draw = jax.random.split(key)
        chosen = jax.random.categorical(choose, self.logits, shape=(count, *self.logits.shape[:-1]))

        def of_chosen(x: jax.Array) -> jax.Array:
            """[count, ..., A] from [..., C, A]."""
            first = jnp.arange(math.prod(x.shape[:-2])).reshape(x.shape[:-2]) * x.shape[-2]
            return x.reshape(-1, x.shape[-1])[first[None].astype(chosen.dtype) + chosen]

        low, high = map(of_chosen, self._edges())
        z = jax.random.truncated_normal(draw, low, high, dtype=self.mean.dtype)
        return jnp.clip(of_chosen(self.mean) + jnp.exp(of_chosen(self.log_std)) * z, -1.0, 1.0)

    def _inside(self) -> jax.Array:
        """[..., C, A] what is left of each normal by the cut."""
        low, high = self._edges()
        return 0.5 * (jax.lax.erf(math.sqrt(0.5) * high) + jax.lax.erf(-math.sqrt(0.5) * low))  # both at least 0

    def _edges(self) -> tuple[jax.Array, jax.Array]:
        """-1 and 1 as multiples of the deviation from the mean, [..., C, A]."""
        scale = jnp.exp(-self.log_std)
        return (-1.0 - self.mean) * scale, (1.0 - self.mean) * scale


class Deterministic(NamedTuple):
    """One action."""

    action: jax.Array  # [..., A]

    def mode(self) -> jax.Array:
        return self.action

    def sample(self, key: jax.Array) -> jax.Array:
        return self.action

    def samples(self, key: jax.Array, count: int) -> jax.Array:
        """[count, ..., A], all the same."""
        return jnp.broadcast_to(self.action, (count, *self.action.shape))


class OneHot(NamedTuple):
    """One of A discrete actions, each as a vector with a single 1; a logit of -inf is an action that never comes."""

    logits: jax.Array  # [..., A]

    def log_prob(self, action: jax.Array) -> jax.Array:
        """[...] log probability of one-hot `action` [..., A]."""
        return jnp.sum(jnp.where(action > 0.0, jax.nn.log_softmax(self.logits), 0.0), axis=-1)

    def mode(self) -> jax.Array:
        return jax.nn.one_hot(jnp.argmax(self.logits, axis=-1), self.logits.shape[-1])

    def sample(self, key: jax.Array) -> jax.Array:
        return jax.nn.one_hot(jax.random.categorical(key, self.logits), self.logits.shape[-1])

    def samples(self, key: jax.Array, count: int) -> jax.Array:
        """[count, ..., A], apart from one another."""
        shape = (count, *self.logits.shape[:-1])
        return jax.nn.one_hot(jax.random.categorical(key, self.logits, shape=shape), self.logits.shape[-1])

    def support(self, share: jax.Array | float) -> jax.Array:
        """[A, ..., A]: each action in turn, or the mode in place of one less probable than `share` of the mode."""
        peak = jnp.max(self.logits, axis=-1, keepdims=True)
        likely = jnp.moveaxis(self.logits - peak >= jnp.log(share), -1, 0)[..., None]  # [A, ..., 1]
        each = jnp.eye(self.logits.shape[-1]).reshape(-1, *(1,) * (self.logits.ndim - 1), self.logits.shape[-1])
        shape = (self.logits.shape[-1], *self.logits.shape)
        return jnp.where(likely, jnp.broadcast_to(each, shape), jnp.broadcast_to(self.mode()[None], shape))
