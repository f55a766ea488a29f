"""One contract that every method keeps, whatever it minimises; width 8, one hidden layer, batch 16, and few compilations."""

import dataclasses
import json
import re
import types
import typing
from functools import cache, cached_property

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.interpreters import partial_eval

import extremal
from extremal import cli
from extremal.algorithms.awac import AWAC
from extremal.algorithms.bcq import BCQ
from extremal.algorithms.bear import BEAR
from extremal.algorithms.behaviour import Behaviour
from extremal.algorithms.brac import BRAC
from extremal.algorithms.cql import CQL
from extremal.algorithms.decision_transformer import DT
from extremal.algorithms.emaq import EMaQ
from extremal.algorithms.iql import IQL
from extremal.algorithms.klxql import KLXQL
from extremal.algorithms.onestep import Onestep
from extremal.algorithms.registry import METHODS
from extremal.algorithms.sac import SAC
from extremal.algorithms.td3 import TD3
from extremal.algorithms.xql import XQL
from extremal.core.policy import Policy
from extremal.data.dataset import Dataset
from extremal.data.transforms import prepare
from extremal.engine.loop import train
from extremal.engine.offline import train_chunk
from extremal.engine.replicas import mesh, place, run_keys, stack, take, train_replicas
from extremal.io import checkpoint
from extremal.io.config import field_types, from_json, sweepable, to_json

SMALL = {"width": 8, "depth": 1, "batch_size": 16}
MODEL = {  # of the behaviour, for the methods that stand on one
    "behaviour_width": 8,
    "behaviour_depth": 1,
    "behaviour_head_width": 8,
    "behaviour_head_depth": 1,
    "behaviour_bins": 5,
    "behaviour_updates": 3,
}
CASES = {name: dataclasses.replace(method.default, **SMALL) for name, method in METHODS.items()} | {
    "xql, as published": XQL(
        normaliser="batch_max",
        clamp="above",
        value_updates=2,
        value_batch="same",
        random_actions=2,
        value_layer_norm=True,
        huber=20.0,
        **SMALL,
    ),
    "dt": DT(context=4, heads=2, timesteps=6, warm_up=10, **SMALL),
    "xql, its own weight": XQL(policy_weight="statistic", normaliser="none", max_gradient_norm=1.0, **SMALL),
    "xql, a KL held": XQL(target_kl=0.3, **SMALL),
    "cql, as published, two tiles": CQL(
        penalty="published", square=1.0, warm_start=10, threshold=5.0, threshold_on="weighted_gap", samples=45, **SMALL
    ),
    "cql, the previous policy": CQL(penalty="previous_policy", threshold=0.5, samples=3, **SMALL),
    "iql, dropout, policy afterwards": IQL(
        policy_dropout=0.1, policy_schedule="constant", reward_shift=-1.0, extract_after=0.4, **SMALL
    ),
    "awac, as published": AWAC(policy_weight="batch_softmax", policy_depth=3, critics=4, **SMALL),
    "behaviour": Behaviour(head_width=8, head_depth=1, bins=5, **SMALL),
    "emaq": EMaQ(samples=3, critics=2, distilled=True, **MODEL, **SMALL),
    "bcq": BCQ(samples=3, acting_samples=4, **MODEL, **SMALL),
    "bear": BEAR(samples=3, divergence_samples=2, warm_start=10, **MODEL, **SMALL),
    "brac": BRAC(penalty="value", threshold=0.5, **MODEL, **SMALL),
    "brac, dual": BRAC(divergence="wasserstein", samples=2, discriminator_updates=2, warm_start=10, **MODEL, **SMALL),
    "onestep, reverse KL": Onestep(improvement="reverse_kl", extract_after=None, **SMALL),
}

ALL = 40  # updates
PROGRAM = jax.jit(train_chunk)
at = lambda update: jnp.asarray(update, jnp.int32)  # noqa: E731


@cache
def data(rows: int = 160) -> Dataset:
    """Twenty episodes of the same length with returns far apart, every other one terminated."""
    random, steps = np.random.default_rng(0), rows // 20
    return Dataset.from_episodes(
        [
            {
                "observation": random.normal(2.0, 3.0, size=(steps + 1, 3)).astype(np.float32),
                "action": random.uniform(-1, 1, size=(steps, 2)).astype(np.float32),
                "reward": random.normal(number / 10, 1.0, size=steps).astype(np.float32),
                "terminated": number % 2 == 0,
            }
            for number in range(20)
        ]
    )


