"""`extremal.train` from data to a folder, and `extremal.load` from the folder to actions."""

import json
import os
import signal
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import extremal
from extremal.core.errors import ConfigError, DataError, DivergedError, RunError, SpecError
from extremal.data.pointmaze import generate
from extremal.data.transforms import RescaleAction, prepare
from extremal.engine.offline import train_chunk
from extremal.engine.replicas import run_keys
from extremal.evaluation import rollout
from extremal.report.text import table
from extremal.runs.summary import summary
from extremal.runs.train import checkpoints


def contents(path) -> dict:
    return {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}


# ---- without a simulator -----------------------------------------------------------------------------------------------


def test_without_a_simulator_held_out_losses_stand_for_a_score(cloned, fields_of_a_result):
    assert [result["metric"] for result in cloned.results] == ["heldout/pi/log_prob", "heldout/pi/loss"]
    for result in cloned.results:
        assert result.keys() == fields_of_a_result
        assert (result["algorithm"], result["dataset"], result["updates"]) == ("bc", "follow", 40)
        assert result["seeds"] == [0, 1]
        assert result["overrides"] == {}
        assert len(result["per_seed"]) == 2
        assert result["low"] <= result["mean"] <= result["high"]
        assert result["updates_per_second"] > 0.0
    probability, loss = cloned.results
    assert np.allclose(loss["per_seed"], [-x for x in probability["per_seed"]])
    assert "no simulator belongs to this dataset" in " ".join(table([cloned.path]).split())


def test_the_summary_tells_what_the_numbers_were_made_with(cloned, data):
    summary = cloned.summary
    assert summary["data_hash"] == data.hash()
    assert {"extremal", "jax", "numpy", "python", "device"} <= summary["versions"].keys()
    assert summary["settings"]["width"] == 8
    assert summary["diverged"] == []
    for name in ("compile_seconds", "train_seconds"):
        assert summary[name] > 0.0
    assert summary["evaluate_seconds"] == 0.0


def test_the_folder_holds_tables_settings_and_the_last_two_checkpoints(train, tmp_path, read_rows):
    run = train(tmp_path / "run", seeds=2, updates=60)
    assert sorted(str(file.relative_to(run.path)) for file in contents(run.path)) == [
        "checkpoints/0000000040.safetensors",
        "checkpoints/0000000060.safetensors",
        "config.json",
        "diverged.json",
        "evaluations.csv",
        "lock",
        "metrics.csv",
        "summary.json",
    ]
    rows = read_rows(run.path / "metrics.csv")
    assert [(int(row["update"]), row["replica"]) for row in rows] == [(u, r) for u in range(10, 70, 10) for r in "01"]
    for row in rows:
        assert (row["heldout/pi/loss"] != "") == (int(row["update"]) % 20 == 0)
        assert np.isfinite(float(row["pi/loss"]))


def test_only_the_training_episodes_are_seen_by_the_transforms(cloned, data):
    kept, held = data.split(0.1)
    assert (kept.episodes, held.episodes) == (18, 2)
    fitted = RescaleAction().fit(kept)
    assert np.array_equal(cloned.plan.prepare[0].centre, fitted.centre)
    assert np.array_equal(cloned.plan.prepare[0].half, fitted.half)


def test_the_policy_read_back_acts_as_the_trained_state(cloned, data):
    plan, (kept, _) = cloned.plan, data.split(0.1)
    _, prepared = prepare(plan.algorithm(0).prepare, kept)
    observation = np.asarray(data.observation[:7])
    for replica, (init, key) in enumerate(zip(*run_keys(plan.seeds), strict=True)):
        algorithm = plan.algorithm(replica)
        bounds = [jnp.asarray(update, jnp.int32) for update in (0, plan.updates)]
        state, _ = jax.jit(train_chunk)(algorithm, algorithm.init(init), prepared.device(), key, *bounds)
        expected = extremal.Policy(algorithm, state.online).act(observation)
        assert np.allclose(extremal.load(cloned.path, replica).act(observation), expected, rtol=1e-4)
    assert extremal.load(cloned.path).act(observation[0]).shape == (2,)


