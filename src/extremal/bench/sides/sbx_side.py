"""sbx-rl: `train` of a model whose replay buffer holds the data; one compiled program makes all updates of a call."""
# pyright: reportMissingImports=false

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

made = runpy.run_path(str(Path(__file__).with_name("stable_baselines3_side.py")))["made"]  # its replay buffer is theirs

_BATCHES = "the batches of a call are drawn on the host beforehand"
DIFFERS = {
    "sac": _BATCHES,
    "td3": f"the policy follows the smaller critic, slow copies move at every update; {_BATCHES}",
}


def start(job: dict[str, Any], rows: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    import jax
    import sbx

    model = made(sbx, job, rows)

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
