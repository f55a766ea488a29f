"""Everything that is to be measured on a GPU, in one go: a table and a JSON file.

    single     updates/s of one run, by method, under XLA's command buffers (off, as they come, and for the loop too) and by precision
    replicas   updates/s in total over replicas of one compiled program, and the memory they take
    kernels    what one update comes to on the device: launches in the loop's body, by kind, and a profile
    parity     parameters after some updates on the GPU, TF32 and exact, against the CPU
    growth     updates/s over batch, width and rows of data
    maze       1,000,000 updates of 16 seeds on pointmaze-medium-goal with evaluation, from the command to the report

XLA reads its flags once, so every setting is a process of its own. Without a GPU it runs on the CPU just as well, and its numbers then say nothing
about one.

    python benchmarks/gpu.py --out gpu.json                        about 25 minutes of one GPU
    python benchmarks/gpu.py --parts single --updates 20 --look    a look
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

PARTS = ("single", "replicas", "kernels", "parity", "growth", "maze")
BUFFERS = {  # XLA's command buffers, which are CUDA graphs
    "off": "--xla_gpu_enable_command_buffer=",
    "default": "",
    "loop": "--xla_gpu_enable_command_buffer=+WHILE",
}
PRECISIONS = ("tensorfloat32", "highest", "bfloat16")
METHODS = ("xql", "iql", "td3bc", "cql", "sac", "emaq")
REPLICAS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
GROWTH = (
    [{"batch": n} for n in (256, 1024, 4096)]
    + [{"width": n} for n in (128, 512, 1024)]
    + [{"rows": n} for n in (10**5, 10**6, 10**7)]
)


# ---- in a process of its own ---------------------------------------------------------------------------------------------


def rate(
    method: str = "xql", *, replicas: int = 1, width: int = 256, batch: int = 256, rows: int = 10**5, **given: Any
) -> dict:
    """Updates/s over all replicas, the median of some chunks; the first one compiles and is apart."""
    import jax

    from extremal import METHODS as KNOWN
    from extremal.bench.job import synthetic
    from extremal.data.transforms import prepare
    from extremal.engine.loop import train
    from extremal.engine.replicas import init_replicas, run_keys, stack

    settings = dataclasses.replace(KNOWN[method].default, width=width, batch_size=batch)
    dataset = synthetic(rows)
    algorithm = settings.algorithm(dataset.spec, updates=10**6)
    fitted, prepared = prepare(algorithm.prepare, dataset)
    algorithms = stack([dataclasses.replace(algorithm, prepare=fitted)] * replicas)
    init, keys = run_keys(list(range(replicas)))
    chunks = train(
        algorithms, init_replicas(algorithms, init), prepared.device(), keys, updates=10**6, every=(given["updates"],)
    )
    first = next(chunks)
    seconds = [next(chunks).seconds for _ in range(given["rounds"])]
    memory = (jax.local_devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
    return {
        "updates_per_second": replicas * given["updates"] / statistics.median(seconds),
        "compile_seconds": first.compile_seconds,
        "peak_bytes": memory,
        "device": jax.devices()[0].device_kind,
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


def kernels(replicas: int = 1, **given: Any) -> dict:
    """Launches of one update: instructions of the loop's body that are a kernel or a library call, by kind."""
    import jax

    program, args, at = lowered(replicas)
    bodies = collections.defaultdict(collections.Counter)
    name = ""
    for line in program.as_text().splitlines():
        if found := re.match(r"(?:ENTRY )?%?([\w.\-]+) \(.*\{$", line):
            name = found[1]
        elif found := re.search(
            r"= \S+ (fusion|custom-call|dot|copy|reduce|sort|scatter|gather|convolution|rng-bit-generator)\(", line
        ):
            kind = re.search(r'custom_call_target="([^"]+)"', line)
            bodies[name][kind[1] if kind else found[1]] += 1
    loop = max(
        (n for n in bodies if "while" in n or "body" in n or "region" in n), key=lambda n: bodies[n].total(), default=""
    )
    folder = Path(given["profile"])
    algorithms, states, dataset, keys, alive = args
    states, _ = program(algorithms, states, dataset, keys, alive, at(0), at(given["updates"]))
    with jax.profiler.trace(str(folder)):
        jax.block_until_ready(program(algorithms, states, dataset, keys, alive, at(0), at(200)))
    return {"body": loop, "launches": bodies[loop].total(), "by_kind": dict(bodies[loop]), "profile": str(folder)}


def parity(out: str, **given: Any) -> dict:
    """Saves the parameters after some updates from the same start, for comparison across devices and precisions."""
    import jax
    import numpy as np

    program, args, at = lowered()
    algorithms, states, dataset, keys, alive = args
    states, _ = program(algorithms, states, dataset, keys, alive, at(0), at(given["updates"]))
    np.savez(out, *(np.asarray(leaf) for leaf in jax.tree.leaves(states.online)))
    return {"updates": given["updates"]}


