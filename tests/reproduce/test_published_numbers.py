"""The published numbers that stand beside ours, typed again from the pages."""

import pytest

from extremal.reproduce.cql_trained import TABLE4
from extremal.reproduce.offline_trained import PUBLISHED

# Garg et al. (2023), Table 1; XQL's is the column with one set of settings.
METHODS = ["BC", "10%BC", "DT", "AWAC", "Onestep", "TD3+BC", "CQL(H)", "IQL", "XQL"]
TABLE_1 = """
halfcheetah-medium 42.6 42.5 42.6 43.5 48.4 48.3 44.0 47.4 47.7
hopper-medium 52.9 56.9 67.6 57.0 59.6 59.3 58.5 66.3 71.1
hopper-medium-expert 52.5 110.9 107.6 55.8 103.3 98.0 105.4 91.5 107.1
"""
# Kumar et al. (2020), Table 4; "mixed" is called medium-replay today.
CRITICS = ["CQL(H)", "CQL (Eq. 1)", *(f"ensemble of {n}" for n in (2, 4, 10, 20)), "BEAR"]
TABLE_4 = """
hopper-medium-expert -43.20 -151.36 3710000 2930000 320000 24050 65.93
hopper-medium-replay-like -10.93 -22.87 15000000 59930 8920 2470 1399.46
hopper-medium -7.48 -156.70 26030000000000 437570000 1120000000000 885000 4.32
"""
DMSD = {"BC": 65.09, "TD3+BC": 60.01, "CQL(H)": 70.24}  # NeoRL-2's own scores of its DMSD task


def rows(text, names):
    lines = [line.split() for line in text.strip().splitlines()]
    return {line[0]: dict(zip(names, map(float, line[1:]), strict=True)) for line in lines}


@pytest.mark.parametrize(
    ("beside_ours", "printed"),
    [
        (PUBLISHED, rows(TABLE_1, METHODS) | {"DMSD-high-100000-train": DMSD}),
        (TABLE4, rows(TABLE_4, CRITICS)),
    ],
    ids=["scores", "excess of predicted values"],
)
def test_what_is_drawn_beside_ours_is_what_was_printed(beside_ours, printed):
    """A label names the method and, after a comma, how its weight is chosen, of which a page may say nothing."""
    assert set(beside_ours) == set(printed)
    for task, known in beside_ours.items():
        methods = {label: label.partition(", ")[0] for label in known}
        assert set(methods.values()) == set(printed[task])
        assert known == pytest.approx({label: printed[task][name] for label, name in methods.items()})