def test_what_a_run_cannot_answer_is_told(cloned, data):
    with pytest.raises(ConfigError, match="replicas 0 to 1, not 2"):
        extremal.load(cloned.path, 2)
    with pytest.raises(SpecError, match="learns no values"):
        extremal.load(cloned.path).value(np.asarray(data.observation))
    with pytest.raises(ConfigError, match="names no environment"):
        cloned.evaluate(episodes=1)


def test_actions_come_back_in_the_units_of_the_data(cloned, data):
    far = 100.0 * np.random.default_rng(1).normal(size=(50, 3)).astype(np.float32)
    for observation in (np.asarray(data.observation), far):
        action = extremal.load(cloned.path).act(observation)
        assert action.min() >= data.action.min()
        assert action.max() <= data.action.max()
    assert action.max() - action.min() > 1.0


def test_values_come_with_a_method_that_has_them(train, tmp_path, data):
    run = train(tmp_path / "run", extremal.XQL(width=8, depth=1, batch_size=16, normalise_observation=True), updates=10)
    value = extremal.load(run.path).value(np.asarray(data.observation))
    assert value.shape == (180,)
    assert np.isfinite(value).all()
    metrics = {result["metric"] for result in run.results}
    assert {"heldout/v/mean", "heldout/q/loss", "heldout/pi/loss", "heldout/v/advantage"} <= metrics


def test_a_method_and_a_dataset_may_be_named(train, data, tmp_path):
    extremal.save_dataset(data, f"npz:{tmp_path / 'log.npz'}")
    run = train(tmp_path / "run", "bc10", f"npz:{tmp_path / 'log.npz'}", updates=1)
    assert run.plan.method == "bc10"
    assert run.plan.settings == extremal.METHODS["bc10"].default
    assert run.plan.dataset["hash"] == data.hash()


def test_a_run_is_named_after_the_method_nearest_to_its_settings(train, tmp_path):
    assert train(tmp_path / "run", extremal.BC(best=0.1, width=8, batch_size=16), updates=1).plan.method == "bc10"


# ---- with a simulator --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def train_in_maze(train):
    pytest.importorskip("mujoco", reason="needs MuJoCo")
    data = generate("pointmaze-umaze-goal", rows=3000)
    settings = extremal.IQL(width=8, batch_size=16)
    fixed = {"seeds": 2, "episodes": 2, "updates": 20, "evaluate_every": 10}
    return lambda out, **options: train(out, settings, data, **fixed, **options)


@pytest.fixture(scope="module")
def maze_run(tmp_path_factory, train_in_maze):
    return train_in_maze(tmp_path_factory.mktemp("runs") / "maze", log_every=20)


def test_in_a_maze_success_is_measured(maze_run, read_rows, fields_of_a_result):
    assert maze_run.plan.holdout == 0.05
    results = {result["metric"]: result for result in maze_run.results}
    assert {"success_rate", "return"} <= results.keys()
    assert not [name for name in results if name.startswith("heldout/")]
    for result in results.values():
        assert result.keys() == fields_of_a_result
        assert result["dataset"] == "pointmaze-umaze-goal"
    rows = read_rows(maze_run.path / "evaluations.csv")
    expected = [(u, r, e) for u in ("10", "20") for r in ("0", "1") for e in ("0", "1")]
    assert [(row["update"], row["replica"], row["episode"]) for row in rows] == expected
    last = [float(row["return"]) for row in rows if row["update"] == "20" and row["replica"] == "1"]
    assert results["return"]["per_seed"][1] == np.mean(last)
    assert maze_run.summary["evaluate_seconds"] > 0.0


