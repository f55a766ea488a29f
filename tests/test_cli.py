"""The command line: what it prints, what it refuses, and with which exit code. Every command runs in this process."""

import json

import numpy as np
import pytest

import extremal
from extremal import cli
from extremal.algorithms.registry import METHODS
from extremal.reproduce.registry import EXPERIMENTS, FIGURES

QUICK = {"updates": 20, "log-every": 10, "evaluate-every": 10, "width": 8, "batch-size": 16}


def flags(**given) -> list[str]:
    return [word for name, value in given.items() for word in (f"--{name.replace('_', '-')}", str(value))]


@pytest.fixture
def run(capsys):
    """Runs a command; its exit code and what it printed to both outputs."""

    def of(*words) -> tuple[int, str, str]:
        try:
            code = cli.main([str(word) for word in words])
        except SystemExit as left:
            code = int(left.code or 0)
        return code, *capsys.readouterr()

    return of


@pytest.fixture(scope="module")
def log(tmp_path_factory) -> str:
    """The id of a small dataset, without anything wrong with it."""
    random, episodes = np.random.default_rng(0), []
    for number in range(10):
        steps = 5 + number
        observation = np.cumsum(random.normal(size=(steps + 1, 3)), axis=0)
        columns = {"observation": observation, "action": random.uniform(-1, 1, size=(steps, 2))}
        episodes.append(columns | {"reward": random.normal(size=steps), "terminated": number % 3 == 0})
    id = f"npz:{tmp_path_factory.mktemp('data') / 'log.npz'}"
    extremal.save_dataset(extremal.Dataset.from_episodes(episodes, card=extremal.Card(name="log")), id)
    return id


# ---- help ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("", ["demo", "train", "sweep", "evaluate", "data", "report", "reproduce", "bench", "algorithms"]),
        ("demo", ["--updates", "default: 30000", "a demo that is there is replaced"]),
        ("train", [*METHODS, "lists its settings"]),
        *((f"train {name}", ["--dataset", "--resume", "--learning-rate", "--preset"]) for name in METHODS),
        ("evaluate", ["--episodes", "--environment", "RUN"]),
        ("data", ["list", "check", "build", "generate", "convert", "difficulty"]),
        ("data list", ["--json"]),
        ("data check", ["--json", "makes training wrong"]),
        ("data build", ["--source", "adroit-door-human"]),
        ("data generate", ["--rows", "--seed", "npz:PATH"]),
        ("data convert", ["--overwrite"]),
        ("data difficulty", ["--run", "--behaviour", "--samples", "--draws", "--first", "--json"]),
        ("report", ["--out", "--title", "RUN"]),
        ("reproduce", ["--list", "--out", "--seed", "--overwrite", "--json", "NAME"]),
        ("bench", ["--methods", "--peers", "--dataset", "--rounds", "--grow", "--overwrite"]),
        ("algorithms", ["METHOD", "--json"]),
    ],
)
def test_every_command_has_help(run, command, words):
    code, out, err = run(*command.split(), "--help")
    assert (code, err) == (0, "")
    for word in words:
        assert word in " ".join(out.split())


def test_help_of_a_setting_tells_its_default_and_meaning(run):
    _, out, _ = run("train", "xql", "--help")
    text = " ".join(out.replace("│", " ").split())
    assert "--beta NUMBER... Temperature of the soft maximum" in text
    assert f"(default: {extremal.XQL().beta})" in text
    assert "--normaliser {others,running,none,batch_max}" in text


# ---- lists ---------------------------------------------------------------------------------------------------------------


def test_algorithms_are_listed(run):
    code, out, _ = run("algorithms")
    assert code == 0
    assert all(name in out for name in METHODS)
    code, out, _ = run("algorithms", "--json")
    listed = json.loads(out)
    assert (code, listed.keys()) == (0, METHODS.keys())
    assert listed["xql"].keys() == {"line", "paper", "differs"}


def test_an_algorithm_tells_its_settings_and_presets(run):
    code, out, _ = run("algorithms", "iql", "--json")
    told = json.loads(out)
    assert code == 0
    assert told["settings"] == json.loads(json.dumps(vars(METHODS["iql"].default)))
    assert told["presets"]["paper/antmaze-v0"]["settings"]["expectile"] == 0.9
    assert "kostrikov2021" in told["presets"]["paper/antmaze-v0"]["source"]
    code, out, _ = run("algorithms", "iql")
    assert code == 0
    assert all(word in out for word in ("expectile", "0.7", "float", "paper/antmaze-v0"))


