"""Everything that is to be measured on a GPU: a table and a JSON file, which is written after each measurement and taken up again.

    single     updates/s of one run, by method, under XLA's command buffers (off, as they come, and for loops too) and by precision
    replicas   updates/s in total over replicas of one compiled program, and the memory they take
    kernels    what one update comes to on the device: kernels and copies by the trace, busy share, and launches in the program's text
    parity     networks after some updates on the GPU, TF32 and exact, against the CPU, with the tolerance that they are held to
    growth     updates/s over batch, width and rows of data
    maze       1,000,000 updates of 16 seeds on pointmaze-medium-goal with evaluation, from the command to the report

XLA reads its flags once, so every setting is a process of its own, and one that hangs is ended. What the file has already is not measured again: a
command that was cut short goes on where it stopped. Without a GPU it runs on the CPU just as well, and its numbers then say nothing about one.

    python benchmarks/gpu.py --out gpu.json --parts single          a part at a time: some minutes each
    python benchmarks/gpu.py --out look.json --seconds 0.1 --look   the first few of everything

It needs the package (or PYTHONPATH=src, with what the package itself needs) and JAX with CUDA; `maze` needs the environments, too, and makes its data
where the cache folder has none. A trace is large: it stays in OUT-trace-N beside the file.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from extremal.core.files import write_json

PARTS = ("single", "replicas", "kernels", "parity", "growth", "maze")
BUFFERS = {  # XLA's command buffers, which are CUDA graphs
    "off": "--xla_gpu_enable_command_buffer=",
    "default": "",
    "loop": "--xla_gpu_enable_command_buffer=+WHILE,+CONDITIONAL",
}
PRECISIONS = ("tensorfloat32", "highest", "BF16_BF16_F32")
# Mean difference of the parameters from the CPU's, over the mean way that they went.
TOLERANCE = {"highest": 0.01, "tensorfloat32": 0.2}
TIMEOUT = 550.0  # seconds of one measurement
TRACED = 200  # updates
CHUNK = {"cql": 500, "emaq": 100}  # updates of one call, of methods that take long over one
METHODS = ("xql", "iql", "td3bc", "cql", "sac", "emaq")
REPLICAS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
GROWTH = (
    [{"batch": n} for n in (256, 1024, 4096)]
    + [{"width": n} for n in (128, 512, 1024)]
    + [{"rows": n} for n in (10**5, 10**6, 10**7)]
)


# ---- in a process of its own ---------------------------------------------------------------------------------------------


def about() -> dict:
    """The device and the versions."""
    from extremal.runs.plan import versions

    return versions() | {"xla_flags": os.environ.get("XLA_FLAGS", "")}


def rate(
    method: str = "xql",
    *,
    replicas: int = 1,
    width: int = 256,
    batch: int = 256,
    rows: int = 10**5,
    seconds: float,
) -> dict:
    """Updates/s over all replicas: the median of as many calls as fit in `seconds`, at least three; the first compiles, and is apart."""
    import jax

    from extremal import METHODS as KNOWN
    from extremal.bench.job import synthetic
    from extremal.data.transforms import prepare
    from extremal.engine.loop import train
    from extremal.engine.replicas import init_replicas, run_keys, stack

    settings = dataclasses.replace(KNOWN[method].default, width=width, batch_size=batch)
    dataset = synthetic(rows)
    algorithm = settings.algorithm(dataset.spec, updates=10**8)
    fitted, prepared = prepare(algorithm.prepare, dataset)
    algorithms = stack([dataclasses.replace(algorithm, prepare=fitted)] * replicas)
    init, keys = run_keys(list(range(replicas)))
    work = max(replicas / 8, 1.0) * max(batch / 256, 1.0) * max(width / 256, 1.0) ** 2
    chunk = max(int(CHUNK.get(method, 5000) / work), 100) if jax.default_backend() != "cpu" else 20
    chunks = train(algorithms, init_replicas(algorithms, init), prepared.device(), keys, updates=10**8, every=(chunk,))
    first, taken = next(chunks), [next(chunks).seconds]
    while len(taken) < 3 or sum(taken) < seconds:
        taken.append(next(chunks).seconds)
    memory = (jax.local_devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
    return {
        "updates_per_second": replicas * chunk / statistics.median(taken),
        "chunk": chunk,
        "calls": len(taken),
        "compile_seconds": first.compile_seconds,
        "peak_bytes": memory,
    }


def lowered(replicas: int = 1) -> Any:
    """The engine's compiled program for XQL with its defaults, and what it is called with."""
    import jax.numpy as jnp
    import numpy as np

    from extremal import XQL
    from extremal.bench.job import synthetic
    from extremal.engine.replicas import fastest, init_replicas, mesh, place, run_keys, stack, train_replicas

    dataset = synthetic(10**4)
    algorithms = stack([XQL().algorithm(dataset.spec, updates=10**6)] * replicas)
    init, keys = run_keys(list(range(replicas)))
    devices = mesh(replicas)
    states, alive = init_replicas(algorithms, init), np.ones(replicas, bool)
    args = (
        *place(devices, (algorithms, states, keys)),
        place(devices, dataset, replicated=True),
        place(devices, alive),
    )
    algorithms, states, keys, dataset, alive = args
    at = lambda n: jnp.asarray(n, jnp.int32)  # noqa: E731
    program = train_replicas.lower(
        algorithms, states, dataset, keys, alive, at(0), at(0), how=fastest(), devices=devices
    ).compile()
    return program, (algorithms, states, dataset, keys, alive), at


