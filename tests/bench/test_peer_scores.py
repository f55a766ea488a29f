"""Scores beside a peer: same rows, same episodes, one evaluator; what is finished stays. The peer is a script of known actions."""

import dataclasses
import hashlib
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

import extremal
from extremal.bench import peers
from extremal.bench.peers import Peer
from extremal.bench.scores import run as comparing
from extremal.bench.scores.cells import Cells
from extremal.bench.scores.options import Options
from extremal.bench.scores.run import scores
from extremal.core.errors import ConfigError, RunError, SpecError
from extremal.data.transforms import apply
from extremal.evaluation.rollout import rollout
from extremal.evaluation.scores import normalised
from extremal.runs.judge import evaluation_seed
from extremal.runs.plan import read_plan

pytest.importorskip("matplotlib", reason="needs matplotlib")

STEPS = 8
SIMULATOR = f"Pendulum-v1?max_episode_steps={STEPS}"
HALF = 0.5  # what the peer does, in the units of prepared actions
SIDE = """
import hashlib, os
import numpy as np

def start(job, rows):
    trouble = os.environ.get("TROUBLE", "")
    with open(os.environ["STARTED"], "a") as file:
        file.write(f"{job['method']} {job['seed']}\\n")
    if trouble == "cannot" and job["seed"] == 2:
        raise ValueError("seed two is refused")
    made = []

    def run(updates):
        made.append(updates)

    def act(observations):
        x = np.asarray(observations)
        nothing = trouble == "nan" and job["seed"] == 1 and sum(made) == 4
        return np.full((len(x), rows["action"].shape[1]), np.nan if nothing else 0.5).tolist()

    digest = {name: hashlib.sha256(rows[name].tobytes()).hexdigest() for name in rows}
    settings = {"learning_rate": job["settings"]["learning_rate"], "width": job["settings"]["width"], "digest": digest}
    return run, {"packages": ["numpy"], "device": "cpu", "differs": "it never learns", "settings": settings}, act
"""


@pytest.fixture(scope="module")
def id(tmp_path_factory) -> str:
    """Of a log of a pendulum: twelve episodes of eight steps, every third one terminated."""
    random, episodes = np.random.default_rng(0), []
    for number in range(12):
        observation = random.normal(size=(STEPS + 1, 3)).astype(np.float32)
        columns = {"observation": observation, "action": random.uniform(-2.0, 2.0, (STEPS, 1)).astype(np.float32)}
        columns |= {"reward": random.normal(size=STEPS).astype(np.float32)}
        episodes.append(columns | {"terminated": number % 3 == 0})
    card = extremal.Card(
        name="swung", environment=SIMULATOR, reference="Pipeline", action_low=(-2.0,), action_high=(2.0,)
    )
    path = tmp_path_factory.mktemp("data") / "swung.npz"
    extremal.save_dataset(extremal.Dataset.from_episodes(episodes, card=card), f"npz:{path}")
    return f"npz:{path}"


@pytest.fixture(scope="module")
def chosen(id):
    """The options of the comparison; any may be another."""
    small = {"methods": ("bc",), "updates": 4, "seeds": 4, "width": 8, "batch": 16, "evaluate_every": 2, "episodes": 2}
    return lambda **others: Options(**({"dataset": id, "last_episodes": 3} | small | others))


@pytest.fixture
def peer(tmp_path, monkeypatch):
    """The script stands for d3rlpy; gives a function that tells which seeds it was started for since it was asked last."""
    return _stand_in(tmp_path, monkeypatch)


def _stand_in(folder: Path, patch: pytest.MonkeyPatch):
    (folder / "side.py").write_text(SIDE)
    packages = folder / "side.txt"
    packages.write_text("none==1\n")
    patch.setitem(peers.LEARNERS, "d3rlpy", Peer(folder / "side.py", packages, peers.LEARNERS["d3rlpy"].methods))
    patch.setattr(comparing, "python_with", lambda packages: Path(sys.executable))
    started = folder / "started"
    patch.setenv("STARTED", str(started))

    def since() -> list[str]:
        lines = started.read_text().splitlines() if started.exists() else []
        started.unlink(missing_ok=True)
        return lines

    return since


