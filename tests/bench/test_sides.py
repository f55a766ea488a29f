"""The far side of a race: what it is sent, what it answers, and how it ends; and the library's own side."""

import ast
import dataclasses
import importlib.util
import json
import sys

import numpy as np
import pytest

from extremal.bench import ours
from extremal.bench.contestant import Contestant
from extremal.bench.job import Job, synthetic, write_rows
from extremal.bench.peers import METHODS, PEERS, SERVE
from extremal.bench.sides.serve import Server, answer
from extremal.core.errors import PeerError

SIDE = """
import sys

def start(job, rows):
    print("this is no answer")
    made = []
    def run(updates):
        if updates == 13:
            raise ValueError("thirteen")
        if updates == 7:
            print("seven!", file=sys.stderr, flush=True)
            import os
            os._exit(4)
        made.append(updates)
    facts = {"packages": ["numpy"], "device": "cpu", "dtype": str(rows["reward"].dtype), "differs": f"width {job['width']}"}
    return run, facts
"""


@pytest.fixture
def job(tmp_path) -> Job:
    write_rows(synthetic(30, observation=3, action=2), tmp_path / "rows.npz")
    return Job(method="td3", data=str(tmp_path / "rows.npz"), width=8, batch=4, call=2)


@pytest.fixture
def contestant(tmp_path):
    (tmp_path / "side.py").write_text(SIDE)
    one = Contestant("it", [sys.executable, str(SERVE), str(tmp_path / "side.py")], threads=1)
    yield one
    one.stop()


def test_a_job_makes_the_round_trip(contestant, job):
    facts = contestant.start(job)
    assert (facts["dtype"], facts["differs"]) == ("float32", "width 8")
    assert facts["versions"]["numpy"] == np.__version__
    assert facts["first_call"] >= 0.0
    assert 2**20 < facts["peak_bytes"] < 2**40
    taken = contestant.run(5)
    assert taken.seconds >= 0.0
    assert taken.processor_seconds >= 0.0


def test_an_error_over_there_is_told_and_the_next_request_is_answered(contestant, job):
    with pytest.raises(PeerError, match="it raised RuntimeError: there is no job yet"):
        contestant.run(1)
    contestant.start(job)
    with pytest.raises(PeerError, match="it raised ValueError: thirteen\nTraceback"):
        contestant.run(13)
    assert contestant.run(1).seconds >= 0.0


def test_a_death_is_told_with_what_it_wrote_last(contestant, job):
    contestant.start(job)
    with pytest.raises(PeerError, match=r"it died \(exit status 4\); it wrote last:\n(.*\n)*seven!"):
        contestant.run(7)
    with pytest.raises(PeerError, match="it has ended"):
        contestant.run(1)


def test_what_cannot_be_started_is_told():
    with pytest.raises(PeerError, match=r"it cannot be started: .*no-such-python"):
        Contestant("it", ["no-such-python"], threads=1)


def test_unknown_requests_are_refused():
    assert "unknown request 'stop'" in json.loads(answer(Server("side.py"), b'["stop", 1]'))["error"]


@pytest.mark.slow
def test_the_library_trains_on_the_rows_that_were_written(job):
    rows = dict(np.load(job.data))
    data = ours.dataset(rows)
    given = synthetic(30, observation=3, action=2).row(np.arange(30))
    for name, column in data.row(np.arange(data.rows))._asdict().items():
        np.testing.assert_array_equal(column, getattr(given, name))
    run, facts = ours.start(dataclasses.asdict(job), rows)
    run(4)
    assert facts["dtype"] == "float32"


def test_every_method_of_the_bench_has_settings_of_these_sizes():
    assert set(ours.SETTINGS) == set(METHODS)
    assert all(
        {"width", "depth", "batch_size"} <= {f.name for f in dataclasses.fields(s)} for s in ours.SETTINGS.values()
    )


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_says_of_each_of_its_methods_what_differs_and_knows_nothing_of_us(name):
    spec = importlib.util.spec_from_file_location("side", PEERS[name].side)
    side = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(side)  # without its package: that is imported by `start`
    assert set(side.DIFFERS) == set(PEERS[name].methods) <= set(METHODS)
    tree = ast.parse(PEERS[name].side.read_text("utf-8"))
    imported = [a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names]
    imported += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert not [module for module in imported if module.split(".")[0] == "extremal"]
