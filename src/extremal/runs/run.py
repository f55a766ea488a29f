"""The five lines: train a method on data, evaluate it, read it back."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from extremal.algorithms.registry import method, name_of
from extremal.core.errors import ConfigError, MissingExtraError, RunError, SpecError
from extremal.core.policy import Policy
from extremal.core.types import Transform
from extremal.data.dataset import Dataset
from extremal.data.ids import load_dataset
from extremal.data.transforms import prepare
from extremal.engine.programs import keep_programs
from extremal.engine.replicas import take, use_every_core
from extremal.runs.fitted import fits_of
from extremal.runs.plan import Plan, check_counts, describe_dataset, read_plan, replicas_of
from extremal.runs.train import Training, Watcher, checkpoints, evaluation_seed, load_checkpoint

if TYPE_CHECKING:
    from extremal.evaluation.measures import Evaluation

NO_SIMULATOR = "none"  # for `environment`: train without one, though the dataset names one
HELD_OUT = 0.1  # share of the episodes kept from training where there is no simulator to judge by
LEAST_EPISODES = 40  # with fewer, a method's own wish to hold some out is not heard


@dataclasses.dataclass(frozen=True)
class Run:
    """A run on disk."""

    path: Path

    @property
    def plan(self) -> Plan:
        return read_plan(self.path)

    @property
    def summary(self) -> dict[str, Any]:
        """summary.json: results at the last checkpoint, with intervals over seeds.

        Raises:
            RunError: the run is not finished.
        """
        file = self.path / "summary.json"
        if not file.exists():
            raise RunError(
                f"{self.path} is not finished; `extremal train ... --out {self.path} --resume` goes on with it"
            )
        return json.loads(file.read_text(encoding="utf-8"))

    @property
    def results(self) -> list[dict[str, Any]]:
        return self.summary["results"]

    def policy(self, replica: int = 0, *, target_return: float | None = None) -> Policy:
        """The policy of one replica at the last checkpoint; asked for another return, where `target_return` is given."""
        keep_programs()
        plan = self.plan
        if not 0 <= replica < len(plan.replicas):
            raise ConfigError(f"{self.path} has replicas 0 to {len(plan.replicas) - 1}, not {replica}")
        states, _, _ = load_checkpoint(plan, self.path)
        return Policy(plan.algorithm(replica, **_asked(target_return)), take(states.online, replica))

    def evaluate(
        self,
        *,
        episodes: int = 100,
        seed: int = 0,
        environment: str | None = None,
        keep: int = 0,
        target_return: float | None = None,
    ) -> Evaluation:
        """Every replica at its last checkpoint, mean action, in the simulator.

        Args:
            episodes: per replica. seed: of the episodes. environment: instead of the dataset's own.
            keep: how many of the first episodes' trajectories to keep.
            target_return: what a method conditioned on returns is asked for, instead of its setting.

        Raises:
            ConfigError: there is no simulator to evaluate in, or the method is not conditioned on returns.
        """
        from extremal.evaluation.measures import Evaluation
        from extremal.evaluation.rollout import rollout

        keep_programs()
        plan = self.plan
        where = environment or plan.environment
        if where is None:
            raise ConfigError(f"{self.path}: its dataset names no environment; say which one to evaluate in")
        states, _, _ = load_checkpoint(plan, self.path)
        found = [
            rollout(
                Policy(plan.algorithm(r, **_asked(target_return)), take(states.online, r)),
                where,
                episodes=episodes,
                seed=evaluation_seed(seed, r),
                keep=keep,
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
    environment: str | None = None,
    evaluate_every: int | None = None,
    episodes: int = 20,
    log_every: int = 1000,
    holdout: float | None = None,
    resume: bool = False,
    watch: Watcher = lambda update, metrics: None,
    transforms: Sequence[Transform] = (),
) -> Run:
    """Train to the end and leave everything in `out`.

    Args:
        algorithm: settings, e.g. `XQL(beta=2.0)`, or a method's name for its defaults.
        dataset: a `Dataset`, or an id for `load_dataset`.
        updates: of each replica. seeds: how many (0, 1, ...), or which.
        sweep: several values per setting; every combination is trained with every seed, as replicas of one program.
        environment: where to evaluate, instead of the dataset's own; "none": train without a simulator.
        evaluate_every: updates between evaluations, which are also the checkpoints; default: a tenth of `updates`.
        episodes: per evaluation and replica. log_every: updates that a row of metrics.csv averages over.
        holdout: share of the episodes kept from training; default: a tenth where there is no simulator, else none, or a
            twentieth for a method whose health shows on them.
        resume: go on with the run in `out`, to the numbers that it would have come to uninterrupted.
        watch: called as `watch(update, metrics)` after every chunk.
        transforms: fitted ones, of another run on this data, instead of the method's own of the same kind.

    Raises:
        RunError: `out` exists and `resume` is false, or belongs to another run.
        ConfigError, SpecError, DataError: something does not fit; nothing has been written.
        MissingExtraError: the simulator is not installed; nothing has been written.
        DivergedError: every replica left the finite numbers.
    """
    keep_programs()
    use_every_core()
    name, settings = (
        (algorithm, method(algorithm).default) if isinstance(algorithm, str) else (name_of(algorithm), algorithm)
    )
    identifier = dataset if isinstance(dataset, str) else dataset.card.name
    data = load_dataset(dataset) if isinstance(dataset, str) else dataset
    path = Path(out)
    if path.exists() and not resume and (not path.is_dir() or any(path.iterdir())):
        raise RunError(f"{path} exists; choose another --out, or go on with it by --resume")
    described = describe_dataset(data, id=identifier, environment=environment)
    if environment == NO_SIMULATOR:
        described["environment"] = None
    share = _share(settings, data, described["environment"]) if holdout is None else holdout
    kept, held_out = data.split(share) if share else (data, None)
    base = settings.algorithm(data.spec, updates=updates)
    fitted, prepared = prepare(base.prepare, kept, known=transforms)
    fits, replicas = fits_of(settings, data, share), replicas_of(settings, seeds, sweep or {})
    plan = Plan(
        method=name,
        settings=settings,
        replicas=replicas,
        dataset=described,
        spec=data.spec,
        prepare=fitted,
        updates=updates,
        evaluate_every=evaluate_every or max(updates // 10, 1),
        log_every=min(log_every, updates),
        episodes=episodes,
        holdout=share,
        fits={fitted_name: fit.digest for fitted_name, fit in fits.items()},
    )
    check_counts(plan)
    _check_environment(plan)
    if resume and (path / "config.json").exists():
        _check_same(plan, read_plan(path), path)
    else:
        plan.save(path)
    if held_out is not None:
        for transform in fitted:
            held_out = transform.apply(held_out)
    given = (
        {} if checkpoints(path) else {n: fit.networks(kept, plan.seeds, fitted, watch=watch) for n, fit in fits.items()}
    )
    Training(plan=plan, path=path, data=prepared, held_out=held_out, watch=watch, given=given).run()
    return Run(path)


def _share(settings: Any, data: Dataset, environment: str | None) -> float:
    """Of the episodes that are held out, where nobody says."""
    if environment is None:
        return HELD_OUT
    return getattr(settings, "held_out_share", 0.0) if data.episodes >= LEAST_EPISODES else 0.0


def _check_environment(plan: Plan) -> None:
    """The simulator exists and takes what the data has: found out before training, not after."""
    if plan.environment is None:
        return
    from extremal.envs import make

    try:
        simulator = make(plan.environment)
    except MissingExtraError as error:
        raise MissingExtraError(f"{error}\nTo train without a simulator: --environment {NO_SIMULATOR}") from error
    try:
        for kind, space, shape in (
            ("observations", simulator.observation_space, plan.spec.observation),
            ("actions", simulator.action_space, plan.spec.action),
        ):
            if space.shape != shape:
                raise SpecError(
                    f"environment {plan.environment!r} has {kind} of shape {space.shape}, the dataset of shape {shape}; "
                    "name the environment that the data came from"
                )
    finally:
        simulator.close()


def _check_same(plan: Plan, before: Plan, path: Path) -> None:
    """A run goes on only as what it began as."""
    new, old = plan.to_json(), before.to_json()
    differ = [name for part in new.keys() - {"versions"} for name in _differing(part, new[part], old[part])]
    if differ and checkpoints(path):
        raise RunError(
            f"{path} was begun with {', '.join(sorted(differ))}; resume with the same ones, or choose another --out"
        )
    if differ:
        plan.save(path)


def _differing(part: str, new: Any, old: Any) -> Iterator[str]:
    """What differs in one part of a plan: `beta 1.0 (now 2.0)` for a setting, the name alone where values are long."""
    if isinstance(new, Mapping) and isinstance(old, Mapping):
        for name in new.keys() | old.keys():
            yield from _differing(f"{part}.{name}", new.get(name), old.get(name))
    elif json.dumps(new) != json.dumps(old):
        short = all(isinstance(value, str | int | float | None) for value in (new, old))
        yield f"{part} {old} (now {new})" if short else f"other {part}"
