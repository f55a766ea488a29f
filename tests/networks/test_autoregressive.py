"""The autoregressive model: what depends on what, its density, its draws, and that it can be fitted."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from extremal.core.optimiser import Adam, Cosine, descend
from extremal.core.types import Batch
from extremal.networks import conditional
from extremal.networks.autoregressive import Autoregressive, BinnedActions
from extremal.networks.conditional import Conditional
from extremal.networks.layers import Linear
from extremal.objectives.policy import Cloning

KEY = jax.random.key(0)
STATES = jax.random.normal(jax.random.key(1), (6, 3))
ACTION = jax.random.uniform(jax.random.key(2), (6, 4), minval=-1.0, maxval=1.0)
PREFIXES = [None, 5]


@functools.cache
def model(action=4, *, bins=8, prefix_width=None, observation=3, depth=1):
    sizes = {"width": 8, "depth": depth, "head_width": 8, "head_depth": 2, "bins": bins}
    return Autoregressive.init(KEY, observation, action, prefix_width=prefix_width, **sizes)


logits = jax.jit(lambda distribution, action: distribution.logits(action))
log_prob = jax.jit(lambda distribution, action: distribution.log_prob(action))
mode = jax.jit(lambda distribution: distribution.mode())
samples = jax.jit(lambda distribution, key, count: distribution.samples(key, count), static_argnums=2)


def shares(distribution, action):
    z = np.asarray(logits(distribution, action), np.float64)
    share = np.exp(z - z.max(axis=-1, keepdims=True))
    return share / share.sum(axis=-1, keepdims=True)


def test_the_density_is_the_share_of_each_bin_over_its_width():
    """Shares 1 : 2 : 5 of three bins of width 2/3, and 4 : 3 : 1 of the second entry's; -1 and 1 are in the outermost."""

    def entry(before, *share):
        """No hidden unit is on: the logits are the last bias."""
        last = Linear(weight=jnp.ones((1, 3)), bias=jnp.log(jnp.asarray(share)))
        return Conditional(jnp.full((1, 1), -9.0), jnp.zeros((before, 1)), (), (last,))

    actions = BinnedActions((entry(0, 1.0, 2.0, 5.0), entry(1, 4.0, 3.0, 1.0)))
    for action, share in (([-1.0, 0.9], 1 * 1), ([-0.34, -0.9], 1 * 4), ([0.0, 0.32], 2 * 3), ([1.0, 7.0], 5 * 1)):
        found = actions.log_prob(jnp.asarray([action]))
        np.testing.assert_allclose(found, [np.log(share / 64 * 1.5**2)], rtol=1e-5)
    np.testing.assert_allclose(actions.mode(), [[2 / 3, -2 / 3]], atol=1e-6)


# ---- what depends on what -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix_width", PREFIXES)
def test_an_entry_depends_on_those_before_it_and_on_no_other(prefix_width):
    policy = model(prefix_width=prefix_width)
    slope = jax.jit(jax.jacobian(lambda a: policy(STATES[:1]).logits(a[None])[0]))(ACTION[0])  # [A, K, A]
    for i, j in np.ndindex(4, 4):
        if j >= i:
            np.testing.assert_array_equal(slope[i, :, j], 0.0)
        else:
            assert np.abs(slope[i, :, j]).max() > 1e-3


def test_every_state_feeds_every_entry_of_its_own_action_alone():
    policy = model(prefix_width=5)
    slope = jax.jit(jax.jacobian(lambda s: policy(s).logits(ACTION)))(STATES)  # [B, A, K, B, O]
    size = np.abs(np.asarray(slope)).max(axis=2)  # [B, A, B, O]
    own = np.eye(6, dtype=bool)[:, None, :, None]
    assert np.all(np.where(own, size, 1.0) > 1e-4)
    np.testing.assert_array_equal(np.where(own, 0.0, size), 0.0)


