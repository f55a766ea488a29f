"""Decision Transformer: five updates by plain NumPy, a task that only the return asked for decides, and its settings."""

import dataclasses
import json
from functools import partial

import gymnasium
import jax
import numpy as np
import pytest

import extremal
from extremal import cli
from extremal.algorithms.decision_transformer import DT, PRESETS
from extremal.algorithms.registry import preset
from extremal.core.errors import ConfigError, SpecError
from extremal.core.types import Spec
from extremal.data.dataset import Card, Dataset

# ---- five updates in float64, token by token; gradients are differences, of all numbers side by side (axis P) --------

UPDATES, KEY = 5, jax.random.key(7)
SMALL = DT(
    context=3,
    width=4,
    depth=2,
    heads=2,
    timesteps=4,
    batch_size=5,
    learning_rate=1e-2,
    warm_up=3,
    weight_decay=0.1,
    max_gradient_norm=1.2,
    return_scale=3.0,
    dropout=None,
    normalise_observation=False,
)


def linear(p, x):
    return np.einsum("pi,pio->po", np.broadcast_to(x, (len(p.bias), x.shape[-1])), p.weight) + p.bias


def norm(p, x):
    x = x - x.mean(axis=1, keepdims=True)
    return x / np.sqrt(np.mean(x**2, axis=1, keepdims=True) + 1e-6) * p.scale + p.offset


def block(p, tokens):
    """The tokens of one window, each [P, D], after one block: each from itself and those to its left."""
    width = tokens[0].shape[1]
    size, found = width // p.heads, []
    both = [linear(p.key_value, norm(p.attention_norm, x)) for x in tokens]
    for t, x in enumerate(tokens):
        query, mixed = linear(p.query, norm(p.attention_norm, x)), []
        for head in range(p.heads):
            part = slice(head * size, (head + 1) * size)
            weights = [np.exp(np.sum(kv[:, :width][:, part] * query[:, part], axis=1) / np.sqrt(size)) for kv in both]
            values = [w[:, None] * kv[:, width:][:, part] for w, kv in zip(weights, both, strict=True)]
            mixed.append(sum(values[: t + 1]) / sum(weights[: t + 1])[:, None])
        x = x + linear(p.mix, np.concatenate(mixed, axis=1))
        found.append(x + linear(p.out, np.maximum(linear(p.hidden, norm(p.hidden_norm, x)), 0.0)))
    return found


def loss(p, batch, scale):
    """[P] the squared error over valid steps; padding is left out from the start, not hidden."""
    errors = []
    for window in range(len(batch.valid)):
        valid, tokens = batch.valid[window] > 0, []
        for step in np.flatnonzero(valid):
            time = p.timestep[:, min(int(batch.timestep[window, step]), p.timestep.shape[1] - 1)]
            told = np.array([[batch.return_to_go[window, step] / scale]])
            parts = (p.return_to_go, told), (p.observation, batch.observation[window, step : step + 1])
            parts += ((p.action, batch.action[window, step : step + 1]),)
            tokens += [norm(p.norm, linear(layer, x) + time) for layer, x in parts]
        for each in p.blocks:
            tokens = block(each, tokens)
        for token, action in zip(tokens[1::3], batch.action[window][valid], strict=True):
            errors.append(np.mean((np.tanh(linear(p.head, norm(p.last_norm, token))) - action) ** 2, axis=1))
    return np.mean(errors, axis=0)


def gradient(leaves, value):
    """By central differences; `value` takes leaves with a leading axis and gives one number for each entry of it."""
    ends, count = np.cumsum([x.size for x in leaves]), sum(x.size for x in leaves)
    found = []
    for shift in (1e-5, -1e-5):
        flat = np.tile(np.concatenate([x.ravel() for x in leaves]), (count, 1)) + shift * np.eye(count)
        parts = np.split(flat, ends[:-1], axis=1)
        found.append(value([part.reshape(count, *x.shape) for part, x in zip(parts, leaves, strict=True)]))
    slope = np.split((found[0] - found[1]) / 2e-5, ends[:-1])
    return [g.reshape(x.shape) for g, x in zip(slope, leaves, strict=True)]


@pytest.fixture(scope="module")
def logged():
    random = np.random.default_rng(3)
    return Dataset.from_episodes(
        [
            {
                "observation": random.normal(size=(steps + 1, 2)),
                "action": np.clip(random.normal(0, 0.6, (steps, 2)), -1, 1),
                "reward": random.normal(0.5, 2.0, steps),
            }
            for steps in (1, 2, 4, 6)
        ],
        card=Card(action_low=(-1.0, -1.0), action_high=(1.0, 1.0)),
    ).with_returns_to_go()


