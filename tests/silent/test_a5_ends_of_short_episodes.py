"""The check sees ends that are wrong in episodes of any length: it looks at the rows beside the flags themselves."""

import numpy as np
import pytest

from extremal import Dataset, check_dataset

STEPS = (2, 4, 20, 40)


def walk(lengths, features=3, *, ends="truncated", seed=0, same_start=False):
    """Episodes that start anywhere and drift by small steps: observations [T + 1, C], actions, rewards, how each ends."""
    random = np.random.default_rng(seed)
    start = lambda: np.full(features, 3.0) if same_start else 2 * random.normal(size=features)  # noqa: E731
    episodes = []
    for number, length in enumerate(lengths):
        action = random.uniform(-1, 1, (length, 2))
        step = 0.05 * np.repeat(action[:, :1], features, axis=1) + 0.02 * random.normal(size=(length, features))
        observation = np.cumsum([start(), *step], axis=0)
        ended = ends == "terminated" or (ends == "both" and number % 2 == 1)
        episodes.append((observation, action, observation[1:, 0], ended))
    return episodes


def table(episodes, *, phantom=None, shift=0, successors=True, last=None):
    """One row a step. `phantom` is the reward of a row after each end; flags are moved by `shift`; `last` changes the last successor."""
    rows = {name: [] for name in ("observation", "action", "reward", "terminated", "truncated", "next_observation")}

    def add(*values):
        for name, value in zip(rows, values, strict=True):
            rows[name].append(value)

    for number, (observation, action, reward, ended) in enumerate(episodes):
        for t in range(len(action)):
            at_end = t == len(action) - 1
            follow = observation[t + 1]
            if at_end and last is not None and not ended:
                follow = last(observation, episodes[(number + 1) % len(episodes)][0])
            add(observation[t], action[t], reward[t], at_end and ended, at_end and not ended, follow)
        if phantom is not None and number + 1 < len(episodes):
            add(observation[-1], action[0], phantom(number), False, False, episodes[number + 1][0][0])
    rows = {name: np.array(value) for name, value in rows.items()}
    for name in ("terminated", "truncated"):
        moved = np.zeros(len(rows[name]), bool)
        at = np.flatnonzero(rows[name]) + shift
        moved[at[(at >= 0) & (at < len(moved))]] = True
        rows[name] = moved
    if not successors:
        del rows["next_observation"]
    return rows


def codes(rows, **more):
    return {finding.code: finding for finding in check_dataset(Dataset.from_rows(**rows, **more)).findings}


def phantoms(rows, lengths):
    """The rows in which the phantoms stand, as the dataset numbers them."""
    kept = np.array(lengths) + ("next_observation" in rows or not rows["truncated"].any())
    return tuple((np.cumsum(kept) - 1)[:5].tolist())


@pytest.mark.parametrize("successors", [True, False])
@pytest.mark.parametrize("ends", ["truncated", "terminated"])
@pytest.mark.parametrize("features", [1, 2, 12])
@pytest.mark.parametrize("steps", STEPS)
def test_a_phantom_row_after_each_end_is_an_error(steps, features, ends, successors):
    lengths = [steps] * 30
    rows = table(walk(lengths, features, ends=ends), phantom=lambda number: 0.0, successors=successors)
    finding = codes(rows)["phantom-row"]
    assert finding.level == "error"
    assert finding.rows == phantoms(rows, lengths)
    assert "Drop" in finding.advice


@pytest.mark.parametrize("successors", [True, False])
def test_phantoms_in_episodes_of_any_length_with_any_reward(successors):
    lengths = np.random.default_rng(3).integers(2, 40, 30).tolist()
    for phantom in (
        lambda number: -1.0,
        lambda number: 0.1 * number,
    ):  # a constant; and whatever, which tells less of the cause
        rows = table(walk(lengths, ends="both"), phantom=phantom, successors=successors)
        found = codes(rows)
        assert not check_dataset(Dataset.from_rows(**rows)).ok
        assert {"phantom-row", "shifted-boundary"} & set(found)


