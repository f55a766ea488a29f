"""One log of choices, whichever way in: the same answer, or a refusal that says what to declare."""

import h5py
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

import extremal
from extremal.core.errors import ConfigError
from extremal.data.check import check_dataset
from extremal.data.dataset import Card, Dataset
from extremal.data.ids import load_dataset, save_dataset

N = 50
CHOICE = np.random.default_rng(1).integers(0, 4, N)
REST = {
    "observation": np.random.default_rng(2).normal(size=(N, 2)),
    "reward": CHOICE * 1.0,
    "terminated": np.arange(N) % 7 == 6,
}
SHAPES = {
    "a vector": CHOICE,
    "a column": CHOICE[:, None],
    "bytes": CHOICE.astype(np.uint8),
    "booleans": CHOICE > 1,
    "two entries": np.stack([CHOICE, 3 - CHOICE], axis=1),
}


def npz(path, action):
    np.savez(path / "log.npz", action=action, **REST)
    return f"npz:{path}/log.npz"


def parquet(path, action):
    cells = {"observation": list(REST["observation"]), "reward": REST["reward"], "terminated": REST["terminated"]}
    cells["action"] = list(action) if action.ndim > 1 else action
    pyarrow.parquet.write_table(pyarrow.table(cells), path / "log.parquet")
    return f"parquet:{path}/log.parquet"


def numbered(path, action):
    columns = {f"action_{i}": column for i, column in enumerate(action.reshape(N, -1).T)}
    cells = {"observation": list(REST["observation"]), "reward": REST["reward"], "terminated": REST["terminated"]}
    pyarrow.parquet.write_table(pyarrow.table(cells | columns), path / "log.parquet")
    return f"parquet:{path}/log.parquet"


def d4rl(path, action, name="log"):
    with h5py.File(path / f"{name}.hdf5", "w") as file:
        file["observations"], file["rewards"], file["terminals"] = (
            REST["observation"],
            REST["reward"],
            REST["terminated"],
        )
        file["actions"] = action
    return f"d4rl:{path}/{name}.hdf5"


WAYS = {"npz": npz, "parquet": parquet, "numbered columns": numbered, "d4rl": d4rl}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("shape", SHAPES)
def test_whole_numbers_are_refused_until_their_kind_is_said(tmp_path, refusal, way, shape):
    id = WAYS[way](tmp_path, SHAPES[shape])
    sentence = refusal(lambda: load_dataset(id))
    for part in (str(tmp_path), "'action", "row 0", 'actions="discrete"', "--actions continuous"):
        assert part in sentence
    doses = load_dataset(id, actions="continuous")
    assert (doses.card.actions, doses.action.dtype, doses.action.ndim) == (None, np.float32, 2)
    if shape == "two entries":
        assert "number every combination" in refusal(lambda: load_dataset(id, actions="discrete"))
        return
    choices = load_dataset(id, actions="discrete")
    assert (choices.card.actions, choices.action.shape) == (2 if shape == "booleans" else 4, (choices.rows,))
    assert load_dataset(id, actions=6).card.actions == 6


def test_a_list_and_a_table_in_python_follow_the_same_rule(refusal):
    for action in (CHOICE.tolist(), CHOICE[:, None], CHOICE > 1, np.array(CHOICE.tolist(), object)):
        assert "say which" in refusal(lambda action=action: Dataset.from_rows(**REST, action=action))
        assert Dataset.from_rows(**REST, action=action, actions="discrete").card.actions in (2, 4)
    episode = {"observation": np.zeros((5, 2)), "action": [0, 2, 1, 0], "reward": np.ones(4)}
    assert "say which" in refusal(lambda: Dataset.from_episodes([episode]))
    assert Dataset.from_episodes([episode], actions=3).card.actions == 3


def test_a_declared_space_comes_first(tmp_path, refusal):
    assert Dataset.from_rows(**REST, action=CHOICE, card=Card(actions=5)).card.actions == 5
    dose = Dataset.from_rows(**REST, action=CHOICE, card=Card(action_low=(0.0,), action_high=(10.0,)))
    assert (dose.card.actions, dose.action.shape[1]) == (None, 1)
    with pytest.raises(ConfigError, match="declares 5 discrete actions"):
        Dataset.from_rows(**REST, action=CHOICE, card=Card(actions=5), actions="continuous")
    save_dataset(Dataset.from_rows(**REST, action=CHOICE, actions=4), f"npz:{tmp_path}/own.npz")
    assert load_dataset(f"npz:{tmp_path}/own.npz", actions="discrete").card.actions == 4
    assert "leave it out" in refusal(lambda: load_dataset(f"npz:{tmp_path}/own.npz", actions=7))


@pytest.mark.parametrize("dtype", [np.int64, np.float32])
def test_minigrid_declares_seven_actions(tmp_path, dtype):
    data = load_dataset(d4rl(tmp_path, CHOICE.astype(dtype)[:, None], "minigrid4rooms"))
    assert (data.card.actions, data.card.reference, data.action.dtype) == (7, "minigrid-fourrooms-v0", np.int32)