@pytest.mark.parametrize("prefix_width", PREFIXES)
def test_logits_are_those_of_one_network_an_entry_on_the_embedding_and_the_values_before(prefix_width):
    policy = model(prefix_width=prefix_width)
    found = logits(policy(STATES), ACTION)
    embedding = policy.embedding(STATES)
    for i, head in enumerate(policy.heads):
        before = policy.prefixes[i - 1](ACTION[:, :i]) if prefix_width and i else ACTION[:, :i]
        np.testing.assert_allclose(found[:, i], head(jnp.concatenate([embedding, before], 1)), rtol=1e-4, atol=1e-5)


def test_sizes_are_those_asked_for():
    policy = Autoregressive.init(
        KEY, 3, 3, width=8, depth=2, head_width=6, head_depth=1, bins=5, prefix_width=4
    )  # as Table 3 writes it: (8, 2, 6, 1, 4, 5)
    assert [layer.weight.shape for layer in policy.embedding.layers] == [(3, 8), (8, 8), (8, 8)]
    assert [[layer.weight.shape for layer in head.layers] for head in policy.heads] == [
        [(8, 6), (6, 5)],
        [(12, 6), (6, 5)],
        [(12, 6), (6, 5)],
    ]
    assert [layer.weight.shape for layer in policy.prefixes] == [(1, 4), (2, 4)]


