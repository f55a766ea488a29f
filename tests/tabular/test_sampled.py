"""Every operator as a sampled loss: trained by the engine on one-hot tables, it lands on the exact fixed point.

Two comparisons:

- with the fixed point of the data's own MDP (frequencies as probabilities). Where each update sees every row, nothing
  is random, and the tolerance is the optimiser's: 0.001, or 0.02 of a quantile, whose slope has no zero but a jump.
  Where updates see drawn rows or drawn actions it is five standard errors of as many draws as the last tenth of the updates
  has: the rate falls to 0 as a cosine, and so averages over at least these.
- with the fixed point of the MDP that the data was sampled from: five standard errors of n rows more.

A standard error is the first order of how a fixed point V = omega(r + discount P V, mu) moves with what it is made of.
Let D[s, a] be the derivative of omega in Q(s, a), and g[s, a] that in the share of the action a, of mean 0 under mu. The
mean of r + discount V(s') over n(s, a) rows has a variance of discount^2 Var V(s') / n(s, a); the n(s) actions of a state
move omega by a variance of Var_mu g / n(s). What moves omega by e moves V by G e, G = (I - discount D P)^-1, since it comes
back at every backup. All are independent, so the variance of V is G^2 (D^2 Var_backup + Var_omega), squares entrywise.
A quantile has no first order, but jumps, where mu gives exactly its level to the lower actions; none here does.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from extremal import tabular
from extremal.core.algorithm import Algorithm, Step, Transitions
from extremal.core.optimiser import Adam, Cosine, Polyak
from extremal.core.record import record, static
from extremal.data.tabular import to_dataset
from extremal.engine.loop import train
from extremal.engine.replicas import init_replicas, run_keys, stack
from extremal.networks.table import PolicyTable, StateActionTable, StateTable
from extremal.objectives.backup import SampledBackup, ValueBackup
from extremal.objectives.critic import FitCritic
from extremal.objectives.policy import Cloning
from extremal.objectives.sampled import ExpectedMaximum, Maximum, SoftExpectedMaximum
from extremal.objectives.statistic import Expectile, Gumbel, KLBall, Mean, Quantile
from extremal.objectives.value import FitValue
from extremal.tabular.sampling import counts, empirical, sample

DISCOUNT = 0.9
_STAY, _NEXT = np.eye(3), np.roll(np.eye(3), 1, axis=1)
M3 = tabular.FiniteMDP(
    transition=np.stack([0.7 * _STAY + 0.1, 0.1 * _STAY + 0.9 * _NEXT, 0.3 * _NEXT + 0.7 * _NEXT @ _NEXT], axis=1),
    reward=np.asarray([[0.0, 1.0, 0.5], [0.0, 0.2, 1.0], [2.0, 0.0, 0.0]]),
    discount=DISCOUNT,
    behaviour=np.asarray([[0.5, 0.3, 0.2], [0.2, 0.5, 0.3], [0.6, 0.3, 0.1]]),
)

INF = float("inf")
IN_SAMPLE = {
    "mean": [(Mean(), {})],
    "expectile": [(Expectile(expectile=x), {"parameter": x}) for x in (0.7, 0.95)],
    "quantile": [(Quantile(quantile=x), {"parameter": x}) for x in (0.1, 0.75)],
    "log_mean_exp": [(Gumbel(beta=x, clip=INF), {"parameter": x}) for x in (0.2, 5.0)],
    "kl_ball": [(KLBall(kappa=x, clip=INF), {"parameter": x}) for x in (0.05, 0.42)],
}
DRAWN = {
    "maximum": [(Maximum(share=1e-3), {})],
    "expected_maximum": [(ExpectedMaximum(samples=2), {"parameter": 2})],
    "soft_expected_maximum": [
        (SoftExpectedMaximum(samples=2, inverse_temperature=2.0), {"parameter": 2, "inverse_temperature": 2.0})
    ],
}
CASES = {**IN_SAMPLE, **DRAWN}


class Networks(NamedTuple):
    v: Any
    q: StateActionTable
    behaviour: PolicyTable


@record
class Tables:
    """Tables of zeros, and the behaviour that is given."""

    behaviour: Any
    head: tuple[int, ...] | None = static()  # numbers of a state in V; None: there is no V

    def init(self, key: Any) -> Networks:
        return Networks(
            v=None if self.head is None else StateTable(values=jnp.zeros((3, *self.head))),
            q=StateActionTable(values=jnp.zeros((1, 3, 3))),
            behaviour=PolicyTable(logits=jnp.log(self.behaviour)),
        )


@record
class EveryRow:
    """A batch is all of the data."""

    size = length = 1  # of no batch: both ask for a size that is known before

    def sample(self, dataset: Any, key: Any) -> Any:
        return dataset.row(jnp.arange(dataset.rows))


def algorithm(statistic: Any, behaviour: np.ndarray, sampler: Any, *, updates: int, rate: float) -> Algorithm:
    """V to the statistic of Q and Q to r + discount V; or, for statistics of drawn actions, Q alone."""
    adam = Adam(learning_rate=rate, schedule=Cosine(horizon=float(updates)))
    step = lambda name, objective: Step(trains=name, objective=objective, optimiser=adam)  # noqa: E731
    if isinstance(statistic, ExpectedMaximum | SoftExpectedMaximum | Maximum):
        head, steps = None, (step("q", FitCritic(backup=SampledBackup(statistic=statistic), discount=DISCOUNT)),)
    else:
        head = (2,) if isinstance(statistic, KLBall) else ()
        fit_critic = FitCritic(backup=ValueBackup(statistic=statistic), discount=DISCOUNT)
        steps = (step("v", FitValue(statistic=statistic)), step("q", fit_critic))
    networks = Tables(behaviour=jnp.asarray(behaviour, jnp.float32), head=head)
    return Algorithm(networks=networks, steps=steps, slow={"q": Polyak(rate=1.0)}, sampler=sampler)


def fitted(logged: Any, algorithms: list[Algorithm], *, updates: int) -> Any:
    """The networks [R, ...] after training, one replica an algorithm."""
    stacked = stack(algorithms)
    first, keys = run_keys(range(len(algorithms)))
    states, data = init_replicas(stacked, first), to_dataset(logged, states=3, actions=3)
    (last,) = train(stacked, states, data, keys, updates=updates, every=(updates,), how="vmap")
    assert last.alive.all()
    return last.states.online


def learned(name: str, statistic: Any, parameter: Any, online: Any, replica: int, behaviour: np.ndarray) -> np.ndarray:
    """[S] the V of a trained table; where there is none, that of its Q under the exact operator."""
    if name in IN_SAMPLE:
        return np.asarray(statistic.value(online.v.values[replica]))
    return getattr(tabular, name)(online.q.values[replica, 0], behaviour, **parameter)


# ---- standard errors ----------------------------------------------------------------------------------------------


def derivatives(mdp: tabular.FiniteMDP, operator: Any, exact: tabular.Solution, parameter: Any) -> tuple[Any, Any]:
    """D and g [S, A]: of the operator at the fixed point, in Q and in the share of an action."""
    step, mu, value = 1e-5, mdp.behaviour, lambda q, mu: operator(q, mu, **parameter)
    each = np.eye(mdp.actions)
    in_q = [(value(exact.q + step * e, mu) - value(exact.q - step * e, mu)) / (2 * step) for e in each]
    in_share = [(value(exact.q, (1 - step) * mu + step * e) - exact.v) / step for e in each]
    return np.stack(in_q, axis=1), np.stack(in_share, axis=1)


def propagated(mdp: tabular.FiniteMDP, in_q: np.ndarray, of_backup: np.ndarray, of_value: Any) -> np.ndarray:
    """[S] standard error of V, from the variances of its backups [S, A] and of its operator [S]."""
    again = np.linalg.inv(np.eye(mdp.states) - mdp.discount * np.einsum("ij,ijk->ik", in_q, mdp.transition))
    return np.sqrt(again**2 @ (np.sum(in_q**2 * of_backup, axis=1) + of_value))


def error_of_rows(mdp: Any, operator: Any, exact: Any, parameter: Any, rows: np.ndarray) -> np.ndarray:
    """[S] of V from so many rows [S, A], drawn under the behaviour."""
    in_q, in_share = derivatives(mdp, operator, exact, parameter)
    of_backup = mdp.discount**2 * (mdp.expect(exact.v**2) - mdp.expect(exact.v) ** 2) / rows
    return propagated(mdp, in_q, of_backup, np.sum(mdp.behaviour * in_share**2, axis=1) / rows.sum(axis=1))


def error_of_draws(mdp: Any, operator: Any, exact: Any, parameter: Any, rows: np.ndarray) -> np.ndarray:
    """[S] of V where each of so many rows [S, A] draws its actions once; no variance exceeds a quarter of range^2."""
    in_q, _ = derivatives(mdp, operator, exact, parameter)
    of_backup = mdp.discount**2 * mdp.expect(np.ptp(exact.q, axis=1) ** 2 / 4) / rows
    return propagated(mdp, in_q, of_backup, 0.0)


def quick(*names):
    """Every operator, of which only these are tried in the quick suite."""
    every = [*IN_SAMPLE, *DRAWN]
    return pytest.mark.parametrize(
        "name", [name if name in names else pytest.param(name, marks=pytest.mark.slow) for name in every]
    )


@quick("log_mean_exp")
def test_the_standard_error_is_that_of_many_data_sets(name):
    """The derivation above, by simulation: 100 data sets of 2,000 rows and their exact fixed points."""
    operator, (_, parameter) = getattr(tabular, name), CASES[name][-1]
    exact = tabular.value_iteration(M3, operator, **parameter)
    logs = [sample(M3, episodes=20, horizon=100, seed=seed) for seed in range(100)]
    found = np.stack(
        [
            tabular.value_iteration(empirical(x, 3, 3, discount=DISCOUNT), operator, tolerance=1e-4, **parameter).v
            for x in logs
        ]
    )
    rows = np.mean([counts(x, 3, 3) for x in logs], axis=0)
    error = error_of_rows(M3, operator, exact, parameter, rows)
    np.testing.assert_allclose(np.std(found, axis=0), error, rtol=0.3)  # four standard errors of a deviation


# ---- training -----------------------------------------------------------------------------------------------------


@quick("log_mean_exp", "kl_ball")
def test_training_on_every_row_lands_on_the_fixed_point_of_the_data(name):
    """1,000 rows, 1,500 updates on all of them."""
    logged = sample(M3, episodes=10, horizon=100, seed=0)
    known, rows = empirical(logged, 3, 3, discount=DISCOUNT), counts(logged, 3, 3)
    updates = 1500
    build = lambda statistic: algorithm(statistic, known.behaviour, EveryRow(), updates=updates, rate=0.1)  # noqa: E731
    online = fitted(logged, [build(statistic) for statistic, _ in CASES[name]], updates=updates)
    for replica, (statistic, parameter) in enumerate(CASES[name]):
        operator = getattr(tabular, name)
        exact = tabular.value_iteration(known, operator, **parameter)
        v = learned(name, statistic, parameter, online, replica, known.behaviour)
        near = np.full(3, 0.02 if name == "quantile" else 1e-3)
        if name.endswith("expected_maximum"):
            near += 5 * error_of_draws(known, operator, exact, parameter, rows * updates / 10)
        assert np.all(np.abs(v - exact.v) <= near)
        truth = tabular.value_iteration(M3, operator, **parameter)
        assert np.all(np.abs(v - truth.v) <= near + 5 * error_of_rows(M3, operator, truth, parameter, rows))


@quick("log_mean_exp")
def test_training_on_drawn_rows_lands_on_the_fixed_point_of_the_mdp(name):
    """20,000 rows, 3,000 updates on batches of 256."""
    logged = sample(M3, episodes=40, horizon=500, seed=0)
    known, rows = empirical(logged, 3, 3, discount=DISCOUNT), counts(logged, 3, 3)
    sampler, updates = Transitions(size=256), 3000
    build = lambda statistic: algorithm(statistic, known.behaviour, sampler, updates=updates, rate=0.05)  # noqa: E731
    online = fitted(logged, [build(statistic) for statistic, _ in CASES[name]], updates=updates)
    drawn = rows / rows.sum() * sampler.size * updates / 10
    for replica, (statistic, parameter) in enumerate(CASES[name]):
        operator = getattr(tabular, name)
        exact = tabular.value_iteration(known, operator, **parameter)
        v = learned(name, statistic, parameter, online, replica, known.behaviour)
        near = 5 * error_of_rows(known, operator, exact, parameter, drawn) + (0.02 if name == "quantile" else 1e-3)
        if name.endswith("expected_maximum"):
            near += 5 * error_of_draws(known, operator, exact, parameter, drawn)
        assert np.all(np.abs(v - exact.v) <= near)
        truth = tabular.value_iteration(M3, operator, **parameter)
        assert np.all(np.abs(v - truth.v) <= near + 5 * error_of_rows(M3, operator, truth, parameter, rows))


# ---- the behaviour ------------------------------------------------------------------------------------------------


class Policies(NamedTuple):
    pi: PolicyTable


@record
class Uniform:
    def init(self, key: Any) -> Policies:
        return Policies(pi=PolicyTable(logits=jnp.zeros((3, 3))))


def test_a_cloned_table_holds_the_frequencies_of_the_actions():
    logged = sample(M3, episodes=10, horizon=100, seed=0)
    adam = Adam(learning_rate=0.1, schedule=Cosine(horizon=300.0))
    clone = Step(trains="pi", objective=Cloning(), optimiser=adam)
    online = fitted(logged, [Algorithm(networks=Uniform(), steps=(clone,), slow={}, sampler=EveryRow())], updates=300)
    taken = counts(logged, 3, 3)
    share = np.exp(online.pi.logits[0] - jax.nn.logsumexp(online.pi.logits[0], axis=-1, keepdims=True))
    np.testing.assert_allclose(share, taken / taken.sum(axis=1, keepdims=True), atol=1e-3)
