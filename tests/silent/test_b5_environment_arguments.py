"""One line of text names an environment with its arguments; what cannot be made is refused with what can."""

import json
import sys

import gymnasium
import numpy as np
import pytest

import extremal
from extremal.cli import main
from extremal.core.errors import ConfigError, MissingExtraError, SpecError
from extremal.data.limits import step_limit_of
from extremal.envs import make, make_vector
from extremal.envs.naming import Environment, Wrapper, parsed
from extremal.envs.neorl2 import VARIABLE
from extremal.evaluation.rollout import rollout
from extremal.evaluation.valuemap import maze_size
from extremal.runs.run import Run

BC = extremal.BC(width=8, batch_size=16)
SHORT = {"updates": 2, "log_every": 1, "episodes": 1}


@pytest.fixture(scope="module")
def pendulum():
    """A log whose shapes are Pendulum's."""
    random = np.random.default_rng(0)
    return extremal.Dataset.from_rows(
        observation=random.normal(size=(40, 3)),
        action=random.uniform(-2, 2, (40, 1)),
        reward=random.normal(size=40),
        terminated=np.isin(np.arange(40), [8, 20, 29, 39]),
        card=extremal.Card(name="swing"),
    )


@pytest.fixture(scope="module")
def run(pendulum, tmp_path_factory):
    out = tmp_path_factory.mktemp("b5") / "run"
    return extremal.train(BC, pendulum, environment="Pendulum-v1?g=1.0&max_episode_steps=5", out=out, **SHORT)


# ---- the text ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("1.0", 1.0),
        ("-.5", -0.5),
        ("1e-3", 1e-3),
        ("inf", np.inf),
        ("true", True),
        ("False", False),
        ("none", None),
        ("walker.xml", "walker.xml"),
        ("8x8", "8x8"),
        ("./a b/c.xml", "./a b/c.xml"),
        ("'1.0'", "1.0"),
        ("a%26b%25", "a&b%"),
        ("[0.7,inf]", [0.7, np.inf]),
        ("(1,2)", [1, 2]),
        ("{'mass':[1,true]}", {"mass": [1, True]}),
    ],
)
def test_values_have_types_and_come_back(text, value):
    found = parsed(f"Some-v0?x={text}")
    assert found.arguments == {"x": value}
    assert type(found.arguments["x"]) is type(value)
    assert parsed(str(found)) == found


@pytest.mark.parametrize("value", ["", " a ", "true", "7", "[", "a&b=c%", "ü\n'\"", [], {}, [None, -0.0], {"a b": "&"}])
def test_any_plain_value_can_be_written(value):
    written = Environment("Some-v0", {"x": value}, (Wrapper("Some", {"y": value}),))
    assert parsed(str(written)) == written


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Some-v0?", "is no argument"),
        ("Some-v0?x", "is no argument; write Some-v0"),
        ("Some-v0?x=", "is no argument"),
        ("Some-v0?x=1&x=2", "'x' is there twice"),
        ("Some-v0?x=1,5", "several values; a list stands in brackets"),
        ("Some-v0?x=[a]", "'a' is neither a number"),
        ("Some-v0?x='a", "text stands in quotes"),
        ("Some-v0?max_episode_steps=0", "at least 1, or none"),
        ("Some-v0?max_episode_steps=2.5", "at least 1, or none"),
        ("Some-v0?wrap=Clip(1)", "arguments of a wrapper have names"),
        ("Some-v0?wrap=Clip(x=open('a'))", "cannot be read"),
    ],
)
def test_text_that_cannot_be_read_is_refused(text, words):
    with pytest.raises(ConfigError, match=words):
        parsed(text)


# ---- what is made ------------------------------------------------------------------------------------------------------


def test_arguments_are_honoured_in_every_copy():
    name = "Pendulum-v1?g=1.0&max_episode_steps=5"
    environment = make(name)
    assert environment.unwrapped.g == 1.0
    vector = make_vector(name, 2)
    assert [each.unwrapped.g for each in vector.envs] == [1.0, 1.0]
    vector.close()
    still = lambda x: np.zeros((len(x), 1))  # noqa: E731
    found = rollout(still, name, episodes=4, seed=0, parallel=2)
    assert found.lengths.tolist() == [5] * 4
    known = rollout(still, lambda: gymnasium.make("Pendulum-v1", g=1.0, max_episode_steps=5), episodes=4, seed=0)
    np.testing.assert_array_equal(found.returns, known.returns)
    other = rollout(still, "Pendulum-v1?max_episode_steps=5", episodes=4, seed=0)
    assert (found.returns != other.returns).all()


