"""What `check_dataset` says of sound logs and of logs with one thing wrong."""

import json

import numpy as np
import pytest

from extremal.data.check import check_dataset
from extremal.data.dataset import Card, Dataset
from extremal.data.ids import load_dataset


def walks(lengths, *, terminated=(), truncated=(), seed=0, reward=None):
    """Random walks that start far from where they end: episodes of `lengths`, some terminated, some truncated."""
    random = np.random.default_rng(seed)
    rewards = reward or (lambda n: random.normal(size=n))
    return [
        {
            "observation": random.uniform(-20, 20, 3) + np.cumsum(random.normal(scale=0.1, size=(n + 1, 3)), axis=0),
            "action": random.normal(size=(n, 2)),
            "reward": rewards(n),
            "terminated": number in terminated,
            "truncated": number in truncated,
        }
        for number, n in enumerate(lengths)
    ]


def report_of(episodes, **card):
    return check_dataset(Dataset.from_episodes(episodes, card=Card(**card)))


def found(report):
    return {finding.code: finding for finding in report.findings}


def rows_of(episodes):
    """The log as a table without successors, and the row each episode ends on."""
    table = {"observation": np.concatenate([e["observation"][:-1] for e in episodes])}
    table |= {name: np.concatenate([e[name] for e in episodes]) for name in ("action", "reward")}
    return table | {"terminated": np.zeros(len(table["reward"]))}, np.cumsum([len(e["reward"]) for e in episodes]) - 1


SOUND = [300, 200, 300, 150, 300, 250]


def test_a_sound_log_has_no_finding():
    report = report_of(walks(SOUND, terminated=(1, 3, 5), truncated=(0, 2, 4)), name="sound")
    assert report.findings == ()
    assert report.ok
    assert report.name == "sound"


def test_figures_are_those_of_the_log():
    episodes = walks(SOUND, terminated=(1, 3, 5), truncated=(0, 2, 4))
    episodes[0]["action"][:] = 1.0
    data = Dataset.from_episodes(episodes, card=Card(action_low=(-1.0, -9.0), action_high=(1.0, 9.0)))
    figures = json.loads(json.dumps(check_dataset(data.device()).to_json(), allow_nan=False))["figures"]
    assert (figures["rows"], figures["episodes"], figures["hash"]) == (1500, 6, data.hash())
    assert figures["ends"] == {"terminated": 3, "truncated": 3, "neither": 0, "cut": 0}
    assert figures["return"]["mean"] == pytest.approx(data.returns.mean())
    assert figures["length"]["median"] == 275
    assert sum(figures["reward"]["histogram"]["counts"]) == 1500
    high = np.abs(data.action[:, 0]) >= 1.0
    assert figures["action"]["saturation"][1] == 0.0
    assert figures["action"]["saturation"][0] >= (data.action[:, 0] == 1.0).mean() > 0.19
    assert high.mean() > figures["action"]["saturation"][0] - 1e-3
    assert figures["jumps"]["far"] == 0
    assert figures["jumps"]["boundary"]["median"] > 10 * figures["jumps"]["inside"]["max"]


def test_a_limit_written_as_an_end():
    finding = found(report_of(walks(SOUND, terminated=range(6))))["terminated-at-limit"]
    assert (finding.level, finding.rows) == ("error", (299, 799, 1249))  # others end at any length before it
    finding = found(report_of(walks(SOUND, terminated=(0, 2, 4))))["terminated-at-limit"]
    assert finding.level == "warning"  # the task may have that length
    assert "terminated-at-limit" not in found(report_of(walks([7, 9, 8, 6], terminated=range(4))))


def test_lost_boundaries():
    table, ends = rows_of(walks(SOUND))
    report = check_dataset(Dataset.from_rows(**table))
    assert found(report)["missed-boundary"].rows == tuple(ends[:-1])
    assert found(report)["one-episode"].level == "warning"
    assert not report.ok


def test_a_few_lost_boundaries_are_a_warning():
    table, ends = rows_of(walks(SOUND))
    kept = np.isin(np.arange(1500), ends[::2])
    report = check_dataset(Dataset.from_rows(**table, truncated=kept))
    assert found(report)["missed-boundary"].level == "warning"
    assert report.ok


def test_boundaries_a_row_late():
    table, ends = rows_of(walks(SOUND))
    late = np.isin(np.arange(1500), ends + 1)
    finding = found(check_dataset(Dataset.from_rows(**table, truncated=late)))["shifted-boundary"]
    assert finding.level == "error"
    assert "reset 1 row before them, at 5 of 5 ends" in finding.says
    assert "1 row late" in finding.advice


def test_one_step_episodes():
    bandit = walks([1] * 50, terminated=range(50))
    assert found(report_of(bandit))["one-step"].level == "warning"
    finding = found(report_of(walks([1] * 50)))["one-step"]
    assert finding.level == "error"
    goal = walks([1] * 20 + [100, 90], terminated=range(20))
    assert found(report_of(goal))["many-one-step"].level == "note"


def sparse(n):
    return np.zeros(n)


def test_sparse_rewards_that_end_nothing():
    episodes = walks(SOUND, truncated=range(6), reward=sparse)
    for episode in episodes:
        episode["reward"][-2:] = 1.0
    assert found(report_of(episodes))["sparse-without-end"].level == "warning"
    episodes = walks(SOUND, terminated=(1, 3, 5), truncated=(0, 2, 4), reward=sparse)
    for number in (1, 3, 5):
        episodes[number]["reward"][-1] = 1.0
    assert found(report_of(episodes)) == {}


