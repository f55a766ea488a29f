"""The picture of a comparison, from a record of known numbers."""

import pytest

from extremal.bench.scores.draw import curves

pytest.importorskip("matplotlib", reason="needs matplotlib")


def _cell(program, seed, *scores):
    curve = [{"update": 10 * (number + 1), "score": score} for number, score in enumerate(scores)]
    return {"method": "xql", "program": program, "seed": seed, "curve": curve}


def _record(cells, published):
    row = {
        "method": "xql",
        "peer": "d3rlpy",
        "difference": 4.0,
        "intervals": {"0.9": [-1.0, 9.0]},
        "verdict": "no worse",
    }
    options = {"seeds": 2, "depth": 2, "width": 8, "batch": 16, "episodes": 2, "last_episodes": 3}
    return {
        "rows": [row],
        "cells": cells,
        "published": [{"method": "xql", "curves": published}],
        "reference": "Pipeline",
        "data": {"name": "swung"},
        "options": options,
    }


def test_every_seed_is_a_thin_line_and_the_mean_over_common_points_a_thick_one():
    cells = [_cell("extremal", 0, 1.0, 2.0), _cell("extremal", 1, 3.0, 6.0), _cell("d3rlpy", 0, 5.0)]
    (panel, *_) = curves(_record([*cells, _cell("d3rlpy", 1)], [_cell("other", 7, 8.0)])).axes
    thin = [list(line.get_ydata()) for line in panel.lines if line.get_linewidth() < 1.0]
    thick = [list(line.get_ydata()) for line in panel.lines if line.get_linewidth() > 2.0 and len(line.get_ydata())]
    assert thin == [[1.0, 2.0], [3.0, 6.0], [5.0], [8.0]]  # a seed that diverged at once has no line
    assert thick == [[2.0, 4.0], [5.0], [8.0]]
    assert len({line.get_color() for line in panel.lines}) == 3
    assert [text.get_text() for text in panel.texts] == ["+4.0 [-1.0, 9.0]: no worse"]
    assert panel.get_ylabel() == "normalised score"
