"""Figures from training: runs are found again and shared, options are checked first, numbers are those of the runs."""

import dataclasses
import json
from pathlib import Path

import jax
import numpy as np
import pytest

import extremal
from extremal.algorithms.registry import METHODS
from extremal.core.errors import ConfigError
from extremal.report.runs import Run
from extremal.report.style import png, styled
from extremal.reproduce import cql_trained, emaq_trained, klxql_trained, offline_trained
from extremal.reproduce.experiment import Arm, Budget, Cell, Experiment, narrowed, preset_of
from extremal.reproduce.figure import Options, plain
from extremal.reproduce.registry import EXPERIMENTS
from extremal.reproduce.write import reproduce, write

pytest.importorskip("matplotlib", reason="needs matplotlib")


@pytest.fixture(scope="module")
def experiment(small_maze):
    return Experiment(
        name="small",
        paper="[kumar2020]",
        shows="two methods on a small log",
        arms={
            "reduced": (
                Arm(label="I", settings=preset_of("iql", width=16, batch_size=16), updates={"reduced": 20}),
                Arm(label="B", settings=preset_of("bc", width=16, batch_size=16)),
            )
        },
        datasets=(small_maze,),
        budgets={"reduced": Budget(updates=10, seeds=2, episodes=1, evaluations=2, width=0.5)},
        read=cql_trained.read_gap,
        draw=cql_trained.draw_gap,
    )


@pytest.fixture(scope="module")
def made(experiment, tmp_path_factory):
    out = tmp_path_factory.mktemp("figures")
    write(experiment, out)
    return out


def record(out: Path) -> dict:
    return json.loads((out / "small.json").read_text("utf-8"))