def test_real_numbers_are_quantities_and_many_whole_ones_too():
    assert Dataset.from_rows(**REST, action=CHOICE + 0.5).card.actions is None
    many = np.arange(5000)
    rest = {
        "observation": many[:, None] / 5000,
        "reward": many * 1.0,
        "terminated": many % 10 == 9,
        "episode": many // 10,
    }
    data = Dataset.from_rows(**rest, action=many)
    assert data.card.actions is None
    assert [f.code for f in data.card.findings] == ["whole-number-quantities"]
    assert Dataset.from_rows(**rest, action=many, actions="continuous").card.findings == ()


def test_codes_are_not_numbers_of_choices(refusal):
    codes = np.array([7, 1_000_000_000, 31, 7] * 12 + [7, 31])
    sentence = refusal(lambda: Dataset.from_rows(**REST, action=codes, actions="discrete"))
    assert "row 1" in sentence
    assert "1000000000" in sentence
    assert "return_inverse" in sentence
    numbers = np.unique(codes, return_inverse=True)[1]  # what it advises
    data = Dataset.from_rows(**REST, action=numbers, actions="discrete")
    assert check_dataset(data).figures["action"]["actions"] == 3


@pytest.mark.parametrize("said", ["nominal", 0, -3, 2.5, True, 10**9])
def test_what_is_said_of_actions_is_checked(said):
    with pytest.raises(ConfigError, match="actions is"):
        Dataset.from_rows(**REST, action=CHOICE, actions=said)


def test_choices_beyond_their_number_name_the_row(refusal):
    sentence = refusal(lambda: Dataset.from_rows(**REST, action=CHOICE, actions=3))
    assert f"row {int(np.flatnonzero(CHOICE == 3)[0])}" in sentence


def test_no_method_takes_choices_yet_and_quantities_train(tmp_path, refusal):
    id = npz(tmp_path, CHOICE)
    choices = load_dataset(id, actions="discrete")
    assert "discrete" in refusal(lambda: extremal.BC().algorithm(choices.spec, updates=1))
    doses = load_dataset(id, actions="continuous")
    run = extremal.train(
        extremal.BC(width=8, batch_size=16), doses, updates=3, out=tmp_path / "run", environment="none", holdout=0.0
    )
    assert 0.0 <= float(run.policy().act(np.zeros(2))[0]) <= 3.0


def test_words_are_to_be_numbered(tmp_path, refusal):
    word = np.array(["left", "right", "stay", "jump"])[CHOICE]
    sentence = refusal(lambda: load_dataset(npz(tmp_path, word), actions="discrete"))
    for part in (str(tmp_path), "'action'", "row 0", repr(str(word[0])), "return_inverse"):
        assert part in sentence
    assert "number the choices" in refusal(lambda: Dataset.from_rows(**REST, action=word.astype(object)))
    names, number = np.unique(word, return_inverse=True)
    assert Dataset.from_rows(**REST, action=number, actions="discrete").card.actions == len(names)


def test_whole_real_numbers_are_a_warning_until_somebody_says_that_they_are_quantities():
    codes = lambda data: [f.code for f in check_dataset(data).findings]  # noqa: E731
    assert "whole-number-action" in codes(Dataset.from_rows(**REST, action=CHOICE * 1.0))
    assert "whole-number-action" not in codes(Dataset.from_rows(**REST, action=CHOICE * 1.0, actions="continuous"))
    assert "whole-number-action" not in codes(Dataset.from_rows(**REST, action=CHOICE + 0.5))


@pytest.mark.parametrize("kind", ["a gear beside a throttle", "one-hot rows", "two choices"])
def test_an_entry_of_whole_numbers_is_a_warning_until_it_is_said(kind):
    """A column of whole numbers beside one of real numbers comes as real numbers, and so do one-hot rows."""
    random = np.random.default_rng(0)
    choice = random.integers(0, 4, 60)
    action = {
        "a gear beside a throttle": np.c_[random.uniform(-1, 1, 60), choice],
        "one-hot rows": np.eye(4)[choice],
        "two choices": np.c_[choice, random.integers(0, 3, 60)] * 1.0,
    }[kind]
    rows = {"observation": random.normal(size=(60, 2)), "action": action, "reward": random.normal(size=60)}
    rows["terminated"] = np.arange(60) % 10 == 9
    (finding,) = [f for f in check_dataset(Dataset.from_rows(**rows)).findings if f.code == "whole-number-action"]
    assert finding.level == "warning"
    assert finding.says.startswith({"a": "entry 1", "o": "entry 0, 1, 2, 3", "t": "entry 0, 1"}[kind[0]])
    said = check_dataset(Dataset.from_rows(**rows, actions="continuous"))
    assert "whole-number-action" not in {f.code for f in said.findings}