def test_evaluation_beside_training_changes_no_number(maze_run, train_in_maze, last, monkeypatch, tmp_path):
    """As on an accelerator; the first evaluation is held back until a later chunk is there, and interrupted, too."""
    later, told, act = threading.Event(), [], rollout.rollout

    def held_back(*args, **options):
        assert later.wait(60)
        return act(*args, **options)

    def watch(update, metrics):
        told.append((update, "evaluation" in metrics))
        if update == 15:
            later.set()
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr("extremal.runs.train.beside", lambda: True)
    monkeypatch.setattr(rollout, "rollout", held_back)
    with pytest.raises(KeyboardInterrupt):
        train_in_maze(tmp_path / "run", log_every=5, watch=watch)
    assert told == [(0, False), (0, False), (5, False), (10, False), (15, False), (10, True)]  # 0: it compiles, and has
    assert [int(file.stem) for file in checkpoints(tmp_path / "run")] == [10, 15]
    train_in_maze(tmp_path / "run", log_every=5, resume=True)
    assert last(tmp_path / "run") == last(maze_run.path)
    assert (tmp_path / "run/evaluations.csv").read_bytes() == (maze_run.path / "evaluations.csv").read_bytes()


def test_what_a_critic_claims_is_logged_at_every_evaluation(maze_run, read_rows):
    for row in read_rows(maze_run.path / "evaluations.csv"):
        steps = np.arange(int(row["length"]))
        reached = np.zeros(len(steps)) if not row["steps_to_goal"] else steps + 1 >= float(row["steps_to_goal"])
        assert float(row["discounted_return"]) == pytest.approx(np.sum(0.99**steps * (reached - 1.0)), rel=1e-5)
        assert np.isfinite(float(row["predicted_value"]))
    logged = [row for row in read_rows(maze_run.path / "metrics.csv") if row["critic/gap_expansion"]]
    assert [(row["update"], row["replica"]) for row in logged] == [(u, r) for u in ("10", "20") for r in ("0", "1")]
    assert all(np.isfinite(float(row["critic/policy_value"])) for row in logged)


def test_the_value_map_and_trajectories_are_kept_for_the_picture(maze_run):
    with np.load(maze_run.path / "maze.npz", allow_pickle=False) as file:
        assert file.files
        for name in file.files:
            assert file[name].size > 0


def test_a_run_is_evaluated_again_with_other_episodes(maze_run):
    found = maze_run.evaluate(episodes=1, seed=5, keep=1)
    assert [len(e.returns) for e in found.episodes] == [1, 1]
    assert found.episodes[0].trajectories[0].shape[1] == 4
    assert found.per_seed.keys() == {"return", "success_rate"}
    assert maze_run.evaluate(episodes=1, seed=5).per_seed == found.per_seed


@pytest.mark.slow
def test_a_method_whose_health_shows_on_held_out_episodes_keeps_some(train, tmp_path, read_rows):
    pytest.importorskip("mujoco", reason="needs MuJoCo")
    data = generate("pointmaze-umaze-goal", rows=9000)
    assert data.episodes > 40
    said = []
    watch = lambda update, metrics: said.append(metrics.get("health"))  # noqa: E731
    settings = extremal.KLXQL(width=8, batch_size=16)
    run = train(tmp_path / "run", settings, data, episodes=1, updates=20, log_every=20, watch=watch)
    assert run.plan.holdout == 0.05
    assert any("held out" in words for words in said if words)
    assert float(read_rows(run.path / "metrics.csv")[-1]["heldout/v/kl"]) >= 0.0
    assert float(read_rows(run.path / "metrics.csv")[-1]["calibration/error"]) > 0.0
    assert all(sentence.startswith("replica 0: ") for sentence in run.summary["alarms"])


# ---- what is refused before training -----------------------------------------------------------------------------------


def discrete():
    episode = {"observation": np.zeros((3, 2)), "action": np.array([0, 1]), "reward": [0.0, 1.0]}
    return extremal.Dataset.from_episodes([episode] * 2, card=extremal.Card(actions=2))


