"""Choices or quantities: one rule for the actions of a log, whichever way they come in.

    1. a declared space       a card's number of actions or its range, Minari's space, a file's own `discrete_action`
    2. what the user says     `actions="discrete"`, `"continuous"`, or the number of choices
    3. neither                real numbers are quantities; whole numbers or booleans of few different values are refused,
                              since nothing in the numbers tells treatment 3 from a dose of 3

Where 1 and 2 disagree the log is refused. Choices are numbered from 0 and stand as [N] int32; quantities as [N, A] float32.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from extremal.core.errors import ConfigError, DataError
from extremal.data.finding import Finding
from extremal.data.invariants import plain, real, real_numbers, whole

if TYPE_CHECKING:
    from extremal.data.dataset import Card

Actions = Literal["discrete", "continuous"] | int

FEW = 1000  # different whole numbers in an entry: up to here they may be numbers of choices
MOST = 1_000_000  # choices; more are codes, not numbers of choices

_SAY = 'say which by actions="discrete" or actions="continuous" (--actions discrete, --actions continuous)'


def parse(text: str | int | None) -> Actions | None:
    """`actions` as it is given in Python or on the command line.

    Raises:
        ConfigError: it is neither a kind nor a number of choices.
    """
    if text is None or text in ("discrete", "continuous"):
        return text  # type: ignore[return-value]
    if isinstance(text, str) and text.isdecimal():
        text = int(text)
    if isinstance(text, bool) or not isinstance(text, int | np.integer):
        raise ConfigError(f"actions is {text!r}; expected 'discrete', 'continuous' or the number of choices")
    if not 1 <= text <= MOST:
        raise ConfigError(f"actions is {text}; a number of choices lies between 1 and {MOST:,}")
    return int(text)


def settled(action: Any, card: Card, said: Actions | None) -> tuple[np.ndarray, Card]:
    """The actions as the store keeps them, and the card that declares them.

    Args:
        action: [N], [N, 1] or [N, A]. said: by the user or the file.

    Raises:
        DataError: the rule above refuses them, or they are not what was declared; names the row.
        ConfigError: `said` contradicts the card.
    """
    said, value = parse(said), plain(action)
    if value.dtype.kind in "SUT":
        raise DataError(
            f"is {str(value.flat[0])!r}, a word; number the choices from 0 (numpy.unique(action, return_inverse=True)) and say "
            'actions="discrete"',
            field="action",
            row=0,
        )
    value = real_numbers("action", value)
    agree(card, said)
    kind = said if declared(card) is None else declared(card)
    if kind is None and value.dtype.kind in "biu":
        card = _quantities_of_many_values(value, card)
    if kind in (None, "continuous"):
        value = real("action", value)
        card = dataclasses.replace(card, quantities=True) if kind is not None and card.action_low is None else card
        return (value[:, None] if value.ndim == 1 else value), card
    count = _choices(value) if kind == "discrete" else int(kind)
    return whole("action", _one_entry(value), count), dataclasses.replace(card, actions=count)


def declared(card: Card) -> Actions | None:
    """A card's own word on the actions: their number, or that they are quantities; None where it has none."""
    if card.actions is not None:
        return card.actions
    return "continuous" if card.quantities or card.action_low is not None else None


def agree(card: Card, said: Actions | None, *, space: Actions | None = None) -> None:
    """Refuse what a user says of actions where the data declare something else.

    Args:
        space: what else declares them than the card.

    Raises:
        ConfigError: names both.
    """
    said, there = parse(said), space if space is not None else declared(card)
    if None in (said, there) or said == there or (said == "discrete" and there != "continuous"):
        return
    theirs = "continuous actions" if there == "continuous" else f"{there} discrete actions"
    raise ConfigError(f"{card.name} declares {theirs}, and actions={said!r} was given; leave it out")


def _quantities_of_many_values(value: np.ndarray, card: Card) -> Card:
    """The card with a note where nobody said anything of whole numbers, and there are too many for choices."""
    flat = value.reshape(len(value), -1)
    different = [len(np.unique(column)) for column in flat.T] if flat.size else [0]
    if (least := min(different)) <= FEW:
        entry = different.index(least)
        where = f"entry {entry} " if value.ndim == 2 and value.shape[1] > 1 else ""
        kind = "booleans" if value.dtype.kind == "b" else "whole numbers"
        known = ", ".join(map(str, np.unique(flat[:, entry])[:4])) if flat.size else "none"
        raise DataError(
            f"{where}holds {kind} of {least} different values ({known}{', ...' if least > 4 else ''}): numbers of choices or "
            f"quantities? {_SAY}",
            field="action",
            row=0,
        )
    note = Finding(
        level="note",
        code="whole-number-quantities",
        says=f"actions are whole numbers of {least:,} different values or more, and are taken as quantities",
        advice='if they number choices, say actions="discrete" (--actions discrete)',
    )
    return dataclasses.replace(card, findings=(*card.findings, note))


def _one_entry(value: np.ndarray) -> np.ndarray:
    if value.ndim == 2 and value.shape[1] > 1:
        raise DataError(
            f"has {value.shape[1]} entries a row, and a choice is one number; number every combination of the entries as one choice "
            "(a one-hot row: by its argmax), or say actions='continuous'",
            field="action",
        )
    return value


def _choices(value: np.ndarray) -> int:
    """How many choices there are: one more than the largest number."""
    value = _one_entry(value).reshape(len(value)).astype(np.float64)
    if not len(value) or not np.isfinite(value).all():
        return MOST  # refused with its row by `whole`
    most, different = value.max(), len(np.unique(value))
    if most >= MOST or (most >= FEW and most + 1 > 10 * different):
        raise DataError(
            f"is {most:.0f}, and only {different} different choices are taken: these are codes; number them from 0 "
            "(numpy.unique(action, return_inverse=True)), or give the number of choices",
            field="action",
            row=int(value.argmax()),
        )
    return max(int(most) + 1, 1)
