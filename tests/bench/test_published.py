"""Published curves: drawn where the data are D4RL's own file, and nowhere else."""

import gzip

import pytest

from extremal.bench.scores.published import published
from extremal.core.errors import DataError

ROWS = """algo,env,seed,iteration,mean,std_dev,min,max,median
xql,hopper-medium-v2,1,1000,1607.0138475,0,0,0,0
xql,hopper-medium-v2,1,2000,3234.3,0,0,0,0
xql,hopper-medium-v2,2,1000,-20.272305,0,0,0,0
xql,walker2d-medium-v2,1,1000,5.0,0,0,0,0
iql,hopper-medium-v2,1,1000,5.0,0,0,0,0
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "results").mkdir()
    with gzip.open(tmp_path / "results" / "nnabla_rl_curves.csv.gz", "wt") as file:
        file.write(ROWS)
    monkeypatch.setenv("EXTREMAL_DATA", str(tmp_path))
    return tmp_path


def test_a_curve_a_seed_in_points(folder):
    found = published("xql", "d4rl:data/hopper_medium-v2.hdf5", "hopper-medium-v2")
    assert found["because"] == ""
    (one, other) = found["curves"]
    assert (one["program"], one["seed"], other["seed"]) == ("nnabla-rl, published", 1, 2)
    assert one["curve"] == [
        {"update": 1000, "score": pytest.approx(50.0)},
        {"update": 2000, "score": pytest.approx(100.0)},
    ]
    assert other["curve"] == [{"update": 1000, "score": 0.0}]


@pytest.mark.parametrize("id", ["hopper-medium", "npz:hopper_medium-v2.npz", "minari:D4RL/hopper/medium-v2"])
def test_a_log_of_another_origin_has_none_though_its_reference_is_the_same(folder, id):
    found = published("xql", id, "hopper-medium-v2")
    assert found["curves"] == []
    assert "is not one of D4RL's sets" in found["because"]


def test_a_method_that_nobody_published_is_told(folder):
    found = published("emaq", "d4rl:hopper_medium-v2.hdf5", "hopper-medium-v2")
    assert (found["curves"], found["because"]) == (
        [],
        "no curve of emaq on hopper-medium-v2 is among the published ones",
    )


def test_without_a_folder_that_is_told(monkeypatch):
    monkeypatch.delenv("EXTREMAL_DATA", raising=False)
    assert "EXTREMAL_DATA names no folder" in published("xql", "d4rl:x.hdf5", "hopper-medium-v2")["because"]


def test_a_damaged_file_is_told(folder):
    (folder / "results" / "nnabla_rl_curves.csv.gz").write_bytes(b"no archive")
    with pytest.raises(DataError, match="holds no curves that can be read"):
        published("xql", "d4rl:hopper_medium-v2.hdf5", "hopper-medium-v2")


def test_the_real_ones_are_read(real_data, monkeypatch):
    if not (real_data / "results" / "nnabla_rl_curves.csv.gz").exists():
        pytest.skip("needs the published curves")
    monkeypatch.setenv("EXTREMAL_DATA", str(real_data))
    curves = published("xql", "d4rl:hopper_medium-v2.hdf5", "hopper-medium-v2")["curves"]
    assert [curve["seed"] for curve in curves] == [1, 10, 100]
    last = [curve["curve"][-1] for curve in curves]
    assert {point["update"] for point in last} == {1_000_000}
    returns = (2150.489, 2396.522, 2070.376)
    assert [point["score"] for point in last] == pytest.approx([100 * (x + 20.272305) / 3254.572305 for x in returns])