class Case:
    """A method, ready to train: what the tests share is compiled once."""

    def __init__(self, settings):
        self.settings = settings
        self.algorithm, self.data = self.prepared(settings)

    def prepared(self, settings, dataset=None):
        algorithm = settings.algorithm(data().spec, updates=ALL)
        fitted, prepared = prepare(algorithm.prepare, dataset or data())
        return dataclasses.replace(algorithm, prepare=fitted), prepared.device()

    def start(self, algorithm, seed):
        init, key = run_keys([seed])
        return algorithm.init(init[0]), key[0]

    def train(self, *, until, state=None, start=0, algorithm=None, seed=0):
        algorithm = algorithm or self.algorithm
        fresh, key = self.start(algorithm, seed)
        return PROGRAM(algorithm, state or fresh, self.data, key, at(start), at(until))

    @cached_property
    def whole(self):
        """State and metrics of 40 updates in one go."""
        return self.train(until=ALL)

    @cached_property
    def other(self):
        """The same method with every float moved."""
        moved = {n: 0.9 * v for n in sweepable(type(self.settings)) if (v := getattr(self.settings, n)) is not None}
        return self.prepared(dataclasses.replace(self.settings, **moved))[0]

    @cached_property
    def replicas(self):
        """Two settings times two seeds."""
        return [(algorithm, seed) for algorithm in (self.algorithm, self.other) for seed in (0, 1)]

    def stacked(self, how, *, until=ALL):
        """All replicas on one device, "map" or "vmap", with the arguments that were given to the engine."""
        algorithms = stack([algorithm for algorithm, _ in self.replicas])
        init, keys = run_keys([seed for _, seed in self.replicas])
        device = mesh(1)
        states = place(device, stack([a.init(key) for (a, _), key in zip(self.replicas, init, strict=True)]))
        alive = np.ones(len(self.replicas), bool)
        args = (algorithms, states, self.data, keys, alive, at(0), at(until))
        return train_replicas(*args, how=how, devices=device), states


QUICK_CASES = {"xql", "td3", "bc"}  # a value network, a policy's actor and critic, and neither
SLOW = set(CASES) - QUICK_CASES


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in CASES]
)
def case(request):
    return Case(CASES[request.param])


def same(one, other) -> bool:
    """Bitwise."""
    assert jax.tree.structure(one) == jax.tree.structure(other)
    return all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True))


def close(one, other) -> bool:
    """Up to what another order of summation makes, after Adam has amplified it."""
    assert jax.tree.structure(one) == jax.tree.structure(other)
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(np.allclose(a, b, rtol=1e-3, atol=1e-4) for a, b in pairs)


# ---- updates ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cuts", [(20,), (7,), (1, 39)])
def test_how_training_is_cut_changes_nothing(case, cuts):
    state, before = None, 0
    for cut in (*cuts, ALL):
        state, _ = case.train(until=cut, state=state, start=before)
        before = cut
    assert same(state, case.whole[0])


def test_training_learns_and_stays_finite(case):
    fresh, _ = case.start(case.algorithm, 0)
    state, chunk = case.whole
    assert chunk.finite
    given = getattr(case.settings, "fits", dict)()  # fitted beforehand: it stays
    for name in state.online._fields:
        if getattr(state.online, name) is not None:
            stayed = same(getattr(fresh.online, name), getattr(state.online, name))
            assert stayed == (name in given), f"{name} {'never' if stayed else 'has'} moved"


def test_saved_and_loaded_training_goes_on_bitwise(case, tmp_path):
    half, _ = case.train(until=20)
    checkpoint.save(tmp_path / "half.safetensors", half, update=20)
    like = jax.eval_shape(lambda: case.start(case.algorithm, 0)[0])
    loaded, update = checkpoint.load(tmp_path / "half.safetensors", like)
    assert update == 20
    assert same(case.train(until=ALL, state=loaded, start=update)[0], case.whole[0])


# ---- replicas --------------------------------------------------------------------------------------------------------


