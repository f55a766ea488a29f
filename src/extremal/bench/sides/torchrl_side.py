"""TorchRL: its loss modules in a plain loop, with its replay buffer and slow copies, as its own examples put them together."""
# pyright: reportMissingImports=false

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_AT_ONCE = "all networks in one backward pass, each seeing the others as they were"
DIFFERS = {
    "iql": f"{_AT_ONCE}; a tanh-normal policy whose deviation depends on the state",
    "cql": f"{_AT_ONCE}; the loss of cloning, which is not trained, comes with it",
    "sac": _AT_ONCE,
    "td3": "",
    "td3bc": "",
}


def start(job: dict[str, Any], rows: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    import torch

    torch.set_num_threads(job["threads"])
    device = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    buffer = _buffer(job, rows, device)
    loss = _loss(job, rows["observation"].shape[1], rows["action"].shape[1], device)
    loss.make_value_estimator(gamma=0.99)
    update = (_delayed if job["method"] in ("td3", "td3bc") else _together)(loss)

    def run(updates: int) -> None:
        for _ in range(updates):
            update(buffer.sample())
        if device.type == "cuda":
            torch.cuda.synchronize()

    return run, {
        "packages": ["torchrl", "tensordict", "torch", "numpy"],
        "device": torch.cuda.get_device_name(0) if device.type == "cuda" else "cpu",
        "dtype": str(next(loss.parameters()).dtype).removeprefix("torch."),
        "differs": DIFFERS[job["method"]],
    }


def _buffer(job: dict[str, Any], rows: dict[str, Any], device: Any) -> Any:
    import torch
    from tensordict import TensorDict
    from torchrl.data import LazyTensorStorage, TensorDictReplayBuffer

    count = len(rows["reward"])
    ended = torch.as_tensor(rows["terminated"])[:, None]
    table = {
        "observation": torch.as_tensor(rows["observation"]),
        "action": torch.as_tensor(rows["action"]),
        ("next", "observation"): torch.as_tensor(rows["next_observation"]),
        ("next", "reward"): torch.as_tensor(rows["reward"])[:, None],
        ("next", "terminated"): ended,
        ("next", "done"): ended,
    }
    buffer = TensorDictReplayBuffer(storage=LazyTensorStorage(count, device=device), batch_size=job["batch"])
    buffer.extend(TensorDict(table, batch_size=[count]))
    return buffer


# ---- networks and losses -------------------------------------------------------------------------------------------------


def _loss(job: dict[str, Any], observation: int, action: int, device: Any) -> Any:
    from torchrl import objectives
    from torchrl.modules import ValueOperator

    method = job["method"]
    critic = ValueOperator(_net(job, observation + action, 1, device), in_keys=["observation", "action"])
    if method in ("td3", "td3bc"):
        kind = objectives.TD3Loss if method == "td3" else objectives.TD3BCLoss
        return kind(_certain(job, observation, action, device), critic, bounds=(-1.0, 1.0), loss_function="l2")
    actor = _random(job, observation, action, device)
    if method == "iql":
        value = ValueOperator(_net(job, observation, 1, device), in_keys=["observation"])
        return objectives.IQLLoss(actor, critic, value, loss_function="l2", temperature=3.0, expectile=0.7)
    if method == "sac":
        return objectives.SACLoss(actor, critic, loss_function="l2", target_entropy=-float(action))
    if method == "cql":
        return objectives.CQLLoss(
            actor, critic, loss_function="l2", num_random=10, with_lagrange=True, lagrange_thresh=10.0, min_q_weight=5.0
        )
    raise ValueError(f"no {method} here")


def _net(job: dict[str, Any], inputs: int, outputs: int, device: Any) -> Any:
    import torch
    from torchrl.modules import MLP

    hidden = [job["width"]] * job["depth"]
    return MLP(
        in_features=inputs, out_features=outputs, num_cells=hidden, activation_class=torch.nn.ReLU, device=device
    )


def _bounds(action: int, device: Any) -> Any:
    import torch
    from torchrl.data import Bounded

    return Bounded(-torch.ones(action, device=device), torch.ones(action, device=device), (action,))


def _random(job: dict[str, Any], observation: int, action: int, device: Any) -> Any:
    import torch
    from tensordict.nn import TensorDictModule
    from tensordict.nn.distributions import NormalParamExtractor
    from torchrl.modules import ProbabilisticActor, TanhNormal

    net = torch.nn.Sequential(_net(job, observation, 2 * action, device), NormalParamExtractor())
    return ProbabilisticActor(
        module=TensorDictModule(net, in_keys=["observation"], out_keys=["loc", "scale"]),
        in_keys=["loc", "scale"],
        spec=_bounds(action, device),
        distribution_class=TanhNormal,
    )


def _certain(job: dict[str, Any], observation: int, action: int, device: Any) -> Any:
    from tensordict.nn import TensorDictModule
    from torchrl.modules import ProbabilisticActor, TanhDelta

    return ProbabilisticActor(
        module=TensorDictModule(_net(job, observation, action, device), in_keys=["observation"], out_keys=["param"]),
        in_keys=["param"],
        spec=_bounds(action, device),
        distribution_class=TanhDelta,
    )


# ---- one update ----------------------------------------------------------------------------------------------------------


def _together(loss: Any) -> Callable[[Any], None]:
    """Every loss of the module but that of a policy which clones."""
    import torch
    from torchrl.objectives import SoftUpdate

    optimiser, slow = torch.optim.Adam(loss.parameters(), lr=3e-4), SoftUpdate(loss, tau=0.005)

    def update(batch: Any) -> None:
        found = loss(batch)
        names = [name for name in found.keys() if name.startswith("loss_") and name != "loss_actor_bc"]  # noqa: SIM118
        total: Any = sum(found[name] for name in names)
        total.backward()
        optimiser.step()
        optimiser.zero_grad()
        slow.step()

    return update


def _delayed(loss: Any) -> Callable[[Any], None]:
    """The critics at every update, the policy and the slow copies at every second one."""
    import torch
    from torchrl.objectives import SoftUpdate

    critics = torch.optim.Adam(loss.qvalue_network_params.flatten_keys().values(), lr=3e-4)
    actor = torch.optim.Adam(loss.actor_network_params.flatten_keys().values(), lr=3e-4)
    slow, made = SoftUpdate(loss, tau=0.005), 0
    critics_loss = (
        loss.value_loss if hasattr(loss, "value_loss") else loss.qvalue_loss
    )  # TD3's and TD3+BC's names of it

    def update(batch: Any) -> None:
        nonlocal made
        made += 1
        value, *_ = critics_loss(batch)
        critics.zero_grad()
        value.backward()
        critics.step()
        if made % 2 == 0:
            improvement, *_ = loss.actor_loss(batch)
            actor.zero_grad()
            improvement.backward()
            actor.step()
            slow.step()

    return update
