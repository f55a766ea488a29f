"""Alarms: each identity that is missed is told once, in words, and so is a policy that few rows teach; a healthy run is silent."""

import dataclasses
import html
import math
import re

import pytest

from extremal.algorithms.awac import AWAC
from extremal.algorithms.iql import IQL
from extremal.algorithms.klxql import KLXQL
from extremal.algorithms.onestep import Onestep
from extremal.algorithms.xql import XQL
from extremal.io.config import to_json
from extremal.report import table, write_report
from extremal.runs.health import alarms, shown

WELL = {
    "update": 100,
    "replica": 0,
    "v/weight": 1.0,
    "v/kl": 0.42,
    "v/clipped": 0.01,
    "v/at_floor": 0.0,
    "pi/effective_share": 0.5,
    "pi/at_bound": 0.02,
    "heldout/v/weight": 1.02,
    "seen/v/weight": 1.0,
    "heldout/v/kl": 0.40,
    "heldout/v/at_floor": 0.0,
}
HELD, FREE = {"kappa": 0.42}, {"beta": 1.0, "inverse_temperature": 10.0, "target_kl": None}


def told(settings=HELD, **changes):
    return alarms([WELL | changes], [settings], 100)


@pytest.mark.parametrize("settings", [HELD, FREE, {"target_kl": 0.42}])
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
        (
            {"pi/effective_share": 0.01},
            "learns from 1 % of each batch, and 2 % of its weights are at their bound: .* too greedy",
        ),
        ({"v/effective_share": 0.004}, r"V rests on 0\.4 % of each batch: beta is small for the spread of Q"),
    ],
)
def test_each_identity_that_is_missed_is_told_once(changes, words):
    (sentence,) = told(**changes)
    assert re.search(words, sentence)


# ---- weights of a policy -------------------------------------------------------------------------------------------

PLAIN = {
    "update": 100,
    "replica": 0,
    "q/loss": 1.0,
    "pi/effective_share": 0.08,
    "pi/at_bound": 0.05,
}  # no density ratio


@pytest.mark.parametrize(
    ("settings", "what_to_do"),
    [
        (IQL(), "lower inverse_temperature, which is 3, or make rewards smaller by a reward_scale below 1"),
        (IQL(reward_range=1000.0), "which is 3, or make rewards smaller: lower reward_range, which is 1000"),
        (IQL(policy_weight="statistic", expectile=0.99), "lower expectile, which is 0.99"),
        (AWAC(reward_scale=5.0), "which is 1, or make rewards smaller: lower reward_scale, which is 5"),
        (AWAC(policy_weight="batch_softmax"), "lower inverse_temperature, which is 1, or"),
        (Onestep(inverse_temperature=30.0), "lower inverse_temperature, which is 30, or"),
        (XQL(), "lower inverse_temperature, which is 10, or"),
        (XQL(policy_weight="statistic", beta=0.2), "raise beta, which is 0.2, or make rewards smaller"),
        (XQL(policy_weight="statistic", target_kl=2.0), "lower target_kl, which is 2"),
        (XQL(target_kl=2.0), "lower inverse_temperature, which is 10, or"),  # whose weight has a temperature of its own
        (KLXQL(kappa=3.0), "lower kappa, which is 3"),
    ],
    ids=lambda x: type(x).__name__ if not isinstance(x, str) else "",
)
def test_a_policy_that_few_rows_teach_is_said_with_the_setting_that_helps(settings, what_to_do):
    (sentence,) = alarms([PLAIN], [to_json(settings)], 100)
    assert sentence.startswith(
        "replica 0: the policy learns from 8 % of each batch, and 5 % of its weights are at their bound: its temperature is "
        "too greedy for this log; "
    )
    assert what_to_do in sentence
    assert alarms([PLAIN | {"pi/effective_share": 0.1}], [to_json(settings)], 100) == []


def test_a_temperature_so_greedy_that_the_bound_decides_is_said_too():
    """Weights of 0 and of the bound are even enough for the effective share; the temperature is beyond both."""
    flat = PLAIN | {"pi/effective_share": 0.41, "pi/at_bound": 0.4}
    (sentence,) = alarms([flat], [to_json(Onestep(inverse_temperature=100.0))], 100)
    assert sentence.startswith(
        "replica 0: the policy cannot tell good from better, 40 % of its weights are at their bound"
    )
    assert "lower inverse_temperature, which is 100" in sentence
    assert alarms([flat | {"pi/at_bound": 0.25}], [to_json(Onestep())], 100) == []


def test_weights_without_a_bound_are_said_without_one_and_a_sweep_by_its_own_number():
    rows = [{"update": 100, "replica": r, "pi/effective_share": share} for r, share in enumerate((0.9, 0.004))]
    swept = [to_json(AWAC()) | {"inverse_temperature": x} for x in (1.0, 40.0)]
    (sentence,) = alarms(rows, swept, 100)
    assert sentence.startswith("replica 1: the policy learns from 0.4 % of each batch: its temperature is too greedy")
    assert "lower inverse_temperature, which is 40" in sentence


