"""The causal transformer: what each token may see, and that what it may not see changes nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from extremal.networks.transformer import Block, Dropout, SequencePolicy

B, L, O, A, T = 3, 5, 4, 2, 9  # noqa: E741
FIELDS = ("observation", "action", "return_to_go")


@pytest.fixture(scope="module")
def pi():
    sizes = {"width": 8, "depth": 2, "heads": 2, "timesteps": T}
    policy = SequencePolicy.init(jax.random.key(0), O, A, **sizes)
    louder = lambda x: 10.0 * x if x.ndim == 2 and x.shape[0] in (8, 32) and x.shape[1] != A else x  # noqa: E731
    return jax.tree.map(louder, policy)  # else attention is all but uniform, and hides what it does


@pytest.fixture(scope="module")
def act():
    return jax.jit(lambda pi, given, newest: pi(**given, newest=newest).mode(), static_argnums=2)


def window(length=L, seed=0):
    random = np.random.default_rng(seed)
    return {
        "observation": random.normal(size=(B, length, O)).astype(np.float32),
        "action": random.uniform(-1, 1, size=(B, length, A)).astype(np.float32),
        "return_to_go": random.normal(size=(B, length)).astype(np.float32),
        "timestep": np.tile(np.arange(length, dtype=np.int32), (B, 1)),
        "valid": np.ones((B, length), bool),
    }


@pytest.mark.parametrize("step", range(L))
def test_future_tokens_change_nothing_and_present_ones_do(pi, act, step):
    given, other = window(), window(seed=1)
    before = act(pi, given, False)
    assert before.shape == (B, L, A)
    for name in FIELDS:
        first = step if name == "action" else step + 1  # the action of this step comes after its observation
        changed = np.concatenate([given[name][:, :first], other[name][:, first:]], axis=1)
        after = act(pi, given | {name: changed}, False)
        np.testing.assert_allclose(after[:, : step + 1], before[:, : step + 1], atol=1e-6)
        now = np.concatenate([given[name][:, :step], other[name][:, step:]], axis=1)
        seen = act(pi, given | {name: now}, False)
        later = slice(step + 1, None) if name == "action" else slice(step, None)
        assert (np.abs(seen - before)[:, later].max(axis=(0, 2), initial=1.0) > 1e-3).all()


@pytest.mark.parametrize("padding", [1, 3])
def test_padding_on_the_left_changes_nothing_whatever_it_holds(pi, act, padding):
    given = window()
    found = []
    for seed in (2, 3):
        left = window(padding, seed=seed)
        left |= {"valid": np.zeros((B, padding), bool), "timestep": left["timestep"] + seed}
        padded = {name: np.concatenate([left[name], given[name]], axis=1) for name in given}
        found.append(act(pi, padded, False)[:, padding:])
        np.testing.assert_allclose(found[-1], act(pi, given, False), atol=1e-5)
    np.testing.assert_array_equal(*found)


def test_a_window_of_padding_alone_is_finite(pi, act):
    assert np.isfinite(act(pi, window() | {"valid": np.zeros((B, L), bool)}, False)).all()


def test_the_newest_action_alone_is_the_last_of_all(pi, act):
    newest = act(pi, window(), True)
    assert newest.shape == (B, 1, A)
    np.testing.assert_allclose(newest[:, 0], act(pi, window(), False)[:, -1], atol=1e-6)


def test_steps_beyond_the_last_that_is_told_apart_are_one(pi, act):
    at = lambda first: act(pi, window() | {"timestep": window()["timestep"] + np.int32(first)}, False)  # noqa: E731
    np.testing.assert_array_equal(at(T - 1), at(T + 100))
    assert np.abs(at(T - 2) - at(T - 1)).max() > 1e-3


def test_a_block_is_attention_and_a_hidden_layer_each_added_to_what_came_in():
    """In NumPy, head by head; of the last two of three tokens, the second of which may not see the third."""
    width, heads = 6, 2
    block = jax.tree.map(lambda x: 8.0 * x, Block.init(jax.random.key(3), width, heads))
    x = np.random.default_rng(0).normal(size=(1, 3, width))
    seen = np.asarray([[True, True, False], [True, True, True]])

    def norm(layer, x):
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
        return x * np.asarray(layer.scale, float) + np.asarray(layer.offset, float)

    linear = lambda layer, x: x @ np.asarray(layer.weight, float) + np.asarray(layer.bias, float)  # noqa: E731
    inner = norm(block.attention_norm, x[0])
    query, both, mixed = linear(block.query, inner[1:]), linear(block.key_value, inner), []
    for head in range(heads):
        own = slice(head * width // heads, (head + 1) * width // heads)
        key, value = both[:, :width][:, own], both[:, width:][:, own]
        weight = np.where(seen, np.exp(query[:, own] @ key.T / np.sqrt(width / heads)), 0.0)
        mixed.append(weight / weight.sum(-1, keepdims=True) @ value)
    expected = x[0, 1:] + linear(block.mix, np.concatenate(mixed, axis=1))
    hidden = np.maximum(linear(block.hidden, norm(block.hidden_norm, expected)), 0.0)
    expected = expected + linear(block.out, hidden)
    found = block(jnp.asarray(x, jnp.float32), jnp.asarray(seen[None]), slice(1, None), Dropout(None, None, 0))
    np.testing.assert_allclose(found[0], expected, rtol=1e-4, atol=1e-4)


def test_dropout_needs_a_key_and_changes_with_it(pi):
    given = window()
    run = jax.jit(lambda key, share: pi(**given, dropout=share, key=key).mode())
    still = pi(**given).mode()
    np.testing.assert_allclose(pi(**given, dropout=0.5).mode(), still, atol=1e-6)
    np.testing.assert_allclose(run(jax.random.key(0), 0.0), still, atol=1e-6)
    one, again, other = (run(jax.random.key(k), 0.5) for k in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).max() > 1e-3
    assert np.abs(one - still).max() > 1e-3


def test_dropout_silences_its_share_and_keeps_the_mean():
    x = Dropout(0.3, jax.random.key(0), 100_000)(jnp.ones(100_000))
    values, counts = np.unique(np.asarray(x), return_counts=True)
    np.testing.assert_allclose(values, [0.0, 1 / 0.7], rtol=1e-6)
    assert counts[0] / 100_000 == pytest.approx(0.3, abs=5 * (0.21 / 100_000) ** 0.5)
