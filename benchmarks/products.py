"""How fast a CPU takes the matrix products that updates are made of: by shape, by kind and by library, beside one large product.

    forward   x @ w         of [B, W] and [W, W]
    back      dy @ w^T      the slope in x
    weight    x^T @ dy      the slope in w

Every update of every method is of these. The shortest of the rounds counts: what a product takes when nothing disturbs it.

    python benchmarks/products.py --out products.json    wants an idle machine
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from engine import peak_flops, seconds
from extremal.core.files import write_json
from extremal.engine.products import LIBRARIES, compiler_options
from extremal.runs.plan import versions

SHAPES = ((256, 64), (256, 128), (256, 256), (256, 512), (1024, 128), (1984, 256))  # of a batch; of CQL's tile
WORK = 2e9  # operations of a call, about


def forward(x: jax.Array, w: jax.Array) -> jax.Array:
    return x @ w


def back(x: jax.Array, w: jax.Array) -> jax.Array:
    return x @ w.T


def weight(x: jax.Array, w: jax.Array) -> jax.Array:
    """The product of the slope; what it gives is laid on x, so that the next one waits for it."""
    slope = x.T @ x
    return x + 0.0 * slope[:1, :]


KINDS: dict[str, Callable[[jax.Array, jax.Array], jax.Array]] = {"forward": forward, "back": back, "weight": weight}


def measure(rows: int, width: int, rounds: int) -> list[dict[str, Any]]:
    """Operations a second of each kind, by each library; they take turns."""
    x, w = jnp.full((rows, width), 1e-3), jnp.eye(width)
    repeats = max(1, int(WORK / (2 * rows * width**2)))
    programs = {}
    for kind, product in KINDS.items():
        chain = jax.jit(lambda x, w, product=product: jax.lax.fori_loop(0, repeats, lambda _, x: product(x, w), x))
        lowered = chain.lower(x, w)
        for library in LIBRARIES:
            programs[kind, library] = lowered.compile(compiler_options=compiler_options(library))
    taken: dict[Any, list[float]] = {name: [] for name in programs}
    for _ in range(rounds):
        for name, program in programs.items():
            taken[name].append(seconds(lambda program=program: program(x, w)))
    flops = 2 * rows * width**2 * repeats
    return [
        {"rows": rows, "width": width, "kind": kind, "library": library, "flops_per_second": flops / min(times)}
        for (kind, library), times in taken.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--out", type=Path, help="also write the numbers to this JSON file")
    given = parser.parse_args()
    peak = peak_flops()
    print(f"one large product: {peak / 1e9:.0f} GFLOP/s\n\n   B    W    " + "".join(f"{k:>20s}" for k in KINDS))
    print(" " * 13 + "".join(f"{library:>10s}" for _ in KINDS for library in LIBRARIES))
    rows = []
    for size in SHAPES:
        measured = measure(*size, given.rounds)
        print(
            f"{size[0]:5d} {size[1]:4d}   " + "".join(f"{m['flops_per_second'] / 1e9:10.0f}" for m in measured),
            flush=True,
        )
        rows += measured
    if given.out is not None:
        write_json(given.out, {"versions": versions(), "peak_flops_per_second": peak, "rows": rows})


if __name__ == "__main__":
    main()