def test_phantoms_that_bear_the_label_of_the_episode_before():
    rows = table(walk([10] * 20), phantom=lambda number: 0.0)
    label = np.append(np.repeat(np.arange(19), 11), np.full(10, 19))
    assert codes(rows | {"episode": label})["phantom-row"].level == "error"
    del rows["next_observation"]  # then they are left out, as rows whose successor nothing tells
    assert check_dataset(Dataset.from_rows(**rows, episode=label)).ok


def test_phantoms_after_some_of_the_ends_alone():
    clean, other = walk([10] * 20, seed=1), walk([10] * 20, seed=2)
    one, two = table(clean), table(other, phantom=lambda number: 0.0)
    rows = {name: np.concatenate([one[name], two[name]]) for name in one}
    assert codes(rows)["phantom-row"].rows[0] == 210


def test_without_phantoms_the_same_logs_are_quiet():
    for steps in STEPS:
        for ends in ("truncated", "terminated", "both"):
            for same_start in (False, True):
                for successors in (True, False)[: 1 + (steps > 2)]:
                    rows = table(walk([steps] * 30, ends=ends, same_start=same_start), successors=successors)
                    grave = {code for code, finding in codes(rows).items() if finding.level == "error"}
                    assert grave == set(), (steps, ends, same_start, successors)


# ---- four states, one way to act: 0 -> 1 (reward 1) -> 0, cut after some steps; 2 -> 3 -> the end (reward 2) -----------


def four_states(steps, *, kind, phantom, padding):
    """Rows of 30 episodes; states as one-hot vectors or as numbers; a terminal successor is padding."""
    show = (lambda s: np.eye(4)[s] if s < 4 else np.zeros(4)) if kind == "one-hot" else (lambda s: np.array([s % 4]))
    random, episodes = np.random.default_rng(0), []
    for _ in range(30):
        states = (
            (np.arange(steps + 1) % 2).tolist() if random.random() < 0.5 else [2, 3, {"zeros": 4, "own": 3}[padding]]
        )
        reward = 1.0 - np.arange(steps) % 2 if states[0] == 0 else np.array([0.0, 2.0])
        seen = np.array([show(state) for state in states])
        episodes.append((seen, np.zeros((len(seen) - 1, 1)), reward, states[0] == 2))
    return table(episodes, phantom=(lambda number: 0.0) if phantom else None)


@pytest.mark.parametrize("padding", ["zeros", "own"])
@pytest.mark.parametrize("kind", ["one-hot", "number"])
@pytest.mark.parametrize("steps", [4, 20, 40])
def test_phantoms_among_four_states(steps, kind, padding):
    for successors in (True, False):
        rows = four_states(steps, kind=kind, phantom=True, padding=padding)
        quiet = four_states(steps, kind=kind, phantom=False, padding=padding)
        if not successors:
            del rows["next_observation"], quiet["next_observation"]
        assert codes(rows)["phantom-row"].level == "error"
        assert all(finding.level != "error" for finding in codes(quiet).values())


def test_one_goal_that_every_episode_ends_in():
    """Nothing but the goal is seen on a phantom row; that the log does not start there gives it away."""
    seen = np.array([[0.0], [1.0], [2.0]])
    episodes = [(seen, np.zeros((2, 1)), np.array([0.0, 1.0]), True)] * 30
    assert codes(table(episodes, phantom=lambda number: 0.0))["phantom-row"].level == "error"
    home = [(np.array([[0.0], [1.0], [0.0]]), np.zeros((2, 1)), np.array([0.0, 1.0]), True)] * 30
    assert "phantom-row" not in codes(table(home))  # goes back to where it starts


# ---- tasks that go on over an end -------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("ends", ["truncated", "terminated"])
def test_one_long_walk_that_is_cut_is_quiet(steps, ends):
    (observation, action, reward, _), *_ = walk([steps * 40])
    parts = [slice(start, start + steps) for start in range(0, steps * 40, steps)]
    episodes = [
        (observation[part.start : part.stop + 1], action[part], reward[part], ends == "terminated") for part in parts
    ]
    for successors in (True, False)[: 1 + (steps > 2)]:
        found = codes(table(episodes, successors=successors))
        assert not {"phantom-row", "shifted-boundary", "reset-as-successor", "filled-successor"} & set(found)