def maze(out: str, *, seeds: int, **given: Any) -> dict:
    """One `extremal train` as a user starts it, with its report; the first run generates the data, apart."""
    from extremal import load_dataset

    load_dataset("pointmaze-medium-goal")
    words = ["train", "xql", "--dataset", "pointmaze-medium-goal", "--updates", str(given["updates"])]
    clock = time.perf_counter()
    subprocess.run([sys.executable, "-m", "extremal", *words, "--seeds", str(seeds), "--out", out], check=True)
    subprocess.run([sys.executable, "-m", "extremal", "report", out, "--out", f"{out}/report.html"], check=True)
    summary = json.loads(Path(out, "summary.json").read_text("utf-8"))
    kept = ("compile_seconds", "train_seconds", "evaluate_seconds", "results")
    return {"seconds": time.perf_counter() - clock, "seeds": seeds} | {name: summary[name] for name in kept}


# ---- all of it -----------------------------------------------------------------------------------------------------------


def apart(
    what: str, told: dict[str, Any], *, buffers: str = "default", precision: str = "tensorfloat32", cpu: bool = False
) -> dict:
    """`what(**told)` in a process with these flags; what went wrong, instead, if it did."""
    environment = dict(os.environ, JAX_DEFAULT_MATMUL_PRECISION=precision)
    environment["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {BUFFERS[buffers]}".strip()
    if cpu:
        environment |= {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": os.environ.get("XLA_FLAGS", "")}
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder, "answer.json")
        command = [sys.executable, __file__, "--child", json.dumps([what, told, str(answer)])]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        found = json.loads(answer.read_text("utf-8")) if answer.exists() else {"failed": done.stderr[-600:]}
    found = {"part": what, "buffers": buffers, "precision": precision, **told, **found}
    print(
        json.dumps({k: round(v, 1) if isinstance(v, float) else v for k, v in found.items() if k != "results"}),
        flush=True,
    )
    return found


def measure(parts: list[str], out: Path, *, updates: int, rounds: int, look: bool) -> dict[str, Any]:
    told = {"updates": updates, "rounds": rounds}
    few = (lambda values: values[:2]) if look else (lambda values: values)
    found: dict[str, Any] = {}
    if "single" in parts:
        found["single"] = [apart("rate", {"method": m, **told}, buffers=b) for m in few(METHODS) for b in BUFFERS]
        found["single"] += [apart("rate", {"method": "xql", **told}, precision=p) for p in PRECISIONS[1:]]
    if "replicas" in parts:
        found["replicas"] = [
            apart("rate", {"replicas": n, **told}, buffers=b) for b in ("default", "loop") for n in few(REPLICAS)
        ]
    if "kernels" in parts:
        profile = lambda n: str(out.parent / f"{out.stem}-profile-{n}")  # noqa: E731
        found["kernels"] = [
            apart("kernels", {"replicas": n, "profile": profile(n), **told}) for n in (1, 64)[: 1 if look else 2]
        ]
    if "parity" in parts:
        found["parity"] = compared(out, min(updates, 100))
    if "growth" in parts:
        found["growth"] = [apart("rate", {**change, **told}) for change in few(GROWTH)]
    if "maze" in parts:
        size = {"updates": 1000 if look else 10**6, "seeds": 2 if look else 16}
        with tempfile.TemporaryDirectory() as folder:
            found["maze"] = apart("maze", {"out": str(Path(folder, "maze")), **size})
    return found


def compared(out: Path, updates: int) -> dict[str, float]:
    """The largest difference of a parameter from the CPU's, exact and TF32."""
    import numpy as np

    with tempfile.TemporaryDirectory() as folder:
        files = {name: str(Path(folder, f"{name}.npz")) for name in ("cpu", "highest", "tensorfloat32")}
        apart("parity", {"out": files["cpu"], "updates": updates}, precision="highest", cpu=True)
        for name in ("highest", "tensorfloat32"):
            apart("parity", {"out": files[name], "updates": updates}, precision=name)
        read = {name: np.load(file, allow_pickle=False) for name, file in files.items() if Path(file).exists()}
        return {
            name: max(float(np.max(np.abs(arrays[key] - read["cpu"][key]))) for key in arrays.files)
            for name, arrays in read.items()
            if name != "cpu"
        } | {"updates": updates}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--updates", type=int, default=20_000, help="per chunk and replica")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--look", action="store_true", help="the first few of everything")
    parser.add_argument("--out", type=Path, default=Path("gpu.json"))
    parser.add_argument("--child", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        what, told, answer = json.loads(given.child)
        told = {"rounds": given.rounds, **told}
        Path(answer).write_text(
            json.dumps({"rate": rate, "kernels": kernels, "parity": parity, "maze": maze}[what](**told)), "utf-8"
        )
        return
    from extremal.core.files import write_json

    found = measure(given.parts, given.out, updates=given.updates, rounds=given.rounds, look=given.look)
    write_json(given.out, {"settings": {"updates": given.updates, "rounds": given.rounds}, **found})


if __name__ == "__main__":
    main()
