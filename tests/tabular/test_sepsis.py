"""The sepsis MDP: the layout of its file, in the small, and the real one where it is at hand."""

import numpy as np
import pytest

from extremal.core.errors import DataError
from extremal.tabular import log_mean_exp, maximum, mean, returned, value_iteration
from extremal.tabular.sepsis import load_sepsis

D, A, S = 2, 3, 5  # of the last two states one is death and one is discharge


def content():
    random = np.random.default_rng(0)
    chance = random.dirichlet(np.ones(S), (D, A, S))
    entered = np.zeros((D, S))
    entered[:, 3], entered[:, 4] = -1.0, 1.0
    return {
        "tx_mat": chance.astype(np.float32),
        "r_mat": np.broadcast_to(entered[:, None, None], (D, A, S, S)).copy(),
        "p_initial_state": np.array([[0.5, 0.5, 0, 0, 0], [0, 0, 1, 0, 0]]),
        "p_mixture": np.array([0.8, 0.2]),
    }


def written(folder, **changes):
    path = folder / "sepsis.npz"
    np.savez(path, **{name: value for name, value in (content() | changes).items() if value is not None})
    return path


def test_a_hidden_state_never_changes(tmp_path):
    mdp, told = load_sepsis(written(tmp_path), discount=0.95), content()
    assert (mdp.states, mdp.actions, mdp.discount) == (D * S, A, 0.95)
    for d, s, a in np.ndindex(D, S, A):
        row = mdp.transition[d * S + s, a]
        assert row[d * S : (d + 1) * S] == pytest.approx(told["tx_mat"][d, a, s], abs=1e-6)
        assert row.sum() == pytest.approx(1.0, abs=1e-12)  # float32 rows are not
    assert mdp.terminal.reshape(D, S).tolist() == [[False] * 3 + [True] * 2] * D
    assert mdp.start == pytest.approx([0.4, 0.4, 0, 0, 0, 0, 0, 0.2, 0, 0])
    assert mdp.behaviour == pytest.approx(np.full((D * S, A), 1 / A))
    chance = told["tx_mat"][1, 2, 0]
    assert mdp.mean_reward[S, 2] == pytest.approx(chance[4] - chance[3], abs=1e-6)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"r_mat": None, "p_mixture": None}, r"lacks r_mat, p_mixture; a sepsis file has tx_mat, r_mat, p_initial"),
        ({"tx_mat": np.ones((2, 3, 5))}, r"field 'tx_mat': has shape \(2, 3, 5\), not \[D, A, S, S\]"),
        ({"tx_mat": np.ones((2, 3, 5, 4))}, r"field 'tx_mat': has shape \(2, 3, 5, 4\)"),
        ({"r_mat": np.zeros((2, 3, 5, 4))}, r"field 'r_mat': has shape \(2, 3, 5, 4\), not \(2, 3, 5, 5\)"),
        ({"p_initial_state": np.ones((2, 4))}, r"field 'p_initial_state': has shape \(2, 4\), not \(2, 5\)"),
        ({"p_mixture": np.ones(3)}, r"field 'p_mixture': has shape \(3,\), not \(2,\)"),
        ({"tx_mat": 0.9 * content()["tx_mat"]}, r"field 'tx_mat': has rows that do not sum to 1"),
        ({"r_mat": np.random.default_rng(0).random((2, 3, 5, 5))}, r"field 'r_mat': depends on more than the state"),
    ],
    ids=lambda x: "-".join(x) if isinstance(x, dict) else "",
)
def test_what_is_wrong_in_the_file_is_named(tmp_path, changes, words):
    path = written(tmp_path, **changes)
    with pytest.raises(DataError, match=words) as raised:
        load_sepsis(path)
    assert str(path) in str(raised.value)


@pytest.fixture(scope="module")
def real(real_data):
    path = real_data / "sepsis_sim" / "diabetes_sepsis_mdp.npz"
    if not path.is_file():
        pytest.skip("the folder of real data has no sepsis_sim/diabetes_sepsis_mdp.npz")
    return load_sepsis(path)


def test_the_real_file_is_of_real_size(real):
    assert (real.states, real.actions) == (1440, 8)
    assert not real.start[real.terminal].any()


@pytest.mark.parametrize(("operator", "at"), [(maximum, {}), (log_mean_exp, {"parameter": 0.1})])
def test_the_real_one_converges_to_ten_digits(real, operator, at):
    found = value_iteration(real, operator, tolerance=1e-10, **at)
    assert found.residuals[-1] <= 1e-10 * 0.01 / 0.99
    live = ~real.terminal
    again = operator(real.backup(found.v)[live], real.behaviour[live], **at)
    assert again == pytest.approx(found.v[live], abs=1e-11)
    assert np.abs(found.v).max() <= 1.0  # one reward, of at most 1, at the end
    assert (found.v >= value_iteration(real, mean).v - 1e-10).all()
    if operator is maximum:
        assert returned(real, found.policy) == pytest.approx(real.start @ found.v, abs=1e-9)