def test_an_environment_that_returns_to_its_start_is_quiet():
    episodes = []
    for observation, action, reward, _ in walk([8] * 30, same_start=True):
        there = np.concatenate([observation[:5], observation[3::-1]])  # out, and back by the same way
        episodes.append((there, action[:8], reward[:8], True))
    found = codes(table(episodes))
    assert not {"phantom-row", "shifted-boundary"} & set(found)


# ---- flags out of step ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("successors", [True, False])
@pytest.mark.parametrize("shift", [-10, -5, -3, -2, -1, 1, 2, 5])
@pytest.mark.parametrize("steps", [21, 25, 60])
def test_flags_some_rows_early_or_late(steps, shift, successors):
    rows = table(walk([steps] * 30), shift=shift, successors=successors)
    finding = codes(rows)["shifted-boundary"]
    assert finding.level == "error"
    count = f"{abs(shift)} row{'s' * (abs(shift) > 1)}"
    assert f"reset {count} {'after' if shift < 0 else 'before'} them" in finding.says
    assert f"stand {count} {'early' if shift < 0 else 'late'}" in finding.advice
    assert len(finding.rows) == 5


@pytest.mark.parametrize("shift", [-1, 1, -2])
@pytest.mark.parametrize("ends", ["truncated", "terminated"])
def test_flags_out_of_step_in_very_short_episodes(ends, shift):
    for successors in (True, False):
        assert "shifted-boundary" in codes(table(walk([5] * 30, ends=ends), shift=shift, successors=successors))


# ---- successors that nobody saw ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("fill", [0.0, -1.0])
def test_a_filled_successor_where_an_episode_was_cut(steps, fill):
    found = codes(table(walk([steps] * 30, ends="both"), last=lambda seen, after: np.full(seen.shape[1], fill)))
    finding = found["filled-successor"]
    assert (finding.level, finding.rows) == ("error", tuple(range(steps - 1, 10 * steps, 2 * steps)))
    assert f"is {fill:g} throughout" in finding.says


def test_a_filled_successor_of_one_feature_and_of_one_hot_vectors():
    single = codes(table(walk([6] * 30, 1), last=lambda seen, after: np.zeros(1)))
    assert single["filled-successor"].level == "error"
    rows = four_states(4, kind="one-hot", phantom=False, padding="own")
    rows["next_observation"][rows["truncated"]] = 0.0
    assert codes(rows)["filled-successor"].level == "error"


def test_after_a_terminal_row_anything_may_stand():
    for fill in (0.0, -999.0, 1e6):
        rows = table(walk([10] * 30, ends="terminated"))
        rows["next_observation"][rows["terminated"]] = fill
        data = Dataset.from_rows(**rows)
        assert {finding.code for finding in check_dataset(data).findings} <= {"terminated-at-limit"}
        figures = check_dataset(data).figures["observation"]
        np.testing.assert_allclose(figures["mean"], rows["observation"].mean(axis=0), rtol=1e-5)
        assert figures["largest"] == pytest.approx(np.abs(rows["observation"]).max(), rel=1e-6)


@pytest.mark.parametrize("steps", STEPS)
def test_the_next_episodes_first_observation_as_successor(steps):
    finding = codes(table(walk([steps] * 30), last=lambda seen, after: after[0]))["reset-as-successor"]
    assert (finding.level, finding.rows[:2]) == ("error", (steps - 1, 2 * steps - 1))


def test_a_cut_rows_own_observation_as_successor():
    finding = codes(table(walk([10] * 30), last=lambda seen, after: seen[-2]))["repeated-successor"]
    assert (finding.level, finding.rows[:2]) == ("warning", (9, 19))