def images():
    episode = {"observation": np.zeros((3, 4, 4, 1)), "action": np.array([[0.0], [1.0]]), "reward": [0.0, 1.0]}
    return extremal.Dataset.from_episodes([episode] * 2)


@pytest.mark.parametrize("method", extremal.METHODS)
@pytest.mark.parametrize(("make", "words"), [(discrete, "continuous actions.* 2 discrete"), (images, r"\(4, 4, 1\)")])
def test_what_a_method_cannot_take_is_refused_in_one_sentence(train, tmp_path, method, make, words):
    with pytest.raises(SpecError, match=words) as told:
        train(tmp_path / "run", method, make())
    assert "\n" not in str(told.value)
    assert ". " not in str(told.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"environment": "pointmaze-umaze-goal"}, SpecError, "observations of shape .4,., the dataset of shape .3,."),
        ({"environment": "pointmaze-umaze-gaol"}, ConfigError, "did you mean 'pointmaze-umaze-goal'"),
        ({"dataset": "npz:none.npz"}, DataError, "does not exist"),
        ({"dataset": "pointmaze-umaze-gaol"}, ConfigError, "did you mean 'pointmaze-umaze-goal'"),
        ({"algorithm": "bcc"}, ConfigError, "did you mean 'bc'"),
        ({"updates": 0}, ConfigError, "updates is 0, expected int from 1 to 2147483646"),
        ({"updates": 2**31 - 1}, ConfigError, "updates is 2147483647, expected int from 1 to 2147483646"),
        ({"log_every": 0}, ConfigError, "log_every is 0"),
        ({"evaluate_every": -1}, ConfigError, "evaluate_every is -1"),
        ({"seeds": [1, 1]}, ConfigError, "each once"),
        ({"seeds": 0}, ConfigError, "seeds is 0, expected int from 1 up"),
        ({"sweep": {"width": [8, 16]}}, ConfigError, "'width' shapes the compiled program .* learning_rate"),
        ({"sweep": {"learning_rat": [1.0]}}, ConfigError, "did you mean 'learning_rate'"),
        ({"sweep": {"learning_rate": ["fast"]}}, ConfigError, "'fast', expected float"),
        ({"sweep": {"policy_dropout": [0.1, 0.2]}}, ConfigError, "different programs"),
        ({"holdout": 1.5}, ConfigError, "holdout is 1.5, expected float from 0 to below 1"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_written(train, tmp_path, options, error, words):
    if "pointmaze" in options.get("environment", ""):
        pytest.importorskip("mujoco", reason="needs MuJoCo")
    with pytest.raises(error, match=words):
        train(tmp_path / "run", **options)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_something_is_refused(train, cloned, tmp_path):
    before = contents(cloned.path)
    with pytest.raises(RunError, match=r"exists; choose another --out, or go on with it by --resume"):
        train(cloned.path)
    assert contents(cloned.path) == before
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RunError, match="exists"):
        train(tmp_path / "file")
    (tmp_path / "empty").mkdir()
    assert train(tmp_path / "empty", updates=1).results


# ---- sweeps and divergence ---------------------------------------------------------------------------------------------


def test_a_sweep_is_every_value_with_every_seed(train, tmp_path):
    run = train(tmp_path / "run", seeds=[3, 5], sweep={"learning_rate": [1e-3, 1e-2]}, updates=20)
    replicas = [(seed, overrides["learning_rate"]) for seed, overrides in run.plan.replicas]
    assert replicas == [(3, 1e-3), (5, 1e-3), (3, 1e-2), (5, 1e-2)]
    overrides = [result["overrides"] for result in run.results if result["metric"] == "heldout/pi/loss"]
    assert overrides == [{"learning_rate": 1e-3}, {"learning_rate": 1e-2}]
    assert all(result["seeds"] == [3, 5] for result in run.results)
    rates = [run.policy(replica).algorithm.steps[0].optimiser.learning_rate for replica in (0, 2)]
    assert rates == [1e-3, 1e-2]


