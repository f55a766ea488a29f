"""A run gone on with from its folder alone: everything is taken from config.json, and it may be made longer."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING

from extremal.core.errors import RunError
from extremal.data.dataset import Dataset
from extremal.data.ids import KINDS, load_dataset
from extremal.data.transforms import prepare
from extremal.engine.programs import keep_programs
from extremal.engine.replicas import use_every_core
from extremal.envs.naming import MADE_IN_PYTHON
from extremal.runs.extension import extended
from extremal.runs.fitted import Fitted, fits_of
from extremal.runs.folder import claimed, content_of
from extremal.runs.going import Parts, go
from extremal.runs.holdout import parted
from extremal.runs.initial import Origin, origin_of
from extremal.runs.plan import Plan, options, read_plan
from extremal.runs.run import Run
from extremal.runs.same import check_data
from extremal.runs.simulator import check_simulator, named
from extremal.runs.train import Watcher, checkpoints, reached, read_saved, tables

if TYPE_CHECKING:
    from extremal.runs.simulator import Simulator


def resume(
    path: str | os.PathLike[str],
    *,
    updates: int | None = None,
    episodes: int | None = None,
    log_every: int | None = None,
    dataset: Dataset | str | None = None,
    environment: Simulator | None = None,
    watch: Watcher = lambda update, metrics: None,
) -> Run:
    """Go on with the run in `path` to its end, to the numbers that it would have come to uninterrupted.

    Args:
        updates: more than the run has: it is extended. A schedule over the run's length is from the present update on the one of
            a run of the new length; without a schedule the parameters are, bit for bit, those of a run of that length.
        episodes: per evaluation and replica, from here on. log_every: updates that a row of metrics.csv averages over.
        dataset: the data of the run, where it was a `Dataset`, or an id that has moved.
        environment: the function that makes the run's environment, where one did, or its name where that names a module.
        watch: called as `watch(update, metrics)` after every chunk.

    Raises:
        RunError: there is no run, it is damaged or in use, its data changed, or they were a `Dataset` and are not given.
        ConfigError: fewer updates, or an extension of a method whose phases are shares of them.
        DivergedError: every replica left the finite numbers.
    """
    keep_programs()
    use_every_core()
    path = Path(path)
    if "config.json" not in content_of(path):
        raise RunError(f"{path} holds no run to go on with: it has no config.json; give the folder that --out named")
    with claimed(path, resume=True):
        before = read_plan(path)
        plan = _changed(before, path, updates=updates, episodes=episodes, log_every=log_every)
        if plan.updates == before.updates and Run(path).finished and reached(path) == plan.updates:
            return Run(path)
        _check_environment(plan, path, environment)
        data = _data(plan, path, dataset)
        check_data(data.hash(), plan, path)
        if environment is None:
            environment = plan.environment  # a module that it names is imported, as then
        check_simulator(environment, plan, begun=True)
        origin, fits = (None, {}) if checkpoints(path) else _beforehand(plan, path, data)
        plan = dataclasses.replace(plan, fits={**plan.fits, **{name: fit.digest for name, fit in fits.items()}})
        kept, held_out = parted(data, plan.holdout)
        base = plan.settings.algorithm(plan.spec, updates=plan.updates)
        _, prepared = prepare(base.prepare, kept, known=plan.prepare)
        if plan.to_json() != before.to_json():
            if checkpoints(path):
                read_saved(plan, path, *tables(path))  # what is damaged is told before anything is written
            (path / "summary.json").unlink(missing_ok=True)  # of a shorter run
            plan.save(path)
        go(plan, path, Parts(data, prepared, held_out), fits, watch, origin=origin, simulator=environment)
    return Run(path)


def _check_environment(plan: Plan, path: Path, environment: Simulator | None) -> None:
    """Refuse another simulator than the run's, and one that only Python can make and that is not given."""
    if environment is not None and named(environment) != plan.environment:
        raise RunError(
            f"{path} is evaluated in {plan.environment}, not in {named(environment)}; leave the environment out"
        )
    if environment is None and (plan.environment or "").startswith(MADE_IN_PYTHON):
        raise RunError(
            f"{path} is evaluated in an environment that a Python function made ({plan.environment}): go on with it there, by "
            f"extremal.resume({str(path)!r}, environment=...)"
        )


def _changed(before: Plan, path: Path, *, updates: int | None, episodes: int | None, log_every: int | None) -> Plan:
    """The plan with what is asked for."""
    plan = before
    given = {"updates": updates, "episodes": episodes, "log_every": log_every}
    given = {name: options(**{name: value})[0] for name, value in given.items() if value is not None}
    if (longer := given.pop("updates", before.updates)) != before.updates:
        plan = extended(plan, longer, at=reached(path))
    return dataclasses.replace(
        plan, **{name: min(value, plan.updates) if name == "log_every" else value for name, value in given.items()}
    )


def _beforehand(plan: Plan, path: Path, data: Dataset) -> tuple[Origin | None, dict[str, Fitted]]:
    """Of a run that has no checkpoint yet: the run that it starts from, and what is to be fitted before it.

    Raises:
        RunError: the run that it starts from has gone on since.
    """
    origin = origin_of(Path(plan.initial["path"])) if plan.initial else None
    if origin is not None and origin.record["sha256"] != plan.initial["sha256"]:
        raise RunError(
            f"{path} starts from {origin.path}, which has another checkpoint now than when it was begun; begin a new run from it"
        )
    known = () if origin is None else origin.foreign(plan)
    return origin, fits_of(plan.settings, data, plan.holdout, known)


def _data(plan: Plan, path: Path, dataset: Dataset | str | None) -> Dataset:
    """The data of the run, or what is given for them.

    Raises:
        RunError: the run was trained from a `Dataset`, or its file is nowhere.
    """
    actions = plan.source.get("actions")
    if dataset is not None:
        return load_dataset(dataset, actions=actions) if isinstance(dataset, str) else dataset
    if plan.source.get("dataset") == "object":
        raise RunError(
            f"{path} was trained from a Dataset in Python ({plan.dataset['name']!r}): go on with it there, by "
            f"extremal.resume({str(path)!r}, dataset=...)"
        )
    return load_dataset(_located(plan.dataset["id"], plan.source.get("folder"), path), actions=actions)


def _located(id: str, folder: str | None, path: Path) -> str:
    """The id of the data, its file found where it was when the run was begun, or else from the present folder.

    Raises:
        RunError: there is none in either.
    """
    scheme, colon, rest = id.partition(":")
    if not colon or folder is None or scheme not in KINDS or not KINDS[scheme].form.endswith("PATH"):
        return id
    then, now = Path(folder) / Path(rest).expanduser(), Path(rest).expanduser()
    if then.exists():
        return f"{scheme}:{then}"
    if now.exists():
        return id
    raise RunError(
        f"{path} was trained on {id!r}, and there is neither {then} nor {now.absolute()}; bring the file back, or give its place "
        f"in Python: extremal.resume({str(path)!r}, dataset='{scheme}:...')"
    )
