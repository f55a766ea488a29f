"""The heat maps of a sweep: a panel for each method and data set, a cell for each combination."""

import pytest

from extremal.report.style import png, styled
from extremal.report.sweep import draw_sweep

pytest.importorskip("matplotlib", reason="needs matplotlib")


def result(method: str, dataset: str, mean: float | None, **settings) -> dict:
    bounds = {"low": None, "high": None} if mean is None else {"low": mean - 1.0, "high": mean + 1.0}
    return {
        "method": method,
        "dataset": dataset,
        "settings": settings,
        "metric": "normalised_score",
        "mean": mean,
    } | bounds


def texts(axis) -> list[str]:
    return [text.get_text() for text in axis.texts]


def test_every_combination_has_a_cell_with_its_numbers():
    results = [
        result("XQL", d, 10.0 * b + c, critics=c, beta=b) for d in ("a", "b") for c in (1, 2) for b in (0.5, 2.0)
    ]
    results += [result("BC", "a", 7.0), result("IQL", "b", None, expectile=0.7)]
    with styled():
        drawn = draw_sweep(results)
        assert len(png(drawn, dpi=40)) > 1000
    panels = {axis.get_title(loc="left"): axis for axis in drawn.axes if axis.axison}
    assert panels.keys() == {"XQL, a", "XQL, b", "BC, a", "IQL, b"}
    xql = panels["XQL, a"]
    assert texts(xql)[::2] == ["6.0", "21.0", "7.0", "22.0"]
    assert texts(xql)[1] == "5.0 to 7.0"
    assert (xql.get_ylabel(), xql.get_xlabel()) == ("critics", "beta")
    assert [t.get_text() for t in xql.get_xticklabels()] == ["0.5", "2"]
    assert texts(panels["IQL, b"]) == ["diverged"]
    assert texts(panels["BC, a"]) == ["7.0", "6.0 to 8.0"]
