"""Onestep RL by its own recipe on a table (row A4): SARSA's values, one improvement, and nothing that comes back from it."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special
from test_sampled import M3, EveryRow

from extremal import tabular
from extremal.algorithms.implicit import Networks
from extremal.algorithms.onestep import Onestep
from extremal.core.optimiser import Adam, Cosine
from extremal.core.record import record
from extremal.core.types import Spec
from extremal.data.tabular import to_dataset
from extremal.engine.loop import train
from extremal.engine.replicas import init_replicas, run_keys, stack
from extremal.networks.table import PolicyTable, StateActionTable, StateTable
from extremal.tabular.regularised import advantage_weighted, one_step
from extremal.tabular.sampling import empirical, sample

UPDATES, FIRST = 2000, 1500


@record
class Tables:
    def init(self, key: Any) -> Networks:
        return Networks(
            v=StateTable(values=jnp.zeros(3)),
            q=StateActionTable(values=jnp.zeros((1, 3, 3))),
            pi=PolicyTable(logits=jnp.zeros((3, 3))),  # type: ignore[arg-type]
        )


def onestep(inverse_temperature: float, *, updates: int) -> Any:
    """The method's own steps, on tables, and with rates that go down to 0: Adam's own steps would stay of their size."""
    settings = Onestep(
        inverse_temperature=inverse_temperature,
        max_weight=2.0,
        extract_after=FIRST / updates,
        discount=0.9,
        target_rate=1.0,
    )
    algorithm = settings.algorithm(Spec(observation=(3,), action=(3,)), updates=updates)
    rate = lambda step: Adam(learning_rate=0.1, schedule=Cosine(horizon=float((step.stop or updates) - step.start)))  # noqa: E731
    steps = tuple(dataclasses.replace(step, optimiser=rate(step)) for step in algorithm.steps)
    return dataclasses.replace(algorithm, networks=Tables(), steps=steps, sampler=EveryRow(), prepare=())


def halves(logged: Any, algorithms: list[Any]) -> list[Any]:
    """The networks [R, ...] when the policy begins, and at the end."""
    stacked = stack(algorithms)
    first, keys = run_keys(range(len(algorithms)))
    states, data = init_replicas(stacked, first), to_dataset(logged, states=3, actions=3)
    chunks = train(stacked, states, data, keys, updates=UPDATES, every=(FIRST,), how="vmap")
    return [jax.device_get(chunk.states.online) for chunk in chunks]


def test_a4_values_are_sarsas_and_the_policy_improves_once():
    logged = sample(M3, episodes=10, horizon=100, seed=0)
    known = empirical(logged, 3, 3, discount=0.9)
    temperatures = (0.5, 3.0)
    before, online = halves(logged, [onestep(x, updates=UPDATES) for x in temperatures])
    exact = one_step(known)
    for replica, inverse_temperature in enumerate(temperatures):
        q, v = np.asarray(online.q.values[replica, 0]), np.asarray(online.v.values[replica])
        np.testing.assert_allclose(v, exact.v, atol=1e-3)
        np.testing.assert_allclose(q, exact.q, atol=1e-3)
        weighted = advantage_weighted(
            exact.q, exact.v, known.behaviour, inverse_temperature=inverse_temperature, max_weight=2.0
        )
        shares = special.softmax(np.asarray(online.pi.logits[replica], np.float64), axis=-1)
        np.testing.assert_allclose(shares, weighted, atol=2e-3)
        better = tabular.policy_evaluation(known, shares).v
        assert (better > exact.v + 0.1).all()
    assert np.abs(online.pi.logits[0] - online.pi.logits[1]).max() > 0.5
    np.testing.assert_array_equal(online.q.values[0], online.q.values[1])  # values never see the policy
    np.testing.assert_array_equal(online.v.values[0], online.v.values[1])
    np.testing.assert_array_equal(before.q.values, online.q.values)  # and stay from then on
    np.testing.assert_array_equal(before.pi.logits, np.zeros((2, 3, 3)))


def test_the_values_of_m3_are_the_sarsa_row():
    assert one_step(M3).v == pytest.approx((6.777654, 7.075022, 7.807278), abs=1e-6)
