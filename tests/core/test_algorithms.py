"""The one abstraction: what a step sees, what it moves, and in which order."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from extremal.core.algorithm import Algorithm, Greedy, Step, Transitions, tiles_of
from extremal.core.errors import ConfigError
from extremal.core.optimiser import SGD, Polyak
from extremal.core.record import record, static
from extremal.core.types import Batch
from extremal.distributions import Gaussian

KEY = jax.random.key(0)


class Pair(NamedTuple):
    a: Any
    b: Any


@record
class Numbers:
    """Two networks of one number each."""

    a: float = 1.0
    b: float = 10.0

    def init(self, key):
        return Pair(a=jnp.float32(self.a), b=jnp.float32(self.b))


@record
class Towards:
    """(online.<own> - other)^2 / 2, where other is the constant b, or a where `own` is b; metrics tell what was seen."""

    own: str = static()

    def __call__(self, online, target, batch, key, earlier):
        own = getattr(online, self.own)
        other = target.b if self.own == "a" else target.a
        leak = 0.0 * online.a * online.b  # what is not trained has no gradient, whatever the loss touches
        seen = jnp.float32(len(earlier))
        return 0.5 * (own - other) ** 2 + leak, {"other": other, "batch": batch.reward[0], "earlier": seen}


class Rows:
    """A dataset whose rewards tell which key drew them."""

    def sample(self, key, size):
        reward = jax.random.uniform(key, (size,))
        return Batch(reward[:, None], reward[:, None], reward, reward[:, None], jnp.zeros(size))


def algorithm(*steps, slow=None, **fields):
    return Algorithm(networks=Numbers(), steps=steps, slow=slow or {}, sampler=Transitions(size=2), **fields)


def step(own, rate=0.5, repeat=1, **when):
    return Step(trains=own, objective=Towards(own=own), optimiser=SGD(learning_rate=rate), repeat=repeat, **when)


def test_a_step_moves_its_own_network_only():
    recipe = algorithm(step("a"))
    state, metrics = recipe.update(recipe.init(KEY), Rows(), KEY, 0)
    assert float(state.online.a) == 5.5  # half of the way from 1 to 10
    assert float(state.online.b) == 10.0
    assert float(metrics["a/loss"]) == 40.5
    assert set(metrics) == {"a/loss", "a/other", "a/batch", "a/earlier"}


def test_steps_run_in_order_and_see_what_the_ones_before_left():
    recipe = algorithm(step("a"), step("b"))
    state, metrics = recipe.update(recipe.init(KEY), Rows(), KEY, 0)
    assert (float(metrics["a/other"]), float(metrics["b/other"])) == (10.0, 5.5)
    assert (float(metrics["a/earlier"]), float(metrics["b/earlier"])) == (0.0, 4.0)
    assert (float(state.online.a), float(state.online.b)) == (5.5, 7.75)
    other_way = algorithm(step("b"), step("a"))
    state, _ = other_way.update(other_way.init(KEY), Rows(), KEY, 0)
    assert (float(state.online.b), float(state.online.a)) == (5.5, 3.25)


def test_steps_share_a_batch_and_a_repeated_one_draws_afresh():
    recipe = algorithm(step("a"), step("b", repeat=3))
    _, metrics = recipe.update(recipe.init(KEY), Rows(), KEY, 0)
    alone = algorithm(step("a"), step("b"))
    _, single = alone.update(alone.init(KEY), Rows(), KEY, 0)
    assert metrics["a/batch"] == single["a/batch"] == single["b/batch"] != metrics["b/batch"]
    same = algorithm(step("a"), step("b", repeat=3, fresh=False))
    state, again = same.update(same.init(KEY), Rows(), KEY, 0)
    assert again["b/batch"] == single["b/batch"]
    assert float(state.online.b) == 5.5 + 4.5 / 2**3  # half of the way from 10 to 5.5, three times
    moved = algorithm(step("a", repeat=2))
    state, _ = moved.update(moved.init(KEY), Rows(), KEY, 0)
    assert float(state.online.a) == 7.75  # half of the way, twice


@record
class RowMean:
    """mean over rows of (online.a - reward)^2 / 2; metrics tell the rows that were seen, and the key's own number."""

    def __call__(self, online, target, batch, key, earlier):
        seen = {
            "reward": jnp.mean(batch.reward),
            "drawn": jax.random.uniform(key),
            "rows": jnp.float32(len(batch.reward)),
        }
        return 0.5 * jnp.mean((online.a - batch.reward) ** 2), seen


