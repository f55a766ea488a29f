"""d3rlpy: `update` on batches of its own replay buffer, which its `fit` does too, besides logging and a progress bar."""
# pyright: reportMissingImports=false

from __future__ import annotations

from typing import Any

_BATCHES = "batches put together in Python, row by row; the last step of an episode that was cut is left out"
DIFFERS = {
    "iql": f"V and Q in one backward pass, the policy after them; {_BATCHES}",
    "td3bc": _BATCHES,
    "td3": _BATCHES,
    "sac": _BATCHES,
    "cql": f"Q of the next state's mean action; {_BATCHES}",
}


def start(job: dict[str, Any], rows: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    import d3rlpy
    import torch

    torch.set_num_threads(job["threads"])
    device = "cuda:0" if torch.cuda.is_available() else "cpu:0"
    data = d3rlpy.dataset.MDPDataset(
        rows["observation"],
        rows["action"],
        rows["reward"][:, None],
        rows["terminated"].astype("float32"),
        rows["truncated"].astype("float32"),
        action_space=d3rlpy.constants.ActionSpace.CONTINUOUS,
    )
    algo = _config(d3rlpy.algos, job, _networks(d3rlpy, job)).create(device=device)
    algo.build_with_dataset(data)

    def run(updates: int) -> None:
        for _ in range(updates):
            algo.update(data.sample_transition_batch(job["batch"]))
        if device != "cpu:0":
            torch.cuda.synchronize()

    weight = next(algo.impl.modules.policy.parameters())
    return run, {
        "packages": ["d3rlpy", "torch", "numpy", "gymnasium"],
        "device": torch.cuda.get_device_name(0) if torch.cuda.is_available() else "cpu",
        "dtype": str(weight.dtype).removeprefix("torch."),
        "differs": DIFFERS[job["method"]],
    }


def _networks(d3rlpy: Any, job: dict[str, Any]) -> dict[str, Any]:
    hidden = lambda: d3rlpy.models.encoders.VectorEncoderFactory([job["width"]] * job["depth"])  # noqa: E731
    return {"actor_encoder_factory": hidden(), "critic_encoder_factory": hidden(), "batch_size": job["batch"]}


def _config(algos: Any, job: dict[str, Any], networks: dict[str, Any]) -> Any:
    method = job["method"]
    if method == "iql":
        return algos.IQLConfig(**networks, value_encoder_factory=networks["critic_encoder_factory"])
    if method == "td3bc":
        return algos.TD3PlusBCConfig(**networks)
    if method == "td3":
        return algos.TD3Config(**networks)
    if method == "sac":
        return algos.SACConfig(**networks)
    if method == "cql":
        return algos.CQLConfig(**networks, n_action_samples=10)
    raise ValueError(f"no {method} here")
