"""How long a command and a script take before they train: this checkout beside another one, in turns; medians over the rounds are told.

help            `extremal --help`
import          `import extremal`
list            `extremal data list`
cold, warm      `extremal train xql`, up to the end of its first update, with an empty cache folder, and once more with it
line            the same command with its programs kept, up to the line that says that training begins, where there is one
python, again   `extremal.train(extremal.XQL(), ...)` of one update in a process of its own, and in the next process

python benchmarks/startup.py --base ../before --out startup.json     wants an idle machine
python benchmarks/startup.py --rounds 1                              a look, at this checkout alone
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

LINE = "training begins"

# The command, which leaves when the first chunk, one update, is done.
FIRST_UPDATE = """
import os, sys
from extremal.cli import main
from extremal.runs.train import Training
Training._after = lambda *_: os._exit(0)
sys.exit(main())
"""
PYTHON = """
import sys, extremal
extremal.train(extremal.XQL(), sys.argv[1], updates=1, out=sys.argv[2], environment="none")
"""


class Side:
    """A checkout, and a cache folder that only it uses."""

    def __init__(self, path: Path, folder: Path, data: str):
        self.folder, self.data, self.runs = folder, data, 0
        self.environment = {**os.environ, "PYTHONPATH": str(path / "src"), "EXTREMAL_CACHE": str(folder / "none")}
        self.environment.pop("EXTREMAL_PROGRAMS", None)
        self.environment.pop("JAX_COMPILATION_CACHE_DIR", None)

    def seconds(self, *words: str, until: str | None = None) -> float:
        """Of a Python with these words; to a line of its standard error that holds `until`, NaN where none does."""
        clock = time.perf_counter()
        running = subprocess.Popen(
            [sys.executable, *words], env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        assert running.stderr is not None
        came, said = float("nan"), []
        for line in running.stderr:
            said.append(line)
            if until is not None and until in line and came != came:
                came = time.perf_counter() - clock
        if running.wait() != 0:
            raise SystemExit(f"{words}: {''.join(said)}")
        return time.perf_counter() - clock if until is None else came

    def out(self) -> str:
        self.runs += 1
        return str(self.folder / f"run{self.runs}")

    def train(self) -> list[str]:
        words = ["train", "xql", "--dataset", self.data, "--environment", "none", "--updates", "1", "--log-every", "1"]
        return [*words, "--out", self.out()]

    def round(self, number: int) -> dict[str, float]:
        """Every measurement once."""
        measured = {
            "help": self.seconds("-m", "extremal", "--help"),
            "import": self.seconds("-c", "import extremal"),
            "list": self.seconds("-m", "extremal", "data", "list"),
        }
        self.environment["EXTREMAL_CACHE"] = str(self.folder / f"command{number}")
        measured["cold"] = self.seconds("-c", FIRST_UPDATE, *self.train())
        measured["warm"] = self.seconds("-c", FIRST_UPDATE, *self.train())
        measured["line"] = self.seconds("-m", "extremal", *self.train(), until=LINE)
        self.environment["EXTREMAL_CACHE"] = str(self.folder / f"python{number}")
        measured["python"] = self.seconds("-c", PYTHON, self.data, self.out())
        measured["again"] = self.seconds("-c", PYTHON, self.data, self.out())
        return measured


def log(path: Path) -> str:
    """The id of forty episodes of a random walk that is pushed about."""
    random, columns = np.random.default_rng(0), {"observation": [], "action": [], "next_observation": []}
    lengths = random.integers(20, 40, size=40)
    for length in lengths:
        action = random.uniform(-1, 1, size=(length, 2))
        walk = np.concatenate([random.normal(size=(1, 2)), action + 0.1 * random.normal(size=(length, 2))]).cumsum(
            axis=0
        )
        for name, value in (("observation", walk[:-1]), ("action", action), ("next_observation", walk[1:])):
            columns[name].append(value.astype(np.float32))
    ends = np.zeros(lengths.sum(), bool)
    ends[lengths.cumsum() - 1] = True
    whole = {name: np.concatenate(values) for name, values in columns.items()}
    reward = -np.linalg.norm(whole["next_observation"], axis=1)
    np.savez(path, allow_pickle=False, reward=reward, terminated=np.zeros_like(ends), truncated=ends, **whole)
    return f"npz:{path}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, help="another checkout")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, help="write every measurement there, as JSON")
    chosen = parser.parse_args()
    checkouts = {"base": chosen.base} if chosen.base else {}
    checkouts["here"] = Path(__file__).parent.parent
    with tempfile.TemporaryDirectory() as folder:
        data = log(Path(folder) / "log.npz")
        sides = {name: Side(path.resolve(), Path(folder) / name, data) for name, path in checkouts.items()}
        for side in sides.values():  # reads the disk, and writes bytecode
            side.seconds("-c", "import extremal.runs.run, extremal.cli")
        rounds = [{name: side.round(n) for name, side in sides.items()} for n in range(chosen.rounds)]
    median: Callable[[str, str], float] = lambda name, what: statistics.median(one[name][what] for one in rounds)  # noqa: E731
    print("seconds  " + "".join(f"{name:>9}" for name in sides))
    for what in rounds[0]["here"]:
        print(f"{what:9}" + "".join(f"{median(name, what):9.2f}" for name in sides))
    if chosen.out:
        chosen.out.write_text(json.dumps(rounds, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