def test_our_own_mazes_have_a_limit_and_stay_mazes():
    still = lambda x: np.zeros((len(x), 2))  # noqa: E731
    name = "pointmaze-umaze-goal?max_episode_steps=7"
    assert rollout(still, name, episodes=2, seed=0).lengths.tolist() == [7, 7]
    endless = rollout(still, "pointmaze-umaze-sparse?max_episode_steps=none", episodes=1, seed=0, max_steps=400)
    assert (endless.lengths[0], endless.capped[0]) == (400, True)
    assert maze_size(name) == "umaze"
    assert maze_size("Pendulum-v1?x=pointmaze-umaze-goal") is None


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Pendulum-v1?gravity=1.0", "takes no argument 'gravity'; it takes render_mode, g, max_episode_steps"),
        ("Hopper-v5?gravity=1.0", "takes no argument 'gravity'; it takes xml_file, frame_skip"),
        ("Pendulum-v1?g=strong", "'g' is 'strong', where a value like 10.0 stands"),
        ("Pendulum-v1?g=true", "'g' is True, where a value like 10.0 stands"),
        ("FrozenLake-v1?is_slippery=no", "'is_slippery' is 'no', where a value like True stands"),
        ("", "unknown environment ''"),
        ("Pendulum-v1?id=2", "takes no argument 'id'"),
        ("pointmaze-umaze-goal?g=1", "takes no argument 'g'; it takes max_episode_steps"),
        ("adroit-door?g=1", "takes no argument 'g'; it takes max_episode_steps"),
        ("neorl2:DMSD?g=1", "takes no argument 'g'; it takes max_episode_steps"),
        ("Pendulum-v1?wrap=Clip", "those that can are ClipAction"),
        ("Pendulum-v1?wrap=RescaleAction(low=1)", "cannot be put around it"),
        ("Pendulum", "did you mean 'Pendulum-v1'"),
        ("Pendulm-v1?g=1.0", "did you mean 'Pendulum-v1'"),
        ("pendulum-V1", "did you mean"),
        ("no_such_package:Env-v0", "module 'no_such_package', which is not there; .* PYTHONPATH=."),
        ("FrozenLake-v1?map_name=9x9", "Gymnasium cannot make"),
        ("Pendulum-v1?g=1.2.3", "'g' is '1.2.3', where a value like 10.0 stands"),
        ("Hopper-v5?xml_file=nowhere.xml", "Gymnasium cannot make"),
    ],
)
def test_what_cannot_be_made_is_refused_with_what_can(name, words):
    with pytest.raises(ConfigError, match=words):
        make(name)


