"""Small data and short training, for what happens to runs."""

import os
import signal
from pathlib import Path

import numpy as np
from safetensors import safe_open

import extremal
from extremal.runs.train import checkpoints

SMALL = extremal.BC(width=8, batch_size=16, policy_schedule="constant")  # compiles fastest


def log(seed=0, *, observations=3, **changes) -> extremal.Dataset:
    """Twenty episodes of eight steps, without a simulator; the action follows the observation."""
    random = np.random.default_rng(seed)
    episodes = []
    for number in range(20):
        steps = 0.1 * random.normal(size=(9, observations))
        observation = (random.normal(size=observations) + np.cumsum(steps, axis=0)).astype(np.float32)
        action = np.clip(4.0 + observation[:-1, :2] + 0.1 * random.normal(size=(8, 2)), 2.0, 6.0).astype(np.float32)
        columns = {"observation": observation, "action": action, "reward": random.normal(size=8).astype(np.float32)}
        episodes.append(columns | changes | {"terminated": number % 2 == 0})
    return extremal.Dataset.from_episodes(episodes, card=extremal.Card(name="follow"))


def train(out, algorithm=SMALL, dataset=None, **options) -> extremal.Run:
    """A short training; any argument may be another."""
    options = {"updates": 40, "evaluate_every": 20, "log_every": 10, "out": out} | options
    return extremal.train(algorithm, log() if dataset is None else dataset, **options)


def again(path) -> extremal.Run:
    """Go on with a run of two seeds."""
    return train(path, seeds=2, resume=True)


def stop_at(number):
    """A watcher that interrupts the training at update `number`."""

    def watch(update, metrics):
        if update == number:
            os.kill(os.getpid(), signal.SIGINT)

    return watch


def arrays(run: extremal.Run | Path) -> dict[str, bytes]:
    """What is in the last checkpoint, to be compared bit for bit."""
    with safe_open(checkpoints(Path(getattr(run, "path", run)))[-1], framework="numpy") as file:
        return {name: file.get_tensor(name).tobytes() for name in sorted(file.keys())}


def contents(path: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}