def test_five_updates_are_those_of_the_equations(logged):
    algorithm, data = SMALL.algorithm(logged.spec, updates=UPDATES), logged.device()
    state = algorithm.init(jax.random.key(1))
    leaves, shape = jax.tree.flatten(state.online.pi)
    start = [np.asarray(x, np.float64) for x in leaves]
    ours = [x.copy() for x in start]
    of = lambda leaves, batch: loss(jax.tree.unflatten(shape, leaves), batch, SMALL.return_scale)  # noqa: E731
    first, second = ([np.zeros_like(x) for x in ours] for _ in range(2))
    update, lengths = jax.jit(algorithm.update), []
    for index in range(UPDATES):
        key = jax.random.fold_in(KEY, index)
        batch = data.sample_windows(jax.random.split(key)[0], SMALL.batch_size, SMALL.context)
        batch = jax.tree.map(lambda x: np.asarray(x, np.float64), batch)
        state, metrics = update(state, data, key, index)
        np.testing.assert_allclose(metrics["pi/loss"], of([x[None] for x in ours], batch)[0], rtol=1e-4)
        np.testing.assert_allclose(metrics["pi/valid"], batch.valid.mean(), rtol=1e-6)
        slopes = gradient(ours, partial(of, batch=batch))
        lengths.append(np.sqrt(sum(np.sum(g**2) for g in slopes)))
        rate, t = SMALL.learning_rate * min((index + 1) / SMALL.warm_up, 1.0), index + 1
        for x, g, m, v in zip(ours, slopes, first, second, strict=True):
            g = g * min(1.0, SMALL.max_gradient_norm / lengths[-1])
            m += 0.1 * (g - m)
            v += 0.001 * (g**2 - v)
            x -= rate * (m / (1 - 0.9**t) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8) + SMALL.weight_decay * x)
    assert min(lengths) < SMALL.max_gradient_norm < max(lengths)
    paths = jax.tree_util.tree_leaves_with_path(state.online.pi)
    for (path, found), expected, begun in zip(paths, ours, start, strict=True):
        name = jax.tree_util.keystr(path)
        if name.endswith(
            "key_value.bias"
        ):  # a softmax does not see what all keys have in common: Adam follows rounding
            found, expected, begun = found[4:], expected[4:], begun[4:]
        moved = np.abs(expected - begun).max()
        np.testing.assert_allclose(found - begun, expected - begun, atol=0.01 * moved + 1e-6, err_msg=name)


# ---- learning: the return that is asked for decides the action ----------------------------------------------------

STEPS = 3


class Lever(gymnasium.Env):
    """Three steps, each rewarded by the action itself; the observation says nothing."""

    def __init__(self):
        self.observation_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.steps += 1
        return np.zeros(1, np.float32), float(action[0]), self.steps == STEPS, False, {}


@pytest.fixture(scope="module")
def lever():
    gymnasium.register(id="Lever-v0", entry_point=Lever)
    yield "Lever-v0"
    del gymnasium.registry["Lever-v0"]


@pytest.fixture(scope="module")
def pulled(lever):
    """Episodes of pulls drawn from -1 to 1: on average, what is left is shared by the steps that are left."""
    pull = np.random.default_rng(0).uniform(-1, 1, (400, STEPS))
    card = Card(name="lever", environment=lever, action_low=(-1.0,), action_high=(1.0,))
    zeros = np.zeros((STEPS + 1, 1))
    return Dataset.from_episodes([{"observation": zeros, "action": a[:, None], "reward": a} for a in pull], card=card)


ASK = DT(
    target_return=1.5,
    context=2,
    width=16,
    depth=1,
    timesteps=STEPS,
    learning_rate=3e-3,
    warm_up=50,
    dropout=None,
    normalise_observation=False,
)


@pytest.fixture(scope="module")
def run(pulled, tmp_path_factory):
    return extremal.train(
        ASK,
        pulled,
        updates=300,
        evaluate_every=200,
        log_every=100,
        episodes=2,
        out=tmp_path_factory.mktemp("dt") / "run",
        unchecked=True,  # there is nothing to observe, and the check says so
    )


@pytest.mark.slow
def test_it_brings_the_return_that_it_is_asked_for(run):
    assert run.results[0]["metric"] == "return"
    assert run.results[0]["mean"] == pytest.approx(1.5, abs=0.3)
    for target in (-2.4, 0.0, 2.4):
        found = run.evaluate(episodes=2, target_return=target)
        assert found.per_seed["return"][0] == pytest.approx(target, abs=0.3)


@pytest.mark.slow
def test_the_command_line_asks_for_a_return_too(run, capsys):
    arguments = ["evaluate", str(run.path), "--episodes", "2", "--json"]
    for target in ([], ["--target-return", "-2.4"]):
        assert cli.main(arguments + target) == 0
        found = json.loads(capsys.readouterr().out)["return"]["mean"]
        assert found == pytest.approx(-2.4 if target else 1.5, abs=0.3)


