"""A setting, and an option of a run, is of its type and within its range from the moment it is given."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import extremal
from extremal import IQL, TD3, XQL, Behaviour, ConfigError, Dataset, cli
from extremal.algorithms.registry import METHODS
from extremal.core.algorithm import Step, Transitions
from extremal.core.checked import bounds, declared, describe, members, parts
from extremal.core.optimiser import SGD, Adam, AdamW, Cosine, Polyak, WarmUp
from extremal.core.types import Spec
from extremal.data import builds, pointmaze
from extremal.evaluation.rollout import rollout
from extremal.io.config import from_json
from extremal.runs.plan import replicas_of
from extremal.runs.sweep import read_sweep

CLASSES = sorted({type(method.default) for method in METHODS.values()}, key=lambda cls: cls.__name__)
PARTS = [Adam, AdamW, SGD, Cosine, WarmUp, Polyak, Step, Transitions]
DATA = Dataset.from_rows(observation=np.eye(2), action=np.eye(2), reward=[0.0, 1.0], terminated=[1, 1])
SPEC = Spec(observation=(3,), action=(2,), best_return=1.0, worst_return=0.0)


def numbers(cls):
    """(field, class, range) of each number among the settings."""
    found = [(name, *parts(member)) for name, hint in declared(cls).items() for member in members(hint)]
    return [(name, kind, within) for name, kind, within in found if kind in (int, float)]


def ends(kind, within):
    """(admitted, refused) next to each bound, as near as 32 bits have them."""
    step = (lambda x, way: int(x) + way) if kind is int else (lambda x, way: float(np.nextafter(np.float32(x), way * np.inf)))  # fmt: skip
    for bound, way in ((within.at_least, -1), (within.at_most, 1)):
        if math.isfinite(bound):
            yield bound, step(bound, way)
    for bound, way in ((within.above, 1), (within.below, -1)):
        if math.isfinite(bound):
            yield (step(bound, way) if bound or kind is int else way * 1e-30), bound


@pytest.mark.parametrize("cls", [*CLASSES, *PARTS], ids=lambda cls: cls.__name__)
def test_every_number_declares_its_range(cls):
    assert numbers(cls)
    assert [name for name, _, within in numbers(cls) if within is None] == []


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_the_ends_of_a_range_are_admitted_and_what_is_next_to_them_is_refused(cls):
    default = cls()
    for name, kind, within in numbers(cls):
        for good, bad in ends(kind, within):
            assert getattr(dataclasses.replace(default, **{name: good}), name) == good
            for make in (lambda **one: dataclasses.replace(default, **one), lambda **one: from_json(default, one)):
                with pytest.raises(ConfigError) as refusal:
                    make(**{name: bad})
                assert str(refusal.value).startswith(f"{cls.__name__} setting '{name}' is {bad!r}, expected ")
                assert describe(declared(cls)[name]) in str(refusal.value)
                assert str(within) in str(refusal.value)
        for never in (math.nan, math.inf, -math.inf, 1e39, 1e300, "1", [1], True, 10**400):
            with pytest.raises(ConfigError, match=f"{cls.__name__} setting '{name}' is "):
                dataclasses.replace(default, **{name: never})
        if kind is int:
            with pytest.raises(ConfigError, match="expected int"):
                dataclasses.replace(default, **{name: 2.5})
            with pytest.raises(ConfigError, match="more than 32 bits hold"):
                dataclasses.replace(default, **{name: 2**31})


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: XQL(beta=-1.0), "XQL setting 'beta' is -1.0, expected float above 0"),
        (lambda: XQL(beta=jnp.float32(-1.0)), "'beta' is .*-1"),
        (lambda: IQL(expectile=np.float64(1.5)), "'expectile' is .*1.5"),
        (lambda: IQL(learning_rate=1e-50), "'learning_rate' is 1e-50, in 32 bits 0.0; expected float above 0"),
        (lambda: XQL(beta=1e-40), "'beta' is 1e-40, in 32 bits 0.0; expected float above 0"),
        (lambda: IQL(expectile=1.0 - 1e-12), "in 32 bits 1.0; expected float above 0 and below 1"),
        (lambda: XQL(policy_schedule="linear"), "'linear', expected 'constant' or 'cosine'"),
        (lambda: XQL(value_layer_norm="no"), "'value_layer_norm' is 'no', expected bool"),
        (lambda: IQL(normalise_observation=1), "'normalise_observation' is 1, expected bool"),
        (lambda: TD3(width="64"), "'width' is '64', expected int from 1 up"),
        (lambda: XQL(beta=[1.0, 2.0]), "'beta' is .*expected float above 0"),
        (lambda: dataclasses.replace(IQL(), discount=1.5), "'discount' is 1.5, expected float from 0 to 1"),
        (lambda: Behaviour(model="flow"), "'model' is 'flow'"),
        (lambda: Polyak(rate=1.5), "'rate' is 1.5, expected float from 0 to 1"),
        (lambda: Adam(learning_rate=-1.0), "'learning_rate' is -1.0"),
        (lambda: Step(trains="pi", objective=None, every=0), "Step setting 'every' is 0, expected int from 1 up"),
    ],
)
def test_what_no_setting_can_be_is_refused_when_it_is_made(make, words):
    with pytest.raises(ConfigError, match=words):
        make()


def test_numbers_of_numpy_and_jax_become_python_s():
    settings = XQL(beta=np.float32(0.5), clip=7, width=np.int64(8), discount=jnp.float32(0.5), huber=np.array(2.0))
    assert settings == XQL(beta=0.5, clip=7.0, width=8, discount=0.5, huber=2.0)
    assert [type(x) for x in (settings.beta, settings.clip, settings.width)] == [float, float, int]


def test_what_jax_puts_together_again_is_not_asked():
    """A pytree's leaves may be anything on the way: what is traced, places, or numbers that were moved."""
    settings = XQL(beta=0.5)
    assert jax.tree.map(lambda x: -x, settings).beta == -0.5
    assert jax.jit(lambda one: dataclasses.replace(one, beta=2.0 * one.beta).algorithm(SPEC, updates=2))(settings)


