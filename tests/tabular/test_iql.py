"""Implicit Q-Learning (Kostrikov, Nair and Levine): every statement of Sec. 4, and the U-maze of Sec. 5.1, by number."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from problems import for_all, mdps

from extremal.tabular import (
    FiniteMDP,
    expectile,
    maximum,
    mean,
    policies,
    policy_evaluation,
    random_mdp,
    returned,
    value_iteration,
)
from extremal.tabular.mazes import U_MAZE, u_maze
from extremal.tabular.sampling import empirical, sample

MDPS = mdps(support=3)
levels = st.floats(0.01, 0.99)
variables = st.lists(st.tuples(st.floats(-5, 5), st.floats(0.05, 1)), min_size=2, max_size=8).map(
    lambda pairs: tuple(np.array(column) for column in zip(*pairs, strict=True))
)


def loss(m, x, weights, level):
    """E |level - 1(x < m)| (x - m)^2, as the paper defines it."""
    return (weights * np.abs(level - (x < m)) * (x - m) ** 2).sum()


@given(variables, levels)
@for_all
def test_section_4_1_the_expectile_minimises_the_asymmetric_square(variable, level):
    x, weights = variable
    m = expectile(x, weights, parameter=level)
    for other in (m - 0.1, m - 1e-3, m + 1e-3, m + 0.1):
        assert loss(m, x, weights, level) < loss(other, x, weights, level)


@given(variables)
@for_all
def test_lemma_1_expectiles_come_to_the_supremum(variable):
    """With its rate: (1 - level) / level times the range over the probability of the largest value."""
    x, weights = variable
    top, p = x.max(), weights[x == x.max()].sum() / weights.sum()
    values = [expectile(x, weights, parameter=1 - rest) for rest in (0.5, 0.1, 1e-2, 1e-4, 1e-6, 1e-9)]
    assert (np.diff(values) >= -1e-12).all()  # and so do not turn on the way
    assert max(values) <= top + 1e-12
    for rest, value in zip((0.5, 0.1, 1e-2, 1e-4, 1e-6, 1e-9), values, strict=True):
        assert top - value <= rest / (1 - rest) * np.ptp(x) / p + 1e-12


def test_lemma_1_holds_without_an_atom_but_slowly():
    """U(0, 1): the distance to 1 is of the order of the root of 1 - level, from the closed form of its expectiles."""
    x, weights = (np.arange(100_000) + 0.5) / 100_000, np.ones(100_000)
    for rest in (1e-2, 1e-4, 1e-6):
        value = expectile(x, weights, parameter=1 - rest)
        assert 1 - value == pytest.approx(np.sqrt(rest), rel=0.11)


@given(MDPS, levels, levels)
@for_all
def test_lemma_2_values_rise_with_the_expectile(mdp, one, other):
    low, high = sorted((one, other))
    below, above = value_iteration(mdp, expectile, parameter=low), value_iteration(mdp, expectile, parameter=high)
    assert (below.v <= above.v + 1e-9).all()
    # The step of the proof: the higher expectile of the lower values is no lower anywhere.
    live = ~mdp.terminal
    assert (expectile(below.q, mdp.behaviour, parameter=high) >= below.v - 1e-9)[live].all()


def test_lemma_2_is_strict_where_actions_differ():
    mdp = random_mdp(5, 3, seed=0)
    values = [value_iteration(mdp, expectile, parameter=level).v for level in (0.3, 0.5, 0.7, 0.9, 0.99)]
    assert (np.diff(values, axis=0) > 1e-3).all()


@given(MDPS, levels)
@for_all
def test_corollary_2_1_no_value_is_above_the_best_of_the_support(mdp, level):
    found, best = value_iteration(mdp, expectile, parameter=level), value_iteration(mdp, maximum)
    supported = np.where(mdp.behaviour > 0, best.q, -np.inf).max(-1)
    assert (found.v <= supported + 1e-9)[~mdp.terminal].all()
    assert best.v[~mdp.terminal] == pytest.approx(supported[~mdp.terminal], abs=1e-9)
    # The observation of its proof: an expectile is a convex combination.
    share = policies.expectile(found.q, mdp.behaviour, parameter=level)
    assert share.sum(-1) == pytest.approx(np.ones(mdp.states))
    assert (share >= 0).all()
    assert (share * found.q).sum(-1)[~mdp.terminal] == pytest.approx(found.v[~mdp.terminal], abs=1e-9)


@given(MDPS)
@for_all
def test_theorem_3_the_limit_is_the_optimum_within_the_support(mdp):
    """With its rate, Lemma 1's carried through the fixed point: by 1 / (1 - discount)."""
    best, live = value_iteration(mdp, maximum, tolerance=1e-11), ~mdp.terminal
    inside = mdp.behaviour > 0
    spread = np.where(inside, best.q, -np.inf).max(-1) - np.where(inside, best.q, np.inf).min(-1)
    rarest = policies.maximum(best.q, mdp.behaviour)
    chance = (mdp.behaviour * (rarest > 0)).sum(-1)
    rate = (spread / chance)[live].max() / (1 - mdp.discount)
    for rest in (0.1, 1e-3, 1e-5):
        v = value_iteration(mdp, expectile, parameter=1 - rest, start=best.v).v
        assert np.abs(v - best.v).max() <= rest / (1 - rest) * rate + 1e-9
    close = value_iteration(mdp, expectile, parameter=1 - 1e-13, start=best.v).v
    assert close == pytest.approx(best.v, abs=1e-6)