def test_updates_on_one_batch_have_its_draws_too():
    def drawn(**given):
        step = Step(trains="a", objective=RowMean(), optimiser=SGD(learning_rate=0.5), **given)
        recipe = Algorithm(networks=Numbers(), steps=(step,), slow={}, sampler=Transitions(size=4))
        return float(recipe.update(recipe.init(KEY), Rows(), KEY, 0)[1]["a/drawn"])

    assert drawn(repeat=3, fresh=False) == drawn() != drawn(repeat=3)


def test_a_batch_taken_in_tiles_has_the_slope_of_the_whole_and_a_key_for_each():
    def taken(tiles):
        step = Step(trains="a", objective=RowMean(), optimiser=SGD(learning_rate=0.5), tiles=tiles)
        recipe = Algorithm(networks=Numbers(), steps=(step,), slow={}, sampler=Transitions(size=12))
        state, metrics = recipe.update(recipe.init(KEY), Rows(), KEY, 0)
        return float(state.online.a), {name: float(x) for name, x in metrics.items()}

    whole, told = taken(1)
    moved, parts = taken(4)
    assert moved == pytest.approx(whole, rel=1e-6)
    for name in ("a/loss", "a/reward"):
        assert parts[name] == pytest.approx(told[name], rel=1e-6)
    assert (told["a/rows"], parts["a/rows"]) == (12.0, 3.0)
    assert parts["a/drawn"] != told["a/drawn"]


@pytest.mark.parametrize(
    ("batch", "actions", "tiles"), [(256, 1, 1), (256, 31, 4), (256, 20, 4), (100, 31, 2), (7, 1000, 7)]
)
def test_tiles_divide_a_batch_and_hold_at_most_so_many_rows(batch, actions, tiles):
    assert tiles_of(batch, actions) == tiles
    assert batch % tiles == 0


def test_a_slow_copy_stands_in_for_its_network_and_follows_at_the_end():
    recipe = algorithm(step("b", rate=1.0), step("a", rate=1.0), slow={"b": Polyak(rate=0.25)})
    state = recipe.init(KEY)
    assert float(state.target["b"]) == 10.0
    state, metrics = recipe.update(state, Rows(), KEY, 0)
    assert float(state.online.b) == 1.0
    assert float(metrics["a/other"]) == 10.0  # not the 1 that b is by now
    assert float(state.target["b"]) == 10.0 + 0.25 * (1.0 - 10.0)


def test_the_key_decides_and_nothing_else():
    recipe = algorithm(step("a"))
    state = recipe.init(KEY)
    one, two, again = (recipe.update(state, Rows(), jax.random.key(k), 0)[1]["a/batch"] for k in (1, 2, 1))
    assert one == again != two


@pytest.mark.parametrize(
    ("when", "taken"),
    [
        ({"every": 2}, [0, 2, 4, 6]),
        ({"every": 3, "start": 2}, [2, 5]),
        ({"start": 4}, [4, 5, 6, 7]),
        ({"start": 1, "stop": 3}, [1, 2]),
        ({"stop": 0}, []),
    ],
)
def test_a_delayed_step_is_taken_when_it_is_due_and_moves_nothing_else(when, taken):
    recipe = algorithm(step("a", **when), step("b", rate=0.0))
    state, found = recipe.init(KEY), []
    for index in range(8):
        before = float(state.online.a)
        state, metrics = recipe.update(state, Rows(), KEY, index)
        assert bool(recipe.due(jnp.asarray(index))["a"]) == (float(state.online.a) != before)
        assert (float(metrics["a/loss"]) > 0) == (float(state.online.a) != before)
        found += [index] if float(state.online.a) != before else []
    assert found == taken


