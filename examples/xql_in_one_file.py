"""Extreme Q-Learning, offline, in one file: JAX, Optax and NumPy. A test holds it to the library's numbers.

    extremal data generate pointmaze-medium-goal --out npz:maze.npz --rows 200000
    python examples/xql_in_one_file.py maze.npz

Logged data says what was done and what it brought. How good is the best action that the data supports? XQL answers by a
regression whose minimiser is the soft maximum of Q over the logged actions, V(s) = beta log E exp(Q(s, a) / beta), so
that no policy is ever asked for an action that nobody took. Equations are those of "Extreme Q-Learning: MaxEnt RL without
Entropy" (Garg, Hejna, Geist, Ermon; 2023), Algorithm 1.
"""

import json
import sys
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax


@dataclass(frozen=True)
class Settings:
    beta: float = 1.0  # temperature of the soft maximum: near 0 the maximum, large the mean
    clip: float = 8.0  # exponents beyond it go on as a straight line
    inverse_temperature: float = 10.0  # of the policy's weights
    max_weight: float = 100.0
    discount: float = 0.99
    learning_rate: float = 3e-4
    slow_rate: float = 0.005  # how far the slow critic moves after each update
    width: int = 256
    batch_size: int = 256
    updates: int = 50_000


# ---- data: an episode of T steps has T + 1 observations; row i sees number `slot`, and then the one after it -------------


def load(path):
    """Rows of an archive that `extremal data generate` or `extremal data convert` wrote; actions rescaled to [-1, 1]."""
    with np.load(path, allow_pickle=False) as file:
        observation, action, starts = file["observation"], file["action"], file["starts"]
        reward, terminated, card = file["reward"], file["terminated"], json.loads(str(file["card"]))
    slot = np.arange(len(action)) + np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    low = np.float32(card["action_low"] or action.min(axis=0))
    high = np.float32(card["action_high"] or action.max(axis=0))
    centre, half = (low + high) / 2, np.where(high > low, (high - low) / 2, 1)
    data = {
        "observation": observation[slot],
        "action": np.clip((action - centre) / half, -1, 1),
        "reward": reward,
        "next_observation": observation[slot + 1],
        "terminated": terminated,  # the task ended, nothing follows; an episode that a time limit cut goes on
    }
    return jax.tree.map(partial(jnp.asarray, dtype=jnp.float32), data), (centre, half), card["environment"]


# ---- networks ------------------------------------------------------------------------------------------------------------


def mlp_init(key, *sizes):
    orthogonal = jax.nn.initializers.orthogonal(2**0.5)
    keys = jax.random.split(key, len(sizes) - 1)
    return [(orthogonal(k, (i, o)), jnp.zeros(o)) for k, i, o in zip(keys, sizes, sizes[1:], strict=False)]


def mlp(layers, x):
    *hidden, (weight, bias) = layers
    for w, b in hidden:
        x = jax.nn.relu(x @ w + b)
    return x @ weight + bias


def value(v, observation):
    return mlp(v, observation)[:, 0]


def critics(q, observation, action):
    x = jnp.concatenate([observation, action], axis=1)
    return jnp.stack([mlp(member, x)[:, 0] for member in q])  # two, so that errors of one are not believed


def log_density(pi, observation, action):
    mean = jnp.tanh(mlp(pi["net"], observation))
    log_std = jnp.clip(pi["log_std"], -5, 2)
    z = (action - mean) / jnp.exp(log_std)
    return jnp.sum(-0.5 * z**2 - log_std - 0.5 * jnp.log(2 * jnp.pi), axis=1)


def optimisers(settings):
    adam, rate = optax.adam, settings.learning_rate
    return {"v": adam(rate), "q": adam(rate), "pi": adam(optax.cosine_decay_schedule(rate, settings.updates))}


def init(settings, key, observations, actions):
    v, q, pi = jax.random.split(key, 3)
    hidden = (settings.width, settings.width)
    nets = {
        "v": mlp_init(v, observations, *hidden, 1),
        "q": [mlp_init(k, observations + actions, *hidden, 1) for k in jax.random.split(q)],
        "pi": {"net": mlp_init(pi, observations, *hidden, actions), "log_std": jnp.zeros(actions)},
    }
    adam = {name: optimiser.init(nets[name]) for name, optimiser in optimisers(settings).items()}
    return {"nets": nets, "slow_q": jax.tree.map(jnp.copy, nets["q"]), "adam": adam}


