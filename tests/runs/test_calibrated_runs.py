"""What a run with a model of the behaviour keeps of its calibration, and that its report draws it."""

import numpy as np
import pytest

from extremal.algorithms.behaviour import Behaviour
from extremal.report import write_report
from extremal.report.runs import read_run
from extremal.runs.calibration import FILE

SMALL = Behaviour(model="gaussian", width=8, depth=1, batch_size=16)


@pytest.fixture(scope="module")
def modelled(train, tmp_path_factory):
    return train(tmp_path_factory.mktemp("runs") / "model", SMALL, seeds=2, holdout=0.2)


def test_the_likelihood_of_held_out_actions_stands_beside_that_of_training(modelled, read_rows):
    rows = [row for row in read_rows(modelled.path / "metrics.csv") if row["update"] in {"20", "40"}]
    assert len(rows) == 4
    for row in rows:
        assert np.isfinite([float(row[name]) for name in ("behaviour/log_prob", "heldout/behaviour/log_prob")]).all()
    told = {result["metric"]: result for result in modelled.results}["heldout/behaviour/log_prob"]
    assert told["per_seed"] == [float(row["heldout/behaviour/log_prob"]) for row in rows if row["update"] == "40"]


def test_the_calibration_of_each_replica_is_kept(modelled):
    known = read_run(modelled.path).calibration
    assert known is not None
    assert known["share"].shape == known["low"].shape == known["high"].shape == (2, 2, 20)
    np.testing.assert_allclose(known["share"].sum(axis=-1), 1.0, rtol=1e-6)
    assert np.all(known["low"] <= known["share"] + 1e-9)
    assert np.all(known["share"] <= known["high"] + 1e-9)
    assert (known["steps"], known["episodes"]) == (32, 4)
    assert not np.array_equal(known["share"][0], known["share"][1])


def test_the_report_draws_it(modelled, tmp_path):
    pytest.importorskip("matplotlib", reason="needs matplotlib")
    text = write_report([modelled.path], tmp_path / "page.html", title="A model").read_text("utf-8")
    assert "How well each model knows the behaviour" in text
    assert "entry 0: off by 0." in text
    assert "entry 1: off by 0." in text
    assert "behaviour/log_prob" in text


def test_what_has_no_model_keeps_none(cloned):
    assert (cloned.plan.holdout, (cloned.path / FILE).exists()) == (0.1, False)