def products(jaxpr):
    """The shapes of both sides of every matrix product of a program."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            yield tuple(x.aval.shape for x in equation.invars)
        for inner in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda x: hasattr(x, "eqns")):
            if hasattr(inner, "eqns"):
                yield from products(inner)
            elif hasattr(inner, "jaxpr"):
                yield from products(inner.jaxpr)


@pytest.mark.parametrize("prefix_width", PREFIXES)
def test_a_state_is_embedded_once_however_many_actions_are_drawn(prefix_width):
    policy = model(3, prefix_width=prefix_width)
    found = list(products(jax.make_jaxpr(lambda s, key: policy(s).samples(key, 10))(STATES, KEY).jaxpr))
    assert all(len(side) <= 2 for product in found for side in product)  # rank 3 misses a CPU's fast path
    many = [right for left, right in found if left[0] == 60]
    many += [left[::-1] for left, right in found if right[-1] == 60]  # narrow layers are turned
    assert sorted(many) == sorted(
        [(1, 8), (2, 8), *[(8, 8)] * 4, *[(8, 8)] * 2]
    )  # entries before, layers after, sums of bins


# ---- density ------------------------------------------------------------------------------------------------------


def test_the_density_integrates_to_one():
    side = (np.arange(80) + 0.5) / 40.0 - 1.0  # ten cells a bin
    grid = jnp.asarray(np.stack(np.meshgrid(side, side, indexing="ij"), -1).reshape(-1, 2), jnp.float32)
    policy = model(2)
    for state in STATES[:2]:
        density = np.exp(log_prob(policy(jnp.tile(state, (len(grid), 1))), grid))
        assert density.sum() / 40.0**2 == pytest.approx(1.0, abs=1e-5)
        assert density.max() / density.min() > 1.5  # and is not uniform


def test_the_density_of_a_draw_is_the_share_of_its_bins_over_their_width():
    distribution = model()(STATES)
    action = samples(distribution, KEY, 1)[0]
    label = np.floor((np.asarray(action) + 1.0) / 0.25).astype(int)
    share = np.take_along_axis(shares(distribution, action), label[..., None], axis=-1)[..., 0]
    np.testing.assert_allclose(log_prob(distribution, action), np.log(share / 0.25).sum(axis=1), rtol=1e-5, atol=1e-5)


def test_actions_on_the_edge_and_beyond_have_the_density_of_the_outermost_bins():
    distribution = model()(STATES)
    for edge, bin_ in [(1.0, 7), (-1.0, 0)]:
        at = log_prob(distribution, jnp.full((6, 4), edge))
        share = shares(distribution, jnp.full((6, 4), edge))[:, :, bin_]
        np.testing.assert_allclose(at, np.log(share / 0.25).sum(axis=1), rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(log_prob(distribution, jnp.full((6, 4), 3.0 * edge)), at)
    slope = jax.jit(jax.grad(lambda m: jnp.mean(m(STATES).log_prob(jnp.ones((6, 4))))))(model())
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(slope))


def test_temperature_divides_every_logit():
    distribution = model()(STATES).tempered(jnp.float32(1.0))
    plain = np.asarray(logits(distribution, ACTION))
    np.testing.assert_array_equal(logits(model()(STATES), ACTION), plain)
    np.testing.assert_allclose(logits(distribution.tempered(jnp.float32(5.0)), ACTION), plain / 5.0, rtol=1e-6)
    np.testing.assert_array_equal(mode(distribution.tempered(jnp.float32(20.0))), mode(distribution))
    flat = distribution.tempered(jnp.float32(jnp.inf))
    np.testing.assert_allclose(log_prob(flat, ACTION), -4.0 * np.log(2.0), rtol=1e-6)
    assert stats.kstest(np.ravel(samples(flat, KEY, 300)), stats.uniform(-1.0, 2.0).cdf).pvalue > 1e-3
    cold = np.asarray(samples(distribution.tempered(jnp.float32(1e-6)), KEY, 300))[..., 0]
    assert np.abs(cold - np.asarray(mode(distribution))[None, :, 0]).max() <= 0.125 + 1e-6  # within one bin


def test_the_mode_is_the_middle_of_the_likeliest_bin_of_each_entry_in_turn():
    distribution = model()(STATES)
    best = shares(distribution, mode(distribution)).argmax(axis=-1)
    np.testing.assert_allclose(mode(distribution), (best + 0.5) * 0.25 - 1.0, atol=1e-6)


# ---- draws --------------------------------------------------------------------------------------------------------


def cell_shares(distribution, bins):
    """[K, K] the probability of each cell of two entries, in one state: the second given the first, over its bin."""
    inside = (np.arange(bins * 40) + 0.5) / (20.0 * bins) - 1.0
    rows = jnp.stack([jnp.asarray(inside, jnp.float32), jnp.zeros(len(inside))], 1)
    share = shares(distribution, rows)  # [40 K, 2, K]
    return share[0, 0][:, None] * share[:, 1].reshape(bins, 40, bins).mean(axis=1)


@pytest.mark.parametrize(("tile", "prefix_width"), [(5120, None), (64, 5)])
def test_draws_follow_the_density(monkeypatch, tile, prefix_width):
    monkeypatch.setattr(conditional, "TILE", tile)
    policy, state = model(2, bins=4, prefix_width=prefix_width), STATES[:1]
    share = cell_shares(policy(jnp.tile(state, (160, 1))), 4)
    other = -state  # a state beside, whose draws are not to be mixed in
    many = policy(jnp.concatenate([state, other])).samples(KEY, 4000)[:, 0]
    one = samples(policy(jnp.tile(state, (4000, 1))), jax.random.key(7), 1)[0]
    for drawn in (np.asarray(many), np.asarray(one)):
        place = (drawn + 1.0) * 2.0
        label = np.floor(place).astype(int)
        count = np.zeros((4, 4))
        np.add.at(count, tuple(label.T), 1)
        assert stats.chisquare(count.ravel(), 4000 * share.ravel() / share.sum()).pvalue > 1e-3
        for column in (place - label).T:
            assert stats.kstest(column, stats.uniform().cdf).pvalue > 1e-3
        assert abs(np.corrcoef((place - label).T)[0, 1]) < 0.07  # four standard errors
    assert len(np.unique(many)) > 7900  # no tile repeats another; float32 may, here and there


def test_draws_follow_their_key_and_models_may_be_stacked():
    distribution = model()(STATES)
    drawn = samples(distribution, KEY, 5)
    assert (drawn.shape, drawn.dtype) == ((5, 6, 4), jnp.float32)
    np.testing.assert_array_equal(samples(distribution, KEY, 5), drawn)
    assert not np.allclose(samples(distribution, jax.random.key(9), 5), drawn)
    pair = jax.tree.map(lambda *x: jnp.stack(x), model(), jax.tree.map(lambda x: 0.5 * x, model()))
    both = jax.jit(jax.vmap(lambda policy: policy(STATES).log_prob(ACTION)))(pair)
    np.testing.assert_allclose(both[0], log_prob(distribution, ACTION), rtol=1e-5)
    assert not np.allclose(both[1], both[0])


def test_it_works_in_double_precision():
    with jax.enable_x64(True):
        policy, states = jax.tree.map(lambda x: x.astype(np.float64), jax.tree.map(np.asarray, (model(), STATES)))
        found = jax.eval_shape(lambda d: (d.samples(KEY, 2), d.mode(), d.log_prob(d.sample(KEY))), policy(states))
    assert {x.dtype for x in found} == {jnp.dtype(jnp.float64)}


# ---- fitting ------------------------------------------------------------------------------------------------------

MEANS = np.asarray([[-0.3, -0.2], [0.3, 0.25]])
WEIGHTS, DEVIATION, CORRELATION = np.asarray([0.4, 0.6]), 0.2, 0.6


def mixture(key, rows):
    """States -1 or 1, and two entries each from two correlated normals; the state is the correlation's sign."""
    ks, kc, kn = jax.random.split(key, 3)
    state = jnp.sign(jax.random.uniform(ks, (rows, 1)) - 0.5)
    one, two = jax.random.normal(kn, (2, rows))
    two = CORRELATION * state[:, 0] * one + (1.0 - CORRELATION**2) ** 0.5 * two
    component = (jax.random.uniform(kc, (rows,)) < WEIGHTS[1]).astype(int)
    return state, jnp.asarray(MEANS, jnp.float32)[component] + DEVIATION * jnp.stack([one, two], 1)


