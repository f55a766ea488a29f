"""The figures that `extremal reproduce` makes, by name.

How to add one:

1. Write two functions in `reproduce/PAPER.py`, which imports neither matplotlib, nor JAX, nor this module when it is loaded.
2. `compute(*, seed: int = 0, ...) -> dict` takes everything as keywords with defaults (these are the settings that stand in the
   JSON), and returns every number that a line or marker needs: arrays, lists, numbers, strings; nothing infinite or NaN.
3. `draw(numbers) -> figure` takes these numbers as JSON gives them back (lists; keys are strings) and nothing else. Its first
   line is `drawn = figure(width, height)` of `report/style.py`, whose `PALETTE`, `DASHES` and `ramp` are its colours; `styled()`
   is around it already.
4. Add one `Figure(...)` below. The tests then run on it by themselves: JSON and back, finite, drawn from its JSON, same seed same
   numbers. Where `compute` takes more than a second, add smaller settings to `SMALL` in `tests/reproduce/test_figures.py`.
5. Make it (`extremal reproduce NAME`), look at the PNG, and add a line to `docs/reproduce.md`.

Where the numbers come from training, add an `Experiment(...)`: arms (a label and settings for each data set), data sets, budgets by
name, `read(cells) -> dict` from the run directories, and `draw(numbers)` as above. The command trains what is not there yet.
"""

from __future__ import annotations

from extremal.reproduce import (
    bias,
    cql,
    cql_trained,
    emaq,
    emaq_trained,
    evt,
    iql,
    iql_maze,
    kl_ball,
    klxql_trained,
    log_bias,
    offline_trained,
    operators,
    xql,
    xql_grid,
    xql_theory,
)
from extremal.reproduce.experiment import Experiment, on_every_budget
from extremal.reproduce.figure import Figure

_FIGURES: tuple[Figure, ...] = (
    Figure(
        name="xql-fig2",
        paper="[garg2023] Fig. 2",
        shows="the Gumbel density, the Gumbel loss, and Gumbel regression between mean and maximum, for several beta",
        compute=xql.compute,
        draw=xql.draw,
    ),
    Figure(
        name="xql-fig4",
        paper="[garg2023] Fig. 4",
        shows="a winding corridor valued by the mean, by two soft maxima and by the maximum",
        compute=xql_grid.compute,
        draw=xql_grid.draw,
    ),
    Figure(
        name="evt",
        paper="[garg2023] Theorem 1, App. A.2.1",
        shows="how slowly maxima become Gumbel distributed, and how Gumbel errors die out with each backup",
        compute=evt.compute,
        draw=evt.draw,
    ),
    Figure(
        name="lemma-bounds",
        paper="[garg2023] Lemma B.1, Lemma B.2",
        shows="how far a soft maximum is above the mean, and how often an estimate is too high, under their bounds",
        compute=xql_theory.compute,
        draw=xql_theory.draw,
    ),
    Figure(
        name="iql-fig1",
        paper="[kostrikov2021] Fig. 1",
        shows="the expectile loss, expectiles of a normal, and expectile regression between mean and maximum",
        compute=iql.compute,
        draw=iql.draw,
    ),
    Figure(
        name="iql-fig2",
        paper="[kostrikov2021] Fig. 2",
        shows="one optimal and 99 random trajectories in a U-maze, valued by one step and by implicit Q-learning",
        compute=iql_maze.compute,
        draw=iql_maze.draw,
    ),
    Figure(
        name="emaq-delta",
        paper="[ghasemipour2021] Theorem 3.5, Sec. 3.3",
        shows="how many samples the best action needs, and the loss of EMaQ under its bounds",
        compute=emaq.compute,
        draw=emaq.draw,
    ),
    Figure(
        name="cql-lower-bound",
        paper="[kumar2020] Theorem 3.1, Theorem 3.2, Eq. (4)",
        shows="learned against true values in a maze as the penalty grows, and the alpha from which none is too high",
        compute=cql.compute_bounds,
        draw=cql.draw_bounds,
    ),
    Figure(
        name="cql-gap",
        paper="[kumar2020] Theorem 3.4, App. B",
        shows="what the penalty adds to the gap between the data's actions and others, along iterations and at the end",
        compute=cql.compute_gap,
        draw=cql.draw_gap,
    ),
    Figure(
        name="gumbel-bias",
        paper="[garg2023] Eq. (11), App. D.3",
        shows="what mini-batch estimators of the soft maximum come to, against batch size and temperature",
        compute=bias.compute,
        draw=bias.draw,
    ),
    Figure(
        name="gumbel-logs",
        paper="[garg2023] Eq. (11), App. D.3",
        shows="the same for Qs of five shapes, so that no two errors cancel: the tangent at several clips, and the batch maximum",
        compute=log_bias.compute,
        draw=log_bias.draw,
    ),
    Figure(
        name="operators",
        paper="[ghasemipour2021], [kostrikov2021], [garg2023]: their operators side by side",
        shows="all operators on one axis from mean to maximum, each at values of its own parameter",
        compute=operators.compute,
        draw=operators.draw,
    ),
    Figure(
        name="kl-ball",
        paper="[ahmadi2012] Theorem 3.3, Definition 3.1",
        shows="the value of the KL ball from mean to maximum as its radius grows, and what the loss's tangent does to it",
        compute=kl_ball.compute,
        draw=kl_ball.draw,
    ),
)

FIGURES: dict[str, Figure] = {figure.name: figure for figure in _FIGURES}