@pytest.fixture(scope="module")
def finished(chosen, tmp_path_factory):
    """A finished comparison: its folder, and its record. Read only; `copy` is one to go on with."""
    out = tmp_path_factory.mktemp("scores") / "out"
    with pytest.MonkeyPatch.context() as patch:
        _stand_in(tmp_path_factory.mktemp("side"), patch)
        return out, scores(out, chosen())


@pytest.fixture
def copy(finished, tmp_path) -> Path:
    return Path(shutil.copytree(finished[0], tmp_path / "out"))


def _cells(record, program):
    return [cell for cell in record["cells"] if cell["program"] == program]


def test_both_programs_have_a_curve_and_a_last_score_a_seed(finished):
    out, record = finished
    assert json.loads((out / "scores.json").read_text()) == record
    assert (out / "scores.png").read_bytes().startswith(b"\x89PNG")
    assert record["points"] == [2, 4]
    for program in ("extremal", "d3rlpy"):
        cells = _cells(record, program)
        assert [cell["seed"] for cell in cells] == [0, 1, 2, 3]
        for cell in cells:
            assert [point["update"] for point in cell["curve"]] == [2, 4]
            assert [len(point["returns"]) for point in (*cell["curve"], cell["last"])] == [2, 2, 3]
            assert cell["last"]["returns"][:2] == cell["curve"][-1]["returns"]  # the last ones begin alike
            assert cell["last"]["score"] == pytest.approx(normalised(cell["last"]["returns"], "Pipeline").mean())


def test_the_peers_policy_is_judged_by_our_evaluator_with_our_seeds(finished):
    _, record = finished
    for cell in _cells(record, "d3rlpy"):
        for point in cell["curve"]:
            seed = evaluation_seed(cell["seed"], point["update"])
            alone = rollout(lambda x: np.full((len(x), 1), 2.0 * HALF), SIMULATOR, episodes=2, seed=seed)
            assert point["returns"] == list(alone.returns)
            assert record["evaluation_seeds"][str(cell["seed"])][str(point["update"])] == seed


def test_ours_is_the_run_of_extremal_train(finished):
    out, record = finished
    run = extremal.Run(out / "runs" / "bc")
    for cell in _cells(record, "extremal"):
        alone = rollout(run.policy(cell["seed"]), SIMULATOR, episodes=3, seed=evaluation_seed(cell["seed"], 4))
        assert cell["last"]["returns"] == list(alone.returns)


def test_both_learn_from_the_same_rows_and_all_of_them(finished, id):
    out, record = finished
    plan, data = read_plan(out / "runs" / "bc"), extremal.load_dataset(id)
    assert plan.holdout == 0.0
    assert record["data"]["rows"] == data.rows == 12 * STEPS
    prepared = apply(plan.prepare, data)
    batch = prepared.row(np.arange(data.rows))._asdict()
    digest = _cells(record, "d3rlpy")[0]["settings"]["digest"]
    for name in ("observation", "action", "reward", "next_observation"):
        assert digest[name] == hashlib.sha256(np.asarray(batch[name]).tobytes()).hexdigest(), name
    assert digest["terminated"] == hashlib.sha256(batch["terminated"].astype(bool).tobytes()).hexdigest()
    assert np.abs(prepared.action).max() <= 1.0 < np.abs(data.action).max()


def test_the_settings_of_both_sides_are_told(finished):
    _, record = finished
    ours, theirs = (_cells(record, program)[0]["settings"] for program in ("extremal", "d3rlpy"))
    assert (ours["learning_rate"], ours["width"]) == (theirs["learning_rate"], theirs["width"]) == (3e-4, 8)
    assert record["rows"][0]["differs"] == "it never learns"