@pytest.mark.parametrize(("shift", "word"), [(-1, "before"), (1, "after")])
def test_rewards_a_row_beside_their_end(shift, word):
    episodes = walks([310, 300, 290, 305, 295], terminated=(0, 1, 2, 3), reward=sparse)
    data = Dataset.from_episodes(episodes)
    reward = data.reward.copy()
    reward[np.flatnonzero(data.terminated) + shift] = 1.0
    report = check_dataset(data.replace(reward=reward))
    assert found(report)["shifted-reward"].level == "error"
    assert f"the row {word} a terminated one" in found(report)["shifted-reward"].says


def test_rewards_that_say_nothing():
    assert found(report_of(walks(SOUND, reward=np.ones)))["constant-reward"].level == "error"
    until_the_goal = walks(SOUND, terminated=(1, 3, 5), truncated=(0, 2, 4), reward=np.ones)
    assert found(report_of(until_the_goal)) == {}


def test_actions_outside_the_declared_range():
    episodes = walks(SOUND, truncated=range(6))
    for episode in episodes:
        episode["action"] = np.clip(episode["action"], -0.9, 0.9)
    limits = {"action_low": (-1.0, -1.0), "action_high": (1.0, 1.0)}
    assert found(report_of(episodes, **limits)) == {}
    episodes[1]["action"][7, 1] = -1.5
    finding = found(report_of(episodes, **limits))["action-out-of-range"]
    assert (finding.level, finding.rows) == ("error", (307,))
    assert "below" in finding.says


def test_saturated_constant_and_unused_actions():
    episodes = walks(SOUND, truncated=range(6))
    for episode in episodes:
        episode["action"] = np.sign(episode["action"]) * np.array([1.0, 0.0])
    findings = found(report_of(episodes))
    assert findings["saturated-action"].level == "warning"
    assert "entries 1 never" in findings["constant-action"].says
    for episode in episodes:
        episode["action"] = np.arange(len(episode["action"])) % 3
    assert found(report_of(episodes, actions=5))["unused-action"].says == "actions 3, 4 are never taken"


def test_features_that_carry_nothing_or_too_much():
    episodes = walks(SOUND, truncated=range(6))
    for episode in episodes:
        value = episode["observation"]
        episode["observation"] = np.column_stack([value, np.ones(len(value)), value[:, 1], 1e4 * value[:, 2]])
    findings = found(report_of(episodes))
    assert findings["constant-feature"].says == "observation features 3 never change"
    assert findings["duplicated-feature"].says == "observation features 1, 4 are equal in every row"
    assert findings["large-observation"].level == "warning"
    for episode in episodes:
        episode["observation"][:] = 2.0
    assert found(report_of(episodes))["constant-observation"].level == "error"


def test_large_rewards_and_ends_without_reason():
    findings = found(report_of(walks(SOUND, terminated=(1,), truncated=(0, 2), reward=lambda n: 2e3 * np.arange(n))))
    assert findings["large-reward"].level == "warning"
    assert findings["end-without-reason"].says.startswith("3 of 6 episodes")


def test_errors_come_first():
    report = report_of(walks([*SOUND, 90], terminated=range(6), reward=lambda n: 2e3 * np.arange(n)))
    assert [finding.level for finding in report.findings] == ["error", "warning", "note"]
    assert report.to_json()["ok"] is False
    assert report.to_json()["findings"][0]["code"] == "terminated-at-limit"


def test_pixels_are_reported_without_features():
    log = {
        "observation": np.random.default_rng(0).uniform(size=(41, 4, 4, 1)),
        "action": np.arange(40) % 2,
        "reward": np.arange(40.0),
    }
    report = report_of([log], actions=2)
    assert report.findings[0].code == "end-without-reason"
    assert report.figures["jumps"] is None
    assert report.figures["action"] == {"actions": 2, "counts": [20, 20]}


@pytest.mark.parametrize(
    "name", ["Simglucose-high-20000-val", "SafetyHalfCheetah-high-100000-train", "Fusion-high-20000-val"]
)
def test_real_files_are_sound_and_their_lost_ends_are_seen(real_data, name):
    data = load_dataset(f"neorl2:{real_data}/neorl2/{name}.npz")
    assert check_dataset(data).ok
    limit = data.terminated | data.truncated
    merged = check_dataset(data.replace(terminated=limit, truncated=np.zeros_like(limit)))
    assert "terminated-at-limit" in found(merged)


def test_a_bandit_without_a_context_has_nothing_to_observe():
    random = np.random.default_rng(0)
    rows = {"observation": np.ones((50, 1)), "action": random.uniform(-1, 1, (50, 1)), "reward": random.normal(size=50)}
    report = check_dataset(Dataset.from_rows(**rows, terminated=np.ones(50)))
    assert report.ok
    assert found(report)["constant-observation"].level == "warning"


def test_an_action_that_never_changes_lies_at_no_bound():
    rows = {"observation": np.arange(50.0)[:, None], "action": np.full((50, 1), 0.5), "reward": np.arange(50.0)}
    findings = found(check_dataset(Dataset.from_rows(**rows, terminated=np.arange(50) == 49)))
    assert "constant-action" in findings
    assert "saturated-action" not in findings
