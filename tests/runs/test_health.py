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
        ({"v/effective_share": 0.004}, r"V rests on 0\.4 % of each batch: beta is small for the spread of Q"),
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


def over(weights, error=0.01, seen=None, **changes):
    """Alarms after evaluations with these held-out means, whose standard error over episodes is `error`; `seen`: as held out."""
    rows = [
        WELL
        | {"update": 50 + n, "heldout/v/weight": w, "seen/v/weight": seen or w, "calibration/error": error}
        | changes
        for n, w in enumerate(weights)
    ]
    return alarms(rows, [XQL], 50 + len(rows))


@pytest.mark.parametrize("weight", [0.94, 1.14])
def test_what_few_held_out_episodes_explain_is_no_alarm(weight):
    """Two standard errors are 0.16; with more episodes the same mean is an alarm."""
    assert over([weight] * 3, error=0.08, seen=1.0) == []
    assert over([weight] * 3, error=0.02, seen=1.0) == [
        f"replica 0: V is not calibrated: density ratios have the mean {weight:.2f} on held-out episodes (± 0.04), and 1 where V is right"
    ]


@pytest.mark.parametrize("means", [[0.91, 1.31, 1.2], [1.145, 1.27, 1.25], [0.94, 0.94, 0.94], [1.38]])
def test_what_v_sways_by_on_seen_and_unseen_rows_alike_is_no_alarm(means):
    """Between evaluations the mean over the updates is 1: as in the demo's runs, where the held-out error is 0.01 to 0.02."""
    assert over(means) == []


@pytest.mark.parametrize("trained", [0.6, 0.93, 1.08, 1.45])
def test_a_drift_shows_in_every_mean_and_is_an_alarm(trained):
    """A V that runs after Q, or a loss that is biased, as the batch maximum is (1.24 and 1.49 in the maze)."""
    (sentence,) = over([trained] * 3, **{"v/weight": trained})
    assert f"not calibrated: density ratios have the mean {trained:.2f}" in sentence
    (sentence,) = over([1.3 * trained, 0.8 * trained, trained], **{"v/weight": trained})
    assert f"not calibrated: density ratios have the mean {trained:.2f}" in sentence


def test_the_mean_over_the_updates_is_that_of_all_rows_since_the_third_last_evaluation():
    rows = [WELL | {"update": n, "v/weight": w} for n, w in enumerate([9.0, 1.0, 1.3, 1.3, 1.3], 96)]
    plain = [{name: value for name, value in row.items() if not name.startswith(("heldout", "seen"))} for row in rows]
    (sentence,) = alarms([rows[0], rows[1], plain[2], rows[3], rows[4]], [XQL], 100)
    assert "the mean 1.25 " in sentence  # of 1, 1.3, 1.3, 1.3, times 1.02 held out


def test_what_is_too_small_to_matter_is_no_alarm_however_sure_it_is():
    assert over([1.04] * 3, error=0.001, seen=1.0) == []
    assert over([1.06] * 3, error=0.001, seen=1.0) != []


def test_memorising_must_exceed_the_error_of_few_episodes_and_is_seen_through_any_sway():
    assert "V has memorised" not in "".join(over([1.4] * 3, error=0.25, seen=1.0))
    assert "V has memorised" in over([1.4] * 3, error=0.05, seen=1.0)[0]
    assert "V has memorised" in over([3.0, 9.0, 5.0], error=1.0, seen=1.0)[0]
    assert "V has memorised" in over([6.0], error=0.0, seen=1.2)[0]  # one held-out episode: its error is not known


def test_the_progress_line_has_calibration_and_kl():
    assert shown(WELL) == "calibration 1.02, KL 0.40 held out"
    assert shown({"v/weight": 1.0, "v/kl": 0.42}) == "calibration 1.00, KL 0.42"
    assert shown({"q/loss": 1.0}) == ""