def test_theorem_3_needs_no_value_outside_of_the_support():
    mdp = random_mdp(5, 4, seed=3, support=2)
    tempting = mdp.replace(reward=np.where(mdp.behaviour > 0, mdp.mean_reward, 1e6))
    sober = mdp.replace(reward=mdp.mean_reward)
    one, other = (value_iteration(m, expectile, parameter=0.9) for m in (tempting, sober))
    assert (one.v == other.v).all()
    assert (one.policy == other.policy).all()


def test_section_4_2_an_expectile_of_the_targets_takes_luck_for_skill():
    """One action, which leads to riches half of the time: over targets r + discount V(s') an expectile believes in them.

    The separate V of Eq. (5), an expectile over actions only, has the mean of the one action, whatever the level.
    """
    transition = np.zeros((3, 2, 3))
    transition[0, :, 1:] = 0.5  # to a good or a bad end
    transition[1, :, 1] = transition[2, :, 2] = 1.0
    lottery = FiniteMDP(
        transition=transition,
        reward=np.broadcast_to(np.array([0.0, 10.0, 0.0]), (3, 2, 3)),
        discount=0.9,
        terminal=np.array([False, True, True]),
    )
    assert value_iteration(lottery, maximum).v[0] == pytest.approx(5.0)
    for level in (0.5, 0.9, 0.99):
        assert value_iteration(lottery, expectile, parameter=level).v[0] == pytest.approx(5.0)
        over_targets = expectile([10.0, 0.0], [0.5, 0.5], parameter=level)
        assert over_targets == pytest.approx(10.0 * level)  # beyond the optimum from 0.5 on


@pytest.mark.parametrize("level", [0.7, 0.95])
def test_the_whole_spectrum_from_sarsa_to_q_learning(level):
    mdp = random_mdp(5, 3, seed=1)
    sarsa = value_iteration(mdp, expectile, parameter=0.5).v
    assert sarsa == pytest.approx(policy_evaluation(mdp, mdp.behaviour).v, abs=1e-9)
    between = value_iteration(mdp, expectile, parameter=level).v
    assert (sarsa < between).all()
    assert (between < value_iteration(mdp, maximum).v).all()


# Sec. 5.1, Fig. 2. The paper says that a random state is entered; the other variant replaces the action.

TOLD = {
    "action": (2.855381, 0.0282316, {0.7: 0.358847, 0.9: 1.704783, 0.95: 2.244654, 0.99: 2.728053}),
    "state": (4.391342, 2.460407, {0.7: 2.947175, 0.9: 3.766853, 0.95: 4.055979, 0.99: 4.320245}),
}


@pytest.mark.parametrize("slip_to", TOLD)
def test_i2_values_of_the_u_maze(slip_to):
    optimal, sarsa, expectiles = TOLD[slip_to]
    drawn = u_maze(slip_to)
    (start,) = drawn.starts
    assert value_iteration(drawn.mdp, maximum).v[start] == pytest.approx(optimal, abs=1e-6)
    assert value_iteration(drawn.mdp, mean).v[start] == pytest.approx(sarsa, abs=1e-6)
    for level, value in expectiles.items():
        assert value_iteration(drawn.mdp, expectile, parameter=level).v[start] == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize("slip_to", TOLD)