def test_the_row_has_the_difference_of_the_means_and_its_intervals(finished):
    import scipy.stats

    _, record = finished
    (row,) = record["rows"]
    scored = [[cell["last"]["score"] for cell in _cells(record, program)] for program in ("extremal", "d3rlpy")]
    assert [row["ours"], row["theirs"]] == scored
    assert row["difference"] == pytest.approx(np.mean(scored[0]) - np.mean(scored[1]))
    known = scipy.stats.ttest_ind(*scored, equal_var=False)
    for level in (0.9, 0.95):
        expected = known.confidence_interval(level)
        assert row["intervals"][str(level)] == [pytest.approx(expected.low), pytest.approx(expected.high)]


def test_what_is_finished_is_found_again(copy, finished, chosen, peer):
    (copy / "cells" / "bc-d3rlpy-2.json").unlink()
    assert scores(copy, chosen())["rows"] == finished[1]["rows"]
    assert peer() == ["bc 2"]
    scores(copy, chosen())
    assert peer() == []


def test_an_interrupted_comparison_goes_on(copy, finished, chosen, peer):
    for name in ("bc-extremal-1", "bc-extremal-3", "bc-d3rlpy-0"):
        (copy / "cells" / f"{name}.json").unlink()
    (copy / "scores.json").unlink()
    (copy / "scores.png").unlink()
    found = scores(copy, chosen())
    assert [cell["last"] for cell in found["cells"]] == [cell["last"] for cell in finished[1]["cells"]]
    assert peer() == ["bc 0"]


def test_a_comparison_with_other_options_is_refused(copy, chosen, peer):
    with pytest.raises(ConfigError, match=r"holds scores with updates 4 \(now 6\); .* --overwrite"):
        scores(copy, chosen(updates=6))
    assert peer() == []
    assert (copy / "cells" / "bc-d3rlpy-2.json").exists()


def test_overwriting_begins_anew(copy, chosen):
    Cells(copy).begin(chosen(updates=6).decisive(), overwrite=True)
    assert [file.name for file in copy.iterdir() if file.name != "lock"] == ["options.json"]


def test_a_folder_of_something_else_is_refused(tmp_path, chosen, peer):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("")
    with pytest.raises(ConfigError, match=r"holds thesis\.tex and no scores"):
        scores(tmp_path / "mine", chosen(), overwrite=True)
    assert (tmp_path / "mine" / "thesis.tex").exists()


def test_a_damaged_cell_is_told(copy, chosen, peer):
    (copy / "cells" / "bc-d3rlpy-2.json").write_text('{"method": "bc"}')
    with pytest.raises(RunError, match=r"bc-d3rlpy-2\.json is damaged: it lacks program; delete it"):
        scores(copy, chosen())


def test_a_peer_that_fails_is_told_and_the_other_seeds_go_on(copy, chosen, peer, monkeypatch):
    for file in (copy / "cells").glob("bc-d3rlpy-*"):
        file.unlink()
    monkeypatch.setenv("TROUBLE", "cannot")
    record = scores(copy, chosen())
    (said,) = record["failures"]
    assert said.startswith("bc, seed 2: d3rlpy raised ValueError: seed two is refused")
    assert [cell["seed"] for cell in _cells(record, "d3rlpy")] == [0, 1, 3]
    (row,) = record["rows"]
    assert (row["verdict"], row["because"]) == (
        "no verdict",
        "4 seeds of ours and 3 of theirs; 4 of each are the least",
    )
    assert peer() == ["bc 0", "bc 1", "bc 2", "bc 3"]
    monkeypatch.delenv("TROUBLE")
    assert scores(copy, chosen())["failures"] == []
    assert peer() == ["bc 2"]


