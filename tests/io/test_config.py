"""Settings as plain data: checked against the types of the record, and told in words."""

from typing import Literal

import pytest

from extremal.algorithms.iql import IQL
from extremal.algorithms.registry import METHODS
from extremal.algorithms.xql import XQL
from extremal.core.checked import describe
from extremal.core.errors import ConfigError
from extremal.core.record import record, static
from extremal.io.config import field_docs, field_types, from_json, sweepable, to_json


def test_values_take_the_place_of_defaults():
    settings = from_json(XQL(), {"beta": 2, "huber": None, "normaliser": "none", "width": 8, "value_layer_norm": True})
    assert settings == XQL(beta=2.0, huber=None, normaliser="none", width=8, value_layer_norm=True)
    assert isinstance(settings.beta, float), "a whole number in a float field would be another program"
    assert from_json(XQL(huber=3.0), {}) == XQL(huber=3.0)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"betta": 1.0}, "unknown XQL setting 'betta'; did you mean 'beta'"),
        ({"value_update": 1}, "did you mean 'value_updates'"),
        ({"qqqq": 1}, r"(?s)known:.*\n  beta\n"),
        ({"beta": "high"}, "'beta' is 'high', expected float"),
        ({"beta": None}, "'beta' is None, expected float"),
        ({"beta": True}, "'beta' is True, expected float"),
        ({"huber": "none"}, "'huber' is 'none', expected float above 0, or none"),
        ({"width": 8.0}, "'width' is 8.0, expected int"),
        ({"width": True}, "'width' is True, expected int"),
        ({"value_layer_norm": 1}, "'value_layer_norm' is 1, expected bool"),
        ({"normaliser": "mean"}, "'normaliser' is 'mean', expected 'others' or 'running' or 'none' or 'batch_max'"),
        ({"normaliser": None}, "expected 'others' or 'running' or 'none' or 'batch_max'"),
    ],
)
def test_a_wrong_field_or_value_is_told(values, words):
    with pytest.raises(ConfigError, match=words):
        from_json(XQL(), values)


def test_json_of_settings_is_flat_and_in_order():
    assert list(to_json(IQL())) == list(field_types(IQL))
    assert to_json(IQL(expectile=0.9))["expectile"] == 0.9


def test_floats_may_be_swept_and_what_shapes_the_program_may_not():
    assert {"beta", "clip", "learning_rate", "discount", "huber"} <= set(sweepable(XQL))
    assert not {"width", "normaliser", "value_updates", "reward_shift"} & set(sweepable(XQL))


def test_types_are_told_in_words():
    assert describe(float) == "float"
    assert describe(float | None) == "float or none"
    assert describe(Literal["a", "b"] | None) == "'a' or 'b' or none"


def test_docs_are_read_from_below_the_fields_and_those_of_a_subclass_win():
    @record
    class Base:
        rate: float = 1.0
        """Of the base."""
        plain: int = static(default=2)

    @record
    class Derived(Base):
        rate: float = 2.0
        """Of the
        derived one."""

    assert field_docs(Derived) == {"rate": "Of the derived one."}


SELF_EXPLANATORY = {"discount", "learning_rate", "width", "batch_size"}


@pytest.mark.parametrize("name", METHODS)
def test_every_setting_says_what_it_is(name):
    cls = type(METHODS[name].default)
    silent = set(field_types(cls)) - set(field_docs(cls))
    assert silent <= SELF_EXPLANATORY
    assert all(text.endswith(".") for text in field_docs(cls).values())
