"""A command ends as it should whatever its surroundings: no reader, an old terminal, a signal, no home, a full disk."""

import os
import re
import signal
import subprocess
import sys
import time

import jax
import pytest

import extremal
from extremal import cli
from extremal.cli import process

ASCII = {"PYTHONIOENCODING": "ascii"}


def started(*words: str, stdout: int | None = subprocess.PIPE, **given: str) -> subprocess.Popen:
    environment = {**os.environ, "EXTREMAL_PROGRAMS": "none", **given}
    command = [sys.executable, "-m", "extremal", *words]
    return subprocess.Popen(command, env=environment, stdout=stdout, stderr=subprocess.PIPE, text=True)


def ended(running: subprocess.Popen) -> tuple[int, str, str]:
    out, err = running.communicate(timeout=60)
    assert "Traceback" not in err, err
    assert "Exception ignored" not in err, err
    return running.returncode, out or "", err


# ---- nobody reads ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [["algorithms"], ["algorithms", "--json"], ["--help"], ["train", "--help"]],
    ids=lambda words: " ".join(words),
)
def test_a_pipe_that_nobody_reads_ends_a_command_in_silence(words):
    read, write = os.pipe()
    os.close(read)
    running = started(*words, stdout=write)
    os.close(write)
    code, _, err = ended(running)
    assert (code, err) == (128 + signal.SIGPIPE, "")


def test_a_full_disk_behind_the_output_is_one_sentence():
    with open("/dev/full", "w") as full:
        code, _, err = ended(started("algorithms", stdout=full.fileno()))
    assert code == 2
    assert err.lower().startswith("error: ")
    assert err.lower().endswith("no space left on device\n")


@pytest.mark.parametrize(("words", "code"), [(["data", "list"], 0), (["train", "xqll"], 2)])
def test_a_full_disk_behind_messages_stops_nothing(words, code):
    """Progress and warnings go there too: a training must not end by them."""
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "extremal", *words]
        assert (
            subprocess.run(command, stderr=full, stdout=subprocess.DEVNULL, check=False, timeout=120).returncode == code
        )


def test_progress_goes_on_where_nobody_reads_it(monkeypatch):
    """Rich's own answer to a broken pipe is the end of the program."""
    from extremal.cli.progress import bars

    read, write = os.pipe()
    os.close(read)
    seen = []
    stream = os.fdopen(write, "w")
    monkeypatch.setattr(sys, "stderr", stream)
    with bars() as bar:
        watch = bar("bc", 2)
        for update, metrics in enumerate([{"compiled": 0.1}, {"updates_per_second": 1.0}, {"warnings": ["x" * 9000]}]):
            watch(update, metrics)
            seen.append(update)
    monkeypatch.undo()
    with open(os.devnull, "w") as sink:  # so that what it still holds can go somewhere
        os.dup2(sink.fileno(), stream.fileno())
    stream.close()
    assert seen == [0, 1, 2]


# ---- old terminals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "given"),
    [
        (["--help"], ASCII),
        (["train", "--help"], {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}),
        (["train", "xqll"], ASCII),
        (["algorithms"], {"TERM": "dumb", **ASCII}),
        (["train"], {"TERM": "dumb", "PYTHONIOENCODING": "latin-1"}),
    ],
    ids=lambda part: " ".join(part),
)
def test_a_terminal_without_the_characters_gets_others(words, given):
    code, out, err = ended(started(*words, **given))
    assert code == (2 if words in (["train"], ["train", "xqll"]) else 0)
    assert (out + err).isascii() or given.get("PYTHONIOENCODING") == "latin-1"
    assert "?" not in (out + err).replace("'xql', 'klxql', 'iql'?", "")


def test_what_is_printed_of_runs_can_be_spelt_in_ascii():
    spelt = "".join(map(process.plain, "κ = 0.5 – 95 % ± 2 × σ²: │─┼╭ ▁▄█ naïve ∞ 語"))
    assert spelt == "kappa = 0.5 - 95 % +- 2 x sigma^2: |-++ _:# naive inf ?"


