"""The five lines: train a method on data, evaluate it, read it back."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from extremal.algorithms.registry import method, name_of
from extremal.core.checked import admitted
from extremal.core.errors import ConfigError, RunError
from extremal.core.files import read_json
from extremal.core.policy import Policy
from extremal.core.ranges import Seed, Whole
from extremal.core.types import Transform
from extremal.data.dataset import Dataset
from extremal.data.finding import Finding
from extremal.data.ids import load_dataset
from extremal.data.kinds import Actions, agree
from extremal.data.transforms import prepare
from extremal.engine.products import fastest_library
from extremal.engine.programs import keep_programs
from extremal.engine.replicas import take, use_every_core
from extremal.evaluation.rollout import MAX_STEPS
from extremal.io.log import SUMMARY_AGAIN
from extremal.runs.check import checked, tell
from extremal.runs.fitted import fits_of
from extremal.runs.folder import claimed
from extremal.runs.going import Parts, go
from extremal.runs.holdout import choose, parted, unjudged
from extremal.runs.initial import Origin, origin_of, record_of
from extremal.runs.judge import evaluation_seed
from extremal.runs.plan import Plan, describe_dataset, options, read_plan, replicas_of, source_of
from extremal.runs.same import check_data, check_same
from extremal.runs.simulator import NO_SIMULATOR, check_simulator, maker, named
from extremal.runs.train import Watcher, checkpoints, finished, load_checkpoint

if TYPE_CHECKING:
    from extremal.evaluation.measures import Evaluation
    from extremal.runs.simulator import Simulator


@dataclasses.dataclass(frozen=True)
class Run:
    """A run on disk, in the folder `path` (a `str` or a `Path`)."""

    path: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(self.path))

    @property
    def plan(self) -> Plan:
        return read_plan(self.path)

    @property
    def summary(self) -> dict[str, Any]:
        """summary.json: results at the last checkpoint, with intervals over seeds.

        Raises:
            RunError: the run is not finished, or the file is damaged.
        """
        found = read_json(self.path / "summary.json", advice=SUMMARY_AGAIN)
        if found is None:
            raise RunError(f"{self.path} is not finished; `extremal train --resume {self.path}` goes on with it")
        return found

    @property
    def finished(self) -> bool:
        """Whether it has come to its last update."""
        return finished(self.path)

    @property
    def results(self) -> list[dict[str, Any]]:
        return self.summary["results"]

    def policy(self, replica: int = 0, *, target_return: float | None = None) -> Policy:
        """The policy of one replica at the last checkpoint; asked for another return, where `target_return` is given."""
        keep_programs()
        plan, replica = self.plan, admitted("replica", replica, Whole)
        if replica >= len(plan.replicas):
            raise ConfigError(f"{self.path} has replicas 0 to {len(plan.replicas) - 1}, not {replica}")
        states, _, _ = load_checkpoint(plan, self.path)
        return Policy(plan.algorithm(replica, **_asked(target_return)), take(states.online, replica), plan.spec)

    def evaluate(
        self,
        *,
        episodes: int = 100,
        seed: int = 0,
        environment: Simulator | None = None,
        keep: int = 0,
        target_return: float | None = None,
        max_steps: int = MAX_STEPS,
    ) -> Evaluation:
        """Every replica at its last checkpoint, mean action, in the simulator.

        Args:
            episodes: per replica. seed: of the episodes.
            environment: instead of the dataset's own: a name, or a function that makes it.
            keep: how many of the first episodes' trajectories to keep.
            target_return: what a method conditioned on returns is asked for, instead of its setting.
            max_steps: an episode that has not ended by then is cut there; `Episodes.capped` and `notes` say so.

        Raises:
            ConfigError: there is no simulator to evaluate in, or the method is not conditioned on returns.
            SpecError: the simulator's observations or actions are not those of the data.
        """
        from extremal.evaluation.measures import Evaluation
        from extremal.evaluation.rollout import rollout

        keep_programs()
        episodes, max_steps = options(episodes=episodes, max_steps=max_steps)
        seed, keep, plan = admitted("seed", seed, Seed), admitted("keep", keep, Whole), self.plan
        if environment is None and plan.environment is None:
            raise ConfigError(
                f"{self.path}: its dataset names no environment; say which one to evaluate in: --environment ID"
            )
        if environment == NO_SIMULATOR:
            raise ConfigError(f"{self.path} cannot be evaluated without a simulator; name one: --environment ID")
        judge = plan.environment if environment is None else environment
        where, make = named(judge), maker(judge, plan)
        states, _, _ = load_checkpoint(plan, self.path)
        found = [
            rollout(
                Policy(plan.algorithm(r, **_asked(target_return)), take(states.online, r), plan.spec),
                make,
                episodes=episodes,
                seed=evaluation_seed(seed, r),
                keep=keep,
                max_steps=max_steps,
            )
            for r in range(len(plan.replicas))
        ]
        own = plan.environment in (None, where)  # a run without a simulator takes the one named now for its data's
        return Evaluation(tuple(found), plan.dataset["reference"] if own else None)


def _asked(target_return: float | None) -> dict[str, float]:
    return {} if target_return is None else {"target_return": target_return}


def load(path: str | os.PathLike[str], replica: int = 0, *, target_return: float | None = None) -> Policy:
    """The policy that the run in `path` trained: `act(observation)` in the environment's units, and `value(observation)`.

    A method that remembers its episode acts through `start()`; one that is conditioned on returns may be asked for another
    one by `target_return`.
    """
    return Run(Path(path)).policy(replica, target_return=target_return)


def train(
    algorithm: Any,
    dataset: Dataset | str,
    *,
    updates: int = 100_000,
    seeds: int | Sequence[int] = 1,
    out: str | os.PathLike[str],
    sweep: Mapping[str, Sequence[float]] | None = None,
    environment: Simulator | None = None,
    actions: Actions | None = None,
    evaluate_every: int | None = None,
    episodes: int = 20,
    max_steps: int = MAX_STEPS,
    log_every: int = 1000,
    holdout: float | None = None,
    resume: bool = False,
    watch: Watcher = lambda update, metrics: None,
    transforms: Sequence[Transform] = (),
    unchecked: bool = False,
    initial: Run | str | os.PathLike[str] | None = None,
) -> Run:
    """Train to the end and leave everything in `out`.

    Args:
        algorithm: settings, e.g. `XQL(beta=2.0)`, or a method's name for its defaults.
        dataset: a `Dataset`, or an id for `load_dataset`.
        updates: of each replica. seeds: how many (0, 1, ...), or which.
        sweep: several values per setting; every combination is trained with every seed, as replicas of one program.
        environment: where to evaluate, instead of the dataset's own: a name, or a function that makes a new environment at
            each call; "none": train without a simulator.
        actions: "discrete", "continuous" or the number of choices, where `dataset` is an id of data that do not declare it.
        evaluate_every: updates between evaluations, which are also the checkpoints; default: a tenth of `updates`.
        episodes: per evaluation and replica. max_steps: of an episode, which is cut there if it has not ended.
        log_every: updates that a row of metrics.csv averages over.
        holdout: share of the episodes kept from training; default: a tenth where there is no simulator, else a twentieth (none of
            fewer than 40 episodes), for every method; none under a preset (`extremal.runs.holdout`).
        resume: go on with the run in `out`, to the numbers that it would have come to uninterrupted.
        watch: called as `watch(update, metrics)` after every chunk.
        transforms: fitted ones, of another run on this data, which had it checked, instead of the method's own of the same kind.
        unchecked: train although the check of the data (`check_dataset`) calls something wrong.
        initial: a run of the same method, or its folder: start with its networks and slow copies, in place of fresh ones, and keep
            its fitted transforms; optimisers are fresh, and updates count from 0. Each seed takes the replica of its place, or all
            the only one.

    Raises:
        RunError: `out` holds a run and `resume` is false, is no place for a run, belongs to another run, or is in use; or the disk is
            full, and the run goes on from its last checkpoint by `resume`.
        ConfigError, SpecError, DataError: something does not fit, or the check calls the data wrong; nothing has been written.
        MissingExtraError: the simulator is not installed; nothing has been written.
        DivergedError: every replica left the finite numbers.
    """
    updates, episodes, log_every = options(updates=updates, episodes=episodes, log_every=log_every)
    evaluate_every, holdout, max_steps = options(evaluate_every=evaluate_every, holdout=holdout, max_steps=max_steps)
    keep_programs()
    use_every_core()
    settings = method(algorithm).default if isinstance(algorithm, str) else algorithm
    replicas = replicas_of(settings, seeds, sweep or {})
    start = None if initial is None else initial.path if isinstance(initial, Run) else Path(initial)
    path = Path(out)
    with claimed(path, resume=resume):
        data = load_dataset(dataset, actions=actions) if isinstance(dataset, str) else dataset
        agree(data.card, actions)
        described = _described(data, dataset, environment)
        before = _begun(path, described["hash"])
        base = settings.algorithm(data.spec, updates=updates)
        origin = None if start is None or before is not None else origin_of(start)
        if origin is not None:
            origin.check(settings, data.spec, base)
        if before is not None and holdout is None:
            holdout = before.holdout
        asked = {"asked": holdout, "origin": origin, "hash": described["hash"]}
        choice = choose(settings, data, described["environment"], **asked)
        kept, held_out = parted(data, choice.share)
        fitted, prepared = prepare(base.prepare, kept, known=_known(transforms, origin, before))
        plan = Plan(
            method=algorithm if isinstance(algorithm, str) else name_of(algorithm),
            settings=settings,
            replicas=replicas,
            dataset=described,
            spec=data.spec,
            prepare=fitted,
            updates=updates,
            evaluate_every=max(updates // 10, 1) if evaluate_every is None else evaluate_every,
            log_every=min(log_every, updates),
            episodes=episodes,
            max_steps=max_steps,
            holdout=choice.share,
            held_out=choice.record(held_out),
            source=source_of(dataset, actions),
            initial={} if start is None else record_of(start, origin, before),
            library=fastest_library(base, len(replicas)),
        )
        check_simulator(environment, plan)
        if before is not None:
            check_same(dataclasses.replace(plan, fits=before.fits), before, path)
            plan, fits = before, {}  # whatever was fitted is in the checkpoint
        else:
            fits = fits_of(settings, data, choice.share, () if origin is None else origin.foreign(plan))
            check = {} if transforms else _checked(data, plan, kept, origin, unchecked)
            plan = dataclasses.replace(plan, check=check, fits={name: fit.digest for name, fit in fits.items()})
            plan.save(path)
            tell(plan.check, unjudged(plan), watch)
        go(plan, path, Parts(data, prepared, held_out), fits, watch, origin=origin, simulator=environment)
    return Run(path)


def _known(transforms: Sequence[Transform], origin: Origin | None, before: Plan | None) -> Sequence[Transform]:
    """The transforms that are not fitted to this data: of the run to start from, of this one's beginning, or those given."""
    if origin is not None:
        return origin.plan.prepare
    return before.prepare if before is not None and before.initial else transforms


def _described(data: Dataset, dataset: Dataset | str, environment: Simulator | None) -> dict[str, Any]:
    """The data, and where they are evaluated, as config.json keeps them."""
    id = dataset if isinstance(dataset, str) else data.card.name
    described = describe_dataset(data, id=id, environment=named(environment))
    return described | {"environment": None} if environment == NO_SIMULATOR else described


def _checked(data: Dataset, plan: Plan, kept: Dataset, origin: Origin | None, unchecked: bool) -> dict[str, Any]:
    """The findings of the data's check, and those of the run to start from."""
    more: list[Finding] = []
    if origin is not None:
        origin.replicas(plan)
        more = origin.findings(plan, kept)
    return checked(data, hash=plan.dataset["hash"], unchecked=unchecked, more=more)


def _begun(path: Path, hash: str) -> Plan | None:
    """The plan of the run that is to be gone on with; None where there is none, or where it has no checkpoint yet.

    Raises:
        RunError: its config.json is damaged, or its data changed.
    """
    plan = read_plan(path) if (path / "config.json").exists() else None
    if plan is None or not checkpoints(path):
        return None
    check_data(hash, plan, path)
    return plan
