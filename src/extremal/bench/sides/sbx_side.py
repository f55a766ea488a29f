"""sbx-rl: `train` of a model whose replay buffer holds the data; one compiled program makes all updates of a call."""
# pyright: reportMissingImports=false

from __future__ import annotations

from typing import Any

_BATCHES = "the batches of a call are drawn on the host beforehand"
DIFFERS = {"sac": _BATCHES, "td3": f"the policy follows the smaller critic; {_BATCHES}"}


def start(job: dict[str, Any], rows: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    import jax
    import sbx
    import torch
    from stable_baselines3.common.logger import configure

    torch.set_num_threads(job["threads"])  # its replay buffer is stable-baselines3's
    model = getattr(sbx, job["method"].upper())(
        "MlpPolicy",
        _spaces(rows),
        learning_rate=3e-4,
        batch_size=job["batch"],
        buffer_size=len(rows["reward"]),
        policy_kwargs={"net_arch": [job["width"]] * job["depth"]},
    )
    model.set_logger(configure(None, []))
    fill(model.replay_buffer, rows)

    def run(updates: int) -> None:
        for _ in range(updates // job["call"]):
            model.train(gradient_steps=job["call"], batch_size=job["batch"])
        jax.block_until_ready((model.policy.actor_state.params, model.policy.qf_state.params))

    device = jax.devices()[0]
    return run, {
        "packages": ["sbx-rl", "jax", "jaxlib", "flax", "optax", "stable-baselines3", "numpy", "gymnasium"],
        "device": "cpu" if device.platform == "cpu" else device.device_kind,
        "dtype": str(jax.tree.leaves(model.policy.actor_state.params)[0].dtype),
        "differs": DIFFERS[job["method"]],
    }


def _spaces(rows: dict[str, Any]) -> Any:
    """An environment that has these observations and actions, and is never stepped."""
    import gymnasium
    import numpy as np

    class Still(gymnasium.Env):
        observation_space = gymnasium.spaces.Box(-np.inf, np.inf, rows["observation"].shape[1:], np.float32)
        action_space = gymnasium.spaces.Box(-1.0, 1.0, rows["action"].shape[1:], np.float32)

    return Still()


def fill(buffer: Any, rows: dict[str, Any]) -> None:
    for name, column in (
        ("observations", rows["observation"]),
        ("next_observations", rows["next_observation"]),
        ("actions", rows["action"]),
        ("rewards", rows["reward"]),
        ("dones", rows["terminated"]),
    ):
        getattr(buffer, name)[:, 0] = column
    buffer.pos, buffer.full = 0, True
