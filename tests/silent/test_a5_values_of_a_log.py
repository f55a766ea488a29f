"""The check sees numbers that stand alone, ranges that are never reached, actions that say nothing, and limits in disguise."""

import json

import numpy as np
import pytest

from extremal import Card, Dataset, check_dataset
from extremal.report.check import check_text

R = np.random.default_rng(0)


def rows_of(count=2000, **changed):
    """Single decisions: what is seen says what is done."""
    seen = R.normal(size=(count, 2))
    rows = {"observation": seen, "action": np.clip(seen[:, :1] / 2, -1, 1), "reward": seen[:, 0].copy()}
    rows |= {"terminated": np.ones(count), "next_observation": seen}
    return rows | changed


def codes(rows, **card):
    report = check_dataset(Dataset.from_rows(**rows, card=Card(**card)))
    json.dumps(report.to_json(), allow_nan=False)
    return {finding.code: finding for finding in report.findings}


# ---- strays -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [-9999.0, -999.0, 99999.0, 1e6, 1e30, -3.4028235e38, 500.0])
@pytest.mark.parametrize("field", ["observation", "action"])
def test_one_stray_number_is_told_with_its_row(field, value):
    rows = rows_of()
    rows[field][7, 0] = value
    finding = codes(rows)["stray-number"]
    assert (finding.level, finding.rows) == ("warning", (7,))
    assert f"0 is {value:g} and between" in finding.says
    assert ("the range of actions is read without it" in finding.advice) == (field == "action")


@pytest.mark.parametrize("share", [0.01, 0.1, 0.4])
def test_a_code_for_missing_in_many_rows(share):
    rows = rows_of()
    rows["observation"][:, 1] = R.uniform(40, 400, 2000)  # a gap to -999 of less than three times the range
    missing = R.random(2000) < share
    rows["observation"][missing, 1] = -999.0
    finding = codes(rows)["stray-number"]
    assert finding.rows == tuple(np.flatnonzero(missing)[:5].tolist())
    assert f"1 is -999 or the like in {missing.sum()} rows" in finding.says


def test_strays_on_either_side_and_a_stray_reward():
    rows = rows_of()
    rows["observation"][[3, 9], 0] = (-9999.0, 1e6)
    rows["reward"][[11, 12]] = -999.0
    found = [f for f in check_dataset(Dataset.from_rows(**rows)).findings if f.code == "stray-number"]
    assert [finding.rows for finding in found] == [(3, 9), (11, 12)]
    assert found[1].says.startswith("reward is -999 or the like in 2 rows")


@pytest.mark.parametrize(
    "draw",
    [
        lambda size: R.standard_t(3, size),
        lambda size: R.exponential(size=size),
        lambda size: R.lognormal(sigma=1.5, size=size),
        lambda size: np.clip(10 * R.standard_t(2, size), -10, 10),  # velocities that are clipped
        lambda size: (R.random(size) < 0.01) * R.exponential(50.0, size),  # contact forces
        lambda size: R.integers(0, 5, size).astype(float),
        lambda size: (R.random(size) < 0.002).astype(float),
    ],
)
def test_wide_tails_and_rare_events_are_no_strays(draw):
    for _ in range(20):
        assert "stray-number" not in codes(rows_of(observation=draw((2000, 4)), next_observation=np.zeros((2000, 4))))


def test_a_crash_that_costs_a_hundred_is_a_reward():
    rows = rows_of(reward=np.where(R.random(2000) < 0.01, -100.0, -1.0))
    assert not {"stray-number", "large-reward"} & set(codes(rows))


def test_a_large_reward_and_a_large_feature_name_their_rows():
    rows = rows_of()
    rows["reward"][70] = 4e4
    rows["observation"][:, 1] = np.linspace(0, 5e3, 2000)
    found = codes(rows)
    assert found["large-reward"].rows[0] == 70
    assert found["large-observation"].rows == (1999,)


# ---- ranges -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("most", [1e6, 1e30, float(np.finfo(np.float32).max), 500.0])
def test_a_declared_range_that_is_never_come_near(most):
    finding = codes(rows_of(), action_low=(-most,), action_high=(most,))["unreached-range"]
    assert finding.level == "warning"
    assert f"declared from {-most:g} to {most:g} and lies between -1 and 1" in finding.says
    assert finding.rows
    assert "unreached-range" not in codes(rows_of(), action_low=(-2.0,), action_high=(2.0,))


def test_the_entry_of_such_a_range_is_named():
    rows = rows_of(action=R.uniform(-1, 1, (2000, 3)))
    found = codes(rows, action_low=(-1.0, 0.0 - 1e6, -1.0), action_high=(1.0, 1e6, 1.0))
    assert found["unreached-range"].says.startswith("action entries 1 never come near their declared range: entry 1 ")


# ---- actions that say nothing, or are choices --------------------------------------------------------------------------


