"""Strict numerics for the whole suite, on four fake CPU devices; real data is read where `EXTREMAL_DATA` names it."""

import os

os.environ["XLA_FLAGS"] = " ".join(
    [
        os.environ.get("XLA_FLAGS", ""),
        "--xla_force_host_platform_device_count=4",
        # Tests compile much and compute little. Without the fusion emitters it would be faster still, and now and then wrong.
        "--xla_backend_optimization_level=0",
    ]
)
os.environ.setdefault("JAX_PLATFORMS", "cpu")

from pathlib import Path

import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")

collect_ignore_glob = ["*/conftest.py"]  # they hold fixtures, not doctests; several would be one module


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data; skips the test where it is absent."""
    root = os.environ.get("EXTREMAL_DATA")
    if not root or not Path(root).is_dir():
        pytest.skip("needs real data: set EXTREMAL_DATA to the folder that holds dapg/, neorl2/, ...")
    return Path(root)