def test_every_refusal_of_training_names_the_way_without_a_simulator(pendulum, tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    names = {
        "Pendulm-v1": ConfigError,
        "Pendulum-v1?gravity=1": ConfigError,
        "Pendulum-v1?g=1,0": ConfigError,
        "no_such_package:Env-v0": ConfigError,
        "CartPole-v1": SpecError,
        "neorl2:DMSD": MissingExtraError,
    }
    for name, error in names.items():
        with pytest.raises(error, match=r"(?s)o train without a simulator: --environment none$"):
            extremal.train(BC, pendulum, environment=name, out=tmp_path / "run", **SHORT)
    assert not (tmp_path / "run").exists()
    assert extremal.train(BC, pendulum, environment="none", out=tmp_path / "run", **SHORT).plan.environment is None


# ---- modules -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module that registers an id when it is imported."""
    text = (
        "import gymnasium\n"
        "from gymnasium.envs.classic_control import PendulumEnv\n"
        "gymnasium.register('Mine-v0', PendulumEnv, max_episode_steps=3)\n"
    )
    (tmp_path / "my_worlds.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    yield "my_worlds:Mine-v0?g=2.0"
    sys.modules.pop("my_worlds", None)
    gymnasium.registry.pop("Mine-v0", None)


def test_a_module_is_imported_where_the_user_names_it(module, pendulum, tmp_path):
    run = extremal.train(BC, pendulum, environment=module, out=tmp_path / "run", **SHORT)
    assert run.evaluate(episodes=1).episodes[0].lengths.tolist() == [3]
    sys.modules.pop("my_worlds")  # as in another process
    gymnasium.registry.pop("Mine-v0")
    assert run.evaluate(episodes=1).episodes[0].lengths.tolist() == [
        3
    ]  # of the run's own settings, which the user named


def test_a_module_that_a_file_names_is_not_imported(module, pendulum, tmp_path):
    sly = pendulum.replace(card=extremal.Card(name="sly", environment=module))
    extremal.save_dataset(sly, f"npz:{tmp_path}/sly.npz")
    with pytest.raises(
        ConfigError,
        match=r"stands in a file of data and names a module, .* only where you say so: --environment 'my_worlds:Mine-v0\?g=2.0'",
    ):
        extremal.train(BC, f"npz:{tmp_path}/sly.npz", out=tmp_path / "run", **SHORT)
    assert "my_worlds" not in sys.modules
    run = extremal.train(BC, f"npz:{tmp_path}/sly.npz", environment=module, out=tmp_path / "run", **SHORT)
    assert run.plan.environment == module


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("raise RuntimeError('no display')", "raised RuntimeError: no display"),
        ("import not_there", "'not_there'"),
        ("x = (", "SyntaxError"),
    ],
)
def test_a_module_that_fails_is_told(tmp_path, monkeypatch, text, words):
    (tmp_path / "broken_worlds.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=words):
        make("broken_worlds:Env-v0")


# ---- functions ---------------------------------------------------------------------------------------------------------


def weak_gravity():
    return gymnasium.make("Pendulum-v1", g=1.0, max_episode_steps=5)


def test_a_function_makes_the_environment_and_config_says_so(run, pendulum, tmp_path):
    mine = extremal.train(BC, pendulum, environment=weak_gravity, out=tmp_path / "run", **SHORT)
    name = json.loads((mine.path / "config.json").read_text())["dataset"]["environment"]
    assert name == f"python:{__name__}.weak_gravity"
    assert (mine.path / "evaluations.csv").read_text() == (run.path / "evaluations.csv").read_text()
    found = [r.evaluate(episodes=2, environment=weak_gravity).per_seed for r in (mine, run)]
    assert found[0] == found[1]
    with pytest.raises(
        ConfigError, match=r"function in Python, .*weak_gravity; give it again, by `environment=` in Python"
    ):
        mine.evaluate(episodes=1)
    extremal.train(BC, pendulum, environment=weak_gravity, out=mine.path, resume=True, **SHORT)


def test_the_command_line_refuses_what_python_made_and_takes_a_name(pendulum, tmp_path, capsys):
    mine = extremal.train(BC, pendulum, environment=weak_gravity, out=tmp_path / "run", **SHORT)
    assert main(["evaluate", str(mine.path), "--episodes", "1"]) != 0
    assert "was made by a function in Python" in capsys.readouterr().err
    words = [
        "evaluate",
        str(mine.path),
        "--episodes",
        "1",
        "--environment",
        "Pendulum-v1?g=1.0",
        "--max-steps",
        "9",
        "--json",
    ]
    assert main(words) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["capped_episodes"] == {"per_seed": [1], "max_steps": 9}


def test_what_is_no_function_of_an_environment_is_refused(pendulum, tmp_path):
    for given, words in (
        (weak_gravity(), "give a name, or a function that makes a new environment at each call"),
        (lambda: "Pendulum-v1", "the function gave a str, not a Gymnasium environment"),
    ):
        with pytest.raises(ConfigError, match=words):
            extremal.train(BC, pendulum, environment=given, out=tmp_path / "run", **SHORT)


def test_to_evaluate_takes_a_simulator(run):
    with pytest.raises(ConfigError, match="cannot be evaluated without a simulator; name one: --environment ID"):
        run.evaluate(environment="none")


def test_the_command_line_takes_arguments(pendulum, tmp_path, capsys):
    extremal.save_dataset(pendulum, f"npz:{tmp_path}/swing.npz")
    words = [
        "train",
        "bc",
        "--updates",
        "2",
        "--log-every",
        "1",
        "--episodes",
        "1",
        "--width",
        "8",
        "--batch-size",
        "16",
        "--max-steps",
        "4",
    ]
    words += [
        "--dataset",
        f"npz:{tmp_path}/swing.npz",
        "--out",
        str(tmp_path / "run"),
        "--environment",
        "Pendulum-v1?g=1.0",
    ]
    assert main(words) == 0
    plan = Run(tmp_path / "run").plan
    assert (plan.environment, plan.max_steps) == ("Pendulum-v1?g=1.0", 4)
    assert "cut there (--max-steps)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("Pendulum-v1", 200),
        ("Pendulum-v1?g=1.0&max_episode_steps=50", 50),
        ("Pendulum-v1?max_episode_steps=none", None),
        ("Pendulum-v1?max_episode_steps", None),  # cannot be read
        ("python:worlds.make", None),
        (None, None),
    ],
)
def test_the_check_of_data_knows_the_limit_that_a_name_says(name, limit):
    assert step_limit_of(extremal.Card(environment=name)) == limit
