"""The reference MDP M3: three states, three actions, and the values that every operator must come to, in six decimals.

The rows of SQL are of an operator that the library has not: what a user writes to bring one.
"""

from decimal import Decimal, localcontext

import numpy as np
import pytest

from extremal.tabular import (
    FiniteMDP,
    expected_maximum,
    expectile,
    kl_ball,
    log_mean_exp,
    maximum,
    mean,
    policy_evaluation,
    random_mdp,
    returned,
    value_iteration,
)
from extremal.tabular.mazes import cliff

REWARD = [[0.0, 1.0, 0.5], [0.0, 0.2, 1.0], [2.0, 0.0, 0.0]]
BEHAVIOUR = [[0.5, 0.3, 0.2], [0.2, 0.5, 0.3], [0.6, 0.3, 0.1]]


def m3() -> FiniteMDP:
    transition = np.zeros((3, 3, 3))
    for s in range(3):
        transition[s, 0, :] = 0.1
        transition[s, 0, s] = 0.8
        transition[s, 1, [(s + 1) % 3, s]] = 0.9, 0.1
        transition[s, 2, [(s + 2) % 3, (s + 1) % 3]] = 0.7, 0.3
    return FiniteMDP(transition=transition, reward=np.array(REWARD), discount=0.9, behaviour=np.array(BEHAVIOUR))


def sql(q, weights, *, parameter):
    """The V with E (1 + (Q - V) / (2 alpha))_+ = 1: the value of sparse Q-learning, by bisection."""
    low, high = q.min(-1) - 2 * parameter, q.max(-1)
    for _ in range(60):
        middle = (low + high) / 2
        over = (weights * np.maximum(1 + (q - middle[..., None]) / (2 * parameter), 0)).sum(-1) > 1
        low, high = np.where(over, middle, low), np.where(over, high, middle)
    return (low + high) / 2


SARSA = (6.777654, 7.075022, 7.807278)
OPTIMAL = (15.380673, 15.377961, 17.029561)
TABLE = {
    (mean, None): SARSA,
    (maximum, None): OPTIMAL,
    (log_mean_exp, 0.05): (15.027085, 15.073099, 16.726697),
    (log_mean_exp, 0.2): (14.031603, 14.228810, 15.861686),
    (log_mean_exp, 1.0): (10.555180, 10.962057, 12.336909),
    (log_mean_exp, 5.0): (7.561697, 7.895095, 8.779108),
    (log_mean_exp, 50.0): (6.852678, 7.153650, 7.900581),
    (expected_maximum, 1): SARSA,
    (expected_maximum, 2): (11.096352, 11.432441, 12.673708),
    (expected_maximum, 5): (14.805106, 14.993891, 16.605851),
    (expected_maximum, 10): (15.281034, 15.336405, 16.983024),
    (expected_maximum, 100): OPTIMAL,
    (expectile, 0.5): SARSA,
    (expectile, 0.7): (9.819899, 10.119033, 11.243369),
    (expectile, 0.9): (13.213052, 13.457972, 14.948273),
    (expectile, 0.95): (14.275823, 14.418160, 15.989577),
    (expectile, 0.99): (15.156761, 15.186896, 16.822481),
    (sql, 0.1): (13.319873, 13.691393, 15.348859),
    (sql, 1.0): SARSA,
    (kl_ball, 0.05): (9.326297, 9.655218, 10.687440),
    (kl_ball, 0.2): (12.027847, 12.372456, 13.717183),
    (kl_ball, 0.42): (14.285295, 14.608037, 16.196657),
    (kl_ball, 1.0): (15.194585, 15.303383, 16.945775),
}


def solved(operator, parameter, **more):
    return value_iteration(m3(), operator, **({} if parameter is None else {"parameter": parameter}), **more)


@pytest.mark.parametrize(("operator", "parameter"), TABLE, ids=lambda x: getattr(x, "__name__", str(x)))
def test_values(operator, parameter):
    found = solved(operator, parameter)
    assert found.v == pytest.approx(TABLE[operator, parameter], abs=1e-6)
    assert found.q == pytest.approx(m3().backup(found.v), abs=1e-9)


