"""Kill `extremal train` with SIGKILL at random moments, resume it each time, and compare it with an uninterrupted run.

    python scripts/kill_and_resume.py                       ten kills, XQL, data made up here
    python scripts/kill_and_resume.py --method bc --kills 3

Moments fall anywhere: while Python starts, while the program compiles, while a chunk is trained, evaluated or saved. The
final checkpoints must agree bit for bit, and so must the tables, except what a clock measured. Exit code 1 if not.
"""

from __future__ import annotations

import argparse
import csv
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

import extremal

TIMED = ("seconds", "updates_per_second")
CHECKPOINTS = 100  # of a run


def made_up_data(path: Path) -> str:
    """The id of a small dataset, written to `path`."""
    noise, episodes = np.random.default_rng(0), []
    for number in range(50):
        observation = np.cumsum(noise.normal(size=(41, 4)), axis=0) / 6.0
        action = np.clip(observation[:-1, :2] + noise.normal(size=(40, 2)), -1.0, 1.0)
        columns = {"observation": observation, "action": action, "reward": -np.abs(observation[1:, 0])}
        episodes.append(columns | {"terminated": number % 2 == 0})
    extremal.save_dataset(extremal.Dataset.from_episodes(episodes), f"npz:{path}")
    return f"npz:{path}"


def start(options: argparse.Namespace, dataset: str, out: Path) -> subprocess.Popen:
    """The command, under way; it resumes whatever is in `out`."""
    given = {"dataset": dataset, "out": out, "updates": options.updates, "seeds": options.seeds, "width": options.width}
    given |= {
        "evaluate-every": max(options.updates // CHECKPOINTS, 1),
        "log-every": max(options.updates // (2 * CHECKPOINTS), 1),
    }
    words = [word for name, value in given.items() for word in (f"--{name}", str(value))]
    command = [sys.executable, "-m", "extremal", "train", options.method, *words, "--resume"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def finished(process: subprocess.Popen) -> None:
    if code := process.wait():
        raise SystemExit(f"training failed with exit code {code}")


def uninterrupted(options: argparse.Namespace, dataset: str, out: Path) -> tuple[float, float]:
    """Seconds until training began, and seconds that it took."""
    began, clock = None, time.perf_counter()
    process = start(options, dataset, out)
    while process.poll() is None:
        if began is None and reached(out):
            began = time.perf_counter()
        time.sleep(0.01)
    finished(process)
    end = time.perf_counter()
    began = began or end
    return began - clock, end - began


def reached(out: Path) -> int:
    """The update of the last checkpoint; 0 without one."""
    return max((int(file.stem) for file in (out / "checkpoints").glob("[0-9]*.safetensors")), default=0)


def killed(options: argparse.Namespace, dataset: str, out: Path, starting: float, training: float) -> int:
    """How many processes were killed on the way to the end: every third while it starts, the others while they train."""
    count = 0
    for number in range(options.kills):
        process, goal = start(options, dataset, out), reached(out) + random.randrange(options.updates // options.kills)
        if number % 3 == 1:
            time.sleep(random.uniform(0.0, starting))
        while number % 3 != 1 and process.poll() is None and reached(out) <= goal:
            time.sleep(0.001)
        time.sleep(random.uniform(0.0, 2.0 * training / CHECKPOINTS))  # anywhere between two checkpoints
        process.send_signal(signal.SIGKILL)
        count += process.wait() == -signal.SIGKILL
        print(f"  kill {count}: last checkpoint at update {reached(out)}", flush=True)
    finished(start(options, dataset, out))
    return count


def table(path: Path) -> list[dict[str, str]]:
    """Rows of a table without what a clock measured."""
    with path.open(newline="", encoding="utf-8") as file:
        return [{name: x for name, x in row.items() if name not in TIMED} for row in csv.DictReader(file)]


def differences(one: Path, other: Path) -> list[str]:
    """What differs between two finished runs."""
    first, second = (load_file(max((path / "checkpoints").glob("[0-9]*.safetensors"))) for path in (one, other))
    odd = sorted(first.keys() ^ second.keys())
    odd += [name for name in first.keys() & second.keys() if first[name].tobytes() != second[name].tobytes()]
    odd += [name for name in ("metrics.csv", "evaluations.csv") if table(one / name) != table(other / name)]
    return odd


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", default="xql", help="default: xql")
    parser.add_argument("--dataset", help="an id, instead of data made up here")
    parser.add_argument("--updates", type=int, default=30_000, help="default: 30000")
    parser.add_argument("--width", type=int, default=32, help="default: 32")
    parser.add_argument("--seeds", type=int, default=2, help="default: 2")
    parser.add_argument("--kills", type=int, default=10, help="default: 10")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        whole, torn = Path(folder, "whole"), Path(folder, "torn")
        dataset = options.dataset or made_up_data(Path(folder, "log.npz"))
        starting, training = uninterrupted(options, dataset, whole)
        print(f"{options.method}, uninterrupted: {starting:.1f} s to the first checkpoint, {training:.1f} s from there")
        count = killed(options, dataset, torn, starting, training)
        odd = differences(whole, torn)
        arrays = len(load_file(max((whole / "checkpoints").glob("[0-9]*.safetensors"))))
        verdict = f"differ in {', '.join(odd)}" if odd else "are bitwise equal, and so are the tables"
        print(
            f"{count} of {options.kills} kills; {options.updates} updates; {arrays} arrays of the last checkpoint {verdict}"
        )
    return 1 if odd else 0


if __name__ == "__main__":
    sys.exit(main())
