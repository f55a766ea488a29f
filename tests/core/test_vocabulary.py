"""Records, errors and files."""

import dataclasses
import json
import stat

import jax
import jax.numpy as jnp
import pytest

from extremal.core import errors
from extremal.core.errors import ConfigError, DataError, MissingExtraError, nearest, require
from extremal.core.files import atomic, write_json
from extremal.core.record import record, static, static_fields

# ---- records ------------------------------------------------------------------------------------------------------


@record
class Point:
    x: float
    y: float = 2.0
    name: str = static(default="p")


def test_a_record_is_frozen_keyword_only_and_a_pytree():
    point = Point(x=1.0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        point.x = 2.0  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(TypeError):
        Point(1.0)  # pyright: ignore[reportCallIssue]
    assert jax.tree.leaves(point) == [1.0, 2.0]
    assert jax.tree.map(lambda x: -x, point) == Point(x=-1.0, y=-2.0)
    assert static_fields(Point) == {"name"}


def test_records_of_two_classes_are_two_trees():
    """Where they were one, a program was now and then found for the other's class."""
    other = record(
        type("Other", (), {"__annotations__": dict(Point.__annotations__), "y": 2.0, "name": static(default="p")})
    )
    empty, void = (record(type(name, (), {})) for name in ("Empty", "Void"))
    for one, two in ((Point(x=1.0), other(x=1.0)), (empty(), void()), ((empty(), 1.0), (void(), 1.0))):
        assert jax.tree.structure(one) != jax.tree.structure(two)
        assert jax.tree.structure(one) == jax.tree.structure(jax.tree.map(lambda x: 2 * x, one))
    path, _ = jax.tree_util.tree_flatten_with_path(other(x=1.0))[0][0]
    assert jax.tree_util.keystr(path) == ".x"


def test_a_float_never_recompiles_and_a_static_field_does():
    traces = []

    @jax.jit
    def length(point):
        traces.append(point.name)
        return point.x**2 + point.y**2

    for point in (Point(x=1.0), Point(x=5.0), Point(x=5.0, name="q")):
        length(point)
    assert traces == ["p", "q"]
    many = Point(x=jnp.arange(3.0), y=jnp.zeros(3))
    assert jax.vmap(length)(many).tolist() == [0.0, 1.0, 4.0]


# ---- errors -------------------------------------------------------------------------------------------------------


def test_the_tree_in_the_docstring_is_the_tree():
    family = [x for x in vars(errors).values() if isinstance(x, type) and issubclass(x, errors.ExtremalError)]
    assert len(family) == 9
    for member in family:
        assert f"{member.__name__} " in f"{errors.__doc__} ".replace("\n", " \n")
    for member, also in [(DataError, ValueError), (ConfigError, ValueError), (MissingExtraError, ImportError)]:
        assert issubclass(member, also)


def test_a_data_error_says_where():
    error = DataError("holds NaN", file="a.npz", field="reward", row=3)
    assert str(error) == "file a.npz, field 'reward', row 3: holds NaN"
    assert (error.file, error.field, error.row) == ("a.npz", "reward", 3)
    assert str(DataError("is empty")) == "is empty"
    assert str(DataError("is bad", row=0)) == "row 0: is bad"
    assert str(DataError("is bad", field="x").within("b.npz")) == "file b.npz, field 'x': is bad"
    assert DataError("is bad", file="inner").within("outer").file == "inner"


def test_an_unknown_name_gets_the_nearest_or_all():
    assert str(nearest("iqll", ["xql", "iql", "bc"], kind="method")) == (
        "unknown method 'iqll'; did you mean 'iql', 'xql'?"
    )
    assert str(nearest("zzz", ["xql", "bc"], kind="method")) == "unknown method 'zzz'; known: bc, xql"


def test_a_missing_package_is_answered_with_its_extra():
    assert require("json", extra="formats", purpose="reading") is json
    with pytest.raises(
        MissingExtraError, match=r"reading Q needs the package 'nowhere': pip install 'extremal\[far\]'"
    ):
        require("nowhere.at.all", extra="far", purpose="reading Q")


# ---- files --------------------------------------------------------------------------------------------------------


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with atomic(path) as temporary:
        assert temporary.parent == path.parent
        assert not path.exists()
        temporary.write_text("one")
    assert path.read_text() == "one"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644

    def fail():
        with atomic(path) as temporary:
            temporary.write_text("half of two")
            raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        fail()
    assert path.read_text() == "one"
    assert [x.name for x in path.parent.iterdir()] == ["a.txt"]


def test_json_is_written_without_nan(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"x": [1, 2.5]})
    assert json.loads(path.read_text()) == {"x": [1, 2.5]}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"x": float("nan")})
    assert json.loads(path.read_text()) == {"x": [1, 2.5]}
