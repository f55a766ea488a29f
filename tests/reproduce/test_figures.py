"""Every registered figure: numbers that survive JSON, are finite, are the same for the same seed, and suffice to draw it."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from extremal.core.errors import MissingExtraError
from extremal.report.style import png, styled
from extremal.reproduce.registry import FIGURES

pytest.importorskip("matplotlib", reason="needs matplotlib")

# Smaller settings for the figures that would take more than a second.
SMALL = {
    "xql-fig2": {"points": 400, "fitted_betas": (0.2, 1.0), "knots": 5},
    "iql-fig1": {"points": 400, "fitted_levels": (0.5, 0.9), "knots": 5},
    "iql-fig2": {"seeds": 2, "random_episodes": 20, "horizon": 200},
    "emaq-delta": {"samples": (1, 4, 16), "chances": (0.5, 0.05)},
    "cql-lower-bound": {"alphas": (1e-3, 0.1, 10.0), "data_sets": 2},
    "gumbel-bias": {"batches": (8, 32), "ratios": (1.0, 2.0), "samples": 20_000},
    "gumbel-logs": {"rows": 2_000, "ratios": (1.0, 4.0), "clips": (8.0,), "batches": (256,)},
    "evt": {"sizes": (1, 10, 1_000), "samples": 1_000, "depth": 3},
    "operators": {"places": 20},
}


@pytest.fixture(scope="module", params=FIGURES)
def figure(request):
    return FIGURES[request.param]


@pytest.fixture(scope="module")
def numbers(figure):
    try:
        return figure.numbers(seed=1, **SMALL.get(figure.name, {}))
    except MissingExtraError as absent:
        pytest.skip(str(absent))


def leaves(value):
    if isinstance(value, dict):
        return [leaf for key, inner in value.items() for leaf in [key, *leaves(inner)]]
    return [leaf for inner in value for leaf in leaves(inner)] if isinstance(value, list) else [value]


def test_its_numbers_are_finite_and_survive_json(numbers):
    assert json.loads(json.dumps(numbers)) == numbers
    found = [leaf for leaf in leaves(numbers) if isinstance(leaf, float)]
    assert not [leaf for leaf in leaves(numbers) if not isinstance(leaf, str | float | int)]
    assert len(found) > 10
    assert all(math.isfinite(number) for number in found)


def test_the_same_seed_gives_the_same_numbers(figure, numbers):
    assert figure.numbers(seed=1, **SMALL.get(figure.name, {})) == numbers


def test_it_is_drawn_from_its_numbers_alone(figure, numbers):
    with styled():
        drawn = figure.draw(json.loads(json.dumps(numbers)))
        assert png(drawn, dpi=50)[:8] == b"\x89PNG\r\n\x1a\n"
    panels = drawn.get_axes()
    assert panels
    assert all(panel.has_data() for panel in panels if panel.get_visible())


def test_it_says_what_it_shows_of_which_paper(figure):
    assert FIGURES[figure.name] is figure
    assert figure.shows.endswith(tuple("abcdefghijklmnopqrstuvwxyz0123456789)"))
    assert 20 < len(figure.shows) < 140
    assert figure.paper
    assert set(SMALL.get(figure.name, {})) <= set(figure.settings)


def test_it_is_on_the_page_of_figures(figure):
    assert f"\n`{figure.name}`\n:   " in (Path(__file__).parents[2] / "docs" / "reproduce.md").read_text("utf-8")


def test_settings_are_keywords_with_defaults(figure):
    assert all(value is not None and not isinstance(value, np.ndarray) for value in figure.settings.values())