def test_every_arm_is_trained_under_the_budget_and_told_with_its_settings(made, small_maze):
    found = record(made)
    expected = {"updates": 10, "seeds": 2, "episodes": 1, "evaluations": 2, "width": 0.5, "holdout": 0.0, "ours": ""}
    assert found["budget"] == {"name": "reduced"} | expected
    assert [(run["arm"], run["updates"], run["seeds"]) for run in found["runs"]] == [
        ("I", 20, [0, 1]),
        ("B", 10, [0, 1]),
    ]
    for run in found["runs"]:
        assert run["settings"]["width"] == 8
        assert run["data_hash"] == extremal.load_dataset(small_maze).hash()
        assert (made / run["run"] / "summary.json").exists()
    arms = found["numbers"]["panels"][small_maze]
    assert arms["I"]["gap"]["updates"] == [10, 20]
    assert arms["B"].keys() == {"score"}  # it has no critic
    assert (made / "small.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_runs_are_found_again_and_what_differs_is_another_run(made, experiment):
    before = {path: path.stat().st_mtime_ns for path in made.glob("runs/*/checkpoints/*")}
    told = []
    write(experiment, made, watch=lambda name, finished, total: told.append(name))
    assert {path: path.stat().st_mtime_ns for path in made.glob("runs/*/checkpoints/*")} == before
    assert not told
    write(experiment, made, options=Options(methods=("B",), seeds=1), watch=lambda name, *_: told.append(name))
    assert set(told) == {f"small, 1 of 1: B, {experiment.datasets[0]}"}
    assert [run["seeds"] for run in record(made)["runs"]] == [[0]]
    assert before.keys() < set(made.glob("runs/*/checkpoints/*"))


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("cql-fig2", {"budget": "papr"}, "budget of cql-fig2.*paper"),
        ("cql-fig2", {"methods": ("clq",)}, "method of cql-fig2.*cql"),
        ("xql-fig2", {"seeds": 3}, "xql-fig2 trains nothing and takes no --seeds"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_trained(tmp_path, name, options, words):
    with pytest.raises(ConfigError, match=words):
        reproduce([name], tmp_path, options=Options(**options))
    assert not list(tmp_path.iterdir())


def cell(arm: str, dataset: str, evaluations: dict, metrics: dict | None = None) -> Cell:
    config = {"method": "cql", "replicas": [{"seed": s} for s in range(2)], "dataset": {"name": dataset}}
    columns = {name: np.asarray(values, np.float64) for name, values in evaluations.items()}
    given = {"path": Path(dataset), "config": config, "summary": {}, "divergences": [], "evaluations": columns}
    rest = {field.name: None for field in dataclasses.fields(Run)} | {"metrics": metrics or {}}
    return Cell(arm, dataset, Run(**{**rest, **given}))


# Two evaluations of two seeds, two episodes each.
AT = {"update": [1] * 4 + [2] * 4, "replica": [0, 0, 1, 1] * 2}


def test_the_bias_is_the_promise_less_the_truth_at_the_last_checkpoint():
    claims = {"predicted_value": [0] * 4 + [10, 12, 20, 22], "discounted_return": [9] * 4 + [1, 3, 5, 5]}
    numbers = cql_trained.read_bias([cell("CQL(H), Lagrange", "hopper-medium", AT | claims), cell("none", "own", AT)])
    assert numbers["columns"].keys() == {"hopper-medium"}
    found = numbers["columns"]["hopper-medium"]["CQL(H), Lagrange"]
    assert found["per_seed"] == [9.0, 16.0]
    assert found["mean"] == 12.5
    assert numbers["published"]["hopper-medium"]["CQL(H), Lagrange"] == -7.48


def test_the_score_is_that_of_the_last_checkpoint():
    scores = {"score": [90] * 4 + [10, 20, 30, 50]}
    numbers = offline_trained.read_scores([cell("BC", "DMSD-high-100000-train", AT | scores)])
    assert numbers["columns"]["DMSD-high-100000-train"]["BC"]["per_seed"] == [15.0, 40.0]
    assert numbers["published"]["DMSD-high-100000-train"]["BC"] == 65.09


def test_a_collapse_and_the_held_out_identities_stand_beside_the_score():
    scores = {"score": [80] * 4 + [10, 20, 30, 50]}
    metrics = {"update": np.array([1.0, 1.0, 2.0, 2.0]), "replica": np.array([0.0, 1.0, 0.0, 1.0])}
    metrics["heldout/v/weight"] = np.array([9.0, 9.0, 1.0, 1.1])
    cells = [cell("KLXQL", "hopper-medium", AT | scores, metrics), cell("TD3+BC", "hopper-medium", AT | scores)]
    numbers = plain(klxql_trained.read_table(cells))
    assert numbers["worst_of_later_over_best"]["hopper-medium"]["KLXQL"] == 27.5 / 80
    assert numbers["held_out"]["hopper-medium"].keys() == {"KLXQL"}
    assert numbers["held_out"]["hopper-medium"]["KLXQL"]["weight"]["per_seed"] == [1.0, 1.1]
    with styled():
        assert png(klxql_trained.draw_table(numbers), dpi=40)[:8] == b"\x89PNG\r\n\x1a\n"


def test_a_checkpoint_under_half_of_its_seed_s_best_is_counted():
    scores = {
        "score": [80, 80, 5, 15, 10, 20, 30, 50]
    }  # the first seed falls from 80 to 15, the second rises from 10 to 40
    numbers = plain(klxql_trained.read_courses([cell("XQL", "hopper-medium", AT | scores)]))
    found = numbers["columns"]["hopper-medium"]["XQL"]
    assert found["scores"] == [[80.0, 15.0], [10.0, 40.0]]
    assert (found["below_half"], found["below_half_later"]) == (0.5, 0.5)
    with styled():
        assert png(klxql_trained.draw_courses(numbers), dpi=40)[:8] == b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize("name", [*offline_trained.DATASETS_AT_HAND])
def test_methods_are_set_by_domain(name):
    iql, xql = (offline_trained.by_domain(method)(name) for method in ("iql", "xql"))
    assert iql.expectile == (0.9 if "maze" in name else 0.7)
    assert iql.inverse_temperature == {"p": 10.0, "h": 3.0, "a": 0.5}[name[0]]
    assert xql.inverse_temperature == {"p": 10.0, "h": 3.0, "a": 0.5}[name[0]]
    assert (xql.beta, xql.reward_shift) == ({"p": 0.6, "h": 2.0, "a": 5.0}[name[0]], None)
    assert xql.reward_range == iql.reward_range == (1000.0 if name[0] == "h" else None)  # as published code has it


def test_a_line_is_drawn_over_the_samples_of_each_model():
    scores = {"score": [90] * 4 + [10, 20, 30, 50]}
    arms = ("behaviour, autoregressive", "autoregressive, N = 5", "autoregressive, N = 100")
    numbers = emaq_trained.read_samples([cell(arm, "hopper-medium", AT | scores) for arm in arms])
    found = numbers["columns"]["hopper-medium"]["autoregressive"]
    assert found["alone"]["mean"] == 27.5
    assert {n: entry["per_seed"] for n, entry in found["samples"].items()} == {"5": [15.0, 40.0], "100": [15.0, 40.0]}
    with styled():
        drawn = emaq_trained.draw_samples(json.loads(json.dumps(numbers)))
        assert png(drawn, dpi=40)[:8] == b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize("factor", [0.5, 1.0])
def test_every_width_is_narrowed(factor):
    whole = extremal.EMaQ(width=64, behaviour_width=32, behaviour_prefix_width=16)
    found = narrowed(whole, factor)
    widths = (found.width, found.behaviour_width, found.behaviour_head_width, found.behaviour_prefix_width)
    assert widths == (64 * factor, 32 * factor, 256 * factor, 16 * factor)
    assert narrowed(extremal.EMaQ(), factor).behaviour_prefix_width is None


@pytest.mark.parametrize("seeds", [1, 3])
def test_a_table_is_drawn_with_one_seed_and_with_several(seeds):
    rows = {"A": [1.0, 2.0, 4.0][:seeds], "B": [1e6, 2e6, 1e5][:seeds]}
    columns = {
        "data": {
            row: {"mean": float(np.mean(x)), "per_seed": x, "low": min(x), "high": max(x)} for row, x in rows.items()
        }
    }
    with styled():
        drawn = cql_trained.draw_bias({"columns": columns, "published": {"data": {"A": -3.0, "not trained": 1.0}}})
        assert png(drawn, dpi=40)[:8] == b"\x89PNG\r\n\x1a\n"
    assert [label.get_text() for label in drawn.get_axes()[0].get_yticklabels()] == ["A", "B"]


@pytest.mark.parametrize("experiment", EXPERIMENTS.values(), ids=EXPERIMENTS)
def test_every_arm_has_settings_for_every_data_set(experiment):
    assert {"reduced", "paper"} == experiment.budgets.keys() == experiment.arms.keys()
    types = {type(known.default) for known in METHODS.values()}
    for arms in experiment.arms.values():
        labels = [arm.label for arm in arms]
        assert len(set(labels)) == len(labels) > 1
        for arm in arms:
            assert arm.updates.keys() <= experiment.budgets.keys()
            for name in experiment.datasets:
                assert type(arm.settings(name)) in types


@pytest.mark.parametrize("experiment", EXPERIMENTS.values(), ids=EXPERIMENTS)
def test_it_is_on_the_page_of_figures(experiment):
    assert f"\n`{experiment.name}`\n:   " in (Path(__file__).parents[2] / "docs" / "reproduce.md").read_text("utf-8")
    assert 20 < len(experiment.shows) < 140


def test_emaq_s_paper_budget_is_the_paper_s():
    """Fig. 1 has batches of 100 and 500,000 updates, Table 1 models of 80 bins; what stands alone is the model that EMaQ stands on."""
    alone, *drawn = EXPERIMENTS["emaq-fig1"].arms["paper"]
    for arm in drawn:
        found = arm.settings("hopper-medium")
        assert (found.batch_size, found.critics, found.width, arm.updates["paper"]) == (100, 8, 750, 500_000)
        assert found.behaviour == alone.settings("hopper-medium")
    table = {arm.label: arm.settings("adroit-door-human") for arm in EXPERIMENTS["emaq-table1"].arms["paper"]}
    emaq = table["EMaQ, N = 64"]
    assert table["behaviour, autoregressive"] == emaq.behaviour
    assert (emaq.behaviour_bins, emaq.critics, emaq.batch_size) == (80, 16, 128)
    models = {arm.label: arm.settings("hopper-medium") for arm in EXPERIMENTS["emaq-fig9"].arms["paper"]}
    assert models["behaviour, vae"] == METHODS["behaviour"].presets["paper/vae"].settings  # App. H.1


def test_what_the_paper_does_not_print_of_its_budget_is_named_as_ours():
    """App. G says of neither the updates of the behaviour's model nor the evaluations how many; App. J of no network's size."""
    for name in (name for name in EXPERIMENTS if name.startswith("emaq")):
        budget = EXPERIMENTS[name].budgets["paper"]
        assert budget.ours.startswith("500,000 updates of the behaviour's model;")
        assert f"{budget.evaluations} evaluations of {budget.episodes} episodes" in budget.ours
        for arm in EXPERIMENTS[name].arms["paper"]:
            settings = arm.settings("hopper-medium")
            fitted = (
                arm.updates["paper"]
                if arm.label.startswith("behaviour")
                else getattr(settings, "behaviour_updates", None)
            )
            assert fitted in (500_000, None) or arm.label.startswith("BRAC"), arm.label  # whose script prints its own
        assert EXPERIMENTS[name].budgets["reduced"].ours == ""
    assert "256" in EXPERIMENTS["emaq-fig10"].budgets["paper"].ours


@pytest.mark.parametrize("budget", ["reduced", "paper"])
@pytest.mark.parametrize("name", ["emaq-fig2", "emaq-table1"])
def test_emaq_and_its_rivals_stand_on_one_model(name, budget):
    arms = {arm.label: arm.settings("hopper-medium") for arm in EXPERIMENTS[name].arms[budget]}
    methods = {label.split(",")[0] for label in arms}
    assert {"EMaQ", "BCQ", "BEAR"} <= methods
    stand = [x for label, x in arms.items() if label.split(",")[0] in ("EMaQ", "BCQ", "BEAR")]
    assert all(x.fits() == stand[0].fits() for x in stand)
    assert stand[0].behaviour == arms["behaviour, autoregressive"]


def test_the_two_models_of_the_behaviour_are_of_about_one_size():
    """App. H.1: `approximately matched in parameter count`; here those of the reduced budget, in the sizes of a hopper."""
    arms = {arm.label: arm.settings("hopper-medium") for arm in EXPERIMENTS["emaq-fig9"].arms["reduced"]}
    width = EXPERIMENTS["emaq-fig9"].budgets["reduced"].width
    models = [narrowed(arms[f"{kind}, N = 20"], width).behaviour for kind in ("autoregressive", "vae")]
    one, other = (
        sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(lambda m=m: m.network(jax.random.key(0), 11, 3))))
        for m in models
    )
    assert one == pytest.approx(other, rel=0.05)