def test_a_preset_s_older_name_is_listed_once_beside_its_own(run):
    listed = json.loads(run("algorithms", "xql", "--json")[1])["presets"]
    assert listed["code/consistent/hopper-medium-v2"]["also"] == ["consistent/hopper-medium-v2"]
    assert listed["paper/consistent/hopper-medium-v2"]["also"] == []
    assert listed["code/scripts/antmaze-umaze-v0"]["also"] == ["code/antmaze-umaze-v0"]
    assert not {name for one in listed.values() for name in one["also"]} & listed.keys()
    out = run("algorithms", "xql")[1]
    assert out.split().count("consistent/hopper-medium-v2") == 1
    old, new = (
        run("train", "xql", "--preset", f"{name}consistent/hopper-medium-v2", "--help")[1] for name in ("", "code/")
    )
    assert old == new != run("train", "xql", "--preset", "paper/consistent/hopper-medium-v2", "--help")[1]


def test_data_is_listed(run):
    code, out, _ = run("data", "list", "--json")
    ids = [row["id"] for row in json.loads(out)]
    assert code == 0
    assert {"npz:PATH", "parquet:PATH", "pointmaze-medium-goal", "adroit-door-human"} <= set(ids)
    code, out, _ = run("data", "list")
    assert code == 0
    assert "pointmaze-umaze-dense" in out


def test_figures_are_listed(run):
    code, out, _ = run("reproduce", "--list")
    assert code == 0
    assert "[garg2023]" in out
    assert all(name in out for name in (*FIGURES, *EXPERIMENTS))
    code, out, _ = run("reproduce", "--list", "--json")
    listed = json.loads(out)
    assert (code, set(listed)) == (0, {*FIGURES, *EXPERIMENTS})
    assert {name for name, figure in listed.items() if figure["trains"]} == set(EXPERIMENTS)
    assert listed["gumbel-bias"].keys() == {"paper", "shows", "trains"}


# ---- figures -------------------------------------------------------------------------------------------------------------


def test_a_figure_is_made(run, tmp_path):
    pytest.importorskip("matplotlib", reason="needs matplotlib")
    code, out, _ = run("reproduce", "operators", "--out", tmp_path, "--seed", 3)
    assert code == 0
    assert out.split() == [str(tmp_path / f"operators{suffix}") for suffix in (".png", ".svg", ".json")]
    assert json.loads((tmp_path / "operators.json").read_text("utf-8"))["seed"] == 3
    code, out, err = run("reproduce", "operators", "--out", tmp_path)
    assert (code, out) == (2, "")
    assert "exists" in err
    code, out, _ = run("reproduce", "operators", "--out", tmp_path, "--overwrite", "--json")
    assert code == 0
    assert len(json.loads(out)) == 3


# ---- data ----------------------------------------------------------------------------------------------------------------


def test_data_check_reports(run, log):
    code, out, _ = run("data", "check", log)
    assert code == 0
    assert "nothing that makes training wrong" in out
    code, out, _ = run("data", "check", log, "--json")
    report = json.loads(out)
    assert (code, report["ok"], report["figures"]["rows"]) == (0, True, 95)


def test_data_check_exits_with_1_on_what_makes_training_wrong(run, tmp_path):
    episode = {"observation": np.eye(6, 2), "action": np.linspace(-1, 1, 5), "reward": np.zeros(5)}
    extremal.save_dataset(extremal.Dataset.from_episodes([episode] * 3), f"npz:{tmp_path / 'same.npz'}")
    code, out, _ = run("data", "check", f"npz:{tmp_path / 'same.npz'}")
    assert code == 1
    assert "error:" in out
    code, out, _ = run("data", "check", f"npz:{tmp_path / 'same.npz'}", "--json")
    assert (code, json.loads(out)["ok"]) == (1, False)


def test_data_is_generated(run, tmp_path):
    pytest.importorskip("mujoco", reason="needs MuJoCo")
    id = f"npz:{tmp_path / 'maze.npz'}"
    code, out, _ = run("data", "generate", "pointmaze-umaze-goal", "--out", id, "--rows", 500, "--seed", 3)
    data = extremal.load_dataset(id)
    assert (code, data.rows) == (0, 500)
    assert f"500 rows, {data.episodes} episodes, hash {data.hash()[:16]}" in out


def test_data_is_converted_there_and_back(run, log, tmp_path):
    pytest.importorskip("pyarrow", reason="needs PyArrow")
    there, back = f"parquet:{tmp_path / 'log.parquet'}", f"npz:{tmp_path / 'log.npz'}"
    assert run("data", "convert", log, there)[0] == 0
    code, out, _ = run("data", "convert", there, back)
    assert code == 0
    assert f"95 rows, hash {extremal.load_dataset(log).hash()[:16]}" in out
    code, _, err = run("data", "convert", log, back)
    assert code == 2
    assert "exists" in err
    assert run("data", "convert", log, back, "--overwrite")[0] == 0