def test_a_replica_that_diverges_leaves_the_results_and_the_others_stay(train, tmp_path, read_rows):
    run = train(tmp_path / "run", seeds=2, sweep={"learning_rate": [1e30, 1e-3]})
    assert {result["overrides"]["learning_rate"] for result in run.results} == {1e-3}
    first, second = run.summary["diverged"]
    assert (first["replica"], second["replica"]) == (0, 1)
    assert first["update"] == 1
    assert first["metric"].startswith("pi/")
    assert "replica 0 left the finite numbers at update 1" in first["advice"]
    assert {row["replica"] for row in read_rows(run.path / "metrics.csv")} == {"2", "3"}
    assert np.isfinite(run.policy(0).act(np.zeros((1, 3)))).all(), "the last good state is kept"
    alone = train(tmp_path / "alone", seeds=2, sweep={"learning_rate": [1e-3]})
    assert [r["mean"] for r in alone.results] == pytest.approx([r["mean"] for r in run.results], rel=1e-5)
    assert "diverged" in table([run.path])


def test_a_seed_that_diverged_is_left_out_of_the_mean(cloned, read_rows):
    living = [row for row in read_rows(cloned.path / "metrics.csv") if row["replica"] == "1" or row["update"] == "10"]
    found = summary(cloned.plan, living, [], [], compile_seconds=0.0, evaluate_seconds=0.0)
    for result, whole in zip(found["results"], cloned.results, strict=True):
        assert result["seeds"] == [1]
        assert result["per_seed"] == whole["per_seed"][1:]
        assert result["low"] is None
    assert found["train_seconds"] == pytest.approx(cloned.summary["train_seconds"])


def test_a_run_of_which_nothing_is_left_says_so_each_time(train, tmp_path):
    for resume in (False, True):
        with pytest.raises(DivergedError, match=r"replica 0 left .* at update 1.*smaller learning rate"):
            train(tmp_path / "run", sweep={"learning_rate": [1e30]}, resume=resume)
    assert np.isfinite(extremal.load(tmp_path / "run").act(np.zeros((1, 3)))).all()
    with pytest.raises(RunError, match="is not finished"):
        _ = extremal.Run(tmp_path / "run").summary


# ---- what is on disk ---------------------------------------------------------------------------------------------------


def test_another_format_of_the_settings_is_refused(copy_of):
    file = copy_of.path / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"format": 99}))
    with pytest.raises(RunError, match="run format 99; this version reads format 1"):
        extremal.load(copy_of.path)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda file: file.unlink(), "holds no run"),
        (lambda file: file.write_text("{"), "holds no run"),
        (lambda file: file.write_text("[1]"), "config.json is damaged"),
        (lambda file: file.write_text('{"format": 1}'), "config.json is damaged.*spec"),
    ],
)
def test_damaged_settings_are_refused(copy_of, damage, words):
    damage(copy_of.path / "config.json")
    with pytest.raises(RunError, match=words):
        extremal.load(copy_of.path)


def test_a_damaged_checkpoint_is_refused_and_the_one_before_goes_on(copy_of, cloned, train):
    last = checkpoints(copy_of.path)[-1]
    last.write_bytes(last.read_bytes()[: last.stat().st_size // 2])
    (copy_of.path / "summary.json").unlink()
    for read in (lambda: extremal.load(copy_of.path), lambda: train(copy_of.path, seeds=2, resume=True)):
        with pytest.raises(RunError, match=r"not a readable checkpoint.*delete it to fall back on the one before"):
            read()
    last.unlink()
    again = train(copy_of.path, seeds=2, resume=True)
    assert [r["per_seed"] for r in again.results] == [r["per_seed"] for r in cloned.results]


def test_a_run_without_a_checkpoint_has_no_policy(copy_of):
    for file in checkpoints(copy_of.path):
        file.unlink()
    with pytest.raises(RunError, match="no checkpoint yet; the first one is written at update 20"):
        extremal.load(copy_of.path)