QUICK = {("xql", "map"), ("bc", "map"), ("bc", "vmap")}
HOWS = [
    pytest.param(name, how, marks=[] if (name, how) in QUICK else [pytest.mark.slow])
    for name in CASES
    for how in ("map", "vmap")
]


@pytest.mark.parametrize(("case", "how"), HOWS, indirect=["case"], scope="module")
def test_replicas_are_what_a_loop_over_seeds_and_hyperparameters_gives(case, how):
    (states, chunk), given = case.stacked(how)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(given)), "the states were not donated"
    assert chunk.finite.all()
    alone = [case.train(until=ALL, algorithm=algorithm, seed=seed)[0] for algorithm, seed in case.replicas]
    for replica, state in enumerate(alone):
        assert close(take(states, replica), state), f"replica {replica}"
    trained = getattr(states.online, case.algorithm.steps[-1].trains)
    weights = [np.asarray(leaf) for leaf in jax.tree.leaves(trained)]
    assert len({tuple(x[r].tobytes() for x in weights) for r in range(len(alone))}) == len(case.replicas), (
        "two replicas are one and the same"
    )


@pytest.fixture
def compilations():
    """A list that grows by every compilation."""
    found = []

    def listen(event, seconds, **about):
        if event == "/jax/core/compile/backend_compile_duration":
            found.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield found
    jax.monitoring.unregister_event_duration_listener(listen)


def test_other_numbers_never_recompile(case, compilations):
    case.train(until=3)
    case.stacked("map", until=1)
    case.train(until=3, algorithm=case.other, seed=1)
    compilations.clear()
    case.train(until=5, algorithm=case.other, seed=2)
    case.replicas.reverse()
    case.stacked("map", until=2)
    case.replicas.reverse()
    assert compilations == []
    jax.jit(lambda x: x + 1)(1)
    assert compilations, "compilations are not counted"


# ---- what is told ----------------------------------------------------------------------------------------------------


def test_metrics_are_named_by_network(case):
    state, chunk = case.whole
    networks = {name for name in state.online._fields if getattr(state.online, name) is not None}
    given = getattr(case.settings, "fits", dict)()  # fitted beforehand
    assert {step.trains for step in case.algorithm.steps} == networks - set(given)
    for name in chunk.mean:
        assert re.fullmatch(r"[a-z_]+/[a-z_]+", name)
    labels = {step.label for step in case.algorithm.steps}
    assert {name.split("/")[0] for name in chunk.mean} == labels
    assert all(step.label.endswith(step.trains) for step in case.algorithm.steps)
    assert {f"{label}/loss" for label in labels} <= chunk.mean.keys()
    measured = case.algorithm.measure(state, case.algorithm.sampler.at(case.data, np.arange(5)))
    assert measured.keys() == chunk.mean.keys()


def test_the_program_holds_no_data(case):
    algorithm, big = case.prepared(case.settings, data(100_000))
    state, key = case.start(algorithm, 0)
    assert len(PROGRAM.lower(algorithm, state, big, key, at(0), at(1)).as_text()) < 2**20


# ---- settings --------------------------------------------------------------------------------------------------------

LIVE = {  # every bound is met and every optional part is there, so that each number has something to change
    XQL: XQL(beta=0.3, clip=0.5, max_weight=1.2, huber=0.2, max_gradient_norm=8.0, policy_dropout=0.2),
    KLXQL: KLXQL(clip=0.5, huber=0.2, max_gradient_norm=8.0, policy_dropout=0.2, value_learning_rate=3e-3),
    IQL: IQL(max_weight=1.2, huber=0.2, max_gradient_norm=8.0, policy_dropout=0.2),
    extremal.BC: extremal.BC(policy_dropout=0.2),
    DT: DT(context=3, warm_up=4, timesteps=6, return_scale=2.0, weight_decay=0.5),
    CQL: CQL(
        policy_depth=2,
        policy_learning_rate=0.02,
        entropy_learning_rate=0.02,
        penalty="variance",
        variance_prior="inverse",
        penalty_weight=0.5,
        samples=3,
        threshold=0.5,
        gap_floor=0.1,
        backup="max",
        backup_samples=2,
        warm_start=2,
    ),
    AWAC: AWAC(max_weight=1.2, policy_learning_rate=0.02),
    Onestep: Onestep(max_weight=1.2, extract_after=0.25),
    Behaviour: Behaviour(head_width=8, head_depth=1, bins=5),
    EMaQ: EMaQ(
        samples=3, critics=2, target="soft", ensemble_weight=0.7, acting="ucb", bonus=2.5, acting_samples=20, **MODEL
    ),
    BCQ: BCQ(samples=3, acting_samples=4, policy_learning_rate=0.02, **MODEL),
    BEAR: BEAR(
        samples=3, acting_samples=3, policy_learning_rate=0.02, multiplier_learning_rate=0.02, warm_start=2, **MODEL
    ),
    BRAC: BRAC(
        divergence="wasserstein",
        threshold=0.5,
        samples=2,
        ensemble_weight=0.7,
        policy_learning_rate=0.02,
        multiplier_learning_rate=0.02,
        warm_start=2,
        **MODEL,
    ),
    SAC: SAC(policy_learning_rate=0.02, entropy_learning_rate=0.02),
    TD3: TD3(policy_learning_rate=0.02, target_noise=0.3, target_noise_clip=0.2, target_rate=0.5, cloning=2.5),
}


