"""CQL's settings: what Eq. (1) comes to with a large reward, and which thresholds no tuned weight could meet."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from extremal.algorithms.cql import CQL
from extremal.algorithms.registry import preset
from extremal.core.errors import ConfigError
from extremal.core.optimiser import Polyak
from extremal.core.types import Spec
from extremal.data.dataset import Dataset
from extremal.engine.offline import train_chunk
from extremal.objectives.conservative import Variance
from extremal.objectives.policy import Cloning

SPEC = Spec(observation=(3,), action=(2,))
SMALL = {"width": 8, "depth": 1, "batch_size": 32, "learning_rate": 0.03, "samples": 4}
TRUTH = 100.0  # reward of every row, after which the episode is over


def test_equation_1_puts_q_below_the_truth_by_its_weight_and_not_at_a_threshold():
    """On average over logged actions Q = T - alpha: what Eq. (1) takes off, mu / pi_beta, is 1 there. It was 9.3 once."""
    random = np.random.default_rng(0)
    ends = [
        {"observation": random.normal(size=(2, 3)), "action": random.uniform(-1, 1, (1, 2)), "reward": [TRUTH]}
        for _ in range(64)
    ]
    data = Dataset.from_episodes([episode | {"terminated": True} for episode in ends]).device()
    settings = dataclasses.replace(preset("cql", "paper/equation-1"), **SMALL)
    algorithm, program = settings.algorithm(data.spec, updates=600), jax.jit(train_chunk)
    state, key = algorithm.init(jax.random.key(0)), jax.random.key(1)
    state, _ = program(algorithm, state, data, key, jnp.int32(0), jnp.int32(500))
    _, chunk = program(algorithm, state, data, key, jnp.int32(500), jnp.int32(600))
    assert chunk.mean["q/mean"] == pytest.approx(TRUTH - settings.penalty_weight, abs=1.0)


def test_a_copy_behind_and_a_model_of_the_data_are_there_where_they_are_asked_for():
    """CQL(rho) has the policy of one update ago; CQL(var) with 1 / D-hat a model, fitted to the logged actions at every update."""
    made = {
        "H": CQL(variance_prior="inverse"),
        "rho": CQL(penalty="previous_policy"),
        "var": CQL(penalty="variance"),
        "1/D": CQL(penalty="variance", variance_prior="inverse"),
    }
    found = {name: settings.algorithm(SPEC, updates=10) for name, settings in made.items()}
    slow = {name: algorithm.slow.get("pi") for name, algorithm in found.items()}
    assert slow == {"H": None, "rho": Polyak(rate=1.0, behind=True), "var": None, "1/D": None}
    last = {name: algorithm.steps[-1] for name, algorithm in found.items()}
    assert {name: step.trains for name, step in last.items() if step.trains != "log_alpha"} == {"1/D": "behaviour"}
    assert last["1/D"].objective == Cloning(network="behaviour")
    assert found["1/D"].steps[0].objective.penalty == Variance(samples=10, radius=1.0, prior="inverse")


@pytest.mark.parametrize("penalty", ["log_sum_exp", "published", "previous_policy", "variance", "policy"])
@pytest.mark.parametrize(("name", "value"), [("threshold", 10.0), ("threshold", -1.0), ("gap_floor", -200.0)])
def test_without_the_data_term_there_is_no_gap_to_hold_to_anything(penalty, name, value):
    with pytest.raises(ConfigError, match=rf"{name} is .* data_term off"):
        CQL(penalty=penalty, data_term=False, **{name: value}).algorithm(SPEC, updates=10)
    CQL(penalty=penalty, **{name: value}).algorithm(SPEC, updates=10)
    CQL(penalty=penalty, data_term=False).algorithm(SPEC, updates=10)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"threshold": 5.0, "gap_floor": 5.0}, "gap_floor 5 .* threshold 5"),
        ({"threshold": -300.0, "gap_floor": -200.0}, "gap_floor -200 .* threshold -300"),
        ({"threshold": 5.0, "gap_floor": 1.0, "penalty_weight": 5.0, "threshold_on": "weighted_gap"}, "gap_floor 1 "),
        ({"threshold": 5.0, "penalty_weight": 0.0}, "penalty_weight is 0"),
        ({"threshold_on": "weighted_gap"}, "give a threshold with it"),
    ],
)
def test_a_threshold_that_no_weight_can_meet_is_refused(given, words):
    with pytest.raises(ConfigError, match=words):
        CQL(**given).algorithm(SPEC, updates=10)


@pytest.mark.parametrize(
    "given",
    [
        {"threshold": 5.0, "gap_floor": 1.0, "penalty_weight": 5.0},  # on the gap itself, not on five times it
        {"threshold": 0.2, "gap_floor": -200.0},
        {"gap_floor": 300.0},
        {"penalty_weight": 0.0},
    ],
)
def test_a_threshold_that_can_be_met_is_not(given):
    CQL(**given).algorithm(SPEC, updates=10)
