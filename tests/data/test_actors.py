"""Policies read from files: what they compute, layer by layer, and files that cannot be used."""

import math

import numpy as np
import pytest

from extremal.core.errors import DataError
from extremal.data.actors import Uniform, read_actor, read_snapshot, sizes

h5py = pytest.importorskip("h5py", reason="needs h5py")

INPUTS, HIDDEN, OUTPUTS = 3, 5, 2
GROUP = "snapshots/iter0000020/GaussianPolicy"


def snapshot_arrays():
    """Every array of one snapshot, in the layout of the published files."""
    random = np.random.default_rng(0)
    shapes = {
        "hidden/FeedforwardNet/layer_0/AffineLayer": (INPUTS, HIDDEN),
        "hidden/FeedforwardNet/layer_2/AffineLayer": (HIDDEN, HIDDEN),
        "out/AffineLayer": (HIDDEN, OUTPUTS),
    }
    arrays = {f"{GROUP}/{name}/W": random.normal(size=shape) for name, shape in shapes.items()}
    arrays |= {f"{GROUP}/{name}/b": random.normal(size=(1, shape[1])) for name, shape in shapes.items()}
    mean = random.normal(size=(1, INPUTS))
    arrays[f"{GROUP}/obsnorm/Standardizer/mean_1_D"] = mean
    arrays[f"{GROUP}/obsnorm/Standardizer/meansq_1_D"] = mean**2 + [[0.25, 1.0, 4.0]]
    arrays[f"{GROUP}/logstdevs_1_Da"] = np.log([[0.5, 2.0]])
    return arrays


def actor_arrays():
    """Every array of an actor, in the layout of PyTorch's state."""
    random = np.random.default_rng(1)
    shapes = {"latent_pi.0": (HIDDEN, INPUTS), "latent_pi.2": (HIDDEN, HIDDEN)}
    shapes |= {"mu": (OUTPUTS, HIDDEN), "log_std": (OUTPUTS, HIDDEN)}
    arrays = {f"actor.{name}.weight": random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    return arrays | {f"actor.{n}.bias": random.normal(size=s[0]).astype(np.float32) for n, s in shapes.items()}


def write_snapshot(path, arrays):
    with h5py.File(path, "w") as file:
        for name, value in arrays.items():
            if value is not None:
                file[name] = value
    return path


def write_actor(path, arrays):
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})
    return path


def test_a_snapshot_is_a_gaussian_about_a_tanh_network(tmp_path):
    arrays = snapshot_arrays()
    actor = read_snapshot(write_snapshot(tmp_path / "log.h5", arrays), 20)
    assert sizes(actor) == (INPUTS, OUTPUTS)
    observation, noise = np.random.default_rng(2).normal(size=(2, 4, INPUTS))
    noise = noise[:, :OUTPUTS]
    for row in range(4):
        value = [
            (observation[row, i] - arrays[f"{GROUP}/obsnorm/Standardizer/mean_1_D"][0, i]) / (deviation + 1e-6)
            for i, deviation in enumerate((0.5, 1.0, 2.0))
        ]
        for layer, last in (("hidden/FeedforwardNet/layer_0", 0), ("hidden/FeedforwardNet/layer_2", 0), ("out", 1)):
            weight, bias = (arrays[f"{GROUP}/{layer}/AffineLayer/{part}"] for part in "Wb")
            value = [sum(x * w for x, w in zip(value, c, strict=True)) for c in weight.T] + bias[0]
            value = value if last else [math.tanh(x) for x in value]
        np.testing.assert_allclose(actor(observation, noise)[row], value + [0.5, 2.0] * noise[row], rtol=1e-9)


def test_an_actor_is_the_tanh_of_a_gaussian(tmp_path):
    arrays = actor_arrays()
    arrays["actor.log_std.bias"][:] = (9.0, -50.0)  # beyond where the deviation is clipped, on both sides
    actor = read_actor(write_actor(tmp_path / "actor.npz", arrays))
    assert sizes(actor) == (INPUTS, OUTPUTS)
    observation = np.full((1, INPUTS), 0.1)
    value = observation[0]
    for layer in ("latent_pi.0", "latent_pi.2"):
        value = np.maximum(arrays[f"actor.{layer}.weight"] @ value + arrays[f"actor.{layer}.bias"], 0)
    mean = arrays["actor.mu.weight"] @ value + arrays["actor.mu.bias"]
    np.testing.assert_allclose(actor(observation, np.zeros((1, OUTPUTS)))[0], np.tanh(mean), rtol=1e-5)
    noise = np.array([[0.1, 1e3]])
    moved = np.arctanh(actor(observation, noise)[0]) - mean
    np.testing.assert_allclose(moved, [0.1 * math.exp(2.0), 1e3 * math.exp(-20.0)], rtol=1e-3, atol=1e-5)


