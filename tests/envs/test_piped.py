"""A simulator over the pipe is the simulator, bit for bit; whatever it prints, and however it ends."""

import io
import sys

import gymnasium
import numpy as np
import pytest

from extremal.core.errors import ConfigError, MissingExtraError, SimulatorError
from extremal.envs import pipe_server
from extremal.envs.piped import Piped, _Server
from extremal.evaluation.rollout import rollout


@pytest.fixture(scope="module", autouse=True)
def process(script):
    """Keeps the process of the script alive from test to test."""
    one = Piped(sys.executable, script, "Talker")
    assert one._server is not None
    yield one._server
    one.close()


@pytest.fixture
def make(script):
    """Makes simulators over the pipe, and closes them."""
    made = []

    def run(name="Talker"):
        made.append(Piped(sys.executable, script, name))
        return made[-1]

    yield run
    for one in made:
        one.close()


@pytest.fixture
def here(talker, monkeypatch):
    """Makes the same simulator in this process; its input is as empty as over there."""
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    return lambda: gymnasium.wrappers.TimeLimit(talker(), 7)


def test_spaces_are_those_of_the_other_side(make, talker):
    piped = make()
    assert (piped.observation_space, piped.action_space) == (talker.observation_space, talker.action_space)
    assert piped.observation_space.dtype == np.float32
    np.testing.assert_array_equal(piped.observation_space.low, talker.observation_space.low)
    assert make("Chooser").observation_space == gymnasium.spaces.Discrete(5, start=2)
    assert make("Chooser").reset(seed=0)[0] == 2


def test_every_step_is_that_of_the_same_simulator_here_bit_for_bit(make, here):
    one, other = make(), here()
    for seed in (0, 2**32 - 1):
        (observation, info), (expected, known) = one.reset(seed=seed), other.reset(seed=seed)
        assert info == known
        for _ in range(7):
            assert (observation.dtype, observation.tobytes()) == (expected.dtype, expected.tobytes())
            action = one.np_random.uniform(-0.9, 0.9, 3).astype(np.float32)
            observation, *found, info = one.step(action)
            expected, *known, told = other.step(action)
            assert found == known
            assert [type(value) for value in found] == [float, bool, bool]
            assert info["target"].tobytes() == told["target"].tobytes()
        assert found[1:] == [False, True]


def test_info_comes_without_what_numbers_and_words_cannot_say(make):
    piped = make()
    piped.reset(seed=0)
    *_, info = piped.step(np.zeros(3, np.float32))
    assert set(info) == {"target", "success", "far"}
    assert (info["success"], info["far"]) == (True, np.inf)


@pytest.mark.parametrize(("limit", "lengths"), [(2, [2, 2]), (None, [9, 9])])
def test_arguments_arrive(script, limit, lengths):
    make = lambda: Piped(sys.executable, script, "Talker", {"max_episode_steps": limit})  # noqa: E731
    found = rollout(lambda x: np.zeros((len(x), 3)), make, episodes=2, seed=0, max_steps=9)
    assert found.lengths.tolist() == lengths
    assert found.capped.all() == (limit is None)


def test_options_and_unseeded_resets_arrive(make):
    piped = make()
    start, _ = piped.reset(seed=1)
    shifted, info = piped.reset(seed=1, options={"shift": 0.5})
    np.testing.assert_array_equal(shifted, start + 0.5)
    assert info == {"seed": 1}
    assert not np.array_equal(piped.reset()[0], piped.reset()[0])


def test_rollouts_over_the_pipe_are_those_here(script, here):
    act = lambda observation: np.tanh(observation[:, [0, 1, 0]])  # noqa: E731
    found = rollout(act, lambda: Piped(sys.executable, script, "Talker"), episodes=5, seed=3, parallel=2, keep=5)
    known = rollout(act, here, episodes=5, seed=3, parallel=2, keep=5)
    np.testing.assert_array_equal(found.returns, known.returns)
    np.testing.assert_array_equal(found.trajectories, known.trajectories)
    assert (found.lengths == 7).all()


