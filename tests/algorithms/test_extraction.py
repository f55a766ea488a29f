"""A policy that feeds no value is extracted beside the values, or after them."""

import dataclasses

import pytest

from extremal.algorithms.iql import IQL
from extremal.algorithms.onestep import Onestep
from extremal.algorithms.settings import extraction
from extremal.algorithms.xql import XQL
from extremal.core.errors import ConfigError
from extremal.core.types import Spec

SPEC = Spec(observation=(3,), action=(2,))
METHODS = {
    "xql": XQL(),
    "iql": IQL(),
    "onestep": Onestep(),
    "onestep, reverse KL": Onestep(improvement="reverse_kl"),
}


def due(algorithm, updates):
    """By network, the updates at which it is trained."""
    at = [algorithm.due(index) for index in range(updates)]
    return {name: [index for index in range(updates) if at[index][name]] for name in at[0]}


@pytest.mark.parametrize("settings", METHODS.values(), ids=METHODS)
def test_the_values_come_first_and_the_policy_has_the_rest(settings):
    algorithm = dataclasses.replace(settings, extract_after=0.7, policy_schedule="cosine").algorithm(SPEC, updates=10)
    trained = due(algorithm, 10)
    assert trained.pop("pi") == [7, 8, 9]
    assert set(trained) >= {"v", "q"}
    assert all(updates == list(range(7)) for updates in trained.values())
    policy = next(step for step in algorithm.steps if step.trains == "pi")
    assert policy.optimiser.schedule.horizon == 3.0  # of the policy's own updates


@pytest.mark.parametrize("settings", METHODS.values(), ids=METHODS)
def test_or_all_learn_at_once(settings):
    algorithm = dataclasses.replace(settings, extract_after=None, policy_schedule="cosine").algorithm(SPEC, updates=4)
    assert set(map(tuple, due(algorithm, 4).values())) == {(0, 1, 2, 3)}
    assert next(step for step in algorithm.steps if step.trains == "pi").optimiser.schedule.horizon == 4.0


def test_the_share_is_rounded_down_and_none_lets_both_learn_at_once():
    assert [extraction(share, 10) for share in (None, 0.7, 0.79, 0.99)] == [(0, None), (7, 7), (7, 7), (9, 9)]


def test_the_policy_has_at_least_one_update():
    assert due(Onestep(extract_after=0.99).algorithm(SPEC, updates=10), 10)["pi"] == [9]


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 2.0])
def test_a_share_that_leaves_nothing_is_refused(share):
    with pytest.raises(ConfigError, match=r"'extract_after' is .* above 0 and below 1"):
        XQL(extract_after=share).algorithm(SPEC, updates=10)