def test_nothing_is_only_admitted_where_it_means_something():
    assert [name for name, _, w in numbers(extremal.SAC) if "rate" in name and 0.0 in w] == ["entropy_learning_rate"]
    assert 0.0 in dict((n, w) for n, _, w in numbers(extremal.KLXQL))["kappa"]  # noqa: C402
    for name, method in METHODS.items():
        found = {n: w for n, _, w in numbers(type(method.default))}
        assert 0.0 not in found["learning_rate"], name
        assert 0 not in found["batch_size"], name


# ---- as they are read --------------------------------------------------------------------------------------------------


def test_ranges_are_shown_where_settings_are_listed(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "250")
    assert cli.main(["algorithms", "iql"]) == 0
    shown = capsys.readouterr().out
    assert "float above 0 and below 1" in shown
    assert "int from 1 up" in shown
    with pytest.raises(SystemExit):
        cli.main(["train", "iql", "--help"])
    shown = " ".join(capsys.readouterr().out.replace("│", "").split())
    assert "towards 1 the maximum. Above 0 and below 1." in shown
    assert bounds(declared(IQL)["discount"]) == "From 0 to 1."


# ---- runs --------------------------------------------------------------------------------------------------------------

FLAGS = {
    "--beta -1": "'beta' is -1.0, expected float above 0",
    "--beta 1 -1": "'beta' is -1.0, expected float above 0",
    "--beta 1 1": "'beta' is [1.0, 1.0]; give each value once",
    "--discount 1.5": "'discount' is 1.5, expected float from 0 to 1",
    "--width 0": "'width' is 0, expected int from 1 up",
    "--episodes 0": "episodes is 0, expected int from 1 up",
    "--learning-rate -1": "'learning_rate' is -1.0",
    "--batch-size 0": "'batch_size' is 0",
    "--policy-dropout 1": "'policy_dropout' is 1.0, expected float from 0 to below 1, or none",
    "--updates -5": "updates is -5, expected int from 1 to 2147483646",
    "--evaluate-every 0": "evaluate_every is 0",
    "--log-every 0": "log_every is 0",
    "--holdout nan": "holdout is nan, expected float from 0 to below 1",
    "--seeds -1": "seeds is -1, expected int from 1 up",
    "--seeds 3 -1": "seeds is -1, expected int from 0 to 4294967295",
    "--seeds 1 4294967297": "seeds is 4294967297",  # JAX would take it for 1
    "--seeds 2 2": "each once",
}