# ---- rows that a writer left ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 7, 400])
def test_a_tail_of_zeros(count):
    rows = table(walk([10] * 100))
    rows = {
        name: np.concatenate([value, np.zeros((count, *value.shape[1:]), value.dtype)]) for name, value in rows.items()
    }
    finding = codes(rows)["empty-tail"]
    assert finding.level == "warning"
    assert finding.rows == tuple(range(1000, 1000 + count))[:5]
    assert f"the last {count} rows" in finding.says


@pytest.mark.parametrize("count", [5, 50])
def test_the_last_row_again_and_again(count):
    rows = table(walk([10] * 100, ends="terminated"))
    rows = {name: np.concatenate([value, np.repeat(value[-2:-1], count, axis=0)]) for name, value in rows.items()}
    finding = codes(rows)["repeated-rows"]
    assert finding.level == "warning"
    assert finding.rows[0] == 1000


def test_a_recorder_that_hung_in_the_middle():
    rows = table(walk([1000]))
    for value in (rows["observation"], rows["action"], rows["reward"], rows["next_observation"]):
        value[400:430] = value[400]
    finding = codes(rows)["repeated-rows"]
    assert finding.rows == (400, 401, 402, 403, 404)
    assert "30 rows in a row are equal" in finding.says


# ---- tasks that go on and pay once a piece, and logs of few episodes ---------------------------------------------------


@pytest.mark.parametrize("pays", [0, 1, -1])
@pytest.mark.parametrize("seen", ["a walk", "a clock"])
def test_days_of_a_task_that_goes_on_and_pays_once_a_day(seen, pays):
    """The first step of a day brings what no other brings, as a phantom does; but it leads on like any other."""
    hours, days = 24, 30
    (place, action, _, _), *_ = walk([hours * days])
    place = np.eye(hours)[np.arange(hours * days + 1) % hours] if seen == "a clock" else place
    for ended in (False, True):
        parts = [slice(start, start + hours) for start in range(0, hours * days, hours)]
        pay = np.eye(hours)[pays]
        episodes = [(place[part.start : part.stop + 1], action[part], pay, ended) for part in parts]
        assert not {"phantom-row", "shifted-boundary"} & set(codes(table(episodes)))


def falls(count):
    """Poles that start upright and fall ever faster: the step over an end is the largest of all but the reset."""
    episodes = []
    for number, (observation, action, _, _) in enumerate(walk([9 + 3 * number for number in range(count)], 4)):
        fall = 0.05 * np.exp(0.3 * np.arange(len(observation)))[:, None] * np.array([1.0, 2.0, 1.0, 3.0])
        episodes.append((0.01 * observation + fall * (-1) ** number, action, np.ones(len(action)), True))
    return episodes


@pytest.mark.parametrize("count", [4, 5, 9])
def test_phantoms_among_few_episodes_that_end_in_a_fall(count):
    rows = table(falls(count), phantom=lambda number: 0.0)
    assert codes(rows)["phantom-row"].level == "error"
    assert not {"phantom-row", "shifted-boundary"} & set(codes(table(falls(count))))


def test_phantoms_among_few_loops():
    loops = [(np.eye(4)[[0, 1, 0]], np.zeros((2, 1)), np.array([1.0, 0.0]), False)] * 5
    rows = table(loops, phantom=lambda number: 0.0)
    assert codes(rows)["phantom-row"].level == "error"
    assert "phantom-row" not in codes(table(loops))


@pytest.mark.parametrize("seed", range(5))
def test_pieces_of_one_walk_on_a_grid(seed):
    """Few moves, some of them seen once: that two of four after a cut are new says nothing."""
    random, place = np.random.default_rng(seed), [np.array([2, 2])]
    for _ in range(240):
        place.append(np.clip(place[-1] + np.array([(0, 1), (1, 0), (0, -1), (-1, 0)])[random.integers(4)], 0, 4))
    seen = np.array(place, float)
    pieces = [(seen[i : i + 49], np.zeros((48, 1)), -np.ones(48), True) for i in range(0, 240, 48)]
    assert not {"phantom-row", "shifted-boundary"} & set(codes(table(pieces)))
