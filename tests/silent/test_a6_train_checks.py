"""Training begins with the check of the data: what it calls wrong is refused until said, and its warnings stay with the run."""

import json
import os

import numpy as np
import pytest
from toy_runs import arrays, log, train

import extremal
from extremal import cli
from extremal.core.errors import DataError
from extremal.report.page import write_report
from extremal.report.text import table
from extremal.runs import check
from extremal.runs.sweep import read_sweep, run_sweep


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("EXTREMAL_CACHE", str(folder))
    return folder


@pytest.fixture
def checks(monkeypatch):
    """Hashes of the data that were checked, in order."""
    seen, original = [], check.check_dataset

    def counted(data):
        seen.append(data.hash())
        return original(data)

    monkeypatch.setattr(check, "check_dataset", counted)
    return seen


def nothing_to_choose() -> extremal.Dataset:
    """Every reward is 1 and nothing ends."""
    data = log()
    ones, never = np.ones(data.rows, np.float32), np.zeros(data.rows, bool)
    return data.replace(reward=ones, terminated=never)


def out_of_range() -> extremal.Dataset:
    data = log()
    card = extremal.Card(name="follow", action_low=(3.0, 3.0), action_high=(6.0, 6.0))
    return data.replace(card=card)


def blind() -> extremal.Dataset:
    data = log()
    return data.replace(observation=np.ones_like(data.observation))


