"""CQL's lower bounds, by learning: Eq. (1) on the reference MDP, by a table and by a network; and a network's value of a
policy that was chosen on few rows.

In the second part the policy is the best one of the data (softened, so that it has a D_CQL in every state), and so its value is too high
in the data: the winner's curse. Without a penalty the network believes it; with the weight that Theorem 3.2 asks for,
computed from the errors that the data makes, its value lies below the truth in every state.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import drawn
from test_m3 import m3

from extremal.core.algorithm import Algorithm, Step
from extremal.core.optimiser import SGD, Adam, Cosine, Polyak
from extremal.core.record import record, static
from extremal.core.types import Batch
from extremal.engine.loop import train
from extremal.engine.replicas import init_replicas, run_keys, stack
from extremal.networks.heads import Critic
from extremal.networks.layers import MLP
from extremal.networks.table import PolicyTable, StateActionTable
from extremal.objectives.backup import ExpectedBackup, PolicyBackup
from extremal.objectives.conservative import ExactLogSumExp, FitConservativeCritic, PolicyMean, PreviousPolicy
from extremal.tabular import policy_evaluation, random_mdp, value_iteration
from extremal.tabular.conservative import conservative_evaluation, pointwise_evaluation
from extremal.tabular.conservative_bounds import value_threshold

STATES, ACTIONS, DISCOUNT, UPDATES = 4, 3, 0.8, 2500
POLICY = np.array([[0.1, 0.7, 0.2], [0.1, 0.2, 0.7], [0.8, 0.1, 0.1]])  # of row C3, on the reference MDP
TAKEN = np.array([[6, 3, 2], [3, 5, 2], [2, 3, 6], [4, 2, 4]])


class Networks(NamedTuple):
    q: Critic
    pi: PolicyTable  # the policy that is evaluated; nothing trains it


@record
class Nets:
    policy: Any  # [S, A]
    table: bool = static(default=False)  # or a network of one-hot states and actions

    def init(self, key):
        states, actions = self.policy.shape
        q: Any = StateActionTable(values=jnp.zeros((1, states, actions)))
        if not self.table:
            q = Critic(members=(MLP.init(key, (states + actions, 32, 32, 1)),))
        return Networks(q=q, pi=PolicyTable(logits=jnp.log(self.policy)))


@record
class Every:
    """A batch is all of the data: one row for each that a pair was tried, with its reward and what followed."""

    batch: Batch

    def sample(self, dataset, key):
        return self.batch


def rows(mdp, taken):
    """The data's pairs in proportion, each with its mean reward; what follows is drawn by the shares of the data."""
    state, action, to = np.nonzero(mdp.transition * taken[..., None] > 0)
    times = np.rint(mdp.transition * taken[..., None])[state, action, to].astype(int)
    state, action, to = (np.repeat(x, times) for x in (state, action, to))
    one = lambda x, size: jnp.asarray(np.eye(size)[x], jnp.float32)  # noqa: E731
    return Batch(
        observation=one(state, mdp.states),
        action=one(action, mdp.actions),
        reward=jnp.asarray(mdp.mean_reward[state, action], jnp.float32),
        next_observation=one(to, mdp.states),
        terminated=jnp.zeros(len(to)),
    )


def learned(mdp, taken, policy, weights, *, data_term=True):
    """[R, S, A] Q of the policy by a network for each weight of the penalty."""
    batch = rows(mdp, taken)

    def algorithm(weight):
        critic = FitConservativeCritic(
            penalty=PolicyMean(samples=1),
            backup=PolicyBackup(),
            discount=mdp.discount,
            weight=weight,
            data_term=data_term,
        )
        adam = Adam(learning_rate=3e-3, schedule=Cosine(horizon=float(UPDATES)))
        return Algorithm(
            networks=Nets(policy=jnp.asarray(policy, jnp.float32)),
            steps=(Step(trains="q", objective=critic, optimiser=adam),),
            slow={"q": Polyak(rate=0.05)},
            sampler=Every(batch=batch),
        )

    stacked = stack([algorithm(float(weight)) for weight in weights])
    first, keys = run_keys([0] * len(weights))
    (last,) = train(stacked, init_replicas(stacked, first), batch, keys, updates=UPDATES, every=(UPDATES,), how="vmap")
    pairs = jnp.repeat(jnp.eye(mdp.states), mdp.actions, axis=0), jnp.tile(jnp.eye(mdp.actions), (mdp.states, 1))
    q = jax.vmap(lambda critic: critic(*pairs))(last.states.online.q)  # [R, 1, S A]
    return np.asarray(q[:, 0], np.float64).reshape(-1, mdp.states, mdp.actions)