def test_built_data_lies_under_its_name(run, real_data, tmp_path, monkeypatch):
    pytest.importorskip("gymnasium_robotics", reason="needs Gymnasium-Robotics")
    monkeypatch.setenv("EXTREMAL_CACHE", str(tmp_path / "cache"))
    code, _, err = run("data", "check", "adroit-door-human")
    assert code == 2
    assert "build it: extremal data build adroit-door-human --source" in err
    code, _, err = run("data", "build", "adroit-door-human", "--source", tmp_path / "none.npz")
    assert code == 2
    assert "none.npz" in err


def test_data_of_policies_is_built_under_its_size_and_seed(run, tmp_path, monkeypatch):
    pytest.importorskip("mujoco", reason="needs MuJoCo")
    monkeypatch.setenv("EXTREMAL_CACHE", str(tmp_path / "cache"))
    build = ("data", "build", "hopper-random", "--source", tmp_path, "--rows", "200", "--seed", "4")
    code, out, _ = run(*build, "--out", f"npz:{tmp_path / 'copy.npz'}")
    assert code == 0
    assert out.startswith("hopper-random-rows200-seed4: 200 rows")
    assert "(score " in out
    digest = out.split()[-1]
    for id in ("hopper-random-rows200-seed4", f"npz:{tmp_path / 'copy.npz'}"):
        code, out, _ = run("data", "check", id, "--json")
        assert code == 0
        assert json.loads(out)["figures"]["hash"].startswith(digest)
    assert "hopper-random-rows200-seed4" in run("data", "list")[1]
    code, out, err = run(*build)
    assert (code, out) == (2, "")
    assert "is built already" in err
    assert run(*build, "--overwrite")[0] == 0


# ---- train ---------------------------------------------------------------------------------------------------------------


def test_train_report_and_evaluate(run, log, tmp_path):
    path = tmp_path / "run"
    code, out, err = run("train", "bc", *flags(dataset=log, out=path, **QUICK))
    assert code == 0, err
    assert "BC" in out
    assert f"extremal report {path}" in out
    code, out, _ = run("report", path, "--out", tmp_path / "page.html", "--title", "Mine")
    assert code == 0
    assert str(tmp_path / "page.html") in out
    assert "<title>Mine</title>" in (tmp_path / "page.html").read_text("utf-8")
    code, _, err = run("evaluate", path)
    assert code == 2
    assert "names no environment" in err
    code, _, err = run("train", "bc", *flags(dataset=log, out=path, **QUICK))
    assert code == 2
    assert "error:" in err
    assert "exists" in err
    assert run("train", "bc", *flags(dataset=log, out=path, **QUICK), "--resume")[0] == 0


def test_a_run_in_a_maze_is_evaluated(run, tmp_path):
    pytest.importorskip("mujoco", reason="needs MuJoCo")
    id, path = f"npz:{tmp_path / 'maze.npz'}", tmp_path / "run"
    assert run("data", "generate", "pointmaze-umaze-goal", "--out", id, "--rows", 2000)[0] == 0
    code, out, _ = run("train", "bc", *flags(dataset=id, out=path, episodes=1, **QUICK), "--json")
    assert code == 0
    assert {r["metric"] for r in json.loads(out)["results"]} >= {"success_rate", "return"}
    code, out, _ = run("evaluate", path, "--episodes", 1)
    assert code == 0
    assert "one seed: no interval" in out
    code, out, _ = run("evaluate", path, "--episodes", 1, "--json")
    assert code == 0
    assert json.loads(out)["return"].keys() == {"mean", "iqm", "low", "high", "seeds", "per_seed"}


@pytest.fixture
def trained(monkeypatch):
    """What `extremal train` hands to the library, instead of training."""
    calls = []

    def train(settings, dataset, **options):
        calls.append((settings, options))
        raise extremal.RunError("far enough")

    monkeypatch.setattr("extremal.runs.run.train", train)
    return calls


def test_several_values_are_replicas_of_one_program(run, log, tmp_path):
    path = tmp_path / "run"
    words = ["--learning-rate", "0.001", "0.002", "0.003", "--seeds", "2", "--json"]
    code, out, _ = run("train", "bc", *flags(dataset=log, out=path, **QUICK), *words)
    assert code == 0
    results = [r for r in json.loads(out)["results"] if r["metric"] == "heldout/pi/loss"]
    assert [r["overrides"] for r in results] == [{"learning_rate": x} for x in (0.001, 0.002, 0.003)]
    assert all(r["seeds"] == [0, 1] for r in results)


def test_a_sweep_of_beta_is_three_replicas(run, trained):
    run("train", "xql", *flags(dataset="npz:x", out="y"), "--beta", "0.5", "1", "2")
    ((settings, options),) = trained
    assert settings == extremal.XQL(beta=0.5)
    assert options["sweep"] == {"beta": (0.5, 1.0, 2.0)}


