"""A run that was stopped, in whatever way, goes on to the numbers that it would have come to."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

import extremal
from extremal import cli
from extremal.core.errors import RunError
from extremal.runs.train import checkpoints

TIMED = ("seconds", "updates_per_second")


def contents(path) -> dict:
    return {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}


@pytest.fixture
def untimed(read_rows):
    """The rows of metrics.csv without what a clock measured."""
    return lambda path: [
        {name: value for name, value in row.items() if name not in TIMED} for row in read_rows(path / "metrics.csv")
    ]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"algorithm": extremal.BC(width=8, batch_size=32)}, "settings.batch_size 16 .now 32.; resume with the same"),
        ({"algorithm": extremal.IQL(width=8)}, "method bc .now iql."),
        ({"updates": 50}, "updates 40 .now 50."),
        ({"seeds": 3}, "other replicas"),
        ({"holdout": 0.2}, "holdout 0.1 .now 0.2."),
    ],
)
def test_another_plan_is_refused_and_what_differs_is_named(cloned, train, options, words):
    before = contents(cloned.path)
    with pytest.raises(RunError, match=words):
        train(cloned.path, **({"seeds": 2, "resume": True} | options))
    assert contents(cloned.path) == before


def test_other_data_is_refused(cloned, train, data):
    with pytest.raises(RunError, match=r"^the data changed: .follow. has the hash"):
        train(cloned.path, dataset=data.replace(reward=data.reward + 1.0), seeds=2, resume=True)


def test_resuming_a_finished_run_changes_nothing(cloned, train):
    before = contents(cloned.path)
    assert train(cloned.path, seeds=2, resume=True).results == cloned.results
    assert contents(cloned.path) == before


def test_resuming_what_was_never_begun_begins_it(train, tmp_path):
    assert train(tmp_path / "run", updates=1, resume=True).results


def test_a_run_that_never_reached_a_checkpoint_may_begin_as_another(copy_of, train):
    for file in checkpoints(copy_of.path):
        file.unlink()
    run = train(copy_of.path, updates=20, seeds=1, resume=True)
    assert (run.plan.updates, run.plan.seeds) == (20, [0])
    assert {result["updates"] for result in run.results} == {20}


def test_a_run_that_lost_its_summary_gets_it_again(copy_of, cloned, train):
    (copy_of.path / "summary.json").unlink()
    with pytest.raises(RunError, match=r"not finished; `extremal train --resume .*`"):
        _ = copy_of.results
    train(copy_of.path, seeds=2, resume=True)
    assert [r["per_seed"] for r in copy_of.results] == [r["per_seed"] for r in cloned.results]


def test_a_divergence_that_the_checkpoint_does_not_know_is_forgotten(copy_of, train):
    checkpoints(copy_of.path)[-1].unlink()
    (copy_of.path / "summary.json").unlink()
    fallen = [{"replica": 0, "update": 33, "metric": "pi/loss"}]
    (copy_of.path / "diverged.json").write_text(json.dumps(fallen))
    assert train(copy_of.path, seeds=2, resume=True).summary["diverged"] == []


def test_ctrl_c_finishes_the_chunk_and_saves_it(cloned, untimed, train, tmp_path, last):
    path, told = tmp_path / "run", []

    def watch(update, metrics):
        told.append((update, "compiling" in metrics))
        if update == 10:
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(path, seeds=2, watch=watch)
    assert signal.getsignal(signal.SIGINT) is before
    assert told[0] == (0, True)
    assert [update for update, _ in told if update] == [10]
    assert [int(file.stem) for file in checkpoints(path)] == [10]
    run = train(path, seeds=2, resume=True)
    assert last(path) == last(cloned.path)
    assert untimed(path) == untimed(cloned.path)
    assert [r["per_seed"] for r in run.results] == [r["per_seed"] for r in cloned.results]


# ---- a process that is killed ------------------------------------------------------------------------------------------

FLAGS = {"updates": 10_000, "evaluate-every": 200, "log-every": 200, "width": 16, "batch-size": 16, "seeds": 2}


@pytest.fixture
def command(data, tmp_path):
    """Arguments of `extremal train bc ...` into the folder of a name."""
    extremal.save_dataset(data, f"npz:{tmp_path / 'log.npz'}")
    flags = {"dataset": f"npz:{tmp_path / 'log.npz'}"} | FLAGS
    words = [word for name, value in flags.items() for word in (f"--{name}", str(value))]
    return lambda name: ["train", "bc", *words, "--out", str(tmp_path / name), "--resume"]


def stopped(arguments, path, with_signal) -> int:
    """Start the command, wait until it trains, stop it a moment later; its exit code."""
    before = checkpoints(path)
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    kept = {**os.environ, "EXTREMAL_PROGRAMS": str(path.parent / "programs")}  # the second one need not compile again
    process = subprocess.Popen([sys.executable, "-m", "extremal", *arguments], env=kept, **silent)
    try:
        while process.poll() is None and checkpoints(path) == before:
            time.sleep(0.002)
        time.sleep(random.uniform(0.0, 0.1))
        process.send_signal(with_signal)
        return process.wait(timeout=60)
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_a_killed_run_comes_to_the_same_numbers_bitwise(command, untimed, tmp_path, last):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert cli.main(command("whole")) == 0
    codes = [stopped(command("killed"), killed, how) for how in (signal.SIGKILL, signal.SIGINT)]
    assert codes == [-signal.SIGKILL, 130]
    assert not (killed / "summary.json").exists()
    assert cli.main(command("killed")) == 0
    assert last(killed) == last(whole)
    assert untimed(killed) == untimed(whole)
    per_seed = [[result["per_seed"] for result in extremal.Run(path).results] for path in (whole, killed)]
    assert per_seed[0] == per_seed[1]
