"""d3rlpy as a learner whose scores are compared: the library's settings, on its rows; the greedy policy acts.

Batches are drawn from all rows at once and handed to `update`, which is what its `fit` does besides logging. Its own replay buffer
would leave out the last step of every episode that was cut, and so other rows would be learned from.
"""
# pyright: reportMissingImports=false

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

_START = "weights as PyTorch begins them, ours orthogonal"
_NORMAL = (
    "the policy's deviation is a sigmoid between its bounds (ours is cut at them) and begins at exp(-1.5) (ours at 1)"
)
DIFFERS = {
    "iql": f"V and Q in one backward pass, so that Q's target has V before its update (ours: after); {_NORMAL}; {_START}",
    "td3bc": f"the policy follows the first, third, ... update of the critics (ours: the second, fourth, ...); {_START}",
    "bc": f"squared error of a deterministic policy (ours: likelihood of a normal, whose mean acts); {_START}",
    "cql": f"Q of the next state's mean action (ours: of a drawn one); the penalty's weight is tuned before the critics; {_START}",
    "awac": "Q's target draws from the tanh of the policy's normal and subtracts log pi with weight 1, as in SAC (ours: neither); "
    f"deviations between exp(-6) and 1 (ours: exp(-5) and exp(2)), beginning at exp(-3) (ours at 1); {_START}",
}


def start(job: dict[str, Any], rows: dict[str, Any]) -> tuple[Any, dict[str, Any], Any]:
    import d3rlpy
    import torch

    d3rlpy.seed(job["seed"])
    config = _config(d3rlpy, job["method"], job["settings"], job["updates"])
    device = "cuda:0" if torch.cuda.is_available() else "cpu:0"
    algo = config.create(device=device)
    algo.create_impl(rows["observation"].shape[1:], rows["action"].shape[1])
    draw = batches(d3rlpy.dataset.TransitionMiniBatch, rows, job["settings"]["batch_size"], job["seed"])

    def run(updates: int) -> None:
        for _ in range(updates):
            algo.update(draw())
        if device != "cpu:0":
            torch.cuda.synchronize()

    return run, _facts(torch, config, job["method"]), acting(algo)


def batches(kind: Any, rows: dict[str, Any], size: int, seed: int) -> Callable[[], Any]:
    """A function that draws a batch of d3rlpy's own kind: `size` of the rows, uniformly with replacement."""
    import numpy as np

    random, count = np.random.default_rng(seed), len(rows["reward"])
    column = {name: np.ascontiguousarray(value, np.float32) for name, value in rows.items()}
    ones, none = np.ones((size, 1), np.float32), np.zeros((size, column["action"].shape[1]), np.float32)

    def draw() -> Any:
        at = random.integers(0, count, size)
        return kind(
            observations=column["observation"][at],
            actions=column["action"][at],
            rewards=column["reward"][at, None],
            next_observations=column["next_observation"][at],
            next_actions=none,  # none of these methods reads it
            terminals=column["terminated"][at, None],
            intervals=ones,
            transitions=[],
        )

    return draw


def acting(algo: Any) -> Callable[[Any], Any]:
    """Its greedy actions."""
    import numpy as np

    return lambda observations: algo.predict(np.asarray(observations, np.float32)).tolist()


def _facts(torch: Any, config: Any, method: str) -> dict[str, Any]:
    plain = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    return {
        "packages": ["d3rlpy", "torch", "numpy", "gymnasium"],
        "device": torch.cuda.get_device_name(0) if torch.cuda.is_available() else "cpu",
        "threads": torch.get_num_threads(),
        "differs": DIFFERS[method],
        "settings": {name: value for name, value in plain.items() if isinstance(value, int | float | str | None)},
    }


def _config(d3rlpy: Any, method: str, ours: dict[str, Any], updates: int) -> Any:
    """The settings that both have, as d3rlpy calls them."""
    hidden = lambda: d3rlpy.models.encoders.VectorEncoderFactory([ours["width"]] * ours["depth"])  # noqa: E731
    if method == "bc":
        return d3rlpy.algos.BCConfig(
            batch_size=ours["batch_size"],
            learning_rate=ours["learning_rate"],
            encoder_factory=hidden(),
            optim_factory=_adam(d3rlpy, ours["policy_schedule"], updates),
        )
    common: dict[str, Any] = {
        "batch_size": ours["batch_size"],
        "gamma": ours["discount"],
        "tau": ours["target_rate"],
        "n_critics": ours["critics"],
        "critic_learning_rate": ours["learning_rate"],
        "actor_learning_rate": ours.get("policy_learning_rate", ours["learning_rate"]),
        "actor_encoder_factory": hidden(),
        "critic_encoder_factory": hidden(),
    }
    return getattr(d3rlpy.algos, _NAMES[method])(**common, **_OWN[method](d3rlpy, ours, updates, hidden))


def _adam(d3rlpy: Any, schedule: str, updates: int) -> Any:
    cosine = d3rlpy.optimizers.lr_schedulers.CosineAnnealingLRFactory(T_max=updates) if schedule == "cosine" else None
    return d3rlpy.optimizers.AdamFactory(lr_scheduler_factory=cosine)


def _iql(d3rlpy: Any, ours: dict[str, Any], updates: int, hidden: Any) -> dict[str, Any]:
    return {
        "expectile": ours["expectile"],
        "weight_temp": ours["inverse_temperature"],
        "max_weight": ours["max_weight"],
        "value_encoder_factory": hidden(),
        "actor_optim_factory": _adam(d3rlpy, ours["policy_schedule"], updates),
    }


def _td3bc(d3rlpy: Any, ours: dict[str, Any], updates: int, hidden: Any) -> dict[str, Any]:
    return {
        "alpha": ours["cloning"],
        "target_smoothing_sigma": ours["target_noise"],
        "target_smoothing_clip": ours["target_noise_clip"],
        "update_actor_interval": ours["policy_delay"],
    }


def _cql(d3rlpy: Any, ours: dict[str, Any], updates: int, hidden: Any) -> dict[str, Any]:
    return {
        "n_action_samples": ours["samples"],
        "conservative_weight": ours["penalty_weight"],
        "alpha_threshold": ours["threshold"],
        "alpha_learning_rate": ours["learning_rate"],
        "temp_learning_rate": ours["entropy_learning_rate"],
        "initial_temperature": ours["entropy_weight"],
    }


def _awac(d3rlpy: Any, ours: dict[str, Any], updates: int, hidden: Any) -> dict[str, Any]:
    return {"lam": 1.0 / ours["inverse_temperature"], "n_action_samples": 1}


_NAMES = {"iql": "IQLConfig", "td3bc": "TD3PlusBCConfig", "cql": "CQLConfig", "awac": "AWACConfig"}
_OWN = {"iql": _iql, "td3bc": _td3bc, "cql": _cql, "awac": _awac}