# ---- signals --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def heard():
    """Commands that are started hear Ctrl-C, even where the suite runs in a shell's background, which does not."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def when_it_imports(*words: str) -> subprocess.Popen:
    """A command that has begun to import what it needs, and has a second of that before it."""
    code = f"""if True:
        import sys, time
        class Slow:
            def find_spec(self, name, path=None, target=None):
                if name == "tyro":
                    print("importing", flush=True)
                    time.sleep(30)
        sys.meta_path.insert(0, Slow())
        sys.argv = ["extremal", *{list(words)!r}]
        from extremal.cli import main
        sys.exit(main())
    """
    running = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert running.stdout is not None
    assert running.stdout.readline() == "importing\n"
    return running


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=["INT", "TERM", "HUP"]
)
def test_a_signal_during_import_ends_with_its_status_and_a_line(heard, number, code):
    running = when_it_imports("data", "list")
    running.send_signal(number)
    assert ended(running) == (code, "", "interrupted\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["INT", "TERM"])
@pytest.mark.slow
def test_a_signal_at_any_moment_of_the_start_leaves_no_traceback(heard, number, tmp_path):
    """But in the moments in which Python itself starts, before anything of ours runs."""
    for delay in (0.2, 0.4, 0.8, 1.6):
        running = started("train", "bc", "--dataset", "pointmaze-umaze-goal", "--out", str(tmp_path / "run"))
        time.sleep(delay)
        running.send_signal(number)
        code, _, err = ended(running)
        assert code == 128 + number
        assert err.strip().splitlines()[-1].startswith("interrupted")


def test_a_signal_that_is_ignored_stays_so(monkeypatch):
    """`nohup extremal train ... &`"""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    monkeypatch.setattr("warnings.showwarning", None)
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    try:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with process.of_its_own():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) is not before[signal.SIGTERM]
            with pytest.raises(KeyboardInterrupt) as stop:
                signal.raise_signal(signal.SIGTERM)
        assert stop.value.signal == signal.SIGTERM
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_what_goes_on_is_told_of_a_command_that_can(monkeypatch, capsys):
    from extremal.core.errors import Stopped

    def stopped(*_, **__):
        raise Stopped(signal.SIGTERM)

    monkeypatch.setattr("extremal.runs.sweep.read_sweep", stopped)
    assert cli.main(["sweep", "s.toml"]) == 143
    assert capsys.readouterr().err == "interrupted; the same command goes on where it stopped\n"
    monkeypatch.setattr("extremal.data.ids.load_dataset", stopped)
    assert cli.main(["data", "check", "npz:x"]) == 143
    assert capsys.readouterr().err == "interrupted\n"


# ---- places that cannot be used -------------------------------------------------------------------------------------------


def test_an_error_of_the_system_is_one_sentence(monkeypatch, capsys):
    def full(*_, **__):
        raise OSError(28, "No space left on device", "/disk/file")

    monkeypatch.setattr("extremal.report.page.write_report", full)
    monkeypatch.setattr("extremal.report.text.table", lambda runs: "")
    assert cli.main(["report", "x"]) == 2
    assert capsys.readouterr().err == "error: No space left on device (/disk/file)\n"


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 8.00 TiB for an array"),
        jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 403726930712 bytes."),
    ],
)
def test_too_little_memory_is_one_sentence(monkeypatch, capsys, error):
    def large(*_, **__):
        raise error

    monkeypatch.setattr("extremal.report.text.table", large)
    assert cli.main(["report", "x"]) == 2
    said = capsys.readouterr().err
    assert re.fullmatch(
        r"error: not enough memory \((Unable|Out of memory) .*[^.]\); try .* a smaller batch or width\n", said
    )


def test_other_errors_of_jax_are_not_taken_for_it(monkeypatch):
    def wrong(*_, **__):
        raise jax.errors.JaxRuntimeError("INTERNAL: something else")

    monkeypatch.setattr("extremal.report.text.table", wrong)
    with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"):
        cli.main(["report", "x"])


def test_without_a_home_what_needs_none_goes_on_and_what_does_names_the_way(monkeypatch, capsys, tmp_path):
    def nobody():
        raise RuntimeError("Could not determine home directory.")

    for name in ("EXTREMAL_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pathlib.Path.home", nobody)
    assert cli.main(["data", "list"]) == 0
    capsys.readouterr()
    assert cli.main(["data", "check", "hopper-medium"]) == 2
    assert (
        capsys.readouterr().err == "error: there is no home folder to keep things in; name a folder by EXTREMAL_CACHE\n"
    )


def test_a_cache_folder_that_cannot_be_written_costs_the_next_time_alone(monkeypatch, tmp_path):
    pytest.importorskip("mujoco", reason="needs MuJoCo")
    from extremal.data import pointmaze

    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EXTREMAL_CACHE", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match=r"pointmaze-.*\.npz is not kept for the next time: .*cannot be written"):
        data = pointmaze.load("pointmaze-umaze-goal", rows=60)
    assert data.rows == 60
    assert isinstance(data, extremal.Dataset)