def test_one_number_of_seeds_counts_them_and_several_name_them(run, trained):
    for words in (["4"], ["4", "7"], []):
        run("train", "iql", *flags(dataset="npz:x", out="y"), *(["--seeds", *words] if words else []))
    assert [options["seeds"] for _, options in trained] == [4, (4, 7), 1]


@pytest.mark.parametrize(
    "spelt", [["--preset", "tuned/antmaze-medium-diverse-v0"], ["--preset=tuned/antmaze-medium-diverse-v0"]]
)
def test_a_preset_gives_the_defaults_and_flags_win(run, trained, spelt):
    preset = extremal.preset("xql", "tuned/antmaze-medium-diverse-v0")
    assert (preset.beta, preset.value_updates, preset.value_layer_norm) == (0.6, 4, True)
    run("train", "xql", *spelt, *flags(dataset="npz:x", out="y"))
    run(
        "train", "xql", *flags(beta=3.0, value_updates=1), "--no-value-layer-norm", *spelt, *flags(dataset="x", out="y")
    )
    (plain, _), (flagged, _) = trained
    assert plain == preset
    assert plain.preset == flagged.preset == preset.preset
    assert flagged == extremal.XQL(**{**vars(preset), "beta": 3.0, "value_updates": 1, "value_layer_norm": False})


# ---- what is refused -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("train xqll --dataset npz:x --out y", "unknown method 'xqll'; did you mean 'xql', "),
        ("train xql --dataset pointmaze-medum-goal --out y", "did you mean 'pointmaze-medium-goal'"),
        ("train xql --dataset npzz:x --out y", "did you mean 'npz'"),
        ("train xql --preset tuned/hoper-medium-v2 --dataset x --out y", "did you mean 'tuned/hopper-medium-v2'"),
        ("train bc --preset tuned --dataset x --out y", "bc has no presets"),
        ("train xql --bta 1 --dataset npz:x --out y", "--beta"),
        ("train xql --beta --dataset npz:x --out y", "--beta needs a value"),
        ("train xql --beta high --dataset npz:x --out y", "high"),
        ("train xql --normaliser mean --dataset npz:x --out y", "batch_max"),
        ("train xql --out y", "--dataset"),
        ("train", "xql, iql, bc, bc10"),
        ("algorithms xqll", "did you mean 'xql'"),
        ("reproduce", "--list"),
        ("reproduce gumbel-bias operatrs", "unknown figure 'operatrs'; did you mean 'operators'"),
        ("data check pointmaze-medum-goal", "did you mean 'pointmaze-medium-goal'"),
        ("data check npz:none.npz", "does not exist"),
        ("data generate pointmaze-medum-goal --out npz:x.npz", "did you mean 'pointmaze-medium-goal'"),
        ("data build adroit-dor-human --source x", "did you mean 'adroit-door-human'"),
        ("data build hopper-medum --source x", "did you mean 'hopper-medium'"),
        ("data build hopper-medium --source x --seed 999", "sac_Hopper-v3.npz: does not exist"),
        ("data build adroit-door-human --source x --rows 5", "is what was recorded"),
        ("data convert npz:none.npz npz:x.npz", "does not exist"),
        ("report nowhere", "nowhere is no run directory"),
        ("evaluate nowhere", "nowhere holds no run"),
        ("trian", "train"),
    ],
)
def test_what_is_wrong_is_told_with_exit_code_2(run, tmp_path, monkeypatch, command, words):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(*command.split())
    assert (code, out) == (2, "")
    assert words in " ".join(err.split())
    assert list(tmp_path.iterdir()) == []


def test_the_programs_of_a_sweep_are_told_before_they_are_trained(run, tmp_path):
    text = 'datasets = ["npz:x.npz"]\nseeds = 3\n[[method]]\nname = "xql"\nbeta = [1, 2]\ncritics = [1, 2]\n'
    (tmp_path / "s.toml").write_text(text, encoding="utf-8")
    code, out, _ = run("sweep", tmp_path / "s.toml", "--plan", "--json")
    assert code == 0
    assert [(p["program"], p["swept"], p["replicas"]) for p in json.loads(out)] == [
        ("xql critics 1", "beta 1 2", 6),
        ("xql critics 2", "beta 1 2", 6),
    ]
    code, out, _ = run("sweep", tmp_path / "s.toml", "--plan")
    assert code == 0
    assert "critics 2" in out
    code, _, err = run("sweep", tmp_path / "none.toml")
    assert code == 2
    assert "none.toml" in err


def test_an_interruption_exits_with_130(run, monkeypatch):
    def interrupted(*words, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("extremal.runs.run.train", interrupted)
    code, _, err = run("train", "bc", *flags(dataset="npz:x", out="y"))
    assert code == 130
    assert "can be resumed by --resume" in err
