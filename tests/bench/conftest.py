"""Programs of known speed in the places of the library and its peers."""

import sys

import pytest

from extremal.bench import measure

SCRIPT = """
import json, sys

RATES = {"ours.py": 400.0, "d3rlpy_side.py": 100.0, "sbx_side.py": 320.0, "stable_baselines3_side.py": 80.0}
NAMES = {"ours.py": "extremal", "d3rlpy_side.py": "d3rlpy", "sbx_side.py": "sbx-rl", "stable_baselines3_side.py": "stable-baselines3"}
side, turn, job = sys.argv[1].replace("\\\\", "/").rsplit("/", 1)[-1], 0, None
if side == "torchrl_side.py":
    RATES[side] = 50.0
    NAMES[side] = "torchrl"
for line in sys.stdin:
    command, given = json.loads(line)
    if command == "start":
        job = given
        answer = {"first_call": 1.5, "peak_bytes": 3 * 2**30, "device": "cpu", "dtype": "float32", "versions": {NAMES[side]: "9.9"}}
        answer["differs"] = "" if side == "ours.py" else f"{side} is made up"
    elif side == "torchrl_side.py":
        print("the last words", file=sys.stderr, flush=True)
        sys.exit(3)
    else:
        slow = 1 + turn % 3  # a slow minute hits every program alike
        turn += 1
        taken = slow * job["replicas"] * given * job["batch"] / 256 / RATES[side]
        answer = {"seconds": taken, "processor_seconds": 1.5 * taken}
    print(json.dumps({"result": answer}), flush=True)
"""


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """The path of the script that answers fixed speeds; every program is this one."""
    script = tmp_path / "fake.py"
    script.write_text(SCRIPT)
    monkeypatch.setattr(measure, "SERVE", script)
    monkeypatch.setattr(measure, "python_with", lambda packages: sys.executable)
    return script
