"""What the NumPy references share: networks and their gradients by hand, Adam, the batches of a run, and the comparison."""

import jax
import jax.numpy as jnp
import numpy as np

from extremal.data.dataset import Dataset

UPDATES = 5
KEY = jax.random.key(7)
SMALL = {"width": 12, "depth": 1, "batch_size": 24, "learning_rate": 3e-3}  # two hidden layers are in test_corl.py


# ---- networks and their gradients, by hand ------------------------------------------------------------------------
# A network is a dict of arrays: w0, b0, w1, ... and s0, o0, ... where it has layer normalisation.


def of_library(mlp):
    found = {}
    for depth, layer in enumerate(mlp.layers):
        found |= {f"w{depth}": layer.weight, f"b{depth}": layer.bias}
    for depth, norm in enumerate(mlp.norms):
        found |= {f"s{depth}": norm.scale, f"o{depth}": norm.offset}
    return {name: np.asarray(value, np.float64) for name, value in found.items()}


def forward(net, x):
    """The output [B, outputs], and what the backward pass needs."""
    last = sum(name[0] == "w" for name in net) - 1
    tape = []
    for depth in range(last):
        a, unit, deviation = x @ net[f"w{depth}"] + net[f"b{depth}"], None, None
        if f"s{depth}" in net:
            deviation = np.sqrt(a.var(axis=1, keepdims=True) + 1e-6)
            unit = (a - a.mean(axis=1, keepdims=True)) / deviation
            a = unit * net[f"s{depth}"] + net[f"o{depth}"]
        tape.append((x, a, unit, deviation))
        x = np.maximum(a, 0.0)
    return x @ net[f"w{last}"] + net[f"b{last}"], [*tape, (x,)]


def backward(net, tape, slope):
    """The gradient of every array, and that in the inputs [B, inputs], from the slope in the output [B, outputs]."""
    *hidden, (x,) = tape
    last = len(hidden)
    found = {f"w{last}": x.T @ slope, f"b{last}": slope.sum(axis=0)}
    for depth in reversed(range(last)):
        x, a, unit, deviation = hidden[depth]
        slope = (slope @ net[f"w{depth + 1}"].T) * (a > 0)
        if unit is not None:
            found |= {f"s{depth}": (slope * unit).sum(axis=0), f"o{depth}": slope.sum(axis=0)}
            slope = slope * net[f"s{depth}"]
            along = (slope * unit).mean(axis=1, keepdims=True)
            slope = (slope - slope.mean(axis=1, keepdims=True) - unit * along) / deviation
        found |= {f"w{depth}": x.T @ slope, f"b{depth}": slope.sum(axis=0)}
    return found, slope @ net["w0"].T


def adam(params, gradient, memory, rate, max_norm=None, decay=0.0):
    """Kingma & Ba, Algorithm 1; the gradient is first shortened to `max_norm`. Parameters shrink by rate times `decay`."""
    memory["count"] = memory.get("count", 0) + 1
    length = np.sqrt(sum(np.sum(g**2) for g in gradient.values()))
    shorten = 1.0 if max_norm is None or length < max_norm else max_norm / length
    for name in params:
        g = gradient[name] * shorten
        first, second = memory.get(name, (0.0, 0.0))
        first, second = 0.9 * first + 0.1 * g, 0.999 * second + 0.001 * g**2
        memory[name] = first, second
        step = (first / (1 - 0.9 ** memory["count"])) / (np.sqrt(second / (1 - 0.999 ** memory["count"])) + 1e-8)
        params[name] = params[name] - rate * (step + decay * params[name])


# ---- the comparison -----------------------------------------------------------------------------------------------


def logged():
    """A small dataset, on the device."""
    rng = np.random.default_rng(3)
    episodes = []
    for number in range(12):
        steps = int(rng.integers(5, 20))
        episodes.append(
            {
                "observation": rng.normal(size=(steps + 1, 4)),
                "action": np.clip(rng.normal(0, 0.6, (steps, 2)), -1, 1),
                "reward": rng.normal(0.5, 2.0, steps),
                "terminated": number % 2 == 0,
                "truncated": number % 2 == 1,
            }
        )
    return Dataset.from_episodes(episodes).device()


def drawn(dataset, settings, index):
    """The batches of one update, in float64: the keys are the engine's, the first batch serves every step."""
    pick, _ = jax.random.split(jax.random.fold_in(KEY, index))
    turns = range(getattr(settings, "value_updates", 1))
    same = getattr(settings, "value_batch", "fresh") == "same"
    keys = [pick if turn == 0 or same else jax.random.fold_in(pick, turn) for turn in turns]
    sampled = [dataset.sample(key, settings.batch_size) for key in keys]
    return [jax.tree.map(lambda x: np.asarray(x, np.float64), batch) for batch in sampled]


def noise(index, step, shape):
    """The normal numbers that step number `step` of an update draws, in float64."""
    _, spend = jax.random.split(jax.random.fold_in(KEY, index))
    key = jax.random.fold_in(jax.random.fold_in(spend, step), 0)
    return np.asarray(jax.random.normal(key, shape), np.float64)


def close(ours, theirs, start, what):
    """Equal to 1e-4 of what is compared, and to 1 % of what five updates moved it."""
    for name, expected in theirs.items():
        np.testing.assert_allclose(ours[name], expected, rtol=1e-4, atol=2e-6, err_msg=f"{what} {name}")
        moved, should = ours[name] - start[name], expected - start[name]
        np.testing.assert_allclose(moved, should, atol=0.01 * np.abs(should).max(), err_msg=f"{what} {name}, moved")


def replay(settings, reference):
    """Five updates of the library and of `reference(settings, online)`, every metric compared; then what both have."""
    dataset = logged()
    algorithm = settings.algorithm(dataset.spec, updates=UPDATES)
    state = algorithm.init(jax.random.key(1))
    first, by_hand = state.online, reference(settings, state.online)
    update = jax.jit(algorithm.update)
    for index in range(UPDATES):
        state, ours = update(state, dataset, jax.random.fold_in(KEY, jnp.asarray(index)), index)
        theirs = by_hand.update(drawn(dataset, settings, index), index)
        assert set(ours) == set(theirs)
        for name, expected in theirs.items():
            np.testing.assert_allclose(ours[name], expected, rtol=1e-4, atol=1e-6, err_msg=f"{name}, update {index}")
    return first, state, by_hand