@pytest.mark.parametrize("flags", FLAGS)
def test_a_flag_out_of_range_is_refused_before_the_data_are_looked_for(flags, capsys, tmp_path):
    given = ["train", "xql", "--dataset", "npz:nowhere.npz", "--out", str(tmp_path / "run"), *flags.split()]
    assert cli.main(given) == 2
    assert FLAGS[flags] in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (
            "train iql --dataset npz:nowhere.npz --out run --expectile 0.7 --expectile 0.9",
            "--expectile is given twice, and the last counts",
        ),
        (
            "train bc --updates 1 --dataset npz:nowhere.npz --out run --updates=2",
            "--updates is given twice, and the last counts",
        ),
        (
            "train bc --dataset npz:a.npz --out run --batch-size 8 --batch_size 9",
            "--batch-size is given twice, and the last counts",
        ),
        ("train bc --json --dataset npz:a.npz --out run --no-json", "--json is given twice, and the last counts"),
        ("train --resume run --updates 30 --updates 40", "--updates is given twice, and the last counts"),
        ("evaluate run --seed 1 --episodes 2 --seed 2", "--seed is given twice, and the last counts"),
        (
            "data convert npz:a.npz npz:b.npz --actions 3 --actions discrete",
            "--actions is given twice, and the last counts",
        ),
    ],
)
def test_a_flag_that_is_given_twice_is_told(command, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(command.split()) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


SWEEPS = {
    'updates = 0\n[[method]]\nname = "bc"': "updates is 0",
    'holdout = 1.0\n[[method]]\nname = "bc"': "holdout is 1.0",
    'episodes = -1\n[[method]]\nname = "bc"': "episodes is -1",
    'seeds = [0, -1]\n[[method]]\nname = "bc"': "seeds is -1",
    '[[method]]\nname = "iql"\nexpectile = [0.7, 1.5]': "'expectile' is 1.5",
    '[[method]]\nname = "iql"\nbatch_size = 0': "'batch_size' is 0",
    '[[method]]\nname = "iql"\nwidth = [8, 0]': "'width' is 0",
    '[[method]]\nname = "iql"\npolicy_schedule = ["cosine", "line"]': "'policy_schedule' is 'line'",
}


@pytest.mark.parametrize("text", SWEEPS)
def test_a_sweep_file_out_of_range_is_refused(text, tmp_path):
    (tmp_path / "sweep.toml").write_text(f'datasets = ["npz:nowhere.npz"]\n{text}\n')
    with pytest.raises(ConfigError, match=r"sweep\.toml") as refusal:
        read_sweep(tmp_path / "sweep.toml")
    assert SWEEPS[text] in str(refusal.value)


COMMANDS = {
    "demo --updates 0": "updates is 0",
    "demo --seeds 0": "seeds is 0",
    "demo --episodes -1": "episodes is -1",
    "data generate pointmaze-umaze-goal --out npz:x.npz --rows 0": "rows is 0",
    "data generate pointmaze-umaze-goal --out npz:x.npz --seed -1": "seed is -1",
    "data build hopper-medium --source . --rows 0": "rows is 0",
    "data build hopper-medium --source . --seed -2": "seed is -2",
    "data difficulty npz:nowhere.npz --run run --states 0": "states is 0",
    "data difficulty npz:nowhere.npz --run run --draws -1": "draws is -1",
    "data difficulty npz:nowhere.npz --run run --samples 1 0": "samples is 0",
    "data difficulty npz:nowhere.npz --run run --seed -1": "seed is -1",
    "bench --out bench --rounds 0": "rounds is 0",
    "bench --out bench --width -1": "width is -1",
    "reproduce emaq-fig1 --out figures --seeds 0": "seeds is 0",
    "reproduce operators --out figures --seed -1": "seed is -1",
    "evaluate run --episodes 0": "episodes is 0",
    "evaluate run --seed -1": "seed is -1",
}


@pytest.mark.parametrize("command", COMMANDS)
def test_other_commands_refuse_likewise_and_leave_what_is_there(command, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs/demo").mkdir(parents=True)
    (tmp_path / "runs/demo/demo.json").write_text("{}")
    assert cli.main(command.split()) == 2
    assert COMMANDS[command] in capsys.readouterr().err
    assert (tmp_path / "runs/demo/demo.json").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


@pytest.mark.parametrize(
    "call",
    [
        lambda: rollout(None, None, episodes=2.5, seed=0),
        lambda: rollout(None, None, episodes=1, seed=-1),
        lambda: rollout(None, None, episodes=1, seed=0, parallel=0),
        lambda: pointmaze.generate("pointmaze-umaze-goal", rows=True),
        lambda: builds.build("hopper-medium", None, rows=1.5),
        lambda: DATA.split(0.5, seed=-1),
        lambda: replicas_of(XQL(), "3", {}),
        lambda: replicas_of(XQL(), np.float64(2.0), {}),
        lambda: replicas_of(XQL(), 1, {"beta": 2.0}),
        lambda: replicas_of(XQL(), 1, {"beta": []}),
    ],
)
def test_functions_refuse_likewise(call):
    with pytest.raises(ConfigError, match=r"expected int|give a list"):
        call()


def test_whole_numbers_of_numpy_are_seeds_and_counts():
    assert replicas_of(XQL(), np.int64(2), {}) == replicas_of(XQL(), np.arange(2), {}) == ((0, {}), (1, {}))
