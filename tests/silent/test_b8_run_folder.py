"""A run's folder: strangers in it, two processes in it, no room in it. One sentence each, and no checkpoint lost."""

import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import toy_runs
from toy_runs import again, arrays, contents

import extremal
from extremal.core.errors import RunError, Stopped
from extremal.core.lock import alone
from extremal.demo import demo
from extremal.io import checkpoint
from extremal.report.page import write_report
from extremal.runs.sweep import read_sweep, run_sweep
from extremal.runs.train import checkpoints

# ---- what may lie in the folder --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("holds", [None, (), ("lock",), ("lock", ".config.json.ab_d1234.json")])
@pytest.mark.parametrize("resume", [False, True])
def test_an_absent_empty_or_lock_only_folder_starts_afresh(tmp_path, holds, resume):
    path = tmp_path / "run"
    if holds is not None:
        path.mkdir()
    for name in holds or ():
        (path / name).write_text("{")
    assert toy_runs.train(path, updates=1, resume=resume).results
    assert not list(path.glob(".*"))


@pytest.mark.parametrize("name", ["notes.txt", "metrics.csv", ".config.json.short.json", "checkpoints", ".hidden"])
@pytest.mark.parametrize("resume", [False, True])
def test_a_folder_with_something_else_is_refused_and_left_alone(tmp_path, name, resume):
    path = tmp_path / "run"
    path.mkdir()
    (path / name).write_text("mine")
    with pytest.raises(RunError, match=r"exists and is no run: it holds .* and no config.json; choose another --out"):
        toy_runs.train(path, resume=resume)
    assert contents(path) == {name: b"mine"}


def test_what_a_kill_left_is_swept_and_nothing_else(half, short):
    left = [
        ".metrics.csv.abcd1234.csv",
        "checkpoints/.0000000040.safetensors.abcd_234.safetensors",
        ".maze.npz.aaaaaaaa.npz",
    ]
    stays = [".metrics.csv.abcd1234.txt", "notes.txt", ".notes.txt.abcd1234.txt", "checkpoints/.mine.safetensors"]
    for name in left + stays:
        (half / name).write_bytes(b"half a file")
    again(half)
    assert [name for name in left if (half / name).exists()] == []
    assert [name for name in stays if not (half / name).exists()] == []


# ---- places that cannot be -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "place",
    ["file", "file/run", "x" * 300, "a\0b", "/proc/run", "/dev/null/run", "dangling"],
)
def test_an_impossible_place_is_refused_before_anything_is_read(tmp_path, place):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere" / "at" / "all")
    with pytest.raises(RunError, match=r"cannot be written|exists as a file") as told:
        toy_runs.train(tmp_path / place, dataset="npz:there-is-none.npz")
    assert "\n" not in str(told.value)
    assert contents(tmp_path) == {"file": b"mine"}


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_read_only_folder_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(RunError, match="cannot be written: permission denied"):
        toy_runs.train(tmp_path / "run")


@pytest.mark.parametrize("error", [errno.EACCES, errno.EROFS])
def test_a_place_where_nothing_may_be_made_is_refused(tmp_path, monkeypatch, error):
    def forbidden(self, *args, **options):
        raise OSError(error, os.strerror(error), str(self))

    monkeypatch.setattr("pathlib.Path.mkdir", forbidden)
    with pytest.raises(RunError, match=r"cannot be written: (permission denied|read-only file system)"):
        toy_runs.train(tmp_path / "run", dataset="npz:there-is-none.npz")


@pytest.mark.parametrize("place", ["file/page.html", "x" * 300 + ".html", "a\0b.html", "/proc/page.html", "folder"])
def test_a_report_in_an_impossible_place_is_one_sentence(short, tmp_path, place):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    with pytest.raises(RunError, match="cannot be written"):
        write_report([short.path], tmp_path / place, title="Mine")


@pytest.mark.parametrize("place", ["x" * 300, "a\0b", "/proc/demo", "/dev/null/demo", "other"])
def test_a_demo_and_a_sweep_in_impossible_places_are_refused(tmp_path, monkeypatch, place):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other").mkdir()
    (tmp_path / "other/notes.txt").write_text("mine")
    with pytest.raises(RunError, match=r"cannot be written|as a file|something else than a demo"):
        demo(Path(place), updates=1, seeds=1, episodes=1, watch=lambda name: lambda update, metrics: None)
    if place != "other":
        extremal.save_dataset(toy_runs.log(), "npz:log.npz")
        (tmp_path / "sweep.toml").write_text('datasets = ["npz:log.npz"]\n[[method]]\nname = "bc"\n')
        with pytest.raises(RunError, match=r"cannot be written|as a file"):
            run_sweep(read_sweep(tmp_path / "sweep.toml"), Path(place), follow=lambda *news: None)
    assert (tmp_path / "other/notes.txt").read_text() == "mine"


def test_a_demo_under_way_is_not_replaced(tmp_path):
    (tmp_path / "demo/xql").mkdir(parents=True)
    (tmp_path / "demo/demo.json").write_text("{}")
    with alone(tmp_path / "demo/xql"), pytest.raises(RunError, match="in use"):
        demo(tmp_path / "demo", updates=1, seeds=1, episodes=1, watch=lambda name: lambda update, metrics: None)
    assert (tmp_path / "demo/demo.json").exists()


