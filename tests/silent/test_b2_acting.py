"""A policy acts on observations of its data's kind, and on nothing else; and does what its data did, and nothing else."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import extremal
from extremal import BC, DT, IQL, METHODS, Card, ConfigError, Dataset, SpecError
from extremal.core.policy import Policy
from extremal.core.types import Spec
from extremal.data.transforms import NormaliseObservation, RescaleAction, prepare
from extremal.evaluation.difficulty import drawn_values

SMALL = {"width": 8, "depth": 1}
ROWS = {
    "observation": np.random.default_rng(0).normal(size=(60, 3)),
    "reward": np.arange(60.0),
    "terminated": np.ones(60),
}


def fresh(settings, action=None, card=None):
    """As initialised, on a little data of three features."""
    action = np.random.default_rng(1).uniform(-1.0, 1.0, (60, 2)) if action is None else action
    data = Dataset.from_rows(**ROWS, action=action, card=card)
    algorithm = settings.algorithm(data.spec, updates=1)
    fitted, _ = prepare(algorithm.prepare, data)
    online = algorithm.init(jax.random.key(0)).online
    return Policy(dataclasses.replace(algorithm, prepare=fitted), online, data.spec)


@pytest.fixture(scope="module")
def policy():
    return fresh(IQL(normalise_observation=True, **SMALL))


@pytest.fixture(scope="module")
def remembering():
    return fresh(DT(context=2, timesteps=5, warm_up=1, **SMALL))


ROW = [0.1, 0.2, 0.3]
WRONG = {
    "too short": (ROW[:2], r"shape \(2,\).*shape \(3,\): give one \(3,\), or several \(B, 3\)"),
    "too long": ([*ROW, 0.4], r"shape \(4,\).*shape \(3,\)"),
    "rows too short": ([ROW[:2]] * 3, r"shape \(3, 2\).*\(B, 3\)"),
    "features first": (np.zeros((3, 7)), r"shape \(3, 7\).*\(B, 3\)"),
    "a number": (0.5, r"shape \(\).*\(3,\)"),
    "nothing": ([], r"shape \(0,\).*\(3,\)"),
    "an empty batch": (np.zeros((0, 3)), r"shape \(0, 3\).*\(B, 3\)"),
    "a batch of batches": (np.zeros((3, 4, 3)), r"shape \(3, 4, 3\).*\(B, 3\)"),
    "NaN": ([0.1, np.nan, 0.3], r"is nan at entry 1, which is not finite"),
    "infinite": ([0.1, 0.2, -np.inf], r"is -inf at entry 2"),
    "NaN in a row": ([ROW, [0.1, 0.2, np.nan], ROW], r"is nan at row 1, entry 2, which is not finite"),
    "beyond float32": ([0.1, 1e300, 0.3], r"is 1e\+300 at entry 1, which is finite, and beyond float32"),
    "words": (["a", "b", "c"], "is an array of numbers, and this is list of type <U1"),
    "none": (None, "this is NoneType of type object"),
    "a dictionary": ({"position": ROW}, "this is dict of type object"),
    "complex": ([1j, 0, 0], "of type complex128"),
    "dates": (np.zeros(3, "datetime64[s]"), "of type datetime64"),
    "masked": (np.ma.masked_array(ROW, [0, 1, 0]), "has masked entries"),
    "ragged": ([[0.1], [0.1, 0.2]], "an observation is no array of numbers"),
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("ask", ["act", "value", "play", "remember"])
def test_an_observation_of_another_kind_is_refused(policy, remembering, wrong, ask):
    observation, words = WRONG[wrong]
    asked = {"act": policy.act, "value": policy.value}
    if ask in asked:
        with pytest.raises(SpecError, match=words):
            asked[ask](observation)
        return
    single = np.ndim(observation) < 2 if wrong != "ragged" else True
    count = None if single else max(len(observation), 1)
    player = (policy if ask == "play" else remembering).start(count)
    with pytest.raises(SpecError):
        player.act(observation)
    player.act(ROW if single else [ROW] * count)  # nothing is remembered of what was refused


@pytest.mark.parametrize(
    "like", [np.float32, np.float64, np.float16, list, jnp.asarray, lambda x: np.array(x, order="F")]
)
def test_numbers_of_any_type_are_taken(policy, like):
    one, many = np.float16(ROW), np.float16([ROW] * 4)
    expected = policy.act(np.float32(many))
    np.testing.assert_allclose(policy.act(like(many)), expected, rtol=1e-6)
    np.testing.assert_allclose(policy.act(like(one)), expected[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(policy.value(like(many))[0], policy.value(like(one)), rtol=1e-5)
    np.testing.assert_array_equal(policy.act([1, 0, 1]), policy.act([True, False, True]))
    np.testing.assert_array_equal(policy.act([1, 0, 1]), policy.act([1.0, 0.0, 1.0]))


def test_a_policy_without_a_spec_still_refuses_what_is_not_finite(policy):
    free = Policy(policy.algorithm, policy.online)
    np.testing.assert_array_equal(free.act(ROW), policy.act(ROW))
    with pytest.raises(SpecError, match="nan at entry 0"):
        free.act([np.nan, 0.0, 0.0])
    with pytest.raises(SpecError, match="shape"):
        free.act(np.zeros((2, 2, 3)))


# ---- players -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reward", "words"),
    [
        (np.nan, "the reward is nan"),
        ([0.0, np.inf, 1.0], "the reward is inf at entry 1"),
        ([1.0, 2.0], r"rewards: shape \(2,\) for 3 episodes"),
        (np.zeros((3, 1)), r"rewards: shape \(3, 1\) for 3 episodes"),
        ("much", "a reward is an array of numbers"),
        (None, "a reward is an array of numbers"),
        (1e300, "the reward is inf"),
    ],
)
def test_a_reward_that_is_none_is_refused(remembering, policy, reward, words):
    for player in (remembering.start(3), policy.start(3)):
        player.act([ROW] * 3)
        with pytest.raises(SpecError, match=words):
            player.receive(reward)
        with pytest.raises(SpecError, match="`fresh`"):
            player.receive(0.0, fresh=[True, False])
        player.receive(np.arange(3.0), fresh=[True, False, False])
        player.act([ROW] * 3)


def test_a_reward_that_no_action_brought_is_refused(remembering):
    player = remembering.start()
    with pytest.raises(SpecError, match="let the player act"):
        player.receive(0.0)
    expected = remembering.start().act(ROW)
    np.testing.assert_array_equal(player.act(ROW), expected)
    player.receive(1.0)
    with pytest.raises(SpecError, match="let the player act"):
        player.receive(1.0)


@pytest.mark.parametrize("count", [0, -1, 2.5, True, "3"])
def test_a_number_of_episodes_that_is_none_is_refused(policy, count):
    with pytest.raises(ConfigError, match=r"count is .* expected int from 1 up, or none"):
        policy.start(count)


def test_as_many_observations_as_episodes(policy, remembering):
    for each in (policy, remembering):
        for player, observation in ((each.start(2), [ROW] * 3), (each.start(2), ROW), (each.start(), [ROW])):
            with pytest.raises(SpecError, match=r"observations have shape .* the player has \d episodes"):
                player.act(observation)


# ---- actions -----------------------------------------------------------------------------------------------------------

FAR = 100.0 * np.random.default_rng(3).normal(size=(400, 3))


@pytest.mark.parametrize("value", [1.0, -0.3, 0.0, 7.25, 1e4])
def test_an_entry_that_never_varied_comes_back_as_it_was(value):
    action = np.column_stack([np.linspace(-1.0, 1.0, 60), np.full(60, value)])
    policy = fresh(BC(**SMALL), action)
    assert set(policy.act(FAR)[:, 1]) == {np.float32(value)}
    assert policy.act(FAR[0])[1] == np.float32(value)
    assert np.ptp(policy.act(FAR / 100.0)[:, 0]) > 0.1


RANGES = [(0.1, 0.7), (-3.0, 5.0), (1e3, 1e3 + 1e-3), (-1e-3, 1e5), (-1.0, 1.0), (0.3, 0.30000004)]


@pytest.mark.parametrize(("low", "high"), RANGES)
@pytest.mark.parametrize("declared", [False, True])
def test_no_action_leaves_the_range_of_the_log_not_by_a_rounding(low, high, declared):
    ends = np.float32([low, high])
    action = np.random.default_rng(0).uniform(low, high, (60, 1)).clip(*ends).astype(np.float32)
    action[:2, 0] = ends
    data = Dataset.from_rows(
        **ROWS, action=action, card=Card(action_low=(low,), action_high=(high,)) if declared else None
    )
    fitted = RescaleAction().fit(data)
    inside = np.append(np.linspace(-1.0, 1.0, 2001), np.nextafter(np.float32([-1.0, 1.0]), 0))[:, None]
    for acted in (jax.jit(fitted.action)(jnp.float32(inside)), fitted.action(jnp.float32(inside))):
        assert ends[0] <= np.min(acted)
        assert np.max(acted) <= ends[1]
        assert np.ptp(acted) >= 0.99 * (ends[1] - ends[0]) - np.spacing(ends[1])
    again = fitted.action(jnp.asarray(fitted.apply(data).action))
    np.testing.assert_allclose(again, action, atol=2 * np.spacing(np.abs(ends).max()))


QUICK = {"xql", "bc", "td3", "bear"}


@pytest.mark.parametrize("name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in METHODS])
def test_no_method_leaves_the_range_of_its_log_however_strange_the_state(name):
    settings = dataclasses.replace(METHODS[name].default, width=8, depth=1)
    if hasattr(settings, "behaviour_width"):
        settings = dataclasses.replace(settings, behaviour_width=8, behaviour_head_width=8, behaviour_bins=5)
    action = np.random.default_rng(5).uniform([0.1, 2.0], [0.7, 2.5], (60, 2)).astype(np.float32)
    policy = fresh(settings, action, None)
    moved = jax.tree.map(lambda x: 30.0 * x if x.ndim else x, policy.online)  # as far out as a network goes
    player = Policy(policy.algorithm, moved, policy.spec).start(len(FAR))
    acted = player.act(FAR)
    assert (acted >= action.min(axis=0)).all()
    assert (acted <= action.max(axis=0)).all()


def test_an_entry_that_never_varied_is_judged_where_it_was():
    """Delta(s, N) takes actions from one model's units to another's; a range without length is no reason for NaN."""
    point = RescaleAction(centre=np.float32([0.5, 2.0]), half=np.float32([1.0, 0.0]))

    @dataclasses.dataclass
    class Draws:
        behaviour = staticmethod(lambda seen: Draws())
        samples = staticmethod(lambda key, count: jnp.full((count, 2, 2), 0.25))
        q = staticmethod(lambda state, action: jnp.stack([action.sum(axis=-1)] * 2))

    algorithm = dataclasses.replace(
        BC().algorithm(Spec(observation=(3,), action=(2,)), updates=1), prepare=(point, NormaliseObservation())
    )
    found = drawn_values.__wrapped__(
        (algorithm, Draws()), (algorithm, Draws()), jnp.zeros((2, 3)), jnp.zeros((2, 3)), jax.random.key(0), jnp.float32(1.0), draws=2
    )  # fmt: skip
    np.testing.assert_allclose(found, 0.25)


# ---- a run -------------------------------------------------------------------------------------------------------------


def test_what_a_run_gives_back_knows_its_data(tmp_path):
    np.savez(tmp_path / "log.npz", **ROWS, action=np.column_stack([np.linspace(-1, 1, 60), np.ones(60)]))
    run = extremal.train(
        BC(batch_size=16, **SMALL), f"npz:{tmp_path}/log.npz", updates=20, out=tmp_path / "run", holdout=0.0
    )
    for policy in (extremal.load(tmp_path / "run"), run.policy()):
        with pytest.raises(SpecError, match=r"learned from such of shape \(3,\)"):
            policy.act(np.zeros(2, np.float32))
        with pytest.raises(SpecError, match="nan at entry 0"):
            policy.act(np.full(3, np.nan))
        assert set(policy.act(FAR)[:, 1]) == {1.0}
    for replica in (-1, 1, 0.5, True):
        with pytest.raises(ConfigError, match="replica"):
            extremal.load(tmp_path / "run", replica)
    with pytest.raises(ConfigError, match="target_return"):
        extremal.load(tmp_path / "run", target_return=float("nan"))


@pytest.mark.parametrize("target", [np.nan, np.inf, "much"])
def test_a_return_that_is_none_cannot_be_asked_for(target):
    with pytest.raises(ConfigError, match=r"'target_return' is .* expected finite float"):
        DT(target_return=target)