def kernels(replicas: int = 1, *, trace: str) -> dict:
    """What one update comes to: by a trace of what ran, and by the program's text."""
    import jax

    program, args, at = lowered(replicas)
    algorithms, states, dataset, keys, alive = args
    states, _ = program(algorithms, states, dataset, keys, alive, at(0), at(TRACED))
    with jax.profiler.trace(trace):
        jax.block_until_ready(program(algorithms, states, dataset, keys, alive, at(0), at(TRACED)))
    return {"launches_in_text": in_text(program.as_text()), **in_trace(Path(trace))}


KINDS = "fusion|custom-call|dot|copy|reduce|sort|scatter|gather|convolution|rng-bit-generator"


def in_text(text: str) -> dict[str, int]:
    """By kind, instructions that are a kernel or a library call, in the computation that has most of them: the loop's body."""
    bodies: dict[str, collections.Counter] = collections.defaultdict(collections.Counter)
    name = ""
    for line in text.splitlines():
        if found := re.match(r"(?:ENTRY )?%?([\w.\-]+) \(.*\{$", line):
            name = found[1]
        elif found := re.search(rf"= (?:\([^=]*\)|\S+) ({KINDS})\(", line):  # a type may be a tuple's
            target = re.search(r'custom_call_target="([^"]+)"', line)
            bodies[name][target[1] if target else found[1]] += 1
    return dict(max(bodies.values(), key=lambda body: body.total(), default=collections.Counter()))


def in_trace(folder: Path) -> dict[str, Any]:
    """Events on the device's streams per update, the most frequent of them, and the share of the time in which one ran."""
    import jax

    data = jax.profiler.ProfileData.from_file(str(sorted(folder.rglob("*.xplane.pb"))[-1]))
    streams = [
        line for plane in data.planes if "/device:" in plane.name for line in plane.lines if "Stream" in line.name
    ]
    events = [event for line in streams for event in line.events]
    if not events:
        return {"events_per_update": None, "told": "no stream of a device is in the trace"}
    named = collections.Counter(re.sub(r"[.\d]+$", "", event.name) for event in events)
    whole = max(e.start_ns + e.duration_ns for e in events) - min(e.start_ns for e in events)
    return {
        "events_per_update": len(events) / TRACED,
        "microseconds_per_update": whole / TRACED / 1e3,
        "busy": sum(event.duration_ns for event in events) / whole,
        "most": {name: count / TRACED for name, count in named.most_common(20)},
    }