def test_uniform_actions_are_uniform_and_see_nothing():
    noise = np.random.default_rng(3).standard_normal((20_000, 1))
    action = Uniform()(np.full((20_000, 7), np.nan), noise)
    counts, _ = np.histogram(action, bins=10, range=(-1, 1))
    assert counts.sum() == 20_000
    assert np.abs(counts - 2000).max() < 5 * math.sqrt(2000)
    assert sizes(Uniform()) is None


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("out/AffineLayer/b", None, "out/AffineLayer/b': is missing"),
        ("out/AffineLayer/W", np.zeros((HIDDEN + 1, OUTPUTS)), r"has shape \(6, 2\).*expected \(5, 2\)"),
        ("hidden/FeedforwardNet/layer_0/AffineLayer/W", np.zeros(()), r"has shape \(\).*expected \(inputs, 5\)"),
        ("logstdevs_1_Da", np.zeros((1, OUTPUTS + 1)), r"logstdevs_1_Da': has shape \(1, 3\), expected 2 numbers"),
        ("obsnorm/Standardizer/mean_1_D", np.zeros((1, 1)), r"mean_1_D': has shape \(1, 1\), expected 3 numbers"),
        ("obsnorm/Standardizer/meansq_1_D", np.full((1, INPUTS), np.nan), "meansq_1_D': is NaN or infinite"),
        ("out/AffineLayer/b", np.zeros((1, OUTPUTS), int), "holds int64, expected floating-point"),
        ("out/AffineLayer/b", "text", "expected floating-point"),
        ("out/AffineLayer/b", h5py.Empty("f8"), "holds nothing"),
        ("out/AffineLayer/b", h5py.ExternalLink("other.h5", "b"), "keeps its numbers in another file"),
        ("out/AffineLayer/b", h5py.SoftLink("/snapshots"), "is a group, expected an array"),
    ],
)
def test_snapshots_that_do_not_fit_are_refused(tmp_path, name, value, message):
    write_snapshot(tmp_path / "other.h5", {"b": np.zeros((1, OUTPUTS))})
    path = write_snapshot(tmp_path / "log.h5", snapshot_arrays() | {f"{GROUP}/{name}": value})
    with pytest.raises(DataError, match=message) as caught:
        read_snapshot(path, 20)
    assert str(path) in str(caught.value)


def test_a_snapshot_that_is_not_there_is_refused_with_those_that_are(tmp_path):
    path = write_snapshot(tmp_path / "log.h5", snapshot_arrays())
    with pytest.raises(DataError, match=r"field 'snapshots/iter0000040/GaussianPolicy': is missing.*iterations 20"):
        read_snapshot(path, 40)
    with pytest.raises(DataError, match="iterations none"):
        read_snapshot(write_snapshot(tmp_path / "none.h5", {"log": np.zeros(3)}), 0)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("actor.mu.bias", None, "field 'actor.mu.bias': is missing"),
        ("actor.mu.weight", np.zeros((OUTPUTS, 4), np.float32), r"has shape \(4, 2\).*expected \(5, 2\)"),
        ("actor.log_std.weight", np.zeros((3, HIDDEN), np.float32), r"actor.log_std.weight': has shape \(5, 3\)"),
        ("actor.latent_pi.0.bias", np.full(HIDDEN, np.inf, np.float32), "actor.latent_pi.0.bias': is NaN or infinite"),
        ("actor.mu.bias", np.array([None, None]), "never unpickled"),
        ("actor.mu.bias", np.zeros(OUTPUTS, int), "holds int64, expected floating-point"),
    ],
)
def test_actors_that_do_not_fit_are_refused(tmp_path, name, value, message):
    path = write_actor(tmp_path / "actor.npz", actor_arrays() | {name: value})
    with pytest.raises(DataError, match=message) as caught:
        read_actor(path)
    assert str(path) in str(caught.value)


def test_heads_for_different_numbers_of_actions_are_refused(tmp_path):
    arrays = actor_arrays() | {"actor.log_std.weight": np.zeros((3, HIDDEN), np.float32)}
    path = write_actor(tmp_path / "actor.npz", arrays | {"actor.log_std.bias": np.zeros(3, np.float32)})
    with pytest.raises(DataError, match=r"field 'actor.log_std.bias': has shape \(3,\), expected 2 numbers"):
        read_actor(path)


@pytest.mark.parametrize(("read", "suffix"), [(read_actor, ".npz"), (lambda path: read_snapshot(path, 20), ".h5")])
def test_files_that_are_no_policies_are_refused(tmp_path, read, suffix):
    with pytest.raises(DataError, match="does not exist"):
        read(tmp_path / f"none{suffix}")
    path = tmp_path / f"text{suffix}"
    path.write_text("not a policy")
    with pytest.raises(DataError, match="damaged or not a"):
        read(path)
    path = tmp_path / "policy.pkl"
    path.write_text("x")
    with pytest.raises(DataError, match="expected"):
        read(path)