def test_i2_by_a_walk_over_the_cells(slip_to):
    """The maze once more, by sets of cells and plain sweeps, with nothing of the library but the map."""
    cells = [(y, x) for y, line in enumerate(U_MAZE.split()) for x, c in enumerate(line) if c != "#"]
    goal = next((y, x) for y, line in enumerate(U_MAZE.split()) for x, c in enumerate(line) if c == "G")
    begin = next((y, x) for y, line in enumerate(U_MAZE.split()) for x, c in enumerate(line) if c == "S")
    moves = ((-1, 0), (0, 1), (1, 0), (0, -1))

    def steps(cell):
        return [to if (to := (cell[0] + dy, cell[1] + dx)) in cells else cell for dy, dx in moves]

    def worth(cell, v):
        return 10.0 if cell == goal else 0.9 * v[cell]

    def q(cell, v):
        told = [worth(to, v) for to in steps(cell)]
        other = sum(told) / 4 if slip_to == "action" else sum(worth(to, v) for to in cells) / len(cells)
        return [0.75 * each + 0.25 * other for each in told]

    def swept(statistic):
        v = dict.fromkeys(cells, 0.0)
        for _ in range(250):
            v = {cell: 0.0 if cell == goal else statistic(cell, q(cell, v)) for cell in cells}
        return v

    best = swept(lambda _, values: max(values))
    # The optimal way is the one along the corridor; ties between first steps share.
    choice = {c: [abs(x - max(q(c, best))) < 1e-9 for x in q(c, best)] for c in cells}
    mu = {c: [0.2475 + 0.01 * each / sum(choice[c]) for each in choice[c]] for c in cells}
    sarsa = swept(lambda cell, values: sum(p * x for p, x in zip(mu[cell], values, strict=True)))
    assert (len(cells), best[begin]) == (11, pytest.approx(TOLD[slip_to][0], abs=1e-6))
    assert sarsa[begin] == pytest.approx(TOLD[slip_to][1], abs=1e-6)


def test_i2_the_values_of_one_step_fade_and_those_of_iql_do_not():
    """What the paper's figure shows, of the population: the share of the optimal value that is left at the start."""
    for slip_to, faded in (("action", 0.01), ("state", 0.57)):
        drawn = u_maze(slip_to)
        (start,) = drawn.starts
        best, one, iql = (
            value_iteration(drawn.mdp, operator, **at)
            for operator, at in ((maximum, {}), (mean, {}), (expectile, {"parameter": 0.95}))
        )
        assert one.v[start] / best.v[start] < faded
        assert iql.v[start] / best.v[start] > 0.78
        # Without sampling noise both are ordered like the optimum: what is greedy in them is optimal.
        for found in (one, iql):
            greedy = np.eye(4)[np.isclose(found.q, found.q.max(-1, keepdims=True)).argmax(-1)]
            assert returned(drawn.mdp, greedy) == pytest.approx(returned(drawn.mdp, best.policy), abs=1e-9)


def from_data(slip_to, seed):
    """Values at the start, and what the greedy policy really earns, of SARSA and IQL on 1 optimal + 99 random episodes."""
    drawn = u_maze(slip_to)
    (start,), uniform = drawn.starts, np.full((11, 4), 0.25)
    best = value_iteration(drawn.mdp, maximum).policy
    logged = sample(drawn.mdp, best, episodes=1, horizon=1000, seed=seed)
    logged = logged.joined(sample(drawn.mdp, uniform, episodes=99, horizon=1000, seed=1000 + seed))
    found = empirical(logged, 11, 4, discount=0.9)
    row = []
    for operator, at in ((mean, {}), (expectile, {"parameter": 0.95})):
        solution = value_iteration(found, operator, tolerance=1e-7, **at)
        row += [solution.v[start], returned(drawn.mdp, policies.maximum(solution.q, found.behaviour))]
    return row


def test_i2_from_data_where_the_action_slips():
    """SARSA 0.0248 (over seeds +- 0.003) and IQL 2.24 (+- 0.05). SARSA has less than in the population: of the rows, less
    than a hundredth are of the one optimal trajectory, which is shorter than a random one."""
    rows = np.array([from_data("action", seed) for seed in range(8)])
    sarsa, iql = rows[:, 0].mean(), rows[:, 2].mean()
    assert sarsa == pytest.approx(0.0248, abs=4 * 0.0032 / np.sqrt(8))
    assert iql == pytest.approx(2.24, abs=4 * 0.05 / np.sqrt(8))
    assert rows[:, 1] == pytest.approx(2.855381, abs=1e-6)  # both greedy policies are optimal here
    assert rows[:, 3] == pytest.approx(2.855381, abs=1e-6)


def test_i2_from_data_where_the_state_slips_one_step_follows_noise():
    """As the paper says of its maze: the values of the behaviour hardly differ, so sampling noise decides what is greedy."""
    rows = np.array([from_data("state", seed) for seed in range(20)])
    one_step, iql = rows[:, 1], rows[:, 3]
    assert one_step.max() < 4.391342 - 1e-3
    assert (iql - one_step).mean() > 5 * (iql - one_step).std(ddof=1) / np.sqrt(20)
    assert iql.mean() > 0.9 * 4.391342 > one_step.mean()