def parity(out: str, *, updates: int) -> dict:
    """Saves the networks before and after some updates, for comparison across devices and precisions."""
    import jax
    import numpy as np

    program, args, at = lowered()
    algorithms, states, dataset, keys, alive = args
    found = {f"before{n}": np.asarray(leaf) for n, leaf in enumerate(jax.tree.leaves(states.online))}
    states, _ = program(algorithms, states, dataset, keys, alive, at(0), at(updates))
    found |= {f"after{n}": np.asarray(leaf) for n, leaf in enumerate(jax.tree.leaves(states.online))}
    np.savez(out, allow_pickle=False, **found)
    return {}


def maze(*, updates: int, seeds: int) -> dict:
    """One `extremal train` as a user starts it, with its report; the data are made first, apart."""
    run = lambda *words: subprocess.run([sys.executable, "-m", "extremal", *words], check=True)  # noqa: E731
    run("data", "check", "pointmaze-medium-goal")
    with tempfile.TemporaryDirectory() as folder:
        out, clock = str(Path(folder, "run")), time.perf_counter()
        size = ("--updates", str(updates), "--seeds", str(seeds))
        run("train", "xql", "--dataset", "pointmaze-medium-goal", *size, "--out", out)
        run("report", out, "--out", f"{out}.html")
        seconds = time.perf_counter() - clock
        summary = json.loads(Path(out, "summary.json").read_text("utf-8"))
    kept = ("compile_seconds", "train_seconds", "evaluate_seconds", "results")
    return {"seconds": seconds} | {name: summary[name] for name in kept}


# ---- all of it -----------------------------------------------------------------------------------------------------------

PROGRAMS = {program.__name__: program for program in (about, rate, kernels, parity, maze)}


def apart(what: str, told: dict[str, Any], *, buffers: str, precision: str, cpu: bool = False) -> dict:
    """`what(**told)` in a process with these flags; what went wrong, instead, if it did."""
    environment = dict(os.environ, JAX_DEFAULT_MATMUL_PRECISION=precision, XLA_PYTHON_CLIENT_PREALLOCATE="false")
    environment["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {BUFFERS[buffers]}".strip()
    if cpu:
        environment |= {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": os.environ.get("XLA_FLAGS", "")}
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder, "answer.json")
        command = [sys.executable, __file__, "--child", json.dumps([what, told, str(answer)])]
        try:
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, check=False, timeout=TIMEOUT
            )
        except subprocess.TimeoutExpired:
            return {"failed": f"not finished after {TIMEOUT:g} s"}
        return json.loads(answer.read_text("utf-8")) if answer.exists() else {"failed": done.stderr[-4000:]}


class Table:
    """What is measured, in a file that holds it from the first number on."""

    def __init__(self, file: Path):
        self.file = file
        self.found: dict[str, Any] = json.loads(file.read_text("utf-8")) if file.exists() else {"rows": []}

    def measure(
        self,
        part: str,
        what: str,
        told: dict[str, Any],
        *,
        buffers: str = "default",
        precision: str = PRECISIONS[0],
        **how: Any,
    ) -> dict:
        """One row; not again, where it stands there already and did not fail."""
        setting = {"part": part, "what": what, "buffers": buffers, "precision": precision, **told, **how}
        for row in self.found["rows"]:
            if row["setting"] == setting and "failed" not in row["result"]:
                return row["result"]
        result = apart(what, told, buffers=buffers, precision=precision, **how)
        self.found["rows"] = [row for row in self.found["rows"] if row["setting"] != setting]
        self.found["rows"].append({"setting": setting, "result": result})
        write_json(self.file, self.found)
        short = {name: round(x, 2) if isinstance(x, float) else x for name, x in result.items() if name != "results"}
        print(json.dumps(setting), json.dumps(short), flush=True)
        return result

    def best(self) -> str:
        """The command buffers under which one run of XQL was fastest, where that was measured."""
        rows = [row for row in self.found["rows"] if row["setting"]["part"] == "single"]
        known = {
            row["setting"]["buffers"]: row["result"]["updates_per_second"]
            for row in rows
            if row["setting"].get("method") == "xql" and "updates_per_second" in row["result"]
        }
        return max(known, key=lambda name: known[name], default="default")