def trained(settings, updates=6):
    """The algorithm and its networks after a few updates; large steps, so that a change shows."""
    algorithm = settings.algorithm(data().spec, updates=2 * updates)
    _, prepared = prepare(algorithm.prepare, data())
    algorithm = dataclasses.replace(algorithm, prepare=())
    state = algorithm.init(jax.random.key(0))
    if algorithm.draws_ahead:  # by the engine
        algorithms, states, keys = stack([algorithm]), stack([state]), jax.random.key(1)[None]
        *_, after = train(algorithms, states, prepared.device(), keys, updates=updates, every=(updates,))
        return algorithm, take(after.states.online, 0)
    online = PROGRAM(algorithm, state, prepared.device(), jax.random.key(1), at(0), at(updates))[0].online
    return algorithm, online


def third_action(algorithm, online):
    """What is done in an episode's third step: a setting may serve acting alone."""
    policy = Policy(algorithm, online)
    player, random = policy.start(16), np.random.default_rng(0)
    for _ in range(3):
        action = player.act(random.normal(2.0, 3.0, size=(16, 3)))
        player.receive(np.tile([0.5, -0.5], 8))
    return action


def others(value, hint) -> list:
    """Values that a setting of type `hint` could have instead: each of a few words, one other number, none."""
    parts = typing.get_args(hint) if typing.get_origin(hint) in (types.UnionType, typing.Union) else (hint,)
    found = [None] if type(None) in parts and value is not None else []
    for part in parts:
        if typing.get_origin(part) is typing.Literal:
            found += [word for word in typing.get_args(part) if word != value]
        elif part is bool:
            found.append(not value)
        elif part is int:
            found.append(1 if value is None else value + 1)
        elif part is float:
            found.append(0.4 if value is None else 0.5 * value + 0.3)
        elif part is not type(None):
            raise AssertionError(f"the contract does not know what else a setting of type {part} could be")
    assert value not in found
    return found


ELSEWHERE = {  # where a setting is live, when the base above has no use for it
    (XQL, "clamp"): XQL(normaliser="batch_max"),
    **{(cls, "value_batch"): cls(value_updates=2) for cls in (XQL, KLXQL, IQL)},
    (Behaviour, "components"): Behaviour(model="mixture"),
    (Behaviour, "kl_weight"): Behaviour(model="vae"),
    (CQL, "data_term"): CQL(samples=3),
    (EMaQ, "draws_ahead"): EMaQ(samples=3, critics=2, draws_ahead=8, **MODEL),
    (EMaQ, "redraw_every"): EMaQ(samples=3, critics=2, draws_ahead=8, redraw_every=2, **MODEL),
}


def test_every_method_is_in_the_contract_of_live_settings():
    assert {type(method.default) for method in METHODS.values()} == set(LIVE)


def first_of_its_kind(cls, name) -> bool:
    """Whether a class declares a setting itself, or is the first here of those that have it from a common base."""
    if name in cls.__annotations__:
        return True
    base = next(parent for parent in cls.__mro__ if name in parent.__annotations__)
    return cls is next(one for one in LIVE if issubclass(one, base) and one in QUICK_CLASSES)


