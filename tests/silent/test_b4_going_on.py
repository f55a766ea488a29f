"""A run is gone on with from its folder alone, and made longer; whatever does not fit is said."""

import dataclasses
import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file
from toy_runs import SMALL, arrays, contents, log, stop_at, train

import extremal
from extremal import cli
from extremal.core.errors import ConfigError, RunError
from extremal.core.record import record
from extremal.data.transforms import prepare
from extremal.engine.offline import train_chunk
from extremal.engine.replicas import run_keys
from extremal.io.config import to_json
from extremal.report.page import write_report
from extremal.report.text import table
from extremal.runs.train import checkpoints, load_checkpoint

COSINE = extremal.BC(width=8, batch_size=16, policy_schedule="cosine")


@pytest.fixture
def copy(short, tmp_path):
    shutil.copytree(short.path, tmp_path / "copy")
    return tmp_path / "copy"


# ---- from the folder alone -----------------------------------------------------------------------------------------------


def test_an_interrupted_run_goes_on_without_any_flag(short, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run", seeds=2, watch=stop_at(10))
    run = extremal.resume(str(tmp_path / "run"), dataset=log())
    assert arrays(run) == arrays(short)
    assert [r["per_seed"] for r in run.results] == [r["per_seed"] for r in short.results]


def test_a_run_that_never_reached_a_checkpoint_goes_on_too(short, tmp_path):
    train(tmp_path / "run", seeds=2)
    for file in (*checkpoints(tmp_path / "run"), tmp_path / "run" / "summary.json"):
        file.unlink()
    assert arrays(extremal.resume(tmp_path / "run", dataset=log())) == arrays(short)


def test_a_finished_run_is_left_as_it_is(copy):
    before = contents(copy)
    assert extremal.resume(copy).finished
    assert extremal.resume(copy, updates=40, episodes=3, log_every=1).finished
    assert contents(copy) == before


def test_episodes_and_the_distance_of_rows_may_change(tmp_path, short):
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run", seeds=2, watch=stop_at(10))
    run = extremal.resume(tmp_path / "run", dataset=log(), log_every=5, episodes=3)
    assert (run.plan.log_every, run.plan.episodes) == (5, 3)
    updates = [line.split(",")[0] for line in (run.path / "metrics.csv").read_text().splitlines()[1::2]]
    assert updates == ["10", "15", "20", "25", "30", "35", "40"]
    assert arrays(run) == arrays(short)


@pytest.mark.parametrize("place", ["none", "empty", "lock"])
def test_a_folder_without_a_run_is_refused(tmp_path, place):
    path = tmp_path / place
    if place != "none":
        path.mkdir()
    if place == "lock":
        (path / "lock").touch()
    before = contents(tmp_path)
    with pytest.raises(RunError, match=r"holds no run to go on with: it has no config.json"):
        extremal.resume(path)
    assert contents(tmp_path) == before


def test_changed_data_say_first_that_they_changed(copy):
    other = log().replace(reward=np.asarray(log().reward) + 1.0)
    for go_on in (
        lambda: extremal.resume(copy, updates=60, dataset=other),
        lambda: train(copy, seeds=2, dataset=other, resume=True),
        lambda: train(copy, SMALL, log(observations=5), seeds=2, resume=True),  # of another shape, too
    ):
        with pytest.raises(RunError, match=r"^the data changed: 'follow' has the hash"):
            go_on()


def test_a_run_on_a_dataset_of_python_says_what_to_give_there(copy, capsys):
    with pytest.raises(
        RunError, match=r"trained from a Dataset in Python \('follow'\).*extremal\.resume\(.*, dataset=\.\.\.\)"
    ):
        extremal.resume(copy, updates=50)
    assert cli.main(["train", "--resume", str(copy), "--updates", "50"]) == 2
    assert "dataset=..." in capsys.readouterr().err
    assert extremal.resume(copy, updates=50, dataset=log()).plan.updates == 50


def test_a_run_in_an_environment_of_python_says_what_to_give_there(tmp_path):
    gymnasium = pytest.importorskip("gymnasium")

    class World(gymnasium.Env):
        observation_space = gymnasium.spaces.Box(-1.0, 1.0, (3,), np.float32)
        action_space = gymnasium.spaces.Box(2.0, 6.0, (2,), np.float32)

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            return np.zeros(3, np.float32), {}

        def step(self, action):
            return np.zeros(3, np.float32), float(action[0]), True, False, {}

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run", environment=World, episodes=1, watch=stop_at(10))
    with pytest.raises(
        RunError, match=r"a Python function made .*World.*: extremal\.resume\(.*environment=\.\.\.\)|environment=\.\.\."
    ):
        extremal.resume(tmp_path / "run", dataset=log())
    with pytest.raises(RunError, match=r"is evaluated in python:.*World, not in Pendulum-v1"):
        extremal.resume(tmp_path / "run", dataset=log(), environment="Pendulum-v1")
    run = extremal.resume(tmp_path / "run", dataset=log(), environment=World)
    assert {result["metric"] for result in run.results} == {"return"}


def test_a_file_is_found_from_any_folder_or_it_is_said_where_it_was_looked_for(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    extremal.save_dataset(log(), "npz:mine.npz")
    train("run", dataset="npz:mine.npz", updates=20)
    assert json.loads((tmp_path / "here/run/config.json").read_text())["dataset"]["id"] == "npz:mine.npz"
    monkeypatch.chdir(tmp_path / "there")
    assert extremal.resume("../here/run", updates=25).plan.updates == 25
    shutil.move(tmp_path / "here/mine.npz", tmp_path / "there/mine.npz")
    assert extremal.resume("../here/run", updates=30).plan.updates == 30  # found from the present folder
    (tmp_path / "there/mine.npz").rename(tmp_path / "there/other.npz")
    with pytest.raises(RunError, match=r"'npz:mine.npz', and there is neither .*here/mine.npz nor .*there/mine.npz"):
        extremal.resume("../here/run", updates=35)
    assert extremal.resume("../here/run", updates=35, dataset="npz:other.npz").plan.updates == 35


# ---- the command ---------------------------------------------------------------------------------------------------------


def test_the_command_extends_a_run_and_says_of_a_finished_one_that_it_is(stored, tmp_path, capsys):
    _, run = stored
    shutil.copytree(run, tmp_path / "run")
    capsys.readouterr()
    assert cli.main(["train", "--resume", str(tmp_path / "run")]) == 0
    out, err = capsys.readouterr()
    assert "is finished: it has all of its 40 updates; a larger --updates extends it" in err
    assert "BC" in out
    assert cli.main(["train", "--updates", "60", "--log-every=20", f"--resume={tmp_path / 'run'}", "--json"]) == 0
    out, _ = capsys.readouterr()
    assert json.loads(out)["results"][0]["updates"] == 60


@pytest.mark.parametrize("flag", ["--beta=3", "--seeds", "--out", "--dataset", "--width", "--evaluate-every", "bc"])
def test_any_other_flag_is_refused_in_a_sentence(stored, capsys, flag):
    _, run = stored
    before = contents(run)
    assert (
        cli.main(["train", "--resume", str(run), flag, *(["3"] if flag.startswith("--") and "=" not in flag else [])])
        == 2
    )
    err = capsys.readouterr().err
    assert "takes everything from config.json, and allows only --updates, --episodes and --log-every" in err
    assert f"leave out {flag!r}" in err
    assert contents(run) == before


def test_the_old_way_stays(stored, capsys):
    words, run = stored
    before = contents(run)
    assert cli.main(["train", "bc", *words, "--resume"]) == 0
    assert contents(run) == before
    longer = ["60" if word == "40" else word for word in words]
    assert cli.main(["train", "bc", *longer, "--resume"]) == 2
    assert f"`extremal train --resume {run}`" in capsys.readouterr().err


# ---- longer ---------------------------------------------------------------------------------------------------------------


def test_an_extended_run_is_the_long_one_bit_for_bit(short, tmp_path):
    """With the distance of evaluations that the short one had; 50 is no multiple of it."""
    long = train(tmp_path / "long", seeds=2, updates=75, evaluate_every=20, log_every=7)
    shutil.copytree(short.path, tmp_path / "run")
    assert extremal.resume(tmp_path / "run", updates=50, dataset=log()).finished
    run = extremal.resume(tmp_path / "run", updates=75, dataset=log(), log_every=3)
    assert arrays(run) == arrays(long)
    assert [r["per_seed"] for r in run.results] == [r["per_seed"] for r in long.results]
    assert [(e["from"], e["to"], e["at"], e["laid_anew"]) for e in run.plan.extensions] == [
        (40, 50, 40, []),
        (50, 75, 50, []),
    ]
    assert run.summary["extensions"] == [dict(e) for e in run.plan.extensions]


def test_the_default_distance_of_evaluations_stays(tmp_path):
    run = train(tmp_path / "run", updates=40, evaluate_every=None)
    assert run.plan.evaluate_every == 4
    assert extremal.resume(run.path, updates=80, dataset=log()).plan.evaluate_every == 4


def test_an_unfinished_run_is_extended_where_it_stands(tmp_path):
    long = train(tmp_path / "long", updates=60)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run", watch=stop_at(10))
    run = extremal.resume(tmp_path / "run", updates=60, dataset=log())
    assert arrays(run) == arrays(long)
    assert run.plan.extensions[0]["at"] == 10


def test_an_interrupted_extension_goes_on_and_is_not_called_finished(copy, tmp_path):
    long = train(tmp_path / "long", seeds=2, updates=80)
    with pytest.raises(KeyboardInterrupt):
        extremal.resume(copy, updates=80, dataset=log(), watch=stop_at(50))
    assert not extremal.Run(copy).finished
    with pytest.raises(RunError, match="is not finished"):
        _ = extremal.Run(copy).results
    assert "unfinished: 50 of 80 updates" in table([copy])
    assert arrays(extremal.resume(copy, dataset=log())) == arrays(long)


def rates(run, replica=0) -> dict[int, float]:
    """The rate of the policy's next update, as the optimiser's own count has it."""
    step = run.plan.algorithm(replica).steps[0]
    counts = {int(v[replica]) for k, v in load_file(checkpoints(run.path)[-1]).items() if k.endswith("count")}
    (count,) = counts
    return {count: float(step.optimiser.learning_rate * step.optimiser.schedule(count))}


@pytest.mark.parametrize(
    "name", ["metrics.csv", "evaluations.csv", "diverged.json", "checkpoints/0000000040.safetensors"]
)
@pytest.mark.parametrize("options", [{"updates": 80}, {"episodes": 3}, {"log_every": 2}])
def test_a_damaged_run_is_refused_before_config_says_that_it_changed(copy, name, options):
    if options != {"updates": 80}:  # else it is finished, and nothing is to be done
        (copy / "summary.json").unlink()
        options = options | {"updates": 60}
    (copy / name).write_bytes(b"\xff\xfe odd")
    before = contents(copy)
    with pytest.raises(RunError, match=Path(name).name):
        extremal.resume(copy, dataset=log(), **options)
    assert contents(copy) == before


def test_a_cosine_is_laid_anew_over_the_new_length_from_the_present_update(tmp_path):
    """Up to update 20 the factor is (1 + cos(pi c / 40)) / 2, from there on (1 + cos(pi c / 100)) / 2: by hand."""
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run", COSINE, watch=stop_at(20))
    assert rates(extremal.Run(tmp_path / "run")) == pytest.approx({20: 3e-4 * 0.5}, rel=1e-5)
    with pytest.raises(KeyboardInterrupt):
        extremal.resume(tmp_path / "run", updates=100, dataset=log(), watch=stop_at(30))
    run = extremal.Run(tmp_path / "run")
    assert rates(run) == pytest.approx({30: 3e-4 * 0.5 * (1.0 + np.cos(np.pi * 0.3))}, rel=1e-5)
    assert [dict(e) for e in run.plan.extensions] == [{"from": 40, "to": 100, "at": 20, "laid_anew": ["cosine of pi"]}]


@record
class Fixed:
    """The factor that a hand computed."""

    factor: float

    def __call__(self, count):
        return jax.numpy.asarray(self.factor, jax.numpy.float32) + 0.0 * jax.numpy.asarray(count, jax.numpy.float32)


def test_the_first_update_after_an_extension_is_one_at_the_rate_by_hand(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run", COSINE, watch=stop_at(20))
    run = extremal.Run(tmp_path / "run")
    states, _, _ = load_checkpoint(run.plan, run.path)
    algorithm = run.plan.algorithm(0)
    _, prepared = prepare(algorithm.prepare, log().split(0.1)[0], known=algorithm.prepare)
    (step,) = algorithm.steps
    own = dataclasses.replace(step.optimiser, schedule=Fixed(factor=0.5 * (1.0 + np.cos(np.pi * 0.2))))
    by_hand = dataclasses.replace(algorithm, steps=(dataclasses.replace(step, optimiser=own),))
    bounds = [jax.numpy.asarray(update, jax.numpy.int32) for update in (20, 21)]
    state = jax.tree.map(lambda x: x[0], states)
    expected, _ = jax.jit(train_chunk)(by_hand, state, prepared.device(), run_keys([0])[1][0], *bounds)
    with pytest.raises(KeyboardInterrupt):
        extremal.resume(run.path, updates=100, dataset=log(), log_every=1, watch=stop_at(21))
    states, _, update = load_checkpoint(run.plan, run.path)
    assert update == 21
    for mine, theirs, old in zip(
        *(jax.tree.leaves(s) for s in (states.online, expected.online, state.online)), strict=True
    ):
        assert np.allclose(mine[0] - old, theirs - old, rtol=1e-3, atol=1e-8)


def test_extract_after_cannot_be_extended(copy):
    file = copy / "config.json"
    settings = to_json(extremal.IQL(extract_after=0.5))
    file.write_text(json.dumps(json.loads(file.read_text()) | {"method": "iql", "settings": settings}))
    before = contents(copy)
    with pytest.raises(ConfigError, match=r"with extract_after 0\.5 cannot be extended: its values stopped learning"):
        extremal.resume(copy, updates=80, dataset=log())
    assert contents(copy) == before
    assert extremal.resume(copy, dataset=log()).finished


def test_fewer_updates_are_refused(copy):
    before = contents(copy)
    for updates in (39, 1):
        with pytest.raises(ConfigError, match=f"updates is {updates}, the run has 40; give more to extend it"):
            extremal.resume(copy, updates=updates, dataset=log())
    for updates in (0, -5, 1.5, True, "60"):
        with pytest.raises(ConfigError, match="updates is"):
            extremal.resume(copy, updates=updates, dataset=log())
    assert contents(copy) == before


def test_report_and_table_name_the_extension(tmp_path):
    pytest.importorskip("matplotlib")
    train(tmp_path / "run", COSINE, updates=10)
    run = extremal.resume(tmp_path / "run", updates=20, dataset=log())
    words = "extended from 10 to 20 updates at update 10: cosine of pi laid anew over 20 updates"
    assert words in " ".join(table([run.path]).split())
    assert words in write_report([run.path], tmp_path / "page.html", title="Mine").read_text("utf-8")