def tabled(penalty, *, data_term, square=0.5, weight=0.5):
    """[S, A] Q of `POLICY` on M3 by a table, under gradient descent on all of the data with no draw in it."""
    mdp = m3()
    critic = FitConservativeCritic(
        penalty=penalty,
        backup=ExpectedBackup(),
        discount=mdp.discount,
        weight=weight,
        square=square,
        data_term=data_term,
    )
    algorithm = Algorithm(
        networks=Nets(policy=jnp.asarray(POLICY, jnp.float32), table=True),
        steps=(Step(trains="q", objective=critic, optimiser=SGD(learning_rate=2.0)),),
        slow={"q": Polyak(rate=1.0)},
        sampler=Every(batch=rows(mdp, 100 * mdp.behaviour)),
    )
    state = algorithm.init(jax.random.key(0))
    step = lambda index, state: algorithm.update(state, None, jax.random.key(0), index)[0]  # noqa: E731
    state = jax.jit(lambda state: jax.lax.fori_loop(0, 3000, step, state))(state)
    return np.asarray(state.online.q.values[0], np.float64)


@pytest.mark.parametrize("square", [0.5, pytest.param(1.0, marks=pytest.mark.slow)])
def test_c3_a_table_that_minimises_eq_1_comes_to_t_less_alpha_pi_over_mu(square):
    """C3 on M3, with alpha = 1/2; the squared error without its half counts alpha half. Every action is below the truth."""
    mdp, alpha = m3(), 0.5 * 0.5 / square
    q = tabled(PolicyMean(samples=1), data_term=False, square=square)
    t = mdp.backup((POLICY * q).sum(-1))
    np.testing.assert_allclose(q, t - alpha * POLICY / mdp.behaviour, atol=1e-3)
    np.testing.assert_allclose(q, pointwise_evaluation(mdp, POLICY, penalty_weight=alpha).q, atol=1e-3)
    assert (q < policy_evaluation(mdp, POLICY).q - 1.0).all()


@pytest.mark.parametrize(
    ("name", "raised"),
    [("H", 0.0), ("rho", 1.0), *(pytest.param(*x, marks=pytest.mark.slow) for x in (("H", 1.0), ("rho", 0.0)))],
)
def test_a_table_of_cql_h_and_rho_lowers_what_is_best_against_it(name, raised):
    """Q = T - alpha (mu / pi_beta - raised), mu in proportion to exp(Q), or to rho exp(Q): Eq. (4), Eq. (7), with Eq. (1) and (2)."""
    penalty = {"H": ExactLogSumExp(), "rho": PreviousPolicy(samples=1)}[name]
    q = tabled(penalty, data_term=raised > 0)
    mu = np.exp(q - q.max()) * (POLICY if name == "rho" else 1.0)
    mu /= mu.sum(-1, keepdims=True)
    t = m3().backup((POLICY * q).sum(-1))
    np.testing.assert_allclose(q, t - 0.5 * (mu / m3().behaviour - raised), atol=1e-3)


@pytest.mark.slow
def test_c3_a_network_that_minimises_eq_1_lies_between_the_table_and_the_truth():
    mdp, true = m3(), policy_evaluation(m3(), POLICY).q
    for alpha, q in zip(
        (0.1, 0.5), learned(mdp, 100 * mdp.behaviour, POLICY, (0.1, 0.5), data_term=False), strict=True
    ):
        table = pointwise_evaluation(mdp, POLICY, penalty_weight=alpha).q
        below = (true - q) / (true - table)  # 0: the truth, 1: the table
        assert (below > 0.0).all()
        assert (below < 1.05).all()


@pytest.mark.slow
def test_the_networks_value_is_below_the_truth_with_the_weight_of_theorem_3_2_and_above_it_without():
    mdp = random_mdp(STATES, ACTIONS, seed=0, discount=DISCOUNT)
    data = drawn(mdp, TAKEN, seed=0)
    policy = 0.95 * value_iteration(data).policy + 0.05 / ACTIONS
    true = policy_evaluation(mdp, policy)
    error = data.backup(true.v) - mdp.backup(true.v)  # of the data's backup, on the true value
    weight = 1.05 * value_threshold(error, policy, data.behaviour)
    assert 0.01 < weight < 10.0

    plain, conservative = ((policy * q).sum(-1) for q in learned(data, TAKEN, policy, (0.0, weight)))
    np.testing.assert_allclose(plain, policy_evaluation(data, policy).v, atol=0.05)
    exact = conservative_evaluation(data, policy, penalty_weight=weight).v
    np.testing.assert_allclose(conservative, exact, atol=0.1)

    assert (plain > true.v + 1.0).all()
    assert (conservative < true.v - 0.3).all()