QUICK_CLASSES = (XQL, extremal.BC, TD3)
LIVE_FIELDS = [
    pytest.param(cls, name, marks=[] if cls in QUICK_CLASSES and first_of_its_kind(cls, name) else [pytest.mark.slow])
    for cls in LIVE
    for name in field_types(cls)
    if name != "preset"  # it says where settings came from
]


@cache
def base(cls, name=""):
    return dataclasses.replace(ELSEWHERE.get((cls, name), LIVE[cls]), learning_rate=0.02, **SMALL)


@cache
def trained_base(settings):
    return trained(settings)


def program(settings) -> str:
    """How an update makes the networks, traced, less what they do not depend on; numbers are arguments of it."""
    algorithm = settings.algorithm(data().spec, updates=12)
    _, prepared = prepare(algorithm.prepare, data())
    state = algorithm.init(jax.random.key(0))
    update = lambda algorithm, state, data, key, index: algorithm.update(state, data, key, index)[0].online  # noqa: E731
    floats = jax.tree.map(jnp.asarray, dataclasses.replace(algorithm, prepare=()))
    if floats.draws_ahead:
        floats = floats.drawn_ahead(state.online, prepared.device(), jax.random.key(2))
    traced = jax.make_jaxpr(update)(floats, state, prepared.device(), jax.random.key(1), at(0)).jaxpr
    needed, _ = partial_eval.dce_jaxpr(traced, [True] * len(traced.outvars))
    return re.sub(r"0x[0-9a-f]+", "", str(needed))


@cache
def program_of_base(settings):
    return program(settings)


@pytest.mark.parametrize("cls", LIVE)
def test_the_same_settings_are_traced_to_the_same_program(cls):
    """Without this, a program that differs would say nothing."""
    assert program(base(cls)) == program_of_base(base(cls))


@pytest.mark.parametrize(("cls", "name"), LIVE_FIELDS, ids=lambda x: x if isinstance(x, str) else x.__name__)
def test_every_setting_is_live(cls, name):
    """It changes what the networks are computed by; or where it is a number or a change to the data, what comes out."""
    settings = base(cls, name)
    before = getattr(settings, name)
    for value in others(before, field_types(cls)[name]):
        changed_settings = dataclasses.replace(settings, **{name: value})
        if name.startswith("behaviour_"):  # of what is fitted beforehand, by a method whose own settings are live
            assert changed_settings.fits() != settings.fits()
            continue
        if program(changed_settings) != program_of_base(settings):
            continue
        after = trained(changed_settings)
        changed = differ(trained_base(settings)[1], after[1]) or differ(
            third_action(*trained_base(settings)), third_action(*after)
        )
        assert changed, f"{name} = {value} instead of {before} changes nothing"


def differ(one, other) -> bool:
    """In structure, or in numbers by more than another program's rounding."""
    shapes = lambda tree: [leaf.shape for leaf in jax.tree.leaves(tree)]  # noqa: E731
    if jax.tree.structure(one) != jax.tree.structure(other) or shapes(one) != shapes(other):
        return True
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return any(not np.allclose(a, b, rtol=0.0, atol=1e-4) for a, b in pairs)


def test_settings_survive_json():
    presets = {f"{name} {which}": p.settings for name, m in METHODS.items() for which, p in m.presets.items()}
    assert len(presets) > 50
    for name, settings in (CASES | presets).items():
        again = from_json(type(settings)(), json.loads(json.dumps(to_json(settings))))
        assert again == settings, name


def flags(settings) -> list[str]:
    found = []
    for name, value in to_json(settings).items():
        if name == "preset":
            continue
        flag = name.replace("_", "-")
        found += (
            ([f"--{flag}"] if value else [f"--no-{flag}"]) if isinstance(value, bool) else [f"--{flag}", str(value)]
        )
    return found


@pytest.mark.parametrize("name", CASES)
def test_settings_survive_the_command_line(name, monkeypatch, tmp_path):
    given = []

    def train(settings, dataset, **options):
        given.append((settings, options["sweep"]))
        raise extremal.RunError("far enough")

    monkeypatch.setattr("extremal.runs.run.train", train)
    method = name.split(",")[0]
    arguments = ["train", method, "--dataset", "npz:none", "--out", str(tmp_path / "run"), *flags(CASES[name])]
    assert cli.main(arguments) == 2
    assert given == [(CASES[name], {})]