def test_a_seed_that_diverges_keeps_its_curve_and_there_is_no_verdict(copy, chosen, peer, monkeypatch):
    for file in (copy / "cells").glob("bc-d3rlpy-*"):
        file.unlink()
    monkeypatch.setenv("TROUBLE", "nan")
    record = scores(copy, chosen())
    fallen = _cells(record, "d3rlpy")[1]
    assert (fallen["last"], [point["update"] for point in fallen["curve"]]) == (None, [2])
    (row,) = record["rows"]
    assert row["verdict"] == "no verdict"
    assert row["because"] == "d3rlpy, seed 1, diverged: its actions were not finite after 4 updates"
    assert len(row["theirs"]) == 3


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"methods": ("iqll",)}, "unknown method of bench --scores 'iqll'; did you mean 'iql'"),
        ({"methods": ()}, "name a method at least"),
        ({"methods": ("iql", "iql")}, "name each once"),
        ({"peers": ("torchrl",)}, "unknown peer of bench --scores 'torchrl'"),
        ({"seeds": 0}, "seeds is 0, expected"),
        ({"updates": 0}, "updates is 0, expected"),
        ({"episodes": -1}, "episodes is -1, expected"),
        ({"reward_range": 0.0}, "reward_range is 0.0, expected"),
        ({"threads": 10**6}, "threads is 1000000; this process may use"),
    ],
)
def test_impossible_wishes_are_refused(given, said, chosen):
    with pytest.raises(ConfigError, match=said):
        chosen(**given)


def test_data_without_a_simulator_are_refused_before_anything_is_trained(tmp_path, chosen, peer, id):
    data = extremal.load_dataset(id)
    bare = data.replace(card=dataclasses.replace(data.card, environment=None))
    extremal.save_dataset(bare, f"npz:{tmp_path / 'bare.npz'}")
    for given, said in (
        ({"dataset": f"npz:{tmp_path / 'bare.npz'}"}, r"names no simulator.*--environment ID"),
        ({"environment": "none"}, r"names no simulator"),
        ({"environment": "Pendulun-v1"}, r"Pendulun-v1.*Pendulum-v1"),
    ):
        with pytest.raises(ConfigError, match=said):
            scores(tmp_path / "out", chosen(**given))
    with pytest.raises(SpecError, match="observation"):
        scores(tmp_path / "out", chosen(environment="CartPole-v1"))
    assert not list(tmp_path.glob("out/cells/*"))
    Cells(tmp_path / "out").begin(chosen().decisive(), overwrite=False)  # what came to nothing is in nobody's way
    assert peer() == []


def test_an_out_that_is_a_file_is_told(tmp_path, chosen, peer):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(RunError, match="cannot be written"):
        scores(tmp_path / "out", chosen())


def test_the_command_prints_the_table(copy, peer, id, capsys, monkeypatch):
    from extremal import cli

    monkeypatch.setenv("COLUMNS", "200")
    words = ["bench", "--scores", "--dataset", id, "--out", str(copy), "--methods", "bc", "--peers", "d3rlpy"]
    words += [
        "--updates",
        "4",
        "--seeds",
        "4",
        "--width",
        "8",
        "--batch",
        "16",
        "--evaluate-every",
        "2",
        "--episodes",
        "2",
        "--last-episodes",
        "3",
    ]
    assert cli.main(words) == 0
    out = capsys.readouterr().out
    line = next(line for line in out.splitlines() if line.startswith("bc "))
    assert line.split()[1] == "d3rlpy"
    assert "[1] it never learns" in out
    assert peer() == []
    for more, said in (
        (["--rounds", "3"], "--rounds has no meaning with --scores"),
        (["--seeds", "0"], "seeds is 0"),
        (["--updates", "6"], "holds scores with updates 4 (now 6)"),
        (["--reward-range", "none"], "holds scores with reward_range 1000.0 (now None)"),
        (["--reward-range", "2.5"], "holds scores with reward_range 1000.0 (now 2.5)"),
        (["--peers", "d3rlpi"], "unknown peer of bench --scores 'd3rlpi'; did you mean 'd3rlpy'"),
    ):
        assert cli.main([*words, *more]) == 2
        assert said in capsys.readouterr().err
    assert cli.main(["bench", "--out", str(copy), "--seeds", "3"]) == 2
    assert "--seeds wants --scores beside it" in capsys.readouterr().err
    assert cli.main(["bench", "--scores", "--out", str(copy)]) == 2
    assert "--dataset ID" in capsys.readouterr().err
