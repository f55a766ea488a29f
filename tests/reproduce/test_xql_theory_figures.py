"""The numbers behind XQL's grid world and bounds say what the figures are there to show."""

import numpy as np
from scipy import stats

from extremal.reproduce import xql_grid, xql_theory


def test_a_smaller_beta_reaches_further_into_the_corridor():
    numbers = xql_grid.compute(betas=(2.0, 0.5, 0.1))
    start, reached = numbers["start"], []
    values = [found["v"][start] for found in numbers["maps"].values()]
    assert values == sorted(values)
    assert values[0] < 1e-3 * values[-1]
    for found in numbers["maps"].values():
        reached.append(int((np.asarray(found["lead"]) > numbers["told_apart"] * numbers["goal"]).sum()))
        assert found["return"] >= found["v"][start] - 1e-9  # the soft value is a return less what the KL costs
    assert reached == sorted(reached)
    assert reached[0] < reached[-1] == len(numbers["cells"]) - 1
    assert list(numbers["maps"]) == ["mean (squared error)", "XQL, β = 2", "XQL, β = 0.5", "XQL, β = 0.1", "maximum"]


def test_the_steps_to_the_goal_are_those_of_the_corridor():
    numbers = xql_grid.compute()
    assert numbers["steps"][numbers["start"]] == len(numbers["cells"]) - 1
    assert sorted(numbers["steps"]) == list(range(len(numbers["cells"])))
    best = numbers["maps"]["maximum"]["v"]
    np.testing.assert_allclose(
        best[numbers["start"]], 10.0 * 0.95 ** (numbers["steps"][numbers["start"]] - 1), rtol=1e-9
    )


def test_laws_pass_the_printed_bound_and_none_passes_the_largest_gap():
    numbers = xql_theory.compute(laws=600, repeats=10)
    ratio, gap = numbers["laws"]["ratio"], numbers["laws"]["gap"]
    at = lambda name: np.interp(np.log(ratio), np.log(numbers["ratio"]), numbers[name])  # noqa: E731
    assert (gap > at("printed") + 0.01).mean() > 0.05
    assert (gap <= at("largest") + 1e-3).all()  # lines are interpolated
    assert (np.asarray(numbers["largest"]) <= numbers["corrected"]).all()
    assert gap.max() > 1.5


def test_the_bound_on_the_partition_function_is_passed_no_more_often_than_promised():
    numbers = xql_theory.compute(laws=1, repeats=4000)
    for by_samples in numbers["beyond"].values():
        for beyond in by_samples.values():
            assert (np.asarray(beyond) * 4000 <= stats.binom.isf(1e-4, 4000, numbers["delta"])).all()
            assert (np.diff(beyond) >= 0).all()
            assert beyond[-1] > 0
