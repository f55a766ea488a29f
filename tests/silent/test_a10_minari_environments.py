"""Minari's environment is recovered whole, or evaluation is refused with what cannot be honoured."""

import json
import sys
from collections import OrderedDict

import gymnasium
import minari
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from gymnasium.wrappers import ClipReward, FlattenObservation, RescaleAction, TimeAwareObservation
from minari.data_collector.episode_buffer import EpisodeBuffer

import extremal
from extremal.core.errors import ConfigError, DataError, SpecError
from extremal.envs import make
from extremal.evaluation.rollout import rollout
from extremal.runs.judge import evaluation_seed

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # Minari's writer misses an author; Gymnasium's bounds


class Ordered(gymnasium.Env):
    """Three numbers in a dictionary whose space lists them unsorted; five steps, each worth its [z, a]."""

    observation_space = spaces.Dict(
        OrderedDict(z=spaces.Box(-9, 9, (1,), np.float32), a=spaces.Box(-9, 9, (2,), np.float32))
    )
    action_space = spaces.Box(-1, 1, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self.seen(), {}

    def step(self, action):
        self.steps += 1
        return self.seen(), float(action[0]), False, self.steps == 5, {}

    def seen(self):
        return {"z": np.full(1, 7, np.float32), "a": np.array([1, 2], np.float32)}


class Goal(Ordered):
    observation_space = spaces.Dict(
        {name: spaces.Box(-9, 9, (2,), np.float32) for name in ("observation", "achieved_goal", "desired_goal")}
    )

    def seen(self):
        parts = {"observation": [1, 2], "desired_goal": [3, 4], "achieved_goal": [5, 6]}
        return {name: np.array(value, np.float32) for name, value in parts.items()}


@pytest.fixture(scope="module", autouse=True)
def registered():
    gymnasium.register("ExtremalOrdered-v0", Ordered)
    gymnasium.register("ExtremalGoal-v0", Goal)
    yield
    for name in ("ExtremalOrdered-v0", "ExtremalGoal-v0"):
        del gymnasium.registry[name]


def walk(random, size):
    """[6, size]: a smooth course from a place of its own."""
    course = random.normal(size=size) + 0.05 * np.cumsum(random.normal(size=(6, size)), axis=0)
    return course.astype(np.float32)


@pytest.fixture
def dataset(tmp_path, monkeypatch):
    """Write a small Minari dataset of some spaces, with the description of its environment."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))

    def write(spec, observation=None, action=None, seen=None):
        observation = observation or spaces.Box(-9, 9, (3,), np.float32)
        action = action or spaces.Box(-2, 2, (1,), np.float32)
        random, seen = np.random.default_rng(0), seen or (lambda random: walk(random, 3))
        buffers = [
            EpisodeBuffer(
                observations=seen(random) if callable(seen) else seen,
                actions=np.linspace(-1, 1, 5, dtype=np.float32)[:, None],
                rewards=list(np.arange(5.0)),
                terminations=[False] * 5,
                truncations=[False] * 4 + [True],
            )
            for _ in range(4)
        ]
        name = f"small{len(minari.list_local_datasets())}-v0"
        minari.create_dataset_from_buffers(
            name, buffers, observation_space=observation, action_space=action, description="-"
        )
        file = tmp_path / "minari" / name / "data" / "metadata.json"
        text = spec if isinstance(spec, str) else spec.to_json()
        file.write_text(json.dumps(json.loads(file.read_text()) | {"env_spec": text}))
        return extremal.load_dataset(f"minari:{name}")

    return write


def same_course(one, other):
    """Both give the same numbers for the same actions."""
    seen = []
    for environment in (one, other):
        observation, _ = environment.reset(seed=3)
        course = [observation]
        for action in np.linspace(-1, 1, 8, dtype=np.float32)[:, None]:
            observation, reward, *ends, _ = environment.step(action)
            course.append(np.append(observation, [reward, *ends]))
        seen.append(np.concatenate(course))
    np.testing.assert_array_equal(*seen)


MADE = [
    (lambda: gymnasium.make("Pendulum-v1"), "Pendulum-v1"),
    (lambda: gymnasium.make("Pendulum-v1", g=1.0, max_episode_steps=6), "Pendulum-v1?g=1.0&max_episode_steps=6"),
    (lambda: gymnasium.make("Pendulum-v1", max_episode_steps=-1), "Pendulum-v1?max_episode_steps=none"),
    (lambda: gymnasium.make("Pendulum-v1", render_mode="rgb_array", g=2.5), "Pendulum-v1?g=2.5"),
    (
        lambda: RescaleAction(gymnasium.make("Pendulum-v1"), -0.5, 0.25),
        "Pendulum-v1?wrap=RescaleAction(min_action=-0.5,max_action=0.25)",
    ),
    (
        lambda: ClipReward(TimeAwareObservation(gymnasium.make("Pendulum-v1")), -3.0),
        'Pendulum-v1?wrap=TimeAwareObservation(flatten=true,normalize_time=false,dict_time_key="time")'
        "&wrap=ClipReward(min_reward=-3.0,max_reward=none)",
    ),
]


@pytest.mark.parametrize(("made", "name"), MADE)
def test_the_environment_is_recovered_whole(dataset, made, name):
    original = made()
    assert dataset(original.spec).card.environment == name
    same_course(original, make(name, imports=False))


def test_the_dataset_is_evaluated_at_its_own_settings(dataset, tmp_path):
    """g = 1 and 50 steps, not g = 10 and 200."""
    data = dataset(gymnasium.make("Pendulum-v1", g=1.0, max_episode_steps=50).spec)
    options = {"updates": 2, "log_every": 1, "episodes": 2, "out": tmp_path / "run"}
    run = extremal.train(extremal.BC(width=8, batch_size=16), data, **options)
    assert run.plan.environment == "Pendulum-v1?g=1.0&max_episode_steps=50"
    found = run.evaluate(episodes=2)
    assert found.episodes[0].lengths.tolist() == [50, 50]
    policy = run.policy()
    by_hand = rollout(
        policy,
        lambda: gymnasium.make("Pendulum-v1", g=1.0, max_episode_steps=50),
        episodes=2,
        seed=evaluation_seed(0, 0),
    )
    np.testing.assert_array_equal(found.episodes[0].returns, by_hand.returns)


def wrapper(entry_point, kwargs):
    return {"additional_wrappers": [{"name": entry_point.split(":")[1], "entry_point": entry_point, "kwargs": kwargs}]}


REFUSED = [
    (wrapper("sly:RescaleAction", {}), "sly.RescaleAction()"),  # of somebody else, under a known name
    (wrapper("gymnasium.wrappers:NormalizeObservation", {"epsilon": 1e-8}), "NormalizeObservation(epsilon=1e-08)"),
    (wrapper("gymnasium.wrappers:ClipAction", None), "gymnasium.wrappers.ClipAction()"),  # arguments unknown
    ({"entry_point": "sly:Pendulum"}, "of sly:Pendulum"),  # another maker of a known id
    ({"id": "Sly-v0", "entry_point": "sly:Sly"}, "unknown environment 'Sly-v0'"),
    ({"kwargs": {"mass": 3.0}}, "takes no argument 'mass'; it takes"),
    ({"id": "sly:Pendulum-v1"}, "is imported only where you say so"),
]


def described(change):
    return json.dumps(json.loads(gymnasium.spec("Pendulum-v1").to_json()) | change)


@pytest.mark.parametrize(("change", "words"), REFUSED)
def test_what_cannot_be_honoured_is_named_and_nothing_is_imported(dataset, tmp_path, monkeypatch, change, words):
    (tmp_path / "sly.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    data = dataset(described(change))
    with pytest.raises(ConfigError) as error:
        extremal.train(extremal.BC(width=8), data, updates=2, out=tmp_path / "run")
    assert words in str(error.value)
    assert str(error.value).endswith("o train without a simulator: --environment none")
    assert "sly" not in sys.modules
    assert not (tmp_path / "run").exists()


def test_the_twin_trains_without_a_simulator_or_with_one_that_is_named(dataset, tmp_path):
    data = dataset(described({"entry_point": "sly:Pendulum"}))
    short = {"updates": 2, "log_every": 1, "episodes": 1}
    bc = extremal.BC(width=8, batch_size=16)
    without = extremal.train(bc, data, environment="none", holdout=0.0, out=tmp_path / "without", **short)
    assert without.plan.environment is None
    named = extremal.train(bc, data, environment="Pendulum-v1?max_episode_steps=3", out=tmp_path / "named", **short)
    assert {result["metric"] for result in named.results} == {"return"}


# ---- dictionaries ------------------------------------------------------------------------------------------------------


def test_unsorted_dictionaries_keep_one_order(dataset):
    """The case of the return -9.97: what the policy sees is laid out as what it learned from."""
    environment = Ordered()
    seen = {"z": np.full((6, 1), 7, np.float32), "a": np.tile(np.float32([1, 2]), (6, 1))}
    data = dataset(_spec("ExtremalOrdered-v0"), environment.observation_space, seen=seen)
    shown = []
    rollout(lambda x: shown.append(x) or np.zeros((len(x), 1)), data.card.environment, episodes=1, seed=0)
    np.testing.assert_array_equal(shown[0][0], data.observation[0])
    assert json.loads(data.card.recipe)["observation_order"] == ["a", "z"]


def test_goal_dictionaries_keep_one_order(dataset):
    seen = {name: np.tile(value, (6, 1)) for name, value in Goal().seen().items()}
    data = dataset(_spec("ExtremalGoal-v0"), Goal.observation_space, seen=seen)
    shown = []
    rollout(lambda x: shown.append(x) or np.zeros((len(x), 1)), data.card.environment, episodes=1, seed=0)
    np.testing.assert_array_equal(shown[0][0], [1, 2, 3, 4])
    np.testing.assert_array_equal(data.observation[0], [1, 2, 3, 4])


def test_nested_dictionaries_keep_one_order(dataset):
    inner = spaces.Dict(OrderedDict(y=spaces.Box(-9, 9, (1,), np.float32), b=spaces.Box(-9, 9, (1, 2), np.float32)))
    space = spaces.Dict(OrderedDict(z=inner, a=spaces.Box(-9, 9, (1,), np.float32)))
    value = {"z": {"y": np.float32([3]), "b": np.float32([[1, 2]])}, "a": np.float32([0])}
    stacked = {"z": {k: np.stack([v] * 6) for k, v in value["z"].items()}, "a": np.zeros((6, 1), np.float32)}
    data = dataset(_spec("ExtremalOrdered-v0"), space, seen=stacked)

    class Nested(Ordered):
        observation_space = space

        def seen(self):
            return value

    shown = []
    rollout(lambda x: shown.append(x) or np.zeros((len(x), 1)), Nested, episodes=1, seed=0)
    np.testing.assert_array_equal(shown[0][0], data.observation[0])
    assert json.loads(data.card.recipe)["observation_order"] == ["a", "z.b", "z.y"]


def test_a_wrapper_that_flattens_in_another_order_is_refused(dataset, tmp_path):
    seen = lambda random: {"z": walk(random, 1), "a": walk(random, 2)}  # noqa: E731
    data = dataset(_spec("ExtremalOrdered-v0"), Ordered.observation_space, spaces.Box(-1, 1, (1,), np.float32), seen)
    options = {"updates": 2, "log_every": 1, "episodes": 1}
    bc = extremal.BC(width=8, batch_size=16)
    with pytest.raises(SpecError, match="in the order z, a, the data were flattened in the order a, z; leave Flatten"):
        extremal.train(bc, data, environment=lambda: FlattenObservation(Ordered()), out=tmp_path / "run", **options)
    with pytest.raises(SpecError, match="leave FlattenObservation out"):
        extremal.train(
            bc, data, environment=f"{data.card.environment}?wrap=FlattenObservation()", out=tmp_path / "run", **options
        )
    run = extremal.train(bc, data, out=tmp_path / "run", **options)  # the twin
    assert run.plan.environment == "ExtremalOrdered-v0"


def test_vectors_do_not_say_the_order_of_a_dictionary(dataset, tmp_path):
    data = dataset(_spec("ExtremalOrdered-v0"), action=spaces.Box(-1, 1, (1,), np.float32))
    options = {"updates": 2, "log_every": 1, "episodes": 1}
    bc = extremal.BC(width=8, batch_size=16)
    with pytest.raises(SpecError, match=r"nothing says in which order .* add wrap=FlattenObservation\(\)"):
        extremal.train(bc, data, out=tmp_path / "run", **options)
    name = "ExtremalOrdered-v0?wrap=FlattenObservation()"
    assert extremal.train(bc, data, environment=name, out=tmp_path / "run", **options).plan.environment == name


def test_dictionaries_of_choices_are_refused(dataset):
    space = spaces.Dict({"a": spaces.Discrete(3), "b": spaces.Box(-9, 9, (1,), np.float32)})
    with pytest.raises(DataError, match="only Box and dictionaries of Box") as error:
        dataset(
            _spec("ExtremalOrdered-v0"), space, seen={"a": np.zeros(6, np.int64), "b": np.zeros((6, 1), np.float32)}
        )
    assert error.value.field == "observations"


def _spec(id):
    """A description as a file holds it, of an id whose maker is a class of this module."""
    known = gymnasium.spec(id)
    return EnvSpec(id, entry_point=f"{Ordered.__module__}:{id}", max_episode_steps=known.max_episode_steps)