def true_log_density(state, action):
    density = 0.0
    for sign in (-1.0, 1.0):
        covariance = DEVIATION**2 * np.asarray([[1.0, sign * CORRELATION], [sign * CORRELATION, 1.0]])
        parts = [w * stats.multivariate_normal(m, covariance).pdf(action) for w, m in zip(WEIGHTS, MEANS, strict=True)]
        density = density + np.where(state[:, 0] == sign, sum(parts), 0.0)
    return np.log(density)


class Networks:
    def __init__(self, behaviour):
        self.behaviour = behaviour


@functools.partial(jax.jit, static_argnums=1)
def fit(policy, updates):
    adam, objective = Adam(learning_rate=3e-3, schedule=Cosine(horizon=updates)), Cloning(network="behaviour")

    def loss(policy, key):
        state, action = mixture(key, 256)
        batch = Batch(state, action, state[:, 0], state, state[:, 0])
        return objective(Networks(policy), None, batch, None, {})[0]

    def update(carry, key):
        policy, moments = carry
        return descend(adam, jax.grad(loss)(policy, key), moments, policy), None

    return jax.lax.scan(update, (policy, adam.transform().init(policy)), jax.random.split(KEY, updates))[0][0]


@pytest.mark.slow
def test_a_correlated_mixture_is_learned_to_a_fiftieth_of_a_nat():
    sizes = {"width": 16, "depth": 1, "head_width": 64, "head_depth": 2, "bins": 40}
    policy = fit(Autoregressive.init(KEY, 1, 2, **sizes), 2000)
    state, action = mixture(jax.random.key(8), 20_000)
    missing = true_log_density(np.asarray(state), np.asarray(action)) - np.asarray(log_prob(policy(state), action))
    assert missing.mean() < 0.02
    assert missing.mean() > -0.005  # the truth is the best, but for the noise of 20,000 rows


# ---- levels -------------------------------------------------------------------------------------------------------


def test_levels_are_the_probabilities_of_the_bins_below_and_of_these_and_the_own():
    policy = model()
    edge = ACTION.at[0].set(-1.0).at[1].set(1.0).at[2].set(0.25)
    logit, (low, high) = jax.jit(lambda a: (policy(STATES).logits(a), policy(STATES).levels(a)))(edge)
    share = np.exp(logit) / np.exp(logit).sum(axis=-1, keepdims=True)
    place = np.minimum(np.floor((np.asarray(edge) + 1.0) * 4.0).astype(int), 7)
    below = np.take_along_axis(np.cumsum(share, axis=-1) - share, place[..., None], axis=-1)[..., 0]
    own = np.take_along_axis(share, place[..., None], axis=-1)[..., 0]
    np.testing.assert_allclose(low, below, atol=1e-6)
    np.testing.assert_allclose(high, below + own, atol=1e-6)
    np.testing.assert_allclose([low[0], 1.0 - high[1]], 0.0, atol=1e-6)
