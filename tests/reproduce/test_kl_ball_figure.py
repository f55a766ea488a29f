"""What the KL ball's loss with its tangent comes to, against known numbers, the ball itself, and the fitted loss."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

from extremal.losses.value import kl_ball_regression
from extremal.reproduce.kl_ball import compute, robust
from extremal.tabular import operators


@pytest.mark.parametrize(
    ("mass", "attained", "read"),
    [(0.009, 0.009 * np.exp(3), 0.0), (0.002, 0.002 * np.exp(3), 0.0), (0.12, 0.4945, 0.4945)],
)
def test_a_good_action_rarer_than_the_tangent_lets_count_is_read_as_nothing(mass, attained, read):
    found = robust(np.array([0.0, 1.0]), np.array([1.0 - mass, mass]), kappa=0.42, clip=3.0)
    assert found == pytest.approx((attained, read), abs=1e-4)


def test_the_figure_has_the_ball_s_closed_forms():
    """sqrt(2 kappa) of a normal, and the value of a coin whose good side is rare."""
    numbers = compute(radii=(0.1, 0.42, 1.0), masses=(0.01,), points=401)
    assert numbers["normal"]["exact"] == pytest.approx([0.44721, 0.91652, 1.41421], abs=1e-4)
    share = (np.asarray([0.08051, 0.19729, 0.35729]) - 0.01) / 0.99
    assert numbers["share"]["1 good action in 100"] == pytest.approx(share, abs=2e-5)
    assert numbers["rare"]["exact"] == pytest.approx([0.19729], abs=1e-5)
    for what in ("attained", "read"):
        assert (np.asarray(numbers["normal"][what]) <= np.asarray(numbers["normal"]["exact"]) + 1e-6).all()


def test_without_a_tangent_it_is_the_ball():
    q, weights = np.array([0.0, 1.0, 2.5, 4.0]), np.array([0.4, 0.3, 0.2, 0.1])
    exact = float(operators.kl_ball(q, weights, parameter=0.6))
    assert robust(q, weights, kappa=0.6, clip=50.0) == pytest.approx((exact, exact), abs=1e-9)


@pytest.mark.parametrize("kappa", [0.1, 0.42, 1.5])
def test_it_is_where_the_loss_is_least(kappa):
    """h + kappa beta of a normal, against the loss that training minimises, searched in (h, log beta)."""
    q = np.linspace(-8.0, 8.0, 161)
    weights = np.exp(-(q**2) / 2) / np.exp(-(q**2) / 2).sum()

    def loss(at):
        error = jnp.asarray(q - at[0])
        return float(weights @ np.asarray(kl_ball_regression(error, beta=np.exp(at[1]), kappa=kappa, clip=3.0)))

    found = minimize(loss, [0.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-5, "fatol": 1e-9, "maxiter": 2000}).x
    assert robust(q, weights, kappa=kappa, clip=3.0)[1] == pytest.approx(found[0] + kappa * np.exp(found[1]), abs=2e-3)
