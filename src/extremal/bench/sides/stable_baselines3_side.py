"""stable-baselines3: `train` of a model whose replay buffer holds the data; nothing acts."""
# pyright: reportMissingImports=false

from __future__ import annotations

from typing import Any

DIFFERS = {"sac": "the entropy's weight is tuned first", "td3": ""}


def start(job: dict[str, Any], rows: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    import stable_baselines3
    import torch

    model = made(stable_baselines3, job, rows)

    def run(updates: int) -> None:
        model.train(gradient_steps=updates, batch_size=job["batch"])
        if model.device.type == "cuda":
            torch.cuda.synchronize()

    return run, {
        "packages": ["stable-baselines3", "torch", "numpy", "gymnasium"],
        "device": torch.cuda.get_device_name(0) if model.device.type == "cuda" else "cpu",
        "dtype": str(next(model.actor.parameters()).dtype).removeprefix("torch."),
        "differs": DIFFERS[job["method"]],
    }


def made(package: Any, job: dict[str, Any], rows: dict[str, Any]) -> Any:
    """The model of `package`, stable-baselines3 or one that is built on it, with the data in its replay buffer."""
    import torch
    from stable_baselines3.common.logger import configure

    torch.set_num_threads(job["threads"])
    model = getattr(package, job["method"].upper())(
        "MlpPolicy",
        _spaces(rows),
        learning_rate=3e-4,
        batch_size=job["batch"],
        buffer_size=len(rows["reward"]),
        policy_kwargs={"net_arch": [job["width"]] * job["depth"]},
    )
    model.set_logger(configure(None, []))
    fill(model.replay_buffer, rows)
    return model


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
