"""Strict numerics for the whole suite, on four fake CPU devices; real data is read where `EXTREMAL_DATA` names it."""

import os

os.environ["XLA_FLAGS"] = " ".join(
    [
        os.environ.get("XLA_FLAGS", ""),
        "--xla_force_host_platform_device_count=4",
        # Tests compile much and compute little. At level 0 without the fusion emitters, compiled code is now and then wrong.
        "--xla_backend_optimization_level=1",
        "--xla_cpu_use_fusion_emitters=false",
        "--xla_cpu_parallel_codegen_split_count=1",
    ]
)
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("EXTREMAL_PROGRAMS", "none")  # the user's own cache is not filled by tests
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # the tests themselves run side by side

from pathlib import Path

import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")

collect_ignore_glob = ["conftest.py", "*/conftest.py"]  # they hold fixtures, not doctests; several would be one module


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data; skips the test where it is absent."""
    root = os.environ.get("EXTREMAL_DATA")
    if not root or not Path(root).is_dir():
        pytest.skip("needs real data: set EXTREMAL_DATA to the folder that holds dapg/, neorl2/, ...")
    return Path(root)


@pytest.fixture(scope="session")
def small_maze(tmp_path_factory) -> str:
    """The id of a small maze's log, in a file: it has a simulator, and so scores."""
    pytest.importorskip("mujoco", reason="needs MuJoCo")
    from extremal import save_dataset
    from extremal.data.pointmaze import generate

    path = tmp_path_factory.mktemp("data") / "maze.npz"
    save_dataset(generate("pointmaze-umaze-goal", rows=2000), f"npz:{path}")
    return f"npz:{path}"