_EXPERIMENTS: tuple[Experiment, ...] = (
    Experiment(
        name="cql-fig2",
        paper="[kumar2020] Fig. 2, Eq. (10)",
        shows="how far a critic holds arbitrary actions for better than the logged ones, along training",
        arms=cql_trained.FIG2_ARMS,
        datasets=("hopper-expert", "hopper-medium"),
        budgets=cql_trained.BUDGETS,
        read=cql_trained.read_gap,
        draw=cql_trained.draw_gap,
    ),
    Experiment(
        name="cql-table4",
        paper="[kumar2020] Table 4",
        shows="how far predicted values are above the discounted return, for CQL, for ensembles of critics and for BEAR",
        arms=cql_trained.TABLE4_ARMS,
        datasets=("hopper-medium-expert", "hopper-medium-replay-like", "hopper-medium"),
        budgets=cql_trained.BUDGETS,
        read=cql_trained.read_bias,
        draw=cql_trained.draw_bias,
    ),
    Experiment(
        name="xql-table1",
        paper="[garg2023] Table 1",
        shows="ten rows of offline methods on locomotion data, with the published scores beside them",
        arms=on_every_budget(offline_trained.ARMS),
        datasets=offline_trained.LOCOMOTION,
        budgets=offline_trained.BUDGETS,
        read=offline_trained.read_scores,
        draw=offline_trained.draw_scores,
    ),
    Experiment(
        name="emaq-fig1",
        paper="[ghasemipour2021] Fig. 1",
        shows="the score of EMaQ as more actions are drawn, from the behaviour alone upwards",
        arms=emaq_trained.SAMPLES,
        datasets=("hopper-medium", "hopper-medium-expert", "pointmaze-medium-goal"),
        budgets=emaq_trained.BUDGETS,
        read=emaq_trained.read_samples,
        draw=emaq_trained.draw_samples,
    ),
    Experiment(
        name="emaq-fig2",
        paper="[ghasemipour2021] Fig. 2",
        shows="EMaQ beside BCQ and BEAR on the same model of the behaviour, and BRAC",
        arms=emaq_trained.RIVALS,
        datasets=("hopper-medium", "hopper-medium-expert"),
        budgets=emaq_trained.NARROW,
        read=offline_trained.read_scores,
        draw=offline_trained.draw_scores,
    ),
    Experiment(
        name="emaq-fig9",
        paper="[ghasemipour2021] Fig. 6, Fig. 9, App. H",
        shows="EMaQ on an autoregressive model of the behaviour, and on a conditional VAE",
        arms=emaq_trained.MODELS,
        datasets=("hopper-medium", "hopper-medium-expert"),
        budgets=emaq_trained.BUDGETS,
        read=emaq_trained.read_samples,
        draw=emaq_trained.draw_samples,
    ),
    Experiment(
        name="emaq-fig10",
        paper="[ghasemipour2021] Fig. 10, App. J",
        shows="soft-EMaQ from the mean of the drawn actions to their maximum, beside EMaQ",
        arms=emaq_trained.SOFT,
        datasets=("halfcheetah-medium", "hopper-medium"),
        budgets=emaq_trained.BUDGETS,
        read=offline_trained.read_scores,
        draw=offline_trained.draw_scores,
    ),
    Experiment(
        name="emaq-table1",
        paper="[ghasemipour2021] Table 1",
        shows="the behaviour, EMaQ and its rivals in mazes and with the human door",
        arms=emaq_trained.TABLE1,
        datasets=("pointmaze-medium-goal", "pointmaze-large-goal", "adroit-door-human"),
        budgets=emaq_trained.NARROW,
        read=offline_trained.read_scores,
        draw=offline_trained.draw_scores,
    ),
    Experiment(
        name="klxql-table",
        paper="[ahmadi2012] Theorem 3.3: a method of our own",
        shows="KL-ball XQL with one set of defaults, beside methods that are set per domain",
        arms=on_every_budget(klxql_trained.ARMS),
        datasets=klxql_trained.DATASETS,
        budgets=klxql_trained.BUDGETS,
        read=klxql_trained.read_table,
        draw=klxql_trained.draw_table,
    ),
    Experiment(
        name="klxql-kappa",
        paper="[ahmadi2012] Theorem 3.3: a method of our own",
        shows="KL-ball XQL for five radii on three sets",
        arms=on_every_budget(klxql_trained.RADII),
        datasets=("pointmaze-medium-goal", "hopper-medium", "halfcheetah-medium"),
        budgets=klxql_trained.BUDGETS,
        read=klxql_trained.read_table,
        draw=klxql_trained.draw_table,
    ),
    Experiment(
        name="klxql-stability",
        paper="[ahmadi2012] Theorem 3.3: a method of our own",
        shows="how often a run of KL-ball XQL, and of XQL, falls back: every checkpoint of twenty seeds",
        arms=on_every_budget(klxql_trained.STEADY),
        datasets=("pointmaze-medium-goal",),
        budgets=klxql_trained.MANY,
        read=klxql_trained.read_courses,
        draw=klxql_trained.draw_courses,
    ),
    Experiment(
        name="neorl2-dmsd",
        paper="[gao2025] (its DMSD task)",
        shows="five offline methods on published data in the published simulator, beside the published scores",
        arms=on_every_budget(offline_trained.DMSD_ARMS),
        datasets=("neorl2:DMSD-high-100000-train.npz",),
        budgets=offline_trained.DMSD_BUDGETS,
        read=offline_trained.read_scores,
        draw=offline_trained.draw_scores,
    ),
)

EXPERIMENTS: dict[str, Experiment] = {experiment.name: experiment for experiment in _EXPERIMENTS}