def test_the_last_three_rows_count_together_once_a_policy_has_begun():
    def said(*shares):
        rows = [PLAIN | {"update": 40 + 10 * n, "pi/effective_share": share} for n, share in enumerate(shares)]
        return alarms(rows, [to_json(IQL())], 100)

    begins = "", math.nan, 0.01  # as a table has it: no number before the policy learns
    assert said(*begins, 0.15, 0.15, 0.06) == []
    (sentence,) = said(*begins, 0.15, 0.09, 0.03)
    assert "learns from 9 %" in sentence
    (sentence,) = said(*begins)
    assert "learns from 1 %" in sentence
    assert said("", math.nan) == []
    early = [PLAIN | {"update": 10}]
    assert alarms(early, [to_json(IQL())], 100) == []


# ---- all together --------------------------------------------------------------------------------------------------


def test_each_replica_of_a_sweep_is_judged_by_its_own_radius():
    rows = [WELL | {"replica": replica, "heldout/v/kl": 0.1} for replica in (0, 1)]
    (sentence,) = alarms(rows, [HELD, {"kappa": 0.1}], 100)
    assert sentence.startswith("replica 0: the policy's KL")


def test_a_fixed_temperature_promises_no_kl():
    assert told(FREE, **{"heldout/v/kl": 3.0}) == []


def test_nothing_is_said_before_burn_in_nor_of_other_methods():
    assert alarms([WELL | {"update": 10, "heldout/v/weight": 9.5}], [HELD], 100) == []
    assert alarms([{"update": 100, "replica": 0, "q/loss": 1.0}], [{}], 100) == []


def test_the_last_three_measurements_count_together_and_each_replica_is_named():
    sway = [0.8, 1.25, 0.95]
    rows = [WELL | {"update": 10 * n, "heldout/v/weight": w} for n, w in enumerate([9.5, *sway], 5)]
    later = {k: v for k, v in WELL.items() if not k.startswith("heldout")} | {"update": 100}
    assert alarms([*rows, later], [HELD], 100) == []
    other = [row | {"replica": 1, "heldout/v/weight": 9.5} for row in rows]
    assert [sentence.split(":")[0] for sentence in alarms([*rows, *other], [HELD, HELD], 80)] == ["replica 1"]


def over(weights, error=0.01, seen=None, **changes):
    """Alarms after evaluations with these held-out means, whose standard error over episodes is `error`; `seen`: as held out."""
    rows = [
        WELL
        | {"update": 50 + n, "heldout/v/weight": w, "seen/v/weight": seen or w, "calibration/error": error}
        | changes
        for n, w in enumerate(weights)
    ]
    return alarms(rows, [FREE], 50 + len(rows))


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
    (sentence,) = alarms([rows[0], rows[1], plain[2], rows[3], rows[4]], [FREE], 100)
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
    assert shown({"q/loss": 1.0, "pi/effective_share": 0.1}) == ""
    assert shown(PLAIN) == "the policy learns from 8 % of a batch"
    assert shown(WELL | {"pi/effective_share": 0.03}).endswith("held out, the policy learns from 3 % of a batch")


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(IQL(max_weight=1e30), marks=pytest.mark.slow),
        pytest.param(AWAC(max_weight=1e30), marks=pytest.mark.slow),
        pytest.param(AWAC(policy_weight="batch_softmax"), marks=pytest.mark.slow),
        pytest.param(Onestep(max_weight=1e30, extract_after=0.5), marks=pytest.mark.slow),
        pytest.param(XQL(max_weight=1e30), marks=pytest.mark.slow),
    ],
    ids=lambda settings: type(settings).__name__,
)
def test_a_greedy_replica_is_in_summary_table_and_report_and_a_mild_one_is_not(settings, train, tmp_path, read_rows):
    greedy = dataclasses.replace(settings, reward_scale=100.0, width=8, batch_size=64)
    run = train(tmp_path / "run", greedy, sweep={"inverse_temperature": [1e-3, 20.0]}, evaluate_every=40)
    final = [row for row in read_rows(run.path / "metrics.csv") if row["update"] == "40"]
    mild, uneven = (float(row["pi/effective_share"]) for row in final)
    assert mild > 0.9
    assert uneven < 0.1
    assert float(final[1]["heldout/pi/effective_share"]) < 0.2
    bounded = getattr(settings, "policy_weight", "") != "batch_softmax"
    assert ("pi/at_bound" in final[1]) == bounded
    (alarm,) = [sentence for sentence in run.summary["alarms"] if "too greedy" in sentence]
    assert alarm.startswith("replica 1: the policy learns from ")
    assert alarm.endswith(
        "lower inverse_temperature, which is 20, or make rewards smaller: lower reward_scale, which is 100"
    )
    assert alarm in " ".join(table([run.path]).split())
    if not isinstance(settings, IQL):  # a page is not drawn in a second
        page = write_report([run.path], tmp_path / "report.html", title="greed").read_text()
        assert alarm in " ".join(html.unescape(page).split())
