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


def test_the_scores_beside_ours_are_those_of_table_1_and_of_neorl2():
    assert rows(TABLE_1, METHODS) | {"DMSD-high-100000-train": DMSD} == PUBLISHED


def test_the_excess_of_predicted_values_beside_ours_is_that_of_cqls_table_4():
    printed = rows(TABLE_4, CRITICS)
    assert set(TABLE4) == set(printed)
    for task, known in TABLE4.items():
        assert set(printed[task]) - set(known) <= {"BEAR"}
        assert known == pytest.approx({name: printed[task][name] for name in known})
