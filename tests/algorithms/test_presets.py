"""Every number of the papers' tables, typed again from the page."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import pytest

from extremal.algorithms import iql, xql
from extremal.algorithms.brac import BRAC
from extremal.algorithms.emaq import EMaQ
from extremal.algorithms.registry import METHODS, method, preset
from extremal.core.errors import ConfigError
from extremal.core.types import Spec
from extremal.data.transforms import MultiplyReward, RescaleAction, ScaleReward, ShiftReward

# Garg et al. (2023), Table 4: beta, clip, batch size, V updates; the tuned value in parentheses. The page prints the
# last two rows as door-human and relocate-human, which it has already: they are the cloned sets.
TABLE_4 = """
halfcheetah-medium-v2 2 (1) 7 (7) 256 (256) 1 (1)
hopper-medium-v2 2 (5) 7 (7) 256 (256) 1 (1)
walker2d-medium-v2 2 (10) 7 (7) 256 (256) 1 (1)
halfcheetah-medium-replay-v2 2 (1) 7 (5) 256 (256) 1 (1)
hopper-medium-replay-v2 2 (2) 7 (7) 256 (256) 1 (1)
walker2d-medium-replay-v2 2 (5) 7 (7) 256 (256) 1 (1)
halfcheetah-medium-expert-v2 2 (1) 7 (5) 256 (1024) 1 (1)
hopper-medium-expert-v2 2 (2) 7 (7) 256 (1024) 1 (1)
walker2d-medium-expert-v2 2 (2) 7 (5) 256 (1024) 1 (1)
antmaze-umaze-v0 0.6 (1) 7 (7) 256 (256) 1 (1)
antmaze-umaze-diverse-v0 0.6 (5) 7 (7) 256 (256) 1 (1)
antmaze-medium-play-v0 0.6 (0.8) 7 (7) 256 (1024) 1 (2)
antmaze-medium-diverse-v0 0.6 (0.6) 7 (7) 256 (256) 1 (4)
antmaze-large-play-v0 0.6 (0.6) 7 (5) 256 (1024) 1 (1)
antmaze-large-diverse-v0 0.6 (0.6) 7 (5) 256 (1024) 1 (1)
kitchen-complete-v0 5 (2) 7 (7) 256 (1024) 1 (1)
kitchen-partial-v0 5 (5) 7 (7) 256 (1024) 1 (1)
kitchen-mixed-v0 5 (8) 7 (7) 256 (1024) 1 (1)
pen-human-v0 5 (5) 7 (7) 256 (256) 1 (1)
hammer-human-v0 5 (0.5) 7 (3) 256 (1024) 1 (4)
door-human-v0 5 (1) 7 (5) 256 (256) 1 (1)
relocate-human-v0 5 (0.8) 7 (5) 256 (1024) 1 (2)
pen-cloned-v0 5 (0.8) 7 (5) 256 (1024) 1 (2)
hammer-cloned-v0 5 (5) 7 (7) 256 (256) 1 (1)
door-cloned-v0 5 (5) 7 (7) 256 (256) 1 (1)
relocate-cloned-v0 5 (5) 7 (7) 256 (256) 1 (1)
"""
PAIR = re.compile(r"(\S+) \((\S+)\)")
ROWS = {line.split(maxsplit=1)[0]: PAIR.findall(line.split(maxsplit=1)[1]) for line in TABLE_4.strip().splitlines()}
SPEC = Spec(observation=(17,), action=(6,))
EVERY = [(name, which) for name in METHODS for which in METHODS[name].presets]


def transform(algorithm, kind):
    return next((t for t in algorithm.prepare if isinstance(t, kind)), None)


# ---- XQL ----------------------------------------------------------------------------------------------------------


LOCOMOTION = [task for task in ROWS if task.endswith("v2")]
KINDS = ("consistent", "tuned")


def versions(task):
    """What a row of Table 4 is registered as: as printed, and with the factor that the code of locomotion has."""
    return ("paper", "code") if task in LOCOMOTION else ("paper",)


def test_the_table_is_whole():
    assert len(ROWS) == 26
    assert len(LOCOMOTION) == 9
    assert all(len(row) == 4 for row in ROWS.values())
    assert {name for name in xql.PRESETS if not name.startswith("code/scripts/")} == {
        f"{version}/{kind}/{task}" for kind in KINDS for task in ROWS for version in versions(task)
    }


@pytest.mark.parametrize("task", ROWS)
def test_xql_has_the_numbers_of_table_4(task):
    for version in versions(task):
        for column, kind in enumerate(KINDS):
            settings = preset("xql", f"{version}/{kind}/{task}")
            found = settings.beta, settings.clip, settings.batch_size, settings.value_updates
            assert found == tuple(float(pair[column]) for pair in ROWS[task])
            assert (settings.normaliser, settings.clamp) == ("batch_max", "both")  # App. D.3
            assert (settings.random_actions, settings.huber, settings.max_gradient_norm) == (0, None, None)
            assert "Grad Clip is read as the clip of z" in xql.PRESETS[f"{version}/{kind}/{task}"].source


def test_the_factor_1000_of_locomotion_is_the_codes_alone():
    for task in LOCOMOTION:
        for kind in KINDS:
            printed, coded = (xql.PRESETS[f"{version}/{kind}/{task}"] for version in ("paper", "code"))
            assert printed.settings.reward_range == 1.0
            assert coded.settings == dataclasses.replace(printed.settings, reward_range=1000.0)
            assert "Table 1 cannot come of it" in printed.source
            assert "1000, which is in the published code only" in coded.source


# Names as they were before the factor had a name of its own; the settings are typed from what runs had recorded.
COMMON = {"normaliser": "batch_max", "policy_schedule": "cosine"}
RECORDED = {
    "consistent/hopper-medium-v2": COMMON
    | {"beta": 2.0, "clip": 7.0, "inverse_temperature": 3.0, "reward_range": 1000.0},
    "tuned/halfcheetah-medium-expert-v2": COMMON
    | {"beta": 1.0, "clip": 5.0, "inverse_temperature": 3.0, "reward_range": 1000.0, "batch_size": 1024},
    "tuned/antmaze-medium-diverse-v0": COMMON
    | {"beta": 0.6, "clip": 7.0, "reward_shift": -1.0, "value_layer_norm": True, "value_updates": 4},
    "consistent/door-human-v0": COMMON | {"beta": 5.0, "clip": 7.0, "inverse_temperature": 0.5, "policy_dropout": 0.1},
}


@pytest.mark.parametrize("name", RECORDED)
def test_a_name_of_before_finds_the_settings_of_before(name):
    assert preset("xql", name) == xql.XQL(**RECORDED[name])


def test_every_name_of_before_is_known_and_none_is_of_two_presets():
    older = [name for known in xql.PRESETS.values() for name in known.also]
    assert sorted(older) == sorted(
        [f"{kind}/{task}" for kind in KINDS for task in ROWS] + [f"code/{t}" for t in SCRIPTS]
    )
    assert not set(older) & set(xql.PRESETS)
    for name in older:
        task, factor = name.split("/")[-1], preset("xql", name).reward_range
        assert factor == (1000.0 if task in LOCOMOTION else None), name


# The scripts of the published code: beta, clip, batch size, V updates, uniform actions.
SCRIPTS = {
    "halfcheetah-medium-replay-v2": (1, 5, 256, 1, 0),
    "halfcheetah-medium-expert-v2": (1, 5, 1024, 1, 0),
    "hopper-medium-v2": (5, 7, 1024, 1, 0),
    "hopper-medium-replay-v2": (2, 7, 256, 1, 0),
    "hopper-medium-expert-v2": (2, 7, 1024, 1, 1),
    "walker2d-medium-v2": (10, 7, 1024, 1, 0),
    "walker2d-medium-replay-v2": (5, 5, 1024, 1, 0),
    "walker2d-medium-expert-v2": (2, 5, 256, 1, 0),
    "antmaze-umaze-v0": (2, 7, 256, 1, 0),
    "antmaze-umaze-diverse-v0": (5, 7, 256, 1, 1),
    "antmaze-medium-play-v0": (0.8, 5, 256, 1, 0),
    "antmaze-medium-diverse-v0": (0.6, 7, 256, 4, 0),
    "antmaze-large-play-v0": (0.6, 5, 1024, 1, 0),
    "antmaze-large-diverse-v0": (0.55, 5, 1024, 1, 0),
    "kitchen-complete-v0": (2, 7, 1024, 1, 0),
    "kitchen-partial-v0": (5, 7, 1024, 1, 0),
    "kitchen-mixed-v0": (8, 7, 1024, 1, 0),
    "pen-human-v0": (8, 5, 1024, 1, 1),
}


def test_no_script_goes_unchecked():
    assert {name for name in xql.PRESETS if name.startswith("code/scripts/")} == {f"code/scripts/{t}" for t in SCRIPTS}


@pytest.mark.parametrize("task", SCRIPTS)
def test_xqls_scripts_have_their_numbers_and_what_their_code_does(task):
    found = preset("xql", f"code/scripts/{task}")
    numbers = found.beta, found.clip, found.batch_size, found.value_updates, found.random_actions
    assert numbers == SCRIPTS[task]
    assert (found.normaliser, found.clamp, found.value_batch) == ("batch_max", "above", "same")
    assert (found.huber, found.value_layer_norm) == (20.0, True)
    assert found.policy_schedule == ("constant" if task.startswith("antmaze") else "cosine")


@pytest.mark.parametrize("task", ROWS)
def test_the_rest_of_xql_is_iqls(task):
    benchmark = {"antmaze": "antmaze-v0", "kitchen": "kitchen-v0"}.get(task.split("-")[0])
    benchmark = benchmark or ("locomotion-v2" if task in LOCOMOTION else "adroit-v0")
    for version, kind in ((version, kind) for version in versions(task) for kind in KINDS):
        ours, theirs = preset("xql", f"{version}/{kind}/{task}"), preset("iql", f"{version}/{benchmark}")
        same = ("inverse_temperature", "max_weight", "policy_weight", "learning_rate", "policy_schedule", "discount")
        same += ("policy_dropout", "target_rate", "critics", "width", "depth", "reward_range", "reward_shift")
        for field in (*same, "normalise_observation"):
            assert getattr(ours, field) == getattr(theirs, field), field
        assert ours.value_layer_norm == task.startswith("antmaze")  # App. D.4


# ---- IQL ----------------------------------------------------------------------------------------------------------

# Kostrikov et al. (2021), App. B: expectile, inverse temperature, dropout, reward transform.
APPENDIX_B = {
    "paper/locomotion-v2": (0.7, 3.0, None, ScaleReward(scale=1.0)),
    "code/locomotion-v2": (0.7, 3.0, None, ScaleReward(scale=1000.0)),  # the factor is in the published code only
    "paper/antmaze-v0": (0.9, 10.0, None, ShiftReward(shift=-1.0)),
    "paper/kitchen-v0": (0.7, 0.5, 0.1, None),
    "paper/adroit-v0": (0.7, 0.5, 0.1, None),
    "paper/dexterous-v0": (0.8, 3.0, None, None),  # App. C
}


@pytest.mark.parametrize("which", APPENDIX_B)
def test_iql_has_the_numbers_of_its_appendix(which):
    expectile, inverse_temperature, dropout, reward = APPENDIX_B[which]
    settings = preset("iql", which)
    found = settings.expectile, settings.inverse_temperature, settings.policy_dropout
    assert found == (expectile, inverse_temperature, dropout)
    assert (settings.learning_rate, settings.depth, settings.width, settings.critics) == (3e-4, 2, 256, 2)
    assert (settings.target_rate, settings.max_weight, settings.policy_schedule) == (0.005, 100.0, "cosine")
    assert (settings.value_updates, settings.value_layer_norm, settings.policy_weight) == (1, False, "advantage")
    prepare = settings.algorithm(SPEC, updates=10).prepare
    assert prepare == ((RescaleAction(),) if reward is None else (RescaleAction(), reward))


def test_no_iql_preset_goes_unchecked():
    assert set(iql.PRESETS) == set(APPENDIX_B)


# ---- actor-critic, and one step ------------------------------------------------------------------------------------

SHARED = {"discount": 0.99, "width": 256, "depth": 2, "critics": 2, "target_rate": 0.005, "learning_rate": 3e-4}
PAPER_CQL = (
    SHARED
    | {"penalty": "log_sum_exp", "samples": 10, "square": 0.5, "data_term": True, "threshold_on": "gap"}
    | {"policy_learning_rate": 3e-5, "backup": "policy", "warm_start": 0, "gap_floor": None, "reward_scale": None}
)
RHO = PAPER_CQL | {"penalty": "previous_policy"}
VAR = PAPER_CQL | {"penalty": "variance", "penalty_weight": 5.0, "threshold": None, "variance_radius": 1.0}
PUBLISHED_CQL = (
    PAPER_CQL
    | {"penalty": "published", "square": 1.0, "penalty_weight": 5.0, "policy_learning_rate": 1e-4, "depth": 3}
    | {"entropy_learning_rate": 1e-4, "warm_start": 40_000, "batch_size": 256}
)
TABLES = {  # what a paper's table or a published script prints
    ("sac", None): SHARED
    | {"policy_learning_rate": 3e-4, "entropy_learning_rate": 3e-4, "target_entropy": -1.0, "batch_size": 256},
    ("td3", None): SHARED | {"policy_delay": 2, "target_noise": 0.2, "target_noise_clip": 0.5, "cloning": None},
    ("td3bc", "paper/locomotion-v2"): SHARED
    | {"policy_learning_rate": 3e-4, "batch_size": 256, "policy_delay": 2, "target_noise": 0.2}
    | {"target_noise_clip": 0.5, "cloning": 2.5, "normalise_observation": True, "reward_range": None},
    ("sac", "paper/dm-control"): SHARED
    | {"learning_rate": 1e-4, "policy_learning_rate": 1e-4, "entropy_learning_rate": 1e-4, "batch_size": 1024}
    | {"width": 1024},
    ("sac", "paper/eight-critics"): SHARED | {"critics": 8, "batch_size": 256},
    ("td3", "paper/dm-control"): SHARED
    | {"learning_rate": 1e-3, "policy_learning_rate": 1e-3, "batch_size": 256, "policy_delay": 2, "target_noise": 0.2}
    | {"cloning": None},
    ("awac", "code/locomotion"): SHARED
    | {"policy_learning_rate": 3e-4, "batch_size": 1024, "policy_depth": 4, "inverse_temperature": 1 / 2}
    | {"policy_weight": "batch_softmax", "policy_weight_decay": 1e-4},
    ("awac", "code/dexterous"): SHARED
    | {"policy_learning_rate": 3e-4, "batch_size": 1024, "policy_depth": 2, "inverse_temperature": 1 / 0.5}
    | {"policy_weight": "batch_softmax", "policy_weight_decay": 1e-4},
    ("onestep", "code/reverse-kl"): {"discount": 0.99, "width": 1024, "depth": 2, "critics": 1, "target_rate": 0.005}
    | {"learning_rate": 1e-4, "batch_size": 512, "improvement": "reverse_kl", "inverse_temperature": 1 / 1.0},
    ("onestep", "code/exponential"): {"discount": 0.99, "width": 1024, "depth": 2, "critics": 1, "target_rate": 0.005}
    | {"learning_rate": 1e-4, "batch_size": 512, "improvement": "exponential", "inverse_temperature": 0.01}
    | {"max_weight": 100.0},
    ("cql", "paper/locomotion"): PAPER_CQL | {"penalty_weight": 1.0, "threshold": 10.0},
    ("cql", "paper/kitchen"): PAPER_CQL | {"penalty_weight": 1.0, "threshold": 5.0},
    ("cql", "paper/adroit"): PAPER_CQL | {"penalty_weight": 1.0, "threshold": 5.0},
    ("cql", "paper/fixed"): PAPER_CQL | {"penalty_weight": 5.0, "threshold": None},
    ("cql", "paper/equation-1"): PAPER_CQL | {"penalty_weight": 5.0, "threshold": None, "data_term": False},
    ("cql", "paper/rho-locomotion"): RHO | {"penalty_weight": 1.0, "threshold": 10.0},
    ("cql", "paper/rho-kitchen"): RHO | {"penalty_weight": 1.0, "threshold": 5.0},
    ("cql", "paper/rho-adroit"): RHO | {"penalty_weight": 1.0, "threshold": 5.0},
    ("cql", "paper/variance"): VAR | {"variance_prior": "uniform"},
    ("cql", "paper/variance-inverse"): VAR | {"variance_prior": "inverse"},
    ("cql", "code/locomotion"): PUBLISHED_CQL | {"threshold": None, "reward_scale": None, "reward_shift": None},
    ("cql", "code/antmaze"): PUBLISHED_CQL
    | {"threshold": 5.0, "threshold_on": "weighted_gap", "reward_scale": 4.0, "reward_shift": -0.5 * 4.0}
    | {"gap_floor": None, "policy_depth": None},
    ("cql", "code/antmaze-recipe"): PUBLISHED_CQL
    | {"threshold": 0.2, "threshold_on": "gap", "reward_scale": 10.0, "reward_shift": -5.0, "gap_floor": -200.0}
    | {"policy_depth": 2, "backup": "max"},
}


@pytest.mark.parametrize(("name", "which"), TABLES)
def test_the_others_have_the_numbers_that_are_printed(name, which):
    settings = method(name).default if which is None else preset(name, which)
    for field, value in TABLES[name, which].items():
        assert getattr(settings, field) == value, field


def test_none_of_their_presets_goes_unchecked():
    for name in ("sac", "td3", "td3bc", "awac", "onestep", "cql"):
        assert set(method(name).presets) == {which for known, which in TABLES if known == name} - {None}


def test_published_onestep_trains_2_000_000_updates_of_values_and_100_000_of_the_policy():
    steps = {
        step.trains: step for step in preset("onestep", "code/reverse-kl").algorithm(SPEC, updates=2_100_000).steps
    }
    assert steps["pi"].start == steps["q"].stop == steps["behaviour"].stop == pytest.approx(2_000_000, abs=1)


# ---- on a model of the behaviour -----------------------------------------------------------------------------------

# Ghasemipour et al. (2021), App. B, G.1 and Table 2: shared hyperparameters, and the model of the behaviour.
MODEL_G1 = {"behaviour_model": "autoregressive", "behaviour_learning_rate": 5e-4, "behaviour_bins": 40} | {
    "behaviour_width": 750,
    "behaviour_depth": 2,
    "behaviour_head_width": 256,
    "behaviour_head_depth": 3,
    "behaviour_prefix_width": None,
}
TABLE_2 = {"ensemble_weight": 1.0, "batch_size": 256, "critics": 8, "depth": 3, "width": 750, "target_rate": 1 - 0.995}
TABLE_2 |= MODEL_G1
# Table 3: "(256, 4, 128, 1, 128, 80)" in the order of the keys below.
TABLE_3 = {
    "ensemble_weight": 1.0,
    "batch_size": 128,
    "critics": 16,
    "depth": 4,
    "width": 256,
    "target_rate": 1 - 0.995,
} | {
    "behaviour_model": "autoregressive",
    "behaviour_learning_rate": 5e-4,
    "behaviour_width": 256,
    "behaviour_depth": 4,
    "behaviour_head_width": 128,
    "behaviour_head_depth": 1,
    "behaviour_prefix_width": 128,
    "behaviour_bins": 80,
}
# App. H.1: encoder and decoder of 3 hidden layers of 1024, a KL weight of 0.5; the rest is Table 2.
VAE_H1 = {"behaviour_model": "vae", "behaviour_width": 1024, "behaviour_depth": 3, "behaviour_kl_weight": 0.5}
TABLE_2_VAE = {name: value for name, value in TABLE_2.items() if name not in MODEL_G1} | VAE_H1
TABLE_2_VAE |= {"behaviour_learning_rate": 5e-4}
VAE = {"behaviour_model": "vae", "behaviour_width": 750, "behaviour_depth": 2, "behaviour_kl_weight": 0.5}
SCRIPT_OF_BRAC = {"learning_rate": 1e-3, "policy_learning_rate": 3e-4, "divergence": "kl", "divergence_weight": 0.1} | {
    "threshold": None,
    "batch_size": 256,
    "warm_start": 20_000,
    "samples": 4,
    "ensemble_weight": 1.0,
    "critics": 2,
    "behaviour_model": "gaussian",
    "behaviour_learning_rate": 5e-4,
    "behaviour_batch_size": 256,
    "behaviour_updates": 300_000,
}
BCQ_OF_WU = {"samples": 10, "acting_samples": 10}
ON_BEHAVIOUR = {
    ("emaq", "paper/mujoco"): TABLE_2 | {"learning_rate": 1e-4, "target": "max", "acting": "mixed", "distilled": False},
    ("emaq", "paper/vae"): TABLE_2_VAE | {"learning_rate": 1e-4, "target": "max", "acting": "mixed"},
    ("bcq", "emaq/vae"): TABLE_2_VAE | BCQ_OF_WU | {"learning_rate": 1e-4, "policy_learning_rate": 5e-4},
    ("bear", "emaq/vae"): TABLE_2_VAE | {"learning_rate": 1e-3, "policy_learning_rate": 3e-5},
    ("emaq", "paper/ablation"): TABLE_2 | {"learning_rate": 1e-4, "batch_size": 100},
    ("emaq", "paper/kitchen-antmaze-adroit"): TABLE_3 | {"learning_rate": 1e-4},
    ("bcq", "emaq/mujoco"): TABLE_2 | BCQ_OF_WU | {"learning_rate": 1e-4, "policy_learning_rate": 5e-4},
    ("bear", "emaq/mujoco"): TABLE_2 | {"learning_rate": 1e-3, "policy_learning_rate": 3e-5},
    ("bcq", "emaq/kitchen-antmaze-adroit"): TABLE_3 | BCQ_OF_WU | {"learning_rate": 1e-4, "policy_learning_rate": 5e-4},
    ("bear", "emaq/kitchen-antmaze-adroit"): TABLE_3 | {"learning_rate": 1e-4, "policy_learning_rate": 5e-4},
    ("bcq", "code/mujoco"): VAE
    | {"ensemble_weight": 0.75, "shift": 0.05, "samples": 10, "acting_samples": 100, "critics": 2, "batch_size": 100}
    | {"learning_rate": 1e-3, "policy_learning_rate": 1e-3, "behaviour_learning_rate": 1e-3, "discount": 0.99}
    | {"behaviour_batch_size": 100, "target_rate": 0.005},
    ("bear", "code/mujoco"): VAE
    | {"ensemble_weight": 0.75, "threshold": 0.05, "samples": 10, "acting_samples": 100, "divergence_samples": 4}
    | {"kernel": "gaussian", "kernel_scale": 50.0, "learning_rate": 3e-4, "policy_learning_rate": 1e-4}
    | {"multiplier_learning_rate": 1e-3, "behaviour_learning_rate": 3e-4, "warm_start": 40_000, "batch_size": 256}
    | {"behaviour_batch_size": 256, "target_rate": 0.005, "critics": 2, "width": 256, "depth": 2},
    ("brac", "code/policy-kl"): SCRIPT_OF_BRAC | {"penalty": "policy"},
    ("brac", "code/value-kl"): SCRIPT_OF_BRAC | {"penalty": "value"},
}


@pytest.mark.parametrize(("name", "which"), ON_BEHAVIOUR)
def test_methods_on_a_behaviour_have_the_numbers_that_are_printed(name, which):
    settings = preset(name, which)
    for field, value in ON_BEHAVIOUR[name, which].items():
        assert getattr(settings, field) == pytest.approx(value), field


def test_none_of_them_goes_unchecked():
    for name in ("emaq", "bcq", "bear", "brac"):
        assert set(method(name).presets) == {which for known, which in ON_BEHAVIOUR if known == name}


def test_emaq_bcq_and_bear_share_one_model_as_in_the_papers_comparison():
    shared = preset("emaq", "paper/mujoco").fits()
    assert shared == preset("bcq", "emaq/mujoco").fits() == preset("bear", "emaq/mujoco").fits()
    assert shared == preset("emaq", "paper/ablation").fits()  # whose batches are others
    other = preset("emaq", "paper/kitchen-antmaze-adroit").fits()
    assert other == preset("bcq", "emaq/kitchen-antmaze-adroit").fits()
    assert shared != other == preset("bear", "emaq/kitchen-antmaze-adroit").fits()

    vae = preset("emaq", "paper/vae").fits()
    assert shared != vae == preset("bcq", "emaq/vae").fits() == preset("bear", "emaq/vae").fits()


def test_a_model_of_the_behaviour_alone_is_the_one_that_emaq_stands_on():
    names = set(method("emaq").presets) - {"paper/ablation"}  # which has the model of paper/mujoco
    assert set(method("behaviour").presets) == names
    for which in names:
        assert preset("behaviour", which) == preset("emaq", which).behaviour


def test_the_vae_of_app_h_by_its_shapes():
    """3 hidden layers of 1024 each way, twice as many latents as the action has entries; drawn from within 0.5."""
    model = preset("emaq", "paper/vae").behaviour.network(jax.random.key(0), 17, 6)
    sizes = lambda mlp: [layer.weight.shape for layer in mlp.layers]  # noqa: E731
    assert sizes(model.encoder) == [(17 + 6, 1024), (1024, 1024), (1024, 1024), (1024, 2 * 12)]
    assert sizes(model.decoder) == [(17 + 12, 1024), (1024, 1024), (1024, 1024), (1024, 6)]
    latents = model(jnp.zeros((2, 17))).latents(jax.random.key(1), 50)
    assert latents.shape == (50, 2, 12)
    assert float(jnp.max(jnp.abs(latents))) == 0.5


@pytest.mark.parametrize("settings", [EMaQ(distilled=True), BRAC(divergence="kl")])
def test_a_density_is_not_asked_of_a_vae(settings):
    settings.algorithm(SPEC, updates=10)
    with pytest.raises(ConfigError, match="tells the density of an action"):
        dataclasses.replace(settings, behaviour_model="vae").algorithm(SPEC, updates=10)


def test_a_tuned_weight_begins_above_nothing():
    with pytest.raises(ConfigError, match="divergence_weight, which is 0"):
        BRAC(threshold=0.5, divergence_weight=0.0).algorithm(SPEC, updates=10)
    BRAC(divergence_weight=0.0).algorithm(SPEC, updates=10)


# ---- all of them --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", METHODS)
def test_presets_are_settings_of_their_method_and_say_where_they_are_printed(name):
    for which, known in method(name).presets.items():
        assert type(known.settings) is type(method(name).default), which
        assert "[" in known.source, which
        assert ("published code" in known.source) == which.startswith("code/"), which


@pytest.mark.parametrize(("name", "which"), EVERY)
def test_every_preset_builds_its_algorithm(name, which):
    settings = preset(name, which)
    algorithm = settings.algorithm(SPEC, updates=1000)
    assert algorithm.sampler.size == settings.batch_size
    if "q" in algorithm.slow:
        assert algorithm.slow["q"].rate == settings.target_rate
    if hasattr(settings, "reward_range"):
        scale, factor, shift = (transform(algorithm, kind) for kind in (ScaleReward, MultiplyReward, ShiftReward))
        assert (scale and scale.scale, shift and shift.shift) == (settings.reward_range, settings.reward_shift)
        assert (factor and factor.factor) == settings.reward_scale


@pytest.mark.parametrize(("name", "which"), [(name, which) for name, which in EVERY if name in ("xql", "iql")])
def test_every_preset_of_the_implicit_family_reaches_its_steps(name, which):
    settings = preset(name, which)
    algorithm = settings.algorithm(SPEC, updates=1000)
    steps = {step.trains: step for step in algorithm.steps}
    assert steps["v"].repeat == settings.value_updates
    if settings.policy_schedule == "cosine":
        assert steps["pi"].optimiser.schedule.horizon == 1000
    else:
        assert steps["pi"].optimiser.schedule is None
        assert which.startswith("code/scripts/antmaze")
    if name == "xql":
        statistic = steps["v"].objective.statistic
        assert (statistic.beta, statistic.clip, statistic.batch_max) == (settings.beta, settings.clip, True)
        assert (statistic.clamp, steps["v"].fresh) == (("above", False) if "/scripts/" in which else ("both", True))
        assert "log_weight" not in steps
    else:
        assert steps["v"].objective.statistic.expectile == settings.expectile


def test_an_unknown_preset_or_method_is_answered_with_the_nearest():
    with pytest.raises(ConfigError, match="tuned/hopper-medium-v2"):
        preset("xql", "tuned/hopper-medium")
    with pytest.raises(ConfigError, match="paper/consistent/hopper-medium-v2"):
        preset("xql", "paper/consistent/hopper-medium")
    with pytest.raises(ConfigError, match="did you mean 'xql'"):
        preset("xqll", "tuned/hopper-medium-v2")
