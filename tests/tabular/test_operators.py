"""The eight operators against closed forms, other implementations, enumeration, draws, and their own policies."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from extremal.core.errors import ConfigError
from extremal.tabular import (
    FiniteMDP,
    expected_maximum,
    expectile,
    kl_ball,
    log_mean_exp,
    maximum,
    mean,
    policies,
    quantile,
    soft_expected_maximum,
    value_iteration,
)
from extremal.tabular.operators import policy_of

GRID = {  # two continuous variables on supports so fine that the rest is below every tolerance here
    "uniform": ((np.arange(20_000) + 0.5) / 20_000, np.ones(20_000)),
    "normal": (np.linspace(-10, 10, 20_001), stats.norm.pdf(np.linspace(-10, 10, 20_001))),
}
CASES = [
    (mean, {}),
    (maximum, {}),
    (expectile, {"parameter": 0.2}),
    (expectile, {"parameter": 0.5}),
    (expectile, {"parameter": 0.93}),
    (quantile, {"parameter": 0.3}),
    (quantile, {"parameter": 0.8}),
    (log_mean_exp, {"parameter": 0.3}),
    (log_mean_exp, {"parameter": 4.0}),
    (expected_maximum, {"parameter": 2}),
    (expected_maximum, {"parameter": 5.5}),
    (soft_expected_maximum, {"parameter": 3}),
    (soft_expected_maximum, {"parameter": 4, "inverse_temperature": 2.5}),
    (kl_ball, {"parameter": 0.1}),
    (kl_ball, {"parameter": 0.7}),
]
cases = pytest.mark.parametrize(("operator", "at"), CASES, ids=lambda x: getattr(x, "__name__", None) or str(x))
Q, MU = np.array([0.0, 1.0, 3.0, 0.4]), np.array([0.4, 0.3, 0.1, 0.2])

# Supports of one to six actions: ties, zero weights and single actions are among them.
supports = (
    st.lists(st.tuples(st.integers(-20, 20), st.integers(0, 4)), min_size=1, max_size=6)
    .filter(lambda pairs: any(weight for _, weight in pairs))
    .map(lambda pairs: (np.array([q for q, _ in pairs]) / 4.0, np.array([float(weight) for _, weight in pairs])))
)
for_all = settings(max_examples=25, deadline=None, derandomize=True)
for_each = settings(for_all, max_examples=10)  # of the fifteen cases


# Closed forms.


@pytest.mark.parametrize(("p", "level", "value"), [(0.5, 0.9, 0.9), (0.1, 0.95, 0.678571), (0.3, 0.5, 0.3)])
def test_i1_expectiles_of_a_coin(p, level, value):
    assert expectile([0.0, 1.0], [1 - p, p], parameter=level) == pytest.approx(value, abs=1e-6)
    assert value == pytest.approx(level * p / (level * p + (1 - level) * (1 - p)), abs=1e-6)


@pytest.mark.parametrize(
    ("variable", "level", "value"),
    [
        ("uniform", 0.7, 0.604356),
        ("uniform", 0.9, 0.75),
        ("uniform", 0.95, 0.813395),
        ("normal", 0.7, 0.33712),
        ("normal", 0.8, 0.54916),
        ("normal", 0.9, 0.86159),
        ("normal", 0.95, 1.14017),
    ],
)
def test_i1_expectiles_of_a_uniform_and_a_normal(variable, level, value):
    assert expectile(*GRID[variable], parameter=level) == pytest.approx(value, abs=1e-5)
    if variable == "uniform":
        assert value == pytest.approx((level - math.sqrt(level * (1 - level))) / (2 * level - 1), abs=1e-6)


@pytest.mark.parametrize("kappa", [0.05, 0.42, 2.0])
def test_g10_kl_ball_of_a_normal(kappa):
    share = policies.kl_ball(*GRID["normal"], parameter=kappa)
    assert kl_ball(*GRID["normal"], parameter=kappa) == pytest.approx(math.sqrt(2 * kappa), abs=1e-8)
    centre = share @ GRID["normal"][0]  # the tilted normal has deviation 1 still, and mean 1 / beta
    assert share @ (GRID["normal"][0] - centre) ** 2 == pytest.approx(1.0, abs=1e-8)


@pytest.mark.parametrize(
    ("q", "weights", "kappa", "value"),
    [
        ([0, 1], [0.99, 0.01], 0.1, 0.08051),
        ([0, 1], [0.99, 0.01], 0.42, 0.19729),
        ([0, 1], [0.99, 0.01], 1.0, 0.35729),
        ([0, 1, 2, 3], [1, 1, 1, 1], 0.5, 2.55102),
        ([0, 1, 2, 3], [1, 1, 1, 1], math.log(4), 3.0),
        ([0, 1, 2, 3], [1, 1, 1, 1], 5.0, 3.0),
    ],
)
def test_g10_kl_ball_of_few_points(q, weights, kappa, value):
    assert kl_ball(q, weights, parameter=kappa) == pytest.approx(value, abs=1e-5)


@pytest.mark.parametrize(("samples", "value"), [(1, 9.0), (2, 14.7), (5, 23.1339)])
def test_e1_expected_maximum_of_a_bandit_that_goes_on_for_ever(samples, value):
    bandit = FiniteMDP(
        transition=np.ones((1, 3, 1)),
        reward=np.array([[0.0, 1.0, 3.0]]),
        discount=0.9,
        behaviour=np.array([[0.5, 0.3, 0.2]]),
    )
    assert value_iteration(bandit, expected_maximum, parameter=samples).v == pytest.approx([value], abs=1e-6)


@pytest.mark.parametrize(
    ("samples", "value"), [(1, 0.0), (2, 0.5642), (5, 1.1630), (10, 1.5388), (50, 2.2491)], ids=str
)
def test_e2_expected_maximum_of_normals(samples, value):
    assert expected_maximum(*GRID["normal"], parameter=samples) == pytest.approx(value, abs=5.1e-5)
    assert samples != 2 or value == pytest.approx(1 / math.sqrt(math.pi), abs=5e-5)


@pytest.mark.parametrize("samples", [1, 2, 5, 20])
def test_e2_draws_come_to_the_exact_operators(samples):
    drawn = np.random.default_rng(samples).choice(Q, p=MU, size=(100_000, samples))
    weight = np.exp(drawn)
    for told, exact in (
        (drawn.max(-1), expected_maximum(Q, MU, parameter=samples)),
        ((weight * drawn).sum(-1) / weight.sum(-1), soft_expected_maximum(Q, MU, parameter=samples)),
    ):
        error = told.std(ddof=1) / math.sqrt(len(told))
        assert 0 < error < 0.01
        assert abs(told.mean() - exact) < 4 * error


@pytest.mark.parametrize("beta", [1e-9, 1e-3, 1e6, 1e12])
def test_log_mean_exp_keeps_its_digits_at_either_end(beta):
    """Cold: the maximum plus beta log of its weight. Hot: the mean plus variance / (2 beta)."""
    centre = Q @ MU
    hot = centre + (MU @ (Q - centre) ** 2) / (2 * beta)
    expected = 3.0 + beta * math.log(0.1) if beta < 1 else hot
    assert log_mean_exp(Q, MU, parameter=beta) == pytest.approx(expected, abs=1e-11)


def test_kl_ball_keeps_its_digits_where_the_radius_is_tiny():
    deviation = math.sqrt(MU @ (Q - Q @ MU) ** 2)
    for kappa in (1e-6, 1e-9):  # the next term is of the order of kappa
        expected = Q @ MU + deviation * math.sqrt(2 * kappa)
        assert kl_ball(Q, MU, parameter=kappa) == pytest.approx(expected, abs=2 * kappa)


@pytest.mark.parametrize("gap", [2.3e-16, 1e-13, 1e-9, 1e-3])
@pytest.mark.parametrize("kappa", [1e-6, 0.3, 1.0])
def test_kl_ball_of_actions_that_are_tied_but_for_rounding(gap, kappa):
    """As in symmetric mazes: inside of -log 0.8 both share, beyond it a tilt of 1 / gap tells them apart."""
    q, weights = np.array([1.0, 1.0 + gap, 0.0]), np.array([0.5, 0.3, 0.2])
    share = policies.kl_ball(q, weights, parameter=kappa)
    assert (share * np.log(np.maximum(share, 1e-300) / weights)).sum() == pytest.approx(kappa, abs=1e-9)
    assert share[2] == pytest.approx(0.0 if kappa > 0.25 else 0.2, abs=1e-3)
    assert kl_ball(q, weights, parameter=kappa) == pytest.approx(share @ q, abs=1e-15)


# Against other ways to the same numbers.


@given(supports, st.floats(0.01, 0.99))
@for_all
def test_expectile_and_quantile_agree_with_scipy_and_numpy(support, level):
    q, weights = support
    assert expectile(q, weights, parameter=level) == pytest.approx(stats.expectile(q, level, weights=weights), abs=1e-9)
    assert quantile(q, weights, parameter=level) == np.quantile(q, level, method="inverted_cdf", weights=weights)


@given(supports.filter(lambda support: len(support[0]) < 5), st.integers(1, 4), st.sampled_from([0.0, 0.5, 3.0]))
@for_all
def test_operators_of_samples_agree_with_enumeration(support, samples, inverse):
    """Over all tuples of N actions, each with its probability."""
    q, weights = support
    weights = weights / weights.sum()
    tuples = np.array(list(itertools.product(range(len(q)), repeat=samples)))
    chance, drawn = weights[tuples].prod(-1), q[tuples]
    assert expected_maximum(q, weights, parameter=samples) == pytest.approx(chance @ drawn.max(-1), abs=1e-12)
    softmax = np.exp(inverse * drawn) / np.exp(inverse * drawn).sum(-1, keepdims=True)
    share = policies.soft_expected_maximum(q, weights, parameter=samples, inverse_temperature=inverse)
    for action in range(len(q)):
        expected = chance @ (softmax * (tuples == action)).sum(-1)
        assert share[action] == pytest.approx(expected, abs=1e-12)
    value = soft_expected_maximum(q, weights, parameter=samples, inverse_temperature=inverse)
    assert value == pytest.approx(chance @ (softmax * drawn).sum(-1), abs=1e-11)


def test_any_real_number_of_samples_lies_between_its_neighbours():
    values = [float(expected_maximum(Q, MU, parameter=n)) for n in (1, 1.5, 2, 2.25, 2.5, 3)]
    assert values == sorted(values)
    assert len(set(values)) == 6


# Supports of every kind.


@cases
@given(supports)
@for_each
def test_what_is_outside_of_the_support_is_not_read(operator, at, support):
    q, weights = support
    rest = np.array([np.nan, np.inf, -np.inf, 1e308])
    alone = operator(q[weights > 0], weights[weights > 0], **at)
    wider = operator(np.concatenate([rest, q]), np.concatenate([np.zeros(4), weights]), **at)
    assert wider == pytest.approx(alone, abs=1e-12)
    share = policy_of(operator)(np.concatenate([rest, q]), np.concatenate([np.zeros(4), weights]), **at)
    assert (share[:4] == 0).all()


@cases
@given(supports)
@for_each
def test_actions_of_equal_q_are_one_action(operator, at, support):
    q, weights = support
    merged, inverse = np.unique(q, return_inverse=True)
    total = np.bincount(inverse, weights)
    assert operator(q, weights, **at) == pytest.approx(operator(merged, total, **at), abs=1e-9)
    share, together = policy_of(operator)(q, weights, **at), policy_of(operator)(merged, total, **at)
    assert np.bincount(inverse, share) == pytest.approx(together, abs=1e-7)
    inside = weights > 0  # ties share by weight
    each = together[inverse[inside]] * weights[inside] / total[inverse[inside]]
    assert share[inside] == pytest.approx(each, abs=1e-7)


@cases
def test_a_single_action_has_its_own_value(operator, at):
    assert operator([2.5], [3.0], **at) == pytest.approx(2.5, abs=1e-12)
    assert policy_of(operator)([2.5], [3.0], **at) == pytest.approx(1.0)


@cases
@given(supports, st.floats(-100, 100), st.floats(1e-3, 1e3))
@for_each
def test_shift_and_scale(operator, at, support, shift, scale):
    """V(q + c) = V(q) + c; V(k q) = k V(q), where beta is in units of q and the inverse temperature in 1 / q."""
    q, weights = support
    value = operator(q, weights, **at)
    assert operator(q + shift, weights, **at) == pytest.approx(value + shift, abs=1e-9)
    scaled = dict(at)
    if operator is log_mean_exp:
        scaled["parameter"] = at["parameter"] * scale
    if operator is soft_expected_maximum:
        scaled["inverse_temperature"] = at.get("inverse_temperature", 1.0) / scale
    assert operator(q * scale, weights, **scaled) == pytest.approx(value * scale, rel=1e-9, abs=1e-9 * scale)


@cases
@given(supports, st.floats(0.1, 10.0))
@for_each
def test_counts_are_weights(operator, at, support, scale):
    q, weights = support
    assert operator(q, scale * weights, **at) == pytest.approx(operator(q, weights, **at), abs=1e-10)


@cases
def test_many_states_at_once_are_each_alone(operator, at):
    random = np.random.default_rng(3)
    q, weights = random.standard_normal((2, 5, 4)), random.dirichlet(np.ones(4), 5) * (random.random((5, 4)) < 0.8)
    together = operator(q, weights, **at)
    assert together.shape == (2, 5)
    for i, s in itertools.product(range(2), range(5)):
        assert together[i, s] == pytest.approx(float(operator(q[i, s], weights[s], **at)), abs=1e-12)


# The policy of each operator.


@cases
@given(supports)
@for_each
def test_the_policy_is_a_distribution_under_which_q_has_the_operator_s_value(operator, at, support):
    q, weights = support
    share, value = policy_of(operator)(q, weights, **at), operator(q, weights, **at)
    assert share.sum() == pytest.approx(1.0, abs=1e-12)
    assert (share >= 0).all()
    assert (share[weights == 0] == 0).all()
    penalty = 0.0
    if operator is log_mean_exp:
        inside = share > 0
        mu = weights / weights.sum()
        penalty = at["parameter"] * (share[inside] @ np.log(share[inside] / mu[inside]))
    assert value == pytest.approx(share @ q - penalty, abs=1e-9)


@pytest.mark.parametrize(
    ("operator", "at"),
    [case for case in CASES if case[0] is not soft_expected_maximum],
    ids=lambda x: getattr(x, "__name__", None) or str(x),
)
def test_the_policy_is_the_derivative_of_the_operator(operator, at):
    step = 1e-5
    slope = [
        (operator(Q + step * unit, MU, **at) - operator(Q - step * unit, MU, **at)) / (2 * step) for unit in np.eye(4)
    ]
    assert policy_of(operator)(Q, MU, **at) == pytest.approx(np.array(slope), abs=1e-7)


def test_the_policy_of_the_soft_expected_maximum_is_not_its_derivative():
    """More Q makes an action likelier, too: the slopes sum to one, but one is negative, so another is above its share."""
    q, mu, step, at = np.array([0.0, 1.0]), [0.5, 0.5], 1e-6, {"parameter": 10, "inverse_temperature": 2.5}
    raised = [soft_expected_maximum(q + step * unit, mu, **at) for unit in np.eye(2)]
    slope = (np.array(raised) - soft_expected_maximum(q, mu, **at)) / step
    assert slope.sum() == pytest.approx(1.0, abs=1e-4)
    assert slope[0] < -0.05
    assert policies.soft_expected_maximum(q, mu, **at)[0] > 0.05


# Bad input: what was wrong, and where.


@cases
@pytest.mark.parametrize(
    ("q", "weights", "words"),
    [
        (
            [[0.0, 1.0], [0.0, 1.0]],
            [[0.5, 0.5], [1.5, -0.5]],
            r"weights\[1, 1\] is -0.5: weights are finite and not neg",
        ),
        ([0.0, 1.0], [0.5, np.nan], r"weights\[1\] is nan"),
        ([0.0, 1.0], [0.5, np.inf], r"weights\[1\] is inf"),
        ([0.0, 1.0], [0.0, 0.0], "the support is empty: all weights.* are 0; give some action a weight"),
        ([[0.0, 1.0], [0.0, 1.0]], [[0.5, 0.5], [0.0, 0.0]], r"the support is empty: all weights\[1\] are 0"),
        ([], [], "the support is empty: q and weights need at least one action"),
        (1.0, 1.0, "the support is empty: q and weights need at least one action"),
        ([0.0, np.nan], [0.5, 0.5], r"q\[1\] is nan for an action inside the support"),
        ([[0.0, np.inf]], [0.5, 0.5], r"q\[0, 1\] is inf for an action inside the support"),
    ],
)
def test_what_is_no_support_is_refused(operator, at, q, weights, words):
    with pytest.raises(ConfigError, match=words):
        operator(q, weights, **at)


@pytest.mark.parametrize(
    ("operator", "name", "bad"),
    [
        (expectile, r"expectile must be above 0 and below 1, not ", (0.0, 1.0, -0.1, 1.7, math.nan)),
        (quantile, r"quantile level must be above 0 and below 1, not ", (0.0, 1.0, -0.1, 1.7, math.nan)),
        (log_mean_exp, r"beta must be above 0, not ", (0.0, -1.0, math.inf, math.nan)),
        (expected_maximum, r"the number of samples N must be at least 1, not ", (0, 0.5, -3, math.inf, math.nan)),
        (soft_expected_maximum, r"the number of samples N must be at least 1, not ", (0, 0.5, -3, math.inf, math.nan)),
        (kl_ball, r"kappa must be at least 0, not ", (-1e-9, -2, math.inf, math.nan)),
    ],
    ids=lambda x: getattr(x, "__name__", None),
)
def test_a_parameter_out_of_range_is_refused(operator, name, bad):
    for value in bad:
        with pytest.raises(ConfigError, match=name + str(value)):
            operator(Q, MU, parameter=value)


def test_an_inverse_temperature_below_zero_is_refused():
    with pytest.raises(ConfigError, match="inverse_temperature must be at least 0, not -1"):
        soft_expected_maximum(Q, MU, parameter=2, inverse_temperature=-1.0)


def test_the_policy_of_a_stranger_is_not_known():
    with pytest.raises(ConfigError, match=r"is no operator of extremal\.tabular; give the policy"):
        policy_of(np.mean)
