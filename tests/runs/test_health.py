"""Alarms: each identity that is missed is told once, in words; a healthy run and a method without density ratios are silent."""

import re

import pytest

from extremal.runs.health import alarms, shown

WELL = {
    "update": 100,
    "replica": 0,
    "v/weight": 1.0,
    "v/kl": 0.42,
    "v/clipped": 0.01,
    "v/at_floor": 0.0,
    "pi/effective_share": 0.5,
    "heldout/v/weight": 1.02,
    "seen/v/weight": 1.0,
    "heldout/v/kl": 0.40,
    "heldout/v/at_floor": 0.0,
}
KLXQL, XQL = {"kappa": 0.42}, {"beta": 1.0, "target_kl": None}


def told(settings=KLXQL, **changes):
    return alarms([WELL | changes], [settings], 100)


@pytest.mark.parametrize("settings", [KLXQL, XQL, {"target_kl": 0.42}])
def test_a_healthy_run_is_silent(settings):
    assert told(settings) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"heldout/v/weight": 9.5},
            r"replica 0: V has memorised: .* mean 9\.50 on held-out episodes and 1\.00 on those of training",
        ),
        ({"heldout/v/weight": 0.9}, r"not calibrated: .* 0\.90 on held-out"),
        ({"heldout/v/kl": 0.8}, r"KL from the data is 0\.80 on held-out episodes, 0\.42 was asked for"),
        ({"heldout/v/at_floor": 0.3, "heldout/v/kl": 0.0}, "floor in 30 % of the states"),
        ({"v/clipped": 0.2}, "20 % of the density ratios are at their bound"),
        ({"pi/effective_share": 0.01}, "learns from 1 % of each batch"),
    ],
)
def test_each_identity_that_is_missed_is_told_once(changes, words):
    (sentence,) = told(**changes)
    assert re.search(words, sentence)


def test_each_replica_of_a_sweep_is_judged_by_its_own_radius():
    rows = [WELL | {"replica": replica, "heldout/v/kl": 0.1} for replica in (0, 1)]
    (sentence,) = alarms(rows, [KLXQL, {"kappa": 0.1}], 100)
    assert sentence.startswith("replica 0: the policy's KL")


def test_a_fixed_temperature_promises_no_kl():
    assert told(XQL, **{"heldout/v/kl": 3.0}) == []


def test_nothing_is_said_before_burn_in_nor_of_other_methods():
    assert alarms([WELL | {"update": 10, "heldout/v/weight": 9.5}], [KLXQL], 100) == []
    assert alarms([{"update": 100, "replica": 0, "q/loss": 1.0}], [{}], 100) == []


def test_the_last_three_measurements_count_together_and_each_replica_is_named():
    sway = [0.8, 1.25, 0.95]
    rows = [WELL | {"update": 10 * n, "heldout/v/weight": w} for n, w in enumerate([9.5, *sway], 5)]
    later = {k: v for k, v in WELL.items() if not k.startswith("heldout")} | {"update": 100}
    assert alarms([*rows, later], [KLXQL], 100) == []
    other = [row | {"replica": 1, "heldout/v/weight": 9.5} for row in rows]
    assert [sentence.split(":")[0] for sentence in alarms([*rows, *other], [KLXQL, KLXQL], 80)] == ["replica 1"]


def test_networks_that_sway_together_have_not_memorised():
    (sentence,) = told(**{"heldout/v/weight": 1.4, "seen/v/weight": 1.38})
    assert "not calibrated" in sentence


def test_the_progress_line_has_calibration_and_kl():
    assert shown(WELL) == "calibration 1.02, KL 0.40 held out"
    assert shown({"v/weight": 1.0, "v/kl": 0.42}) == "calibration 1.00, KL 0.42"
    assert shown({"q/loss": 1.0}) == ""
