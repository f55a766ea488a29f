"""What a user imports: every name is there, is documented, and is listed once."""

import ast
import importlib.metadata
import inspect
import pickle
from pathlib import Path

import pytest

import extremal


@pytest.mark.parametrize("name", extremal.__all__)
def test_every_public_name_is_there_and_says_what_it_is(name):
    thing = getattr(extremal, name)
    if callable(thing):
        assert inspect.getdoc(thing), f"{name} has no docstring"


def test_the_list_of_public_names_is_whole():
    assert len(set(extremal.__all__)) == len(extremal.__all__)
    for name in extremal.__all__:
        getattr(extremal, name)
    own = {name for name, thing in vars(extremal).items() if name[0] != "_" and not inspect.ismodule(thing)}
    assert own == set(extremal.__all__)


def test_type_checkers_see_every_name_where_it_comes_from():
    """They read the imports that are never run; what runs is `_HOME`."""
    (guarded,) = [node for node in ast.parse(inspect.getsource(extremal)).body if isinstance(node, ast.If)]
    seen = {name.name: node.module for node in guarded.body for name in node.names}
    assert seen == {name: f"extremal.{home}" for name, home in extremal._HOME.items()}
    assert set(seen) == set(extremal.__all__)


def test_parts_are_there_without_an_import_of_their_own():
    parts = {path.name.removesuffix(".py") for path in Path(extremal.__file__).parent.iterdir()}
    assert set(extremal._PARTS) == {name for name in parts if name[0] != "_"} - {"py.typed"}
    assert all(inspect.ismodule(getattr(extremal, part)) for part in extremal._PARTS)
    assert {*extremal._PARTS, *extremal.__all__} <= set(dir(extremal))


def test_a_name_that_is_not_there_is_refused_as_in_any_module():
    with pytest.raises(AttributeError, match="module 'extremal' has no attribute 'XQLL'"):
        _ = extremal.XQLL
    with pytest.raises(ImportError, match="cannot import name 'XQLL'"):
        exec("from extremal import XQLL")


def test_settings_and_errors_can_be_pickled():
    settings = extremal.XQL(beta=2.5)
    assert pickle.loads(pickle.dumps(settings)) == settings
    assert pickle.loads(pickle.dumps(extremal.RunError("no"))).args == ("no",)


def test_every_error_of_ours_is_one_family():
    errors = [thing for name in extremal.__all__ if inspect.isclass(thing := getattr(extremal, name))]
    errors = [error for error in errors if issubclass(error, Exception)]
    assert len(errors) == 8
    assert all(issubclass(error, extremal.ExtremalError) for error in errors)


def test_the_version_is_that_of_the_distribution():
    assert extremal.__version__ == importlib.metadata.version("extremal")
