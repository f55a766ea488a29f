"""The stream of progress: where it stops, how replicas are spread, and what becomes of one that diverges."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from extremal.engine.loop import train
from extremal.engine.offline import train_chunk
from extremal.engine.replicas import init_replicas, run_keys, stack, take


@pytest.fixture
def progress(make_toy, data):
    """Runs the loop with one replica per learning rate; each Progress with its states copied, since they are donated."""

    def run(rates, *, updates, every, start=0, states=None, alive=None, seeds=None, how="map", delay=1, begin=0):
        algorithms = stack([make_toy(rate, every=delay, start=begin) for rate in rates])
        init, keys = run_keys(seeds or range(len(rates)))
        states = init_replicas(algorithms, init) if states is None else states
        stream = train(algorithms, states, data, keys, updates=updates, every=every, start=start, alive=alive, how=how)
        return [(p, jax.device_get(p.states)) for p in stream]

    return run


@pytest.fixture
def fresh(make_toy):
    """State of a replica before its first update; the learning rate plays no part in it."""
    return lambda seed: make_toy().init(run_keys([seed])[0][0])


def same(one, other) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True))


# ---- where it stops --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "updates", "every", "stops"),
    [
        (0, 24, (7, 10), [7, 10, 14, 20, 21, 24]),
        (10, 24, (7, 10), [14, 20, 21, 24]),
        (0, 3, (100,), [3]),
        (0, 4, (2, 4), [2, 4]),
        (5, 5, (1,), []),
    ],
)
def test_it_stops_at_every_multiple_and_at_the_end(progress, start, updates, every, stops):
    assert [p.update for p, _ in progress([0.1], updates=updates, every=every, start=start)] == stops


@pytest.mark.parametrize(("start", "stop"), [(3, 20), (0, 8), (0, 3), (5, 5)])
def test_an_accelerators_loops_make_the_same_updates(make_toy, data, monkeypatch, start, stop):
    """Inner loops of four, and what is left over."""
    toy, (init, key) = make_toy(0.1), (x[0] for x in run_keys([0]))
    bounds = [jnp.asarray(update, jnp.int32) for update in (start, stop)]
    expected = jax.jit(lambda *bounds: train_chunk(toy, toy.init(init), data, key, *bounds))(*bounds)
    monkeypatch.setattr("extremal.engine.offline.STRIDE", 4)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert same(jax.jit(lambda *bounds: train_chunk(toy, toy.init(init), data, key, *bounds))(*bounds), expected)


def test_where_it_stops_changes_nothing(progress):
    whole = progress([0.1, 0.2], updates=30, every=(30,))[-1][1]
    pieces = progress([0.1, 0.2], updates=30, every=(4, 9))
    assert same(pieces[-1][1], whole)
    update, half = pieces[3][0].update, pieces[3][1]
    again = progress([0.1, 0.2], updates=30, every=(11,), start=update, states=jax.tree.map(jnp.asarray, half))
    assert same(again[-1][1], whole)


def test_update_i_draws_from_the_key_folded_with_i(progress, make_toy, data):
    init, keys = run_keys([3])
    algorithm, state = make_toy(0.1), make_toy(0.1).init(init[0])
    total = 0.0
    for update in range(5):
        state, metrics = algorithm.update(state, data, jax.random.fold_in(keys[0], update), update)
        total += metrics["a/error"]
    ((found, states),) = progress([0.1], updates=5, every=(5,), seeds=[3])
    assert jax.tree.all(jax.tree.map(lambda x, y: np.allclose(x[0], y, rtol=1e-6), states, state))
    assert np.allclose(found.metrics["a/error"], [total / 5], rtol=1e-5)


@pytest.mark.parametrize("how", ["map", "vmap"])
def test_a_delayed_step_is_averaged_over_the_updates_at_which_it_was_due(progress, how):
    when = {"delay": 3, "begin": 1}  # due at 1, 4, 7
    single = progress([0.1, 0.2], updates=9, every=(1,), how=how, **when)
    told = np.stack([p.metrics["a/error"] for p, _ in single])
    assert [int(update) for update in np.flatnonzero(np.isfinite(told[:, 0]))] == [1, 4, 7]
    moved = [not same(x.online.a, y.online.a) for (_, x), (_, y) in itertools.pairwise(single)]
    assert [update + 1 for update in np.flatnonzero(moved)] == [1, 4, 7]
    ((whole, states),) = progress([0.1, 0.2], updates=9, every=(9,), how=how, **when)
    np.testing.assert_allclose(whole.metrics["a/error"], told[[1, 4, 7]].mean(0), rtol=1e-6)
    assert same(states, single[-1][1])
    assert not whole.diverged


def test_compilation_is_told_once(progress):
    first, *rest = [p.compile_seconds for p, _ in progress([0.1], updates=6, every=(2,))]
    assert first > 0.0
    assert rest == [0.0, 0.0]


# ---- replicas on devices ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["map", "vmap"])
@pytest.mark.parametrize("count", [1, 3, 4, 6])
def test_spread_over_devices_each_replica_is_what_it_is_alone(progress, count, how):
    assert jax.local_device_count() == 4
    rates = [0.05 * (1 + number) for number in range(count)]
    ((found, states),) = progress(rates, updates=10, every=(10,), how=how)
    assert found.alive.shape == (count,)
    assert found.alive.all()
    assert all(x.shape == (count,) for x in found.metrics.values())
    for number, rate in enumerate(rates):
        ((alone, state),) = progress([rate], updates=10, every=(10,), seeds=[number])
        assert jax.tree.all(jax.tree.map(np.allclose, take(states, number), take(state, 0)))
        assert np.allclose(found.metrics["b/loss"][number], alone.metrics["b/loss"][0])


# ---- divergence ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["map", "vmap"])
def test_a_replica_that_diverges_is_stopped_and_the_others_go_on(progress, fresh, how):
    rates = [0.1, 1e30, 0.2, 0.1, 0.3]
    found = progress(rates, updates=12, every=(4,), how=how)
    (first, after), (second, later), _ = found
    (divergence,) = first.diverged
    assert (divergence.replica, divergence.update, divergence.metric) == (1, 1, "b/loss")
    for words in ("replica 1", "update 1", "b/loss", "last good state is kept", "data check"):
        assert words in divergence.advice
    for p, _ in found:
        assert p.alive.tolist() == [True, False, True, True, True]
    assert second.diverged == ()
    assert same(take(after, 1), fresh(1))
    assert same(take(later, 1), fresh(1))
    assert np.isnan(second.metrics["b/loss"][1])
    healthy = progress([0.1, 0.1, 0.2, 0.1, 0.3], updates=12, every=(4,), how=how)[-1][1]
    for replica in (0, 2, 3, 4):
        assert same(take(found[-1][1], replica), take(healthy, replica))


def test_the_last_good_state_is_that_of_the_chunk_before(progress):
    good = progress([0.1], updates=4, every=(4,))[-1][1]
    ((p, states),) = progress([3e38], updates=8, every=(4,), start=4, states=jax.tree.map(jnp.asarray, good))
    assert not p.alive.any()
    assert same(states, good)


def test_parameters_that_diverge_before_any_metric_are_told(progress, fresh):
    ((p, states),) = progress([3e38], updates=1, every=(1,), seeds=[5])  # a gradient above 1.2 overflows
    assert same(take(states, 0), fresh(5))
    (divergence,) = p.diverged
    assert (divergence.metric, divergence.update) == ("parameters", 1)


def test_it_ends_when_no_replica_is_alive(progress):
    found = progress([1e30, 2e30], updates=100, every=(5,))
    assert [p.update for p, _ in found] == [5]
    assert [d.replica for d in found[0][0].diverged] == [0, 1]


def test_a_dead_replica_stays_as_it_was(progress, fresh):
    ((p, states),) = progress([0.1, 0.1], updates=5, every=(5,), alive=np.array([True, False]))
    assert p.alive.tolist() == [True, False]
    assert p.diverged == ()
    assert same(take(states, 1), fresh(1))
    assert not same(take(states, 0), fresh(0))


def test_without_a_living_replica_nothing_is_done(progress):
    assert progress([0.1, 0.1], updates=5, every=(5,), alive=np.zeros(2, bool)) == []