def test_constant_actions():
    rows = rows_of(action=np.column_stack([R.uniform(-1, 1, 2000), np.full(2000, 0.5)]))
    finding = codes(rows)["constant-action"]
    assert finding.says == "action entries 1 never change: they are 0.5 in all 2000 rows"
    assert finding.rows
    rows["action"][9, 1] = -9999.0  # and a stray does not hide it
    assert {"constant-action", "stray-number"} <= set(codes(rows))
    single = codes(rows_of(action=np.full(2000, 2)), actions=4)["constant-action"]
    assert (single.level, single.says) == ("warning", "action 2 is taken in all 2000 rows")


def test_discrete_actions_are_told_to_have_no_method_yet():
    finding = codes(rows_of(action=np.arange(2000) % 3), actions=4)
    assert (finding["discrete-actions"].level, finding["discrete-actions"].rows) == ("note", ())
    assert "no method takes discrete actions yet" in finding["discrete-actions"].says
    assert finding["unused-action"].says == "actions 3 are never taken"


def test_many_codes_take_no_memory_by_their_size():
    rows = rows_of(action=R.integers(0, 2, 2000) * 999_999_999)
    report = check_dataset(Dataset.from_rows(**rows, card=Card(actions=1_000_000_000)))
    assert report.figures["action"] == {"actions": 1_000_000_000, "taken": 2}
    assert "and 999999988 more are never taken" in next(f.says for f in report.findings if f.code == "unused-action")


@pytest.mark.parametrize("values", [[0.0, 1.0], [0.0, 1.0, 2.0, 5.0], np.arange(60.0)])
def test_whole_numbers_that_look_like_choices(values):
    action = R.choice(values, 2000)[:, None]
    finding = codes(rows_of(action=action))["whole-number-action"]
    assert finding.level == "warning"
    assert "--actions discrete" in finding.advice
    assert "whole-number-action" not in codes(rows_of(action=action), action_low=(0.0,), action_high=(60.0,))


@pytest.mark.parametrize("values", [[-1.0, 1.0], [0.0, 0.5, 1.0], [0.0, 150.0], np.arange(500.0), [2.0, 3.0]])
def test_other_numbers_are_quantities(values):
    assert "whole-number-action" not in codes(rows_of(action=R.choice(values, 2000)[:, None]))


# ---- limits in disguise -------------------------------------------------------------------------------------------------


def episodes(lengths, ended, **card):
    logged = [
        {
            "observation": R.normal(size=(length + 1, 2)),
            "action": R.uniform(-1, 1, (length, 1)),
            "reward": R.normal(size=length),
            "terminated": end,
            "truncated": not end,
        }
        for length, end in zip(lengths, ended, strict=True)
    ]
    report = check_dataset(Dataset.from_episodes(logged, card=Card(**card)))
    return {finding.code: finding for finding in report.findings}.get("terminated-at-limit")


def test_a_task_of_fixed_length_is_no_error():
    finding = episodes([10] * 40, [True] * 40)
    assert finding is not None
    assert (finding.level, finding.rows) == ("warning", (9, 19, 29, 39, 49))
    assert "if the task itself ends after so many steps, this is right" in finding.advice


def test_a_spike_at_the_longest_length_is_one():
    lengths = [*R.integers(20, 190, 40).tolist(), *[200] * 15]
    finding = episodes(lengths, [True] * 55)
    assert finding is not None
    assert finding.level == "error"
    assert finding.rows[0] == sum(lengths[:41]) - 1


@pytest.mark.parametrize(
    "card",
    [{"environment": "Pendulum-v1"}, {"reference": "door-human-v1"}, {"environment": "My-v0?max_episode_steps=200"}],
)
def test_a_known_limit_is_one(card):
    finding = episodes([200] * 4, [True] * 4, **card)
    assert finding is not None
    assert finding.level == "error"
    assert "which is the step limit of" in finding.says
    other = episodes([150] * 4, [True] * 4, **card)
    assert other is not None
    assert other.level == "warning"


def test_games_that_end_early_or_at_their_last_move_and_sound_limits_are_quiet():
    assert episodes([5, 6, 7, 8] * 5 + [9] * 20, [True] * 40) is None
    assert episodes([30] * 20, [False] * 20) is None
    assert episodes([*range(20, 60), *[61] * 2], [True] * 42) is None


# ---- the report for a terminal ------------------------------------------------------------------------------------------


def test_the_text_names_rows_and_repeats_what_was_left_out_at_loading():
    steps = np.arange(50)
    rows = {
        "observation": R.normal(size=(50, 2)),
        "action": R.uniform(-1, 1, (50, 1)),
        "reward": (steps % 10 == 9) * 1.0,
    }
    rows["observation"][3, 0] = -9999.0
    data = Dataset.from_rows(
        **rows, terminated=np.zeros(50), truncated=steps % 10 == 9
    )  # the useful rows have no successor
    text = check_text(check_dataset(data).to_json())
    assert "5 rows were left out" in text
    assert "(rows 9, 19, 29, 39, 49)" in text
    assert "observation feature 0 is -9999 and between" in text
    assert "in all others (row 3)" in text