def test_a_run_may_be_named_by_text(short):
    run = extremal.Run(str(short.path))
    assert run == short
    assert run.plan.updates == 40
    assert run.policy().act(np.zeros(3, np.float32)).shape == (2,)
    assert write_report([str(short.path)], short.path.parent / "page.html", title="Mine").exists()


# ---- a full disk -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def full(monkeypatch):
    """From the second file of this name on, there is no room."""

    def from_now_on(part):
        replace, seen = os.replace, []

        def no_room(source, target):
            if part in str(target):
                seen.append(target)
                if len(seen) > 1 or part == "summary.json":
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(source))
            replace(source, target)

        monkeypatch.setattr(os, "replace", no_room)

    return from_now_on


@pytest.mark.parametrize("part", ["metrics.csv", "evaluations.csv", "diverged.json", ".safetensors", "summary.json"])
def test_a_full_disk_keeps_the_last_checkpoint_and_says_so(short, full, monkeypatch, tmp_path, part):
    path = tmp_path / "run"
    full(part)
    reached = 40 if part == "summary.json" else 20
    with pytest.raises(RunError, match=rf"no space left .* saved up to update {reached} .* by --resume") as told:
        toy_runs.train(path, seeds=2)
    assert part in str(told.value)
    assert [int(file.stem) for file in checkpoints(path)][-1] == reached
    assert not [name for name in contents(path) if name.split("/")[-1].startswith(".")]
    monkeypatch.undo()
    assert arrays(extremal.resume(path, dataset=toy_runs.log())) == arrays(short)


def test_a_disk_that_is_full_from_the_start_leaves_nothing(monkeypatch, tmp_path):
    def no_room(source, target):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", no_room)
    with pytest.raises(RunError, match="no space left"):
        toy_runs.train(tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_that_the_system_cuts_short_leaves_the_one_before(tmp_path):
    path, limits = tmp_path / "one.safetensors", resource.getrlimit(resource.RLIMIT_FSIZE)
    checkpoint.save(path, {"x": np.zeros(10)}, update=1)
    before = path.read_bytes()
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(RunError, match=r"one.safetensors' cannot be written"):
            checkpoint.save(path, {"x": np.zeros(100_000)}, update=2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_report_on_a_full_disk_is_one_sentence(short, tmp_path, monkeypatch):
    def no_room(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", no_room)
    with pytest.raises(RunError, match=r"page.html' cannot be written: no space left"):
        write_report([short.path], tmp_path / "page.html", title="Mine")
    assert list(tmp_path.iterdir()) == []


# ---- two processes -------------------------------------------------------------------------------------------------------------


def test_the_second_in_a_folder_is_refused_at_once(half):
    before = contents(half)
    with alone(half):
        for begin in (lambda: again(half), lambda: extremal.resume(half)):
            with pytest.raises(RunError, match="half is in use: another process is at work in it"):
                begin()
    assert contents(half) == before
    again(half)


def test_the_second_is_refused_while_the_first_trains(tmp_path):
    told = []

    def watch(update, metrics):
        if update == 20:
            for resume in (False, True):
                with pytest.raises(RunError, match=r"exists|is in use") as error:
                    toy_runs.train(tmp_path / "run", resume=resume)
                told.append(str(error.value))

    run = toy_runs.train(tmp_path / "run", watch=watch)
    assert "exists" in told[0]
    assert "in use" in told[-1]
    assert run.finished


ORPHAN = """
import os, sys, time
from pathlib import Path
from extremal.core.lock import alone

with alone(Path(sys.argv[1])):
    child = os.fork()
    if child == 0:
        print(os.getpid(), flush=True)  # by now it has let go
        os.close(1)
        time.sleep(60)
        os._exit(0)
    os._exit(9)  # as if killed: nothing is let go by hand
"""


def test_a_lock_ends_with_its_owner_and_not_with_a_child_that_it_forked(tmp_path):
    script = [sys.executable, "-W", "ignore", "-c", ORPHAN, str(tmp_path)]
    with subprocess.Popen(script, stdout=subprocess.PIPE) as owner:
        child = int(owner.stdout.readline())
        assert owner.wait(60) == 9
    try:
        os.kill(child, 0)  # it is alive
        with alone(tmp_path):
            pass
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_lock_lives_through_a_copy_of_the_folder_by_its_owner(tmp_path):
    """A POSIX record lock would be gone with any closing of the file in this process."""
    (tmp_path / "run").mkdir()
    with alone(tmp_path / "run"):
        shutil.copytree(tmp_path / "run", tmp_path / "copy")
        with pytest.raises(RunError, match="in use"), alone(tmp_path / "run"):
            pass


# ---- signals -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_run_with_its_number_after_the_chunk_is_saved(short, tmp_path, number):
    before = signal.getsignal(number)

    def watch(update, metrics):
        if update == 10:
            os.kill(os.getpid(), number)

    with pytest.raises(Stopped) as told:
        toy_runs.train(tmp_path / "run", seeds=2, watch=watch)
    assert told.value.signal == number
    assert isinstance(told.value, KeyboardInterrupt)
    assert [int(file.stem) for file in checkpoints(tmp_path / "run")] == [10]
    assert signal.getsignal(number) is before
    assert arrays(again(tmp_path / "run")) == arrays(short)


def test_a_hang_up_that_is_ignored_stays_ignored(tmp_path):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as `nohup` does
    try:
        run = toy_runs.train(
            tmp_path / "run", watch=lambda update, metrics: update == 10 and os.kill(os.getpid(), signal.SIGHUP)
        )
        assert run.finished
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
