"""What density ratios say: closed forms of weights that are known."""

import jax.numpy as jnp
import numpy as np
import pytest

from extremal.objectives.statistic import ratio_health


def told(weight, clip):
    return {name: float(x) for name, x in ratio_health(jnp.asarray(weight, jnp.float32), clip).items()}


def test_the_health_of_four_weights():
    """Shares 0, 1/2, 1/2 and 3 of a mean: KL = mean share log share, effective share = 1 / mean share^2."""
    found = told([0.0, 1.0, 1.0, 6.0], np.log(6.0) - 1e-3)
    kl = (2 * 0.5 * np.log(0.5) + 3 * np.log(3.0)) / 4
    expected = {"kl": kl, "effective_share": 1 / np.mean([0.0, 0.25, 0.25, 9.0]), "clipped": 0.25}
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-5)


def test_equal_weights_are_the_data_s_own_policy():
    found = told([0.3] * 5, 2.0)
    assert (found["kl"], found["effective_share"], found["clipped"]) == pytest.approx((0.0, 1.0, 0.0), abs=1e-6)