WRONG = {
    "constant reward": (
        nothing_to_choose,
        "every reward is 1 and no episode is terminated",
        "look at the reward column",
    ),
    "actions out of range": (out_of_range, "of the action entries lie below the declared range", "clip them"),
    "constant observation": (blind, "no observation feature ever changes", "look at the observation column"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_data_that_the_check_calls_wrong_are_refused_until_said(tmp_path, kind):
    make, says, advice = WRONG[kind]
    findings = [f for f in extremal.check_dataset(make()).findings if f.level == "error"]
    with pytest.raises(DataError, match=says) as told:
        train(tmp_path / "run", dataset=make())
    sentence = str(told.value)
    assert "'follow'" in sentence
    assert advice in sentence
    assert "--unchecked" in sentence
    assert "unchecked=True" in sentence
    for finding in findings:
        assert finding.says in sentence
        assert ", ".join(map(str, finding.rows)) in sentence
    assert list(tmp_path.iterdir()) == []
    run = train(tmp_path / "run", dataset=make(), unchecked=True, updates=1)  # the twin
    assert run.plan.check["unchecked"] is True
    text = " ".join(table([run.path]).split())
    assert "trained on although their check calls them wrong" in text
    assert says in text


def test_two_errors_are_both_told(tmp_path):
    both = nothing_to_choose().replace(card=out_of_range().card)
    with pytest.raises(DataError, match=r"calls 2 things wrong: \(1\) .* \(2\) "):
        train(tmp_path / "run", dataset=both)


def test_an_unchecked_run_goes_on_without_saying_so_again(tmp_path):
    run = train(tmp_path / "run", dataset=nothing_to_choose(), unchecked=True)
    before = arrays(run)
    (run.path / "summary.json").unlink()
    assert arrays(train(run.path, dataset=nothing_to_choose(), resume=True)) == before
    assert arrays(extremal.resume(run.path, dataset=nothing_to_choose())) == before


# ---- warnings --------------------------------------------------------------------------------------------------------------


def stuck() -> extremal.Dataset:
    """The second entry of the action never changes, and one feature is far out of scale."""
    data = log()
    action, observation = np.array(data.action), np.array(data.observation)
    action[:, 1] = 3.0
    observation[:, 2] *= 1e5
    return data.replace(action=action, observation=observation)


def test_warnings_are_told_once_and_stay_with_the_run(tmp_path):
    pytest.importorskip("matplotlib")
    told = []
    run = train(tmp_path / "run", dataset=stuck(), watch=lambda update, metrics: told.append(metrics))
    said = [sentence for metrics in told for sentence in metrics.get("warnings", ())]
    warnings = [f for f in extremal.check_dataset(stuck()).findings if f.level == "warning"]
    assert len(warnings) >= 2
    assert len(said) == len(warnings)
    assert [f["code"] for f in run.plan.check["findings"]] == [f.code for f in warnings]
    page = write_report([run.path], tmp_path / "page.html", title="Mine").read_text("utf-8")
    text = " ".join(table([run.path]).split())
    for finding, sentence in zip(warnings, said, strict=True):
        assert finding.says in sentence
        assert finding.says in page
        assert finding.says in text
    assert "calls them wrong" not in text


def test_sound_data_say_nothing(tmp_path):
    told = []
    run = train(tmp_path / "run", updates=1, watch=lambda update, metrics: told.append(metrics))
    assert run.plan.check == {"unchecked": False, "findings": []}
    assert not [metrics for metrics in told if "warnings" in metrics]


def test_two_runs_on_the_same_data_have_one_warning_in_a_report(tmp_path):
    one, two = (train(tmp_path / name, dataset=stuck(), updates=1).path for name in ("one", "two"))
    assert " ".join(table([one, two]).split()).count("never change") == 1


# ---- the command and sweep files -------------------------------------------------------------------------------------------


@pytest.fixture
def stored(tmp_path):
    """The id of data in a file."""

    def of(data) -> str:
        extremal.save_dataset(data, f"npz:{tmp_path / 'log.npz'}", overwrite=True)
        return f"npz:{tmp_path / 'log.npz'}"

    return of


def words(id, out):
    return ["train", "bc", "--dataset", id, "--width", "8", "--batch-size", "16", "--updates", "1", "--out", str(out)]


def test_the_command_refuses_and_takes_unchecked(stored, tmp_path, capsys):
    id = stored(nothing_to_choose())
    assert cli.main(words(id, tmp_path / "run")) == 2
    err = capsys.readouterr().err
    assert "every reward is 1" in err
    assert "--unchecked" in err
    assert not (tmp_path / "run").exists()
    assert cli.main([*words(id, tmp_path / "run"), "--unchecked"]) == 0


def test_the_command_prints_warnings_and_says_compiling_after_validation(stored, tmp_path, capsys, monkeypatch):
    notes = []
    monkeypatch.setattr("rich.progress.Progress.update", lambda self, task, **given: notes.append(given.get("note")))
    assert cli.main([*words(stored(stuck()), tmp_path / "run")]) == 0
    err = capsys.readouterr().err
    assert err.count("action entries 1 never change") == 1
    assert "compiling" in notes
    notes.clear()
    assert cli.main(words(stored(nothing_to_choose()), tmp_path / "other")) == 2
    err = capsys.readouterr().err
    assert "compiling" not in notes
    assert "compiling" not in err


def test_a_sweep_is_refused_before_anything_is_trained_and_takes_unchecked(stored, tmp_path):
    pytest.importorskip("matplotlib")
    text = f'datasets = ["{stored(nothing_to_choose())}"]\nupdates = 1\n{{}}\n[[method]]\nname = "bc"\nwidth = 8\nbatch_size = 16\n'
    (tmp_path / "sweep.toml").write_text(text.format(""))
    checked = read_sweep(tmp_path / "sweep.toml")
    with pytest.raises(DataError, match="unchecked = true"):
        run_sweep(checked, tmp_path / "out", follow=lambda *news: None)
    assert not (tmp_path / "out").exists()
    (tmp_path / "sweep.toml").write_text(text.format("unchecked = true"))
    programs = read_sweep(tmp_path / "sweep.toml")
    assert [p.folder for p in programs] == [p.folder for p in checked]  # it changes no number
    (run,) = run_sweep(programs, tmp_path / "out", follow=lambda *news: None)
    assert run.finished
    assert run_sweep(checked, tmp_path / "out", follow=lambda *news: None) == [run]  # it is there already
    for value in ("1", '"yes"', "[true]"):
        (tmp_path / "sweep.toml").write_text(text.format(f"unchecked = {value}"))
        with pytest.raises(extremal.ConfigError, match="unchecked is"):
            read_sweep(tmp_path / "sweep.toml")


# ---- what was found is kept -------------------------------------------------------------------------------------------------


def test_the_same_data_are_checked_once(tmp_path, checks, cache):
    train(tmp_path / "one", updates=1)
    train(tmp_path / "two", updates=2)
    train(tmp_path / "two", updates=2, resume=True)
    assert checks == [log().hash()]
    train(tmp_path / "three", dataset=log(seed=3), updates=1)
    train(tmp_path / "four", dataset=out_of_range(), updates=1, unchecked=True)  # the same numbers, another card
    assert checks == [log().hash(), log(seed=3).hash(), log().hash()]


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"[]", b'{"findings": []}', b'{"findings": [{"level": "note"}], "sha256": "0"}']
)
def test_a_damaged_file_of_the_cache_is_made_again(tmp_path, checks, cache, damage):
    train(tmp_path / "one", dataset=stuck(), updates=1)
    (file,) = (cache / "checks").iterdir()
    before = file.read_bytes()
    file.write_bytes(damage)
    run = train(tmp_path / "two", dataset=stuck(), updates=1)
    assert len(checks) == 2
    assert file.read_bytes() == before
    assert len(run.plan.check["findings"]) >= 2


def test_an_error_that_was_taken_out_of_the_cache_is_found_all_the_same(tmp_path, checks, cache):
    with pytest.raises(DataError):
        train(tmp_path / "run", dataset=nothing_to_choose())
    (file,) = (cache / "checks").iterdir()
    kept = json.loads(file.read_text())
    kept["findings"] = []
    file.write_text(json.dumps(kept))
    with pytest.raises(DataError, match="every reward is 1"):
        train(tmp_path / "run", dataset=nothing_to_choose())


def test_other_rules_check_again(tmp_path, checks, monkeypatch):
    train(tmp_path / "one", updates=1)
    monkeypatch.setattr(check, "_rules", lambda: "other rules")
    train(tmp_path / "two", updates=1)
    assert len(checks) == 2


def test_a_cache_that_cannot_be_written_costs_only_the_next_check(tmp_path, checks, monkeypatch):
    monkeypatch.setenv("EXTREMAL_CACHE", os.devnull)
    train(tmp_path / "one", updates=1)
    train(tmp_path / "two", updates=1)
    assert len(checks) == 2
