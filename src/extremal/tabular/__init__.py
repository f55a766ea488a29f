"""The theory as code: finite MDPs, operators from mean to maximum, and exact solvers, in NumPy's float64.

It is the oracle of the tests, and what a student reads first: a value is a statistic of Q over the actions that the
data supports, and every method is one operator.
"""

from extremal.tabular.mdp import FiniteMDP, random_mdp
from extremal.tabular.operators import (
    expected_maximum,
    expectile,
    kl_ball,
    log_mean_exp,
    maximum,
    mean,
    quantile,
    soft_expected_maximum,
)
from extremal.tabular.solvers import Solution, occupancy, policy_evaluation, returned, value_iteration

__all__ = [
    "FiniteMDP",
    "Solution",
    "expected_maximum",
    "expectile",
    "kl_ball",
    "log_mean_exp",
    "maximum",
    "mean",
    "occupancy",
    "policy_evaluation",
    "quantile",
    "random_mdp",
    "returned",
    "soft_expected_maximum",
    "value_iteration",
]