def test_what_an_episode_brought_is_no_longer_asked_for(run):
    player, zeros = run.policy(target_return=1.8).start(3), np.zeros((3, 1))
    np.testing.assert_allclose(player.act(zeros)[:, 0], 0.6, atol=0.15)
    player.receive([0.2, 0.6, 1.0])
    more, planned, less = player.act(zeros)[:, 0]
    assert planned == pytest.approx(0.6, abs=0.2)
    assert more > planned + 0.05
    assert less < planned - 0.05


def test_without_a_target_the_best_logged_return_is_asked_for(run, pulled):
    plan = dataclasses.replace(run.plan, settings=dataclasses.replace(ASK, target_return=None))
    assert plan.algorithm(0).act.target == pytest.approx(pulled.returns.max())
    assert extremal.load(run.path, target_return=2.0).algorithm.act.target == 2.0
    assert extremal.load(run.path).algorithm.act.target == 1.5


def test_without_a_scale_returns_are_divided_by_the_largest_that_is_logged(run, pulled):
    largest = np.abs(pulled.returns).max()
    for algorithm in (ASK.algorithm(pulled.spec, updates=1), extremal.load(run.path).algorithm):
        assert algorithm.act.return_scale == pytest.approx(largest)
    assert run.plan.algorithm(0).steps[0].objective.return_scale == pytest.approx(largest)
    losing = pulled.replace(reward=-np.abs(pulled.reward))
    assert DT().algorithm(losing.spec, updates=1).act.return_scale == pytest.approx(-losing.returns.min())


def test_a_run_that_was_stopped_goes_on_to_the_same_numbers(run, pulled, tmp_path):
    def stop(update, metrics):
        if update == 200 and "evaluation" in metrics:
            raise KeyboardInterrupt

    options = {"updates": 300, "evaluate_every": 200, "log_every": 100, "episodes": 2, "out": tmp_path / "run"}
    options["unchecked"] = True
    with pytest.raises(KeyboardInterrupt):
        extremal.train(ASK, pulled, watch=stop, **options)
    again = extremal.train(ASK, pulled, resume=True, **options)
    assert again.results[0]["mean"] == run.results[0]["mean"]
    assert again.summary["data_hash"] == run.summary["data_hash"]
    for one, other in zip(*(jax.tree.leaves(r.policy().online) for r in (again, run)), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_held_out_windows_are_measured(pulled, tmp_path):
    data = pulled.replace(card=Card(name="lever"))
    done = extremal.train(ASK, data, updates=2, log_every=1, evaluate_every=2, out=tmp_path / "run", unchecked=True)
    assert {"heldout/pi/loss", "heldout/pi/newest"} <= {result["metric"] for result in done.results}


def test_a_method_that_asks_for_no_return_says_so(pulled, tmp_path):
    done = extremal.train(extremal.BC(width=8), pulled, updates=2, episodes=1, out=tmp_path / "run", unchecked=True)
    with pytest.raises(ConfigError, match="'target_return'"):
        done.evaluate(episodes=1, target_return=1.0)


# ---- settings -----------------------------------------------------------------------------------------------------


def test_settings_are_those_of_the_published_code():
    """[chen2021], its published code for the locomotion tasks: the numbers, typed again."""
    settings, targets = DT(), {"hopper": (3600, 1800), "halfcheetah": (12000, 6000), "walker2d": (5000, 2500)}
    sizes = settings.context, settings.depth, settings.heads, settings.width, settings.dropout, settings.batch_size
    assert sizes == (20, 3, 1, 128, 0.1, 64)
    rates = settings.learning_rate, settings.weight_decay, settings.warm_up, settings.max_gradient_norm
    assert rates == (1e-4, 1e-4, 10_000, 0.25)
    assert (settings.timesteps, settings.normalise_observation) == (1000, True)
    assert len(PRESETS) == 6
    for robot, asked in targets.items():
        for which, target in zip(("high", "low"), asked, strict=True):
            known = preset("dt", f"code/{robot}-{which}")
            assert (known.target_return, known.return_scale) == (target, 1000.0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"heads": 3}, "3 heads cannot share a width of 128"),
        ({"depth": 0}, "'depth' is 0, expected int from 1 up"),
        ({"context": 0}, "'context' is 0, expected int from 1 up"),
        ({}, "set target_return"),
        ({"target_return": 1.0}, "set return_scale"),
    ],
)
def test_what_no_transformer_can_be_is_refused(change, words):
    with pytest.raises(ConfigError, match=words):
        dataclasses.replace(DT(), **change).algorithm(Spec(observation=(3,), action=(2,)), updates=1)


def test_discrete_actions_are_refused():
    with pytest.raises(SpecError, match="DT takes continuous actions"):
        DT().algorithm(Spec(observation=(3,), action=(), actions=4, best_return=1.0), updates=1)
