"""What a method's own steps compute of linear networks, in NumPy: which of online and slow networks, and of draws, each takes.

`Reference` classes elsewhere follow whole updates; these are the pieces of methods whose updates are compared in the slow suite.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from extremal.algorithms.bear import BEAR
from extremal.algorithms.cql import CQL
from extremal.algorithms.emaq import EMaQ
from extremal.algorithms.sac import SAC
from extremal.core.record import record
from extremal.core.types import AgentState, Batch, Spec
from extremal.distributions import Gaussian
from extremal.networks.heads import Scalar

KEY = jax.random.key(11)
ROWS, OBSERVATION, ACTION = 6, 3, 2
SPEC = Spec(observation=(OBSERVATION,), action=(ACTION,))
LINEAR = {"depth": 0, "width": 4, "discount": 0.9, "batch_size": ROWS}
RNG = np.random.default_rng(2)
BATCH = Batch(
    observation=RNG.normal(size=(ROWS, OBSERVATION)),
    action=RNG.uniform(-1, 1, (ROWS, ACTION)),
    reward=RNG.normal(size=ROWS),
    next_observation=RNG.normal(size=(ROWS, OBSERVATION)),
    terminated=np.asarray([0.0, 0.0, 1.0, 0.0, 0.0, 0.0]),
)


@record
class Around:
    """A model of the behaviour: N(shift plus the first entries of the observation, 0.4)."""

    shift: jax.Array  # [A]

    def __call__(self, observation, *, dropout=None, key=None):
        mean = observation[:, :ACTION] + jnp.broadcast_to(self.shift, (len(observation), ACTION))
        return Gaussian(mean, jnp.full(mean.shape, float(np.log(0.4))))


def normals(key, shape):
    return np.asarray(jax.random.normal(key, shape), np.float64)


def around(shift, observation, key, count):
    drawn = observation[:, :ACTION] + shift + 0.4 * normals(key, (count, ROWS, ACTION))
    return np.clip(drawn, -1.0, 1.0)


class Given:
    """Networks of a method and slow copies, of numbers of their own, and what NumPy makes of both."""

    def __init__(self, settings, **given):
        self.algorithm, rng = settings.algorithm(SPEC, updates=10), np.random.default_rng(4)
        shapes = jax.eval_shape(lambda key: self.algorithm.init(key, given), jax.random.key(0))
        drawn = lambda tree: jax.tree.map(lambda x: np.float32(rng.normal(0.0, 0.6, x.shape)), tree)  # noqa: E731
        self.state = AgentState(
            online=drawn(shapes.online)._replace(**given),
            target=drawn(shapes.target),
            optimiser=jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes.optimiser),
        )

    def told(self, label, key=KEY, **earlier):
        """The metrics of one step, by name."""
        step = next(step for step in self.algorithm.steps if step.label == label)
        single = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), BATCH)
        run = jax.jit(lambda state, earlier: step.take(state, single, key, earlier)[1])
        found = run(self.state, {name: jnp.float32(x) for name, x in earlier.items()})
        return {name.removeprefix(f"{label}/"): float(x) for name, x in found.items()}

    def network(self, name, slow):
        return self.state.target[name] if slow else getattr(self.state.online, name)

    def q(self, observation, action, *, slow):
        """[E, N, B] of actions [N, B, A]."""
        x = np.concatenate([np.broadcast_to(observation, (len(action), *observation.shape)), action], axis=2)
        return np.stack([linear(member, x)[..., 0] for member in self.network("q", slow).members])

    def before_tanh(self, observation, *, slow):
        """Mean and deviation of a squashed policy."""
        mean, log_std = np.split(linear(self.network("pi", slow).net, observation), 2, axis=-1)
        return mean, np.exp(np.clip(log_std, -20.0, 2.0))

    def critics_loss(self, follow):
        target = BATCH.reward + 0.9 * (1.0 - BATCH.terminated) * follow
        return np.sum(np.mean((self.q(BATCH.observation, BATCH.action[None], slow=False)[:, 0] - target) ** 2, axis=1))


def linear(net, x):
    (layer,) = net.layers
    return x @ np.asarray(layer.weight, np.float64) + np.asarray(layer.bias, np.float64)


# ---- BEAR -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bear():
    settings = BEAR(samples=3, divergence_samples=4, kernel_scale=0.7, ensemble_weight=0.75, threshold=0.3, **LINEAR)
    return Given(
        settings, behaviour=Around(shift=np.full(ACTION, np.float32(0.2))), log_multiplier=Scalar(x=np.float32(0.7))
    )


def test_bears_critics_follow_the_best_of_the_slow_policys_actions_by_the_slow_critics(bear):
    mean, deviation = bear.before_tanh(BATCH.next_observation, slow=True)
    action = np.tanh(mean + deviation * normals(KEY, (3, ROWS, ACTION)))
    q = bear.q(BATCH.next_observation, action, slow=True)
    follow = np.max(0.75 * q.min(axis=0) + 0.25 * q.max(axis=0), axis=0)
    assert bear.told("q")["loss"] == pytest.approx(bear.critics_loss(follow), rel=1e-4)


def test_bears_policy_pays_for_the_root_of_mmd_before_tanh(bear):
    draw, follow = jax.random.split(KEY)
    own, other = jax.random.split(draw)
    mean, deviation = bear.before_tanh(BATCH.observation, slow=False)
    x = mean + deviation * normals(own, (4, ROWS, ACTION))
    y = np.arctanh(np.clip(around(0.2, BATCH.observation, other, 4), -0.999, 0.999))
    kernel = lambda a, b: np.exp(-np.abs(a[:, None] - b[None]).sum(axis=-1) / 0.7).mean(axis=(0, 1))  # noqa: E731
    apart = np.mean(np.sqrt(kernel(x, x) + kernel(y, y) - 2 * kernel(x, y) + 1e-6))
    (key,) = jax.random.split(follow, 1)
    action = np.tanh(mean + deviation * normals(key, (ROWS, ACTION)))
    q = bear.q(BATCH.observation, action[None], slow=False)[:, 0].min(axis=0).mean()
    found = bear.told("pi")
    expected = {"loss": np.exp(0.7) * apart - q, "divergence": apart, "q": q}
    assert found == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("apart", [0.5, 0.1])
def test_bears_price_rises_where_the_root_is_above_the_threshold(bear, apart):
    found = bear.told("log_multiplier", **{"pi/divergence": apart})
    assert found == pytest.approx({"loss": -np.exp(0.7) * (apart - 0.3), "weight": np.exp(0.7)}, rel=1e-5)


# ---- CQL, as published ----------------------------------------------------------------------------------------------


def test_published_cql_lowers_actions_of_this_state_and_of_the_next_in_this_one():
    """3 uniform actions, 3 of pi(.|s) and 3 of pi(.|s'), each over its density; the sum is not divided by 9."""
    cql = Given(CQL(penalty="published", samples=3, penalty_weight=2.0, square=1.0, **LINEAR))
    draw, follow = jax.random.split(KEY)
    action, log_prob = drawn(cql, BATCH.next_observation, follow)
    q = cql.q(BATCH.next_observation, action[None], slow=True)[:, 0].min(axis=0)
    keys = jax.random.split(draw, 3)
    even = np.asarray(jax.random.uniform(keys[0], (3, ROWS, ACTION), minval=-1.0, maxval=1.0), np.float64)
    looked_at, density = [*even], [np.full(ROWS, -ACTION * np.log(2.0))] * 3
    for key, observation in ((keys[1], BATCH.observation), (keys[2], BATCH.next_observation)):
        for one in jax.random.split(key, 3):
            action, log_prob = drawn(cql, observation, one)
            looked_at, density = [*looked_at, action], [*density, log_prob]
    every = cql.q(BATCH.observation, np.asarray(looked_at), slow=False) - np.asarray(density)
    gap = np.log(np.exp(every).sum(axis=1)) - cql.q(BATCH.observation, BATCH.action[None], slow=False)[:, 0]
    found = cql.told("q")
    assert found["gap"] == pytest.approx(gap.mean(), rel=1e-4)
    assert found["loss"] == pytest.approx(2.0 * gap.mean(axis=1).sum() + cql.critics_loss(q), rel=1e-4)


# ---- SAC ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sac():
    return Given(SAC(**LINEAR), log_alpha=Scalar(x=np.float32(np.log(0.4))))


def drawn(sac, observation, key):
    """An action of the policy as it is, and its log density."""
    mean, deviation = sac.before_tanh(observation, slow=False)
    noise = normals(key, (ROWS, ACTION))
    u = mean + deviation * noise
    squeeze = 2 * (np.log(2) - u - np.logaddexp(0.0, -2 * u))  # log(1 - tanh(u)^2), where tanh(u) rounds to 1 too
    each = -(noise**2) / 2 - np.log(deviation) - np.log(2 * np.pi) / 2 - squeeze
    return np.tanh(u), each.sum(axis=1)


def test_sacs_critics_follow_the_lower_slow_critic_less_the_entropys_cost(sac):
    action, log_prob = drawn(sac, BATCH.next_observation, KEY)
    q = sac.q(BATCH.next_observation, action[None], slow=True)[:, 0].min(axis=0)
    assert sac.told("q")["loss"] == pytest.approx(sac.critics_loss(q - 0.4 * log_prob), rel=1e-4)


def test_sacs_policy_follows_the_lower_critic_and_its_own_entropy(sac):
    action, log_prob = drawn(sac, BATCH.observation, KEY)
    q = sac.q(BATCH.observation, action[None], slow=False)[:, 0].min(axis=0)
    expected = {"loss": np.mean(0.4 * log_prob - q), "log_prob": log_prob.mean(), "q": q.mean()}
    assert sac.told("pi") == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("log_prob", [3.0, -1.5])
def test_sac_asks_for_an_entropy_of_one_nat_below_zero_a_dimension(sac, log_prob):
    """-alpha (log pi + H) with H = -2 for two dimensions: alpha grows where log pi is above 2."""
    found = sac.told("log_alpha", **{"pi/log_prob": log_prob})
    assert found == pytest.approx({"loss": -0.4 * (log_prob - 2.0), "entropy_weight": 0.4}, rel=1e-5)


# ---- EMaQ's second proposal -----------------------------------------------------------------------------------------


def test_soft_emaq_weighs_each_q_by_its_exponential_over_beta():
    (step,) = EMaQ(target="soft", beta=0.5, **LINEAR).algorithm(SPEC, updates=1).steps
    q, weight = np.float32([[0.0], [1.0], [-2.0]]), np.exp([0.0, 2.0, -4.0])
    expected = weight @ q[:, 0] / weight.sum()
    np.testing.assert_allclose(step.objective.backup.statistic.value(q), [expected], rtol=1e-5)


def test_emaqs_second_proposal_clones_what_the_slow_critics_pick_of_both():
    settings = EMaQ(samples=3, distilled=True, critics=2, ensemble_weight=0.6, **LINEAR)
    emaq = Given(
        settings,
        **{
            name: Around(shift=np.full(ACTION, np.float32(x)))
            for name, x in zip(("behaviour", "distilled"), (0.2, -0.3), strict=True)
        },
    )
    shares, keys = (0.2, -0.3), jax.random.split(KEY)

    def preferred(observation):
        action = [around(shift, observation, key, 3) for shift, key in zip(shares, keys, strict=True)]
        action = np.concatenate(action)
        q = emaq.q(observation, action, slow=True)
        return action, 0.6 * q.min(axis=0) + 0.4 * q.max(axis=0)

    _, said = preferred(BATCH.next_observation)
    assert emaq.told("q")["loss"] == pytest.approx(emaq.critics_loss(said.max(axis=0)), rel=1e-4)
    action, said = preferred(BATCH.observation)
    best = action[said.argmax(axis=0), np.arange(ROWS)]
    z = (best - BATCH.observation[:, :ACTION] + 0.3) / 0.4
    log_prob = np.mean(np.sum(-(z**2) / 2 - np.log(0.4) - np.log(2 * np.pi) / 2, axis=1))
    assert emaq.told("distilled") == pytest.approx({"loss": -log_prob, "log_prob": log_prob}, rel=1e-4)