def test_two_steps_may_train_one_network_each_with_its_own_optimiser():
    recipe = algorithm(step("a"), step("a", rate=0.1, name="again"))
    state, metrics = recipe.update(recipe.init(KEY), Rows(), KEY, 0)
    assert float(state.online.a) == pytest.approx(5.5 + 0.1 * 4.5)
    assert float(metrics["again/loss"]) == 0.5 * 4.5**2
    assert set(state.optimiser) == {"a", "again"}
    with pytest.raises(ConfigError, match="give the second a `name`"):
        algorithm(step("a"), step("a")).init(KEY)


def test_a_slow_copy_may_move_every_so_many_updates():
    recipe = algorithm(step("a", rate=0.0), slow={"b": Polyak(rate=1.0, every=3)})
    state = recipe.init(KEY)
    state = state._replace(online=state.online._replace(b=jnp.float32(7.0)))
    seen = []
    for index in range(4):
        state, _ = recipe.update(state, Rows(), KEY, index)
        seen.append(float(state.target["b"]))
    assert seen == [10.0, 10.0, 7.0, 7.0]


def test_measuring_updates_nothing_and_reports_what_training_would():
    recipe = algorithm(step("a"), step("b"), slow={"b": Polyak(rate=0.25)})
    state = recipe.init(KEY)
    batch = Rows().sample(KEY, 2)
    found = recipe.measure(state, batch)
    assert float(found["a/loss"]) == 40.5
    assert float(found["b/loss"]) == 40.5
    assert float(found["b/earlier"]) == 4.0
    assert (float(state.online.a), float(state.online.b)) == (1.0, 10.0)


def test_a_hard_copy_that_is_behind_is_the_network_of_one_update_ago():
    recipe = algorithm(step("a"), slow={"a": Polyak(rate=1.0, behind=True), "b": Polyak(rate=1.0)})
    state, found = recipe.init(KEY), []
    for index in range(3):
        state, _ = recipe.update(state, Rows(), KEY, index)
        found.append((float(state.target["a"]), float(state.online.a)))
    assert found == [(1.0, 5.5), (5.5, 7.75), (7.75, 8.875)]


@pytest.mark.parametrize(("steps", "slow"), [((step("a"), step("c")), {}), ((step("a"),), {"c": Polyak(rate=0.1)})])
def test_a_step_or_slow_copy_of_an_unknown_network_is_refused(steps, slow):
    with pytest.raises(ConfigError, match="'c'; there are a, b"):
        algorithm(*steps, slow=slow).init(KEY)


# ---- acting -------------------------------------------------------------------------------------------------------


class Acting(NamedTuple):
    pi: Any


@record
class Double:
    """Doubles observations, and adds to actions."""

    add: float

    def fit(self, dataset):
        return self

    def apply(self, dataset):
        return dataset

    def observation(self, observation):
        return 2.0 * observation + self.add

    def action(self, action):
        return 10.0 * action + self.add


def test_acting_clips_the_mode_and_undoes_the_transforms_in_reverse():
    online = Acting(pi=lambda observation: Gaussian(observation, jnp.zeros_like(observation)))
    recipe = algorithm(step("a"), prepare=(Double(add=1.0), Double(add=3.0)))
    observation = jnp.asarray([[-2.0], [-1.3], [5.0]])
    np.testing.assert_allclose(recipe.prepared(observation), 4.0 * np.asarray(observation) + 5.0, rtol=1e-5)
    clipped = np.asarray([[-1.0], [-0.2], [1.0]])
    np.testing.assert_allclose(Greedy()(online, recipe.prepared(observation)), clipped, rtol=1e-5)
    np.testing.assert_allclose(
        recipe.action(online, recipe.prepared(observation)), 10.0 * (10.0 * clipped + 3.0) + 1.0, rtol=1e-5
    )