@pytest.mark.parametrize(
    "value",
    [
        *(0.1, -0.0, 5e-324, np.nextafter(1, 2), 1.7976931348623157e308, -np.inf, np.nan, 2**63),
        *(np.float32(0.1), np.int64(-3), np.bool_(True), np.float16([[0.1], [65504]]), np.zeros((0, 2))),
        *(np.random.default_rng(0).standard_normal((50, 2)), np.array([255], np.uint8)),
    ],
)
def test_numbers_survive_the_line_exactly(value):
    line = pipe_server.pack([value])
    assert line.count(b"\n") == 1
    (back,) = pipe_server.unpack(line)
    found, expected = np.asarray(back), np.asarray(value)
    assert (found.dtype, found.shape, found.tobytes()) == (expected.dtype, expected.shape, expected.tobytes())


def test_what_is_no_number_is_refused():
    for value in (object(), np.array([None]), np.array([1j])):
        with pytest.raises(TypeError, match="cannot be told in JSON"):
            pipe_server.pack(value)


def test_an_exception_is_told_and_the_simulator_goes_on(make):
    piped = make()
    piped.reset(seed=0)
    with pytest.raises(SimulatorError, match=r"(?s)raised ValueError: too much force: 1\.0.*talkers\.py"):
        piped.step(np.ones(3, np.float32))
    assert piped.step(np.zeros(3, np.float32))[0].shape == (2,)


def test_death_is_told_with_its_last_words_and_others_can_be_made(make, script, tmp_path):
    mortal = tmp_path / "mortal.py"
    mortal.write_text(script.read_text(encoding="utf-8"), encoding="utf-8")
    one, other = Piped(sys.executable, mortal, "Talker"), Piped(sys.executable, mortal, "Talker")
    one.reset(seed=0)
    with pytest.raises(
        SimulatorError, match=r"(?s)died \(exit status 3\).*a line of a simulator.*the hull is breached"
    ):
        one.step(-np.ones(3, np.float32))
    with pytest.raises(SimulatorError, match="have ended; make them again"):
        other.reset(seed=0)
    one.close()
    other.close()
    assert make().reset(seed=0)[0].shape == (2,)


def test_one_process_holds_all_and_ends_by_itself_with_the_last(script, tmp_path):
    copy = tmp_path / "copy.py"
    copy.write_text(script.read_text(encoding="utf-8"), encoding="utf-8")
    one, other = Piped(sys.executable, copy, "Talker"), Piped(sys.executable, copy, "Chooser")
    server = one._server
    assert server is not None
    assert other._server is server
    one.close()
    one.close()
    with pytest.raises(SimulatorError, match="was closed; it cannot step"):
        one.step(np.zeros(3, np.float32))
    assert server.running
    other.close()
    assert not server.running
    assert server._child._process.returncode == 0  # at the end of its input: it was not killed
    assert server not in _Server._running.values()


def test_an_interrupted_question_ends_the_process_rather_than_mix_up_answers(script, tmp_path, monkeypatch):
    copy = tmp_path / "interrupted.py"
    copy.write_text(script.read_text(encoding="utf-8"), encoding="utf-8")
    piped = Piped(sys.executable, copy, "Talker")
    server = piped._server
    assert server is not None

    class Interrupted(io.BytesIO):
        def readline(self, size=-1):
            raise KeyboardInterrupt

    answers, server._child._answers = server._child._answers, Interrupted()
    with pytest.raises(KeyboardInterrupt):
        piped.reset(seed=0)
    answers.close()
    piped.close()
    assert not server.running


def test_what_is_not_there_is_told(script, process):
    users = process.users
    with pytest.raises(ConfigError, match="no/such/python cannot be started as a Python interpreter"):
        Piped("no/such/python", script, "Talker")
    with pytest.raises(MissingExtraError, match="has no module named 'no_such_package'"):
        Piped(sys.executable, "no_such_package", "Talker")
    with pytest.raises(SimulatorError, match="Did you mean: `Talker`"):
        Piped(sys.executable, script, "Taker")
    with pytest.raises(SimulatorError, match="a space of kind Text is not carried"):
        Piped(sys.executable, script, "Odd")
    assert process.users == users
