"""Layers and heads against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from extremal.networks.heads import (
    ALONE,
    BallValue,
    Critic,
    DeterministicPolicy,
    GaussianPolicy,
    Scalar,
    StateValue,
    TanhGaussianPolicy,
)
from extremal.networks.layers import MLP, NARROW, LayerNorm, Linear, product

KEY = jax.random.key(0)
X = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32)


def normal(x, scale=1.0, offset=0.0):
    """Zero mean and unit variance over the last axis, in float64."""
    x = np.asarray(x, np.float64)
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6) * scale + offset


# ---- layers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("inputs", "outputs"), [(9, 4), (4, 9), (6, 6)])
@pytest.mark.parametrize("scale", [None, 0.5])
def test_linear_starts_orthogonal_with_its_gain(inputs, outputs, scale):
    layer = Linear.init(KEY, inputs, outputs) if scale is None else Linear.init(KEY, inputs, outputs, scale=scale)
    weight = np.asarray(layer.weight, np.float64)
    assert weight.shape == (inputs, outputs)
    gram = weight.T @ weight if inputs >= outputs else weight @ weight.T
    np.testing.assert_allclose(gram, (2.0 if scale is None else scale**2) * np.eye(min(inputs, outputs)), atol=1e-5)
    np.testing.assert_array_equal(layer.bias, np.zeros(outputs))


def test_linear_is_a_product_and_an_offset():
    layer = Linear(weight=Linear.init(KEY, 5, 3).weight, bias=jnp.asarray([1.0, -2.0, 0.5]))
    np.testing.assert_allclose(layer(X), X @ np.asarray(layer.weight) + np.asarray(layer.bias), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("outputs", [1, 2, NARROW, NARROW + 1])
def test_a_narrow_product_is_the_product_with_all_its_slopes(outputs):
    """Turned or not: the numbers, both slopes, and the slope of a slope, as a penalty on slopes needs it."""
    x, weight = (
        jax.random.normal(k, shape) for k, shape in zip(jax.random.split(KEY), [(7, 5), (5, outputs)], strict=True)
    )

    def found(of):
        y, (dx, dw) = of(x, weight), jax.grad(lambda x, w: jnp.sum(jnp.sin(of(x, w))), (0, 1))(x, weight)
        steep = lambda w: jnp.sum(jax.grad(lambda x: jnp.sum(jnp.sin(of(x, w))))(x) ** 2)  # noqa: E731
        return y, dx, dw, jax.grad(steep)(weight), jax.jvp(of, (x, weight), (x, weight))[1]

    for one, other in zip(found(product), found(jnp.matmul), strict=True):
        assert jnp.allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_layer_norm_is_the_formula(offset):
    scale, shift = np.linspace(0.5, 2.0, 5), np.linspace(-1.0, 1.0, 5)
    layer = LayerNorm(scale=jnp.asarray(scale, jnp.float32), offset=jnp.asarray(shift, jnp.float32))
    x = X + np.float32(offset)
    np.testing.assert_allclose(layer(x), normal(x, scale, shift), rtol=1e-3 if offset else 1e-5, atol=1e-4)
    np.testing.assert_allclose(LayerNorm.init(5)(X), normal(X), rtol=1e-5, atol=1e-6)


def test_layer_norm_of_a_constant_is_its_offset():
    layer = LayerNorm(scale=jnp.ones(3), offset=jnp.asarray([1.0, 2.0, 3.0]))
    slope = jax.grad(lambda x: layer(x)[0, 0])(jnp.full((1, 3), 4.0))
    np.testing.assert_array_equal(layer(jnp.full((1, 3), 4.0)), [[1.0, 2.0, 3.0]])
    assert np.isfinite(slope).all()


@pytest.mark.parametrize("layer_norm", [False, True])
def test_mlp_is_the_formula(layer_norm):
    net = MLP.init(KEY, (5, 8, 6, 2), layer_norm=layer_norm)
    x = X.astype(np.float64)
    for layer in net.layers[:-1]:
        x = x @ np.asarray(layer.weight) + np.asarray(layer.bias)
        x = np.maximum(normal(x) if layer_norm else x, 0.0)
    expected = x @ np.asarray(net.layers[-1].weight) + np.asarray(net.layers[-1].bias)
    assert [layer.weight.shape for layer in net.layers] == [(5, 8), (8, 6), (6, 2)]
    assert len(net.norms) == (2 if layer_norm else 0)
    np.testing.assert_allclose(net(X), expected, rtol=1e-4, atol=1e-5)


def test_layers_of_one_net_and_nets_of_two_keys_differ():
    square = MLP.init(KEY, (5, 5, 5, 5))
    other = MLP.init(jax.random.key(1), (5, 5, 5, 5))
    weights = [np.asarray(layer.weight) for net in (square, other) for layer in net.layers]
    for number, one in enumerate(weights):
        assert not any(np.allclose(one, two) for two in weights[number + 1 :])


# ---- dropout ------------------------------------------------------------------------------------------------------


def test_dropout_needs_a_rate_and_a_key():
    net = MLP.init(KEY, (5, 32, 2))
    plain = np.asarray(net(X))
    np.testing.assert_array_equal(net(X, dropout=0.5), plain)
    np.testing.assert_array_equal(net(X, key=KEY), plain)
    np.testing.assert_array_equal(net(X, dropout=0.0, key=KEY), plain)
    assert not np.allclose(net(X, dropout=0.5, key=KEY), plain)
    np.testing.assert_array_equal(net(X, dropout=0.5, key=KEY), net(X, dropout=0.5, key=KEY))


def test_dropout_silences_its_share_and_keeps_the_mean():
    width = 100  # the first layer gives ones, the last one their mean
    ones = Linear(weight=jnp.zeros((1, width)), bias=jnp.ones(width))
    net = MLP(layers=(ones, Linear(weight=jnp.full((width, 1), 1 / width), bias=jnp.zeros(1))), norms=())
    out = np.asarray(net(jnp.zeros((2000, 1)), dropout=0.2, key=KEY))[:, 0]
    kept = out * width * 0.8
    np.testing.assert_allclose(kept, np.round(kept), atol=1e-3)  # a whole number of units, each over 0.8
    assert kept.mean() / width == pytest.approx(0.8, abs=0.004)  # four standard errors
    assert out.mean() == pytest.approx(1.0, abs=0.005)


def test_dropout_of_two_layers_is_drawn_apart():
    width = 50
    pass_on = lambda: Linear(weight=jnp.eye(width), bias=jnp.zeros(width))  # noqa: E731
    net = MLP(layers=(pass_on(), pass_on(), pass_on()), norms=())
    survived = np.asarray(net(jnp.ones((400, width)), dropout=0.5, key=KEY)) > 0
    assert survived.mean() == pytest.approx(0.25, abs=0.02)  # it would be a half if both layers drew the same


# ---- heads --------------------------------------------------------------------------------------------------------


def test_state_value_is_one_number_a_state():
    net = MLP.init(KEY, (5, 8, 1))
    value = StateValue(net=net)(X)
    assert value.shape == (7,)
    np.testing.assert_array_equal(value, np.asarray(net(X))[:, 0])


@pytest.mark.parametrize("log_beta", [None, -1.5])
def test_a_ball_s_slope_in_beta_has_no_unit(log_beta):
    """What flows back into log beta is divided by beta, or by the floor; into h as it is."""
    net = MLP.init(KEY, (5, 8, 2 if log_beta is None else 1))
    common = None if log_beta is None else jnp.float32(log_beta / ALONE)
    value = BallValue(net=net, floor=0.05, log_beta=common)
    head, raw = value(X), np.asarray(net(X))
    np.testing.assert_array_equal(head[:, 0], raw[:, 0])
    np.testing.assert_allclose(head[:, 1], raw[:, 1] if common is None else np.full(7, log_beta), rtol=1e-6)

    def moved(h, beta):
        one = BallValue(
            net=lambda x: jnp.stack([h, beta], 1) if common is None else h[:, None],
            floor=0.05,
            log_beta=common if common is None else beta[0] / ALONE,
        )  # type: ignore[arg-type]
        return jnp.sum(one(X) * jnp.broadcast_to(jnp.asarray([2.0, 3.0]), (7, 2)))

    h, beta = jnp.asarray(raw[:, 0]), jnp.full(7, -1.5).at[3].set(-20.0 if common is None else -1.5)
    slope_h, slope_beta = jax.grad(moved, (0, 1))(h, beta)
    np.testing.assert_allclose(slope_h, np.full(7, 2.0), rtol=1e-6)
    expected = 3.0 / np.maximum(np.exp(np.asarray(beta)), 0.05)
    np.testing.assert_allclose(
        slope_beta if common is None else slope_beta[:1], expected if common is None else [7 * expected[0]], rtol=1e-5
    )


def test_critic_stacks_its_members_on_observation_and_action():
    action = np.random.default_rng(1).normal(size=(7, 2)).astype(np.float32)
    members = tuple(MLP.init(key, (7, 8, 1)) for key in jax.random.split(KEY, 3))
    q = Critic(members=members)(X, action)
    assert q.shape == (3, 7)
    for found, member in zip(q, members, strict=True):
        np.testing.assert_array_equal(found, np.asarray(member(np.concatenate([X, action], axis=1)))[:, 0])
    assert not np.allclose(q[0], q[1])


def test_policy_squashes_its_mean_and_bounds_its_deviation():
    net = MLP.init(KEY, (5, 8, 3))
    policy = GaussianPolicy(net=net, log_std=jnp.asarray([-9.0, 0.3, 4.0]))
    gaussian = policy(X)
    np.testing.assert_allclose(gaussian.mean, np.tanh(np.asarray(net(X))), rtol=1e-5)
    np.testing.assert_array_equal(gaussian.log_std, np.broadcast_to(np.float32([-5.0, 0.3, 2.0]), (7, 3)))
    assert not np.allclose(policy(X, dropout=0.5, key=KEY).mean, gaussian.mean)
    np.testing.assert_array_equal(policy(X, dropout=0.5).mean, gaussian.mean)


def test_a_squashed_policy_has_mean_and_deviation_of_the_state_the_latter_within_bounds():
    out = np.asarray([[0.5, -3.0, -25.0, 4.0], [2.0, 0.1, -1.0, 0.5]], np.float32)
    given = Linear(weight=jnp.asarray(out), bias=jnp.zeros(4))  # an observation picks a row
    squashed = TanhGaussianPolicy(net=MLP(layers=(given,), norms=()))(jnp.eye(2))
    np.testing.assert_allclose(squashed.mean, out[:, :2])
    np.testing.assert_allclose(squashed.log_std, [[-20.0, 2.0], [-1.0, 0.5]])
    np.testing.assert_allclose(squashed.mode(), np.tanh(out[:, :2]), rtol=1e-6)
    alone = DeterministicPolicy(net=MLP(layers=(given,), norms=()))(jnp.eye(2))
    np.testing.assert_allclose(alone.mode(), np.tanh(out), rtol=1e-6)


def test_scalar_is_its_number():
    assert float(Scalar(x=jnp.asarray(2.5))()) == 2.5
