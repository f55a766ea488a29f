"""Biases on logs of five shapes: closed forms of the truth, slopes that are zero there, and what each loss leaves of it."""

import numpy as np
import pytest

from extremal import XQL
from extremal.reproduce import bias, log_bias

ROWS = 20_000


@pytest.fixture(scope="module", params=log_bias.SHAPES)
def x(request):
    return log_bias.log_of(request.param, ROWS)


def test_each_log_is_standard_and_in_order(x):
    assert x.mean() == pytest.approx(0.0, abs=1e-12)
    assert x.std() == pytest.approx(1.0, rel=1e-12)
    assert (np.diff(x) >= 0.0).all()


@pytest.mark.parametrize("ratio", [1.0, 2.0, 4.0])
def test_without_a_clip_the_tangent_is_the_truth_and_every_clip_is_at_most_it(x, ratio):
    truth = log_bias.soft_maximum(x, ratio)
    low, default, free = (log_bias.tangent(x, ratio, clip) for clip in (5.0, 8.0, 600.0))
    assert low <= default + 1e-8 <= free + 2e-8
    assert free == pytest.approx(truth, abs=1e-8)


def test_two_points_in_closed_form():
    """The better one's weight at the truth is at most one over its share: exp(8) is enough for 5 %, and not for 1 in 2,000."""
    for shape, share in (("5 % are better", 0.05), ("1 in 2,000 is better", 0.0005)):
        x = log_bias.log_of(shape, ROWS)
        high, low = np.sqrt((1 - share) / share), -np.sqrt(share / (1 - share))
        assert (x[-1], x[0]) == pytest.approx((high, low))
        exact = low + np.log1p(share * np.expm1(2.0 * (high - low))) / 2.0
        assert log_bias.soft_maximum(x, 2.0) == pytest.approx(exact, rel=1e-9)
        assert log_bias.tangent(x, 2.0, 8.0) == pytest.approx(exact, rel=1e-9)
    assert log_bias.tangent(x, 2.0, 7.0) < 0.02 * exact


def test_of_a_normal_log_the_numbers_are_those_of_the_normal():
    x = log_bias.log_of("normal", 100_000)
    assert log_bias.tangent(x, 4.0, 5.0) == pytest.approx(bias.tangent(4.0, 5.0), abs=1e-3)
    for size, known in ((256, 1.570), (1024, 1.782)):
        assert log_bias.batch_max(x, 4.0, size, 7.0) == pytest.approx(known, abs=1e-3)
        assert bias.batch_max(4.0, size) == pytest.approx(known, abs=1e-3)


def test_the_average_slope_of_the_batch_maximum_is_zero_there():
    """Over 4,000 drawn batches of 64, of a left-skewed log; a step away from it is not."""
    x = log_bias.log_of("left-skewed", ROWS)
    v = log_bias.batch_max(x, 2.0, 64, 7.0)
    drawn = np.random.default_rng(0).choice(x, size=(4000, 64))

    def slopes(v):
        z = 2.0 * (drawn - v)
        inside = np.where(np.abs(z) < 7.0, np.expm1(np.clip(z, -7.0, 7.0)), 0.0)
        return np.mean(inside, axis=1) * np.exp(-np.maximum(np.clip(z, -7.0, 7.0).max(axis=1), -1.0))

    error = slopes(v).std(ddof=1) / np.sqrt(len(drawn))
    assert abs(slopes(v).mean()) < 4 * error
    assert slopes(v - 0.1).mean() > 4 * error > -4 * error > slopes(v + 0.1).mean()


def test_the_default_is_nearer_to_the_truth_than_the_paper_s_loss_at_either_batch_for_every_shape():
    clip = XQL().clip
    for shape in log_bias.SHAPES:
        x = log_bias.log_of(shape, ROWS)
        for ratio in (1.0, 2.0, 4.0):
            truth = log_bias.soft_maximum(x, ratio)
            ours = abs(log_bias.tangent(x, ratio, clip) - truth)
            theirs = [abs(log_bias.batch_max(x, ratio, size, 7.0) - truth) for size in (256, 1024)]
            assert ours < min(theirs) + 1e-6, (shape, ratio)
            if shape != "Student-t (3), cut":
                assert ours < 0.06 * truth, (shape, ratio)


def test_the_table_holds_each_estimators_value_beside_the_truth():
    table = log_bias.compute(ratios=(2.0,), clips=(8.0,), batches=(64,), rows=2_000)
    for shape, row in table["found"].items():
        x = log_bias.log_of(shape, 2_000)
        assert row == {
            "truth": [log_bias.soft_maximum(x, 2.0)],
            "tangent beyond 8": [log_bias.tangent(x, 2.0, 8.0)],
            "batch maximum of 64": [log_bias.batch_max(x, 2.0, 64, 7.0)],
        }
