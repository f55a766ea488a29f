import json

import numpy as np
import pytest

from extremal.core.errors import ConfigError
from extremal.envs.neorl2 import TASKS
from extremal.evaluation.scores import normalised, references


def test_the_ends_of_the_scale():
    for name, (low, high) in references().items():
        np.testing.assert_allclose(
            normalised([low, high, (low + high) / 2], name), [0, 100, 50], atol=1e-9, err_msg=name
        )


def test_a_published_return_has_its_published_score():
    # NeoRL-2 prints the mean return of its DMSD data, 494.45, and the range; halfway values by hand.
    assert normalised(494.45, "DMSD") == pytest.approx(100 * (494.45 - 30.60) / (849.51 - 30.60))
    assert normalised(np.full((2, 3), 1.0), "antmaze-large-play-v0").tolist() == [[100.0] * 3] * 2


def test_every_task_of_neorl2_has_a_range():
    assert set(TASKS) <= references().keys()


def test_an_unknown_reference_names_the_nearest():
    with pytest.raises(ConfigError, match="unknown reference score 'door-human-v9'; did you mean 'door-human-v"):
        normalised(1.0, "door-human-v9")


def test_the_table_is_the_published_one(real_data):
    published = json.loads((real_data / "reference" / "d4rl_scores_and_registrations.json").read_text())
    pairs = {name: (low, published["REF_MAX_SCORE"][name]) for name, low in published["REF_MIN_SCORE"].items()}
    assert len(pairs) == 147
    assert {name: pair for name, pair in references().items() if "-v" in name} == pairs


# ---- D4RL's ends, typed again ---------------------------------------------------------------------------------------

ROBOTS = {  # random and expert return: of the MuJoCo robots, and of those in Bullet
    "halfcheetah": (-280.178953, 12135.0),
    "hopper": (-20.272305, 3234.3),
    "walker2d": (1.629008, 4592.3),
    "ant": (-325.6, 3879.7),
    "bullet-halfcheetah": (-1275.766996, 2381.6725),
    "bullet-hopper": (20.058972, 1441.8059623430963),
    "bullet-walker2d": (16.523877, 1623.6476303317536),
    "bullet-ant": (373.705955, 2650.495),
}
HANDS = {
    "pen": (96.262799, 3076.8331017826877),
    "hammer": (-274.856578, 12794.134825156867),
    "door": (-56.512833, 2880.5693087298737),
    "relocate": (-6.425911, 4233.877797728884),
}
SINGLE = """
maze2d-open-v0 0.01 20.66 / maze2d-umaze-v1 23.85 161.86 / maze2d-medium-v1 13.13 277.39 / maze2d-large-v1 6.7 273.99
maze2d-open-dense-v0 11.17817 27.166538620695782 / maze2d-umaze-dense-v1 68.537689 193.66285642381482
maze2d-medium-dense-v1 44.264742 297.4552547777125 / maze2d-large-dense-v1 30.569041 303.4857382709002
bullet-maze2d-open-v0 8.75 64.15 / bullet-maze2d-umaze-v0 32.46 153.99
bullet-maze2d-medium-v0 14.87 238.05 / bullet-maze2d-large-v0 1.82 285.92
minigrid-fourrooms-v0 0.01442 2.89685 / minigrid-fourrooms-random-v0 0.01442 2.89685
carla-lane-v0 -0.8503839912088142 1023.5784385429523 / carla-town-v0 -114.81579500772153 2440.1772022247314
flow-ring-random-v0 -165.22 24.42 / flow-ring-controller-v0 -165.22 24.42
flow-merge-random-v0 118.67993 330.03179 / flow-merge-controller-v0 118.67993 330.03179
"""
NEORL2 = {
    "Pipeline": (-296, 751),
    "Simglucose": (9.75, 475),
    "RocketRecovery": (-176, 208),
    "RandomFrictionHopper": (-3, 503),
    "DMSD": (30.60, 849.51),
    "Fusion": (-107.601, 98.05),
    "SafetyHalfCheetah": (-283, 2507),
}


def ends(name):
    """What D4RL gives a dataset by the first part of its name."""
    for known, pair in (ROBOTS | HANDS).items():
        if name.startswith(f"{known}-"):
            return pair
    return {"antmaze": (0.0, 1.0), "kitchen": (0.0, 4.0)}[name.split("-")[0]]


def test_every_end_is_the_one_that_was_typed_a_second_time():
    single = {}
    for line in SINGLE.replace("\n", " / ").strip(" /").split(" / "):
        name, low, high = line.split()
        single[name] = (float(low), float(high))
    known = references()
    assert known == {name: (single | NEORL2).get(name) or ends(name) for name in known}
    assert single.keys() | NEORL2.keys() <= known.keys()
    assert len(known) == 147 + len(NEORL2)