# ---- the method ----------------------------------------------------------------------------------------------------------


def of_the_others(x):
    """For each eighth of a batch the mean of the others; at least 1: steps are made smaller, never larger."""
    means = (1 - jnp.eye(8)) @ jnp.mean(x.reshape(8, -1), axis=1) / 7
    return jnp.repeat(jnp.maximum(means, 1), len(x) // 8)


def update(settings, state, data, key):
    """One update of V, the policy and Q on one batch; returns the new state and what to print."""
    rows = jax.random.randint(jax.random.split(key)[0], (settings.batch_size,), 0, len(data["reward"]))
    batch = {name: column[rows] for name, column in data.items()}
    s, a, s_next = batch["observation"], batch["action"], batch["next_observation"]
    nets, adam = dict(state["nets"]), dict(state["adam"])

    def descend(name, loss):
        (found, aux), gradient = jax.value_and_grad(loss, has_aux=True)(nets[name])
        change, adam[name] = optimisers(settings)[name].update(gradient, adam[name])
        nets[name] = optax.apply_updates(nets[name], change)
        return found, aux

    # V, Eq. (11): the Gumbel regression e^z - z - 1 of z = (Q - V) / beta. Dividing each eighth of the batch by the mean of e^z
    # over the others keeps its steps of one size and its minimiser where it is (the paper divides by the batch's maximum).
    q_slow = jnp.min(critics(state["slow_q"], s, a), axis=0)

    def gumbel_regression(v):
        z = (q_slow - value(v, s)) / settings.beta
        below = jnp.minimum(z, settings.clip)
        exponential = jnp.exp(below) * (1 + z - below)  # its tangent beyond the clip
        return jnp.mean((exponential - z - 1) / jax.lax.stop_gradient(of_the_others(jnp.exp(below)))), None

    v_loss, _ = descend("v", gumbel_regression)

    # Policy, Eq. (12): clone the logged actions, each with the weight of its advantage.
    advantage = q_slow - value(nets["v"], s)
    weight = jnp.exp(jnp.minimum(settings.inverse_temperature * advantage, jnp.log(settings.max_weight)))
    pi_loss, _ = descend("pi", lambda pi: (-jnp.mean(weight * log_density(pi, s, a)), None))

    # Q, Eq. (14): the reward, and the value of what follows unless the task ended there.
    goal = batch["reward"] + settings.discount * (1 - batch["terminated"]) * value(nets["v"], s_next)
    q_loss, _ = descend("q", lambda q: (jnp.sum(jnp.mean((critics(q, s, a) - goal) ** 2, axis=1)), None))

    slow_q = optax.incremental_update(nets["q"], state["slow_q"], settings.slow_rate)
    told = {"v loss": v_loss, "pi loss": pi_loss, "q loss": q_loss, "mean q": jnp.mean(q_slow)}
    return {"nets": nets, "slow_q": slow_q, "adam": adam}, told


@partial(jax.jit, static_argnames=("settings", "count"), donate_argnames="state")
def run(settings, state, data, key, start, count):
    """Updates `start` to `start + count` in one program; update i draws everything from fold_in(key, i)."""
    step = lambda state, i: update(settings, state, data, jax.random.fold_in(key, i))  # noqa: E731
    return jax.lax.scan(step, state, start + jnp.arange(count))


def train(settings, data, seed=0, every=5_000):
    """The state after all updates; prints means every so many of them."""
    init_key, run_key = jax.random.split(jax.random.key(seed))
    state = init(settings, init_key, data["observation"].shape[1], data["action"].shape[1])
    for start in range(0, settings.updates, every):
        count = min(every, settings.updates - start)
        state, told = run(settings, state, data, run_key, start, count)
        print(f"{start + count:7d}  " + "  ".join(f"{name} {np.mean(x):9.4f}" for name, x in told.items()), flush=True)
    return state


def main(path, settings):
    data, (centre, half), environment = load(path)
    pi = train(settings, data)["nets"]["pi"]
    if environment is not None:  # the simulator is all that comes from the library
        from extremal.evaluation.rollout import rollout

        act = jax.jit(lambda observation: jnp.tanh(mlp(pi["net"], observation)) * half + centre)
        found = rollout(act, environment, episodes=20, seed=0)
        print(f"mean return of 20 episodes: {found.returns.mean():.1f}")


if __name__ == "__main__":
    main(sys.argv[1], Settings())
