"""Ten updates of another library, CORL, from its start and on its batches: the numbers are in `corl/`, with their origin."""

from pathlib import Path
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from extremal.algorithms.iql import IQL
from extremal.algorithms.td3 import TD3
from extremal.core.record import record
from extremal.core.types import Batch, Spec
from extremal.networks.heads import GaussianPolicy

ROUNDING = 5e-6  # where this was written they were 2.4e-7 apart, and had moved by up to 3e-3
SIZES = {"width": 16, "depth": 2, "batch_size": 32}
CASES = {
    "iql_old_v": IQL(value_rate=1.0, **SIZES),  # a slow copy at rate 1: V as it was before its update
    "iql_new_v": IQL(**SIZES),
    "td3bc": TD3(cloning=2.5, **SIZES),
}


@pytest.fixture(scope="module")
def numbers() -> dict[str, np.ndarray]:
    with np.load(Path(__file__).parent / "corl" / "ten_updates.npz", allow_pickle=False) as file:
        return dict(file)


@record
class Given:
    """A dataset of one batch."""

    batch: Batch

    def sample(self, key, size):
        assert size == len(self.batch.reward)
        return self.batch


def vector(net):
    """All numbers of a network, in the order of the file."""
    return np.concatenate([np.ravel(x) for x in jax.tree.leaves(net)])


def start(algorithm, numbers):
    """The state in which training begins, with the networks of the file; whatever else there is, is 0."""
    state = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(algorithm.init, jax.random.key(0)))

    def filled(name, network):
        leaves, shape = jax.tree.flatten(network)
        given = [numbers[f"start/{name}{n}"] for n in range(2)] if name == "q" else [numbers[f"start/{name}"]]
        flat = np.concatenate([*given, np.zeros(2, np.float32)])  # log_std, which stands behind the policy
        ends = np.cumsum([x.size for x in leaves])
        return jax.tree.unflatten(
            shape, [flat[end - x.size : end].reshape(x.shape) for end, x in zip(ends, leaves, strict=True)]
        )

    names = [name for name in ("v", "q", "pi") if hasattr(state.online, name)]
    online = state.online._replace(**{name: filled(name, getattr(state.online, name)) for name in names})
    return state._replace(online=online, target={name: getattr(online, name) for name in state.target})


def ten_updates(settings, numbers):
    """The library's state after ten updates on the given batches, with the given noise wherever a normal is drawn."""
    algorithm = settings.algorithm(Spec(observation=(5,), action=(2,)), updates=1000)

    @jax.jit
    def update(state, batch, noise, index):
        with mock.patch.object(jax.random, "normal", return_value=noise):
            return algorithm.update(state, Given(batch=batch), jax.random.key(1), index)[0]

    state = start(algorithm, numbers)
    for index in range(10):
        fields = ("observation", "action", "reward", "next_observation", "terminated")
        batch = Batch(*(numbers[f"batch/{name}"][index] for name in fields))
        state = update(state, batch, numbers["batch/target_noise"][index], index)
    return state


def found(state):
    """The networks after the updates, as the file names them."""
    q, slow = state.online.q.members, state.target["q"].members
    nets = {"q0": q[0], "q1": q[1], "slow_q0": slow[0], "slow_q1": slow[1], "pi": state.online.pi.net}
    if isinstance(state.online.pi, GaussianPolicy):
        nets |= {"v": state.online.v.net, "log_std": state.online.pi.log_std}
    else:
        nets |= {"slow_pi": state.target["pi"].net}
    return {name: vector(net) for name, net in nets.items()}


@pytest.mark.parametrize("case", CASES)
def test_ten_updates_are_those_of_corl(case, numbers):
    ours = found(ten_updates(CASES[case], numbers))
    theirs = {name.split("/")[1]: x for name, x in numbers.items() if name.startswith(f"{case}/")}
    assert set(ours) == set(theirs)
    for name, x in theirs.items():
        np.testing.assert_allclose(ours[name], x, rtol=0, atol=ROUNDING, err_msg=f"{case} {name}")


def test_the_order_of_the_updates_shows_in_the_numbers(numbers):
    """By more than what is allowed: else one order would pass for the other."""
    apart = [np.abs(numbers[f"iql_old_v/{name}"] - numbers[f"iql_new_v/{name}"]).max() for name in ("pi", "q0", "q1")]
    assert min(apart) > 2 * ROUNDING