def test_the_kl_ball_of_radius_one_in_thirty_digits():
    """The row of kappa = 1, once more: Bellman's equation by bisection on the tilt, in decimals instead of floats.

    At this radius the ball of states 1 and 2 holds the best action alone (1 > -log 0.5 > -log 0.6). A dual search with
    a floor under beta comes out too high there, by kappa beta a step: 15.194589 has been seen for state 0.
    """
    mdp, q = m3(), solved(kl_ball, 1.0, tolerance=1e-13).q
    with localcontext(prec=30):
        values = [
            _ball([Decimal(x) for x in q[s]], [Decimal(str(w)) for w in BEHAVIOUR[s]], Decimal(1)) for s in range(3)
        ]
    assert mdp.backup(np.array(values, float)) == pytest.approx(q, abs=1e-12)
    assert [float(v) for v in values] == pytest.approx([15.194585, 15.303383, 16.945775], abs=5.1e-7)
    assert abs(float(values[0]) - 15.194589) > 3e-6


def _ball(q, weights, radius):
    top = max(q)
    if radius >= -sum(w for x, w in zip(q, weights, strict=True) if x == top).ln():
        return top
    low, high = Decimal(0), Decimal(64)
    for _ in range(100):
        tilt = (low + high) / 2
        share = [w * ((x - top) * tilt).exp() for x, w in zip(q, weights, strict=True)]
        centre = sum(p * x for p, x in zip(share, q, strict=True)) / sum(share)
        if tilt * (centre - top) - sum(share).ln() < radius:
            low = tilt
        else:
            high = tilt
    return centre


@pytest.mark.parametrize("operator", [log_mean_exp, expected_maximum, expectile, kl_ball, sql])
def test_values_are_monotone_and_between_the_behaviour_s_and_the_best(operator):
    rows = [TABLE[known] for known in sorted((key for key in TABLE if key[0] is operator), key=lambda key: key[1])]
    values = np.array(rows[::-1] if operator in (log_mean_exp, sql) else rows)  # these two fall as beta, alpha grow
    assert len(values) > 1
    assert (np.diff(values, axis=0) > 0).all()
    assert (values >= SARSA).all()
    assert (values <= OPTIMAL).all()


@pytest.mark.parametrize(("operator", "parameter"), TABLE, ids=lambda x: getattr(x, "__name__", str(x)))
def test_the_error_shrinks_by_the_discount_in_every_iteration(operator, parameter):
    residuals = solved(operator, parameter, start=np.array([30.0, -20.0, 5.0])).residuals
    above = residuals[residuals > 1e-9]
    assert len(above) > 20
    assert (above[1:] <= 0.9 * above[:-1] + 1e-13).all()  # what rounding adds


def test_no_policy_enters_the_values_of_iql():
    """The policy is read off afterwards; the values are the expectile of their own Q, and of no policy's return."""
    without = solved(expectile, 0.9)

    def refused(q, weights, *, parameter):
        return np.eye(3)[q.argmin(-1)]

    other = solved(expectile, 0.9, policy=refused)
    assert (other.v == without.v).all()
    assert (other.q == without.q).all()
    assert (other.policy != without.policy).any()
    advantage = np.array(BEHAVIOUR) * np.exp(3.0 * (without.q - without.v[:, None]))
    extracted = policy_evaluation(m3(), advantage / advantage.sum(-1, keepdims=True)).v
    assert (np.abs(extracted - without.v) > 0.1).all()


def test_a4_one_step_of_improvement_evaluates_the_behaviour_and_improves_once():
    """Onestep RL: Q is that of the behaviour (the SARSA row), and what is greedy in it is not improved again."""
    assert policy_evaluation(m3(), m3().behaviour).v == pytest.approx(SARSA, abs=1e-6)
    assert policy_evaluation(m3(), m3().behaviour).q == pytest.approx(solved(mean, None).q, abs=1e-9)
    mdp = random_mdp(8, 4, seed=4, discount=0.95, branching=2)
    policies = [mdp.behaviour]
    for _ in range(2):
        policies.append(np.eye(4)[policy_evaluation(mdp, policies[-1]).q.argmax(-1)])
    behaviour, once, twice = (returned(mdp, policy) for policy in policies)
    best = returned(mdp, value_iteration(mdp, maximum).policy)
    assert np.diff([behaviour, once, twice, best]).min() > 1.0


def test_a4_one_step_on_the_cliff_never_dares_to_leave():
    """The uniform behaviour falls so often that every way to the goal looks worse than to stay where there is no cliff."""
    mdp = cliff().mdp
    once = np.eye(4)[policy_evaluation(mdp, mdp.behaviour).q.argmax(-1)]
    assert returned(mdp, once) == pytest.approx(-1.0 / (1.0 - mdp.discount), abs=1e-9)  # -1 a step for ever
    assert returned(mdp, value_iteration(mdp, maximum).policy) == pytest.approx(-(1.0 - 0.99**12) / 0.01, abs=1e-9)