def measure(table: Table, parts: list[str], *, seconds: float, look: bool) -> None:
    few = (lambda values: values[:2]) if look else (lambda values: values)
    told = {"seconds": seconds}
    if "single" in parts:
        for method in few(METHODS):
            for buffers in BUFFERS:
                table.measure("single", "rate", {"method": method, **told}, buffers=buffers)
        for precision in PRECISIONS[1:]:
            table.measure("single", "rate", {"method": "xql", **told}, buffers=table.best(), precision=precision)
    if "replicas" in parts:
        for replicas in few(REPLICAS):
            table.measure("replicas", "rate", {"replicas": replicas, **told}, buffers=table.best())
    if "kernels" in parts:
        for replicas in (1, 64)[: 1 if look else 2]:
            trace = str(table.file.with_name(f"{table.file.stem}-trace-{replicas}"))
            table.measure("kernels", "kernels", {"replicas": replicas, "trace": trace}, buffers="off")
    if "parity" in parts:
        compare(table, updates=100)
    if "growth" in parts:
        for change in few(GROWTH):
            table.measure("growth", "rate", {**change, **told}, buffers=table.best())
    if "maze" in parts:
        size = {"updates": 1000 if look else 10**6, "seeds": 2 if look else 16}
        table.measure("maze", "maze", size, buffers=table.best())


def compare(table: Table, *, updates: int) -> None:
    """How far the networks are from the CPU's, exact and TF32, over how far they went; and whether that is within tolerance."""
    import numpy as np

    with tempfile.TemporaryDirectory() as folder:
        read = {}
        for name, how in (("cpu", {"cpu": True}), ("highest", {}), ("tensorfloat32", {})):
            file, precision = Path(folder, f"{name}.npz"), "highest" if name == "cpu" else name
            said = apart(
                "parity", {"out": str(file), "updates": updates}, buffers="default", precision=precision, **how
            )
            if "failed" in said:
                print(json.dumps({"parity": name, **said}), flush=True)
            else:
                read[name] = dict(np.load(file, allow_pickle=False))
    if "cpu" not in read:
        return
    after = [name for name in read["cpu"] if name.startswith("after")]
    mean = lambda pairs: float(np.mean(np.concatenate([np.abs(a - b).ravel() for a, b in pairs])))  # noqa: E731
    went = mean([(read["cpu"][name], read["cpu"][name.replace("after", "before")]) for name in after])
    for name, allowed in TOLERANCE.items():
        if name in read:
            share = mean([(read[name][leaf], read["cpu"][leaf]) for leaf in after]) / went
            table.found.setdefault("parity", {})[name] = {"apart": share, "allowed": allowed, "holds": share <= allowed}
            print(json.dumps({"parity": name, **table.found["parity"][name]}), flush=True)
    write_json(table.file, table.found)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--seconds", type=float, default=5.0, help="of updates, for each figure of speed")
    parser.add_argument("--look", action="store_true", help="the first few of everything")
    parser.add_argument("--out", type=Path, default=Path("gpu.json"))
    parser.add_argument("--child", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        what, told, answer = json.loads(given.child)
        Path(answer).write_text(json.dumps(PROGRAMS[what](**told)), "utf-8")
        return
    table = Table(given.out)
    table.measure("about", "about", {})
    measure(table, given.parts, seconds=given.seconds, look=given.look)


if __name__ == "__main__":
    main()
