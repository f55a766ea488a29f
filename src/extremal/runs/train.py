"""Train a plan to its end: chunks from the engine; evaluation, logging and saving between them."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import jax
import numpy as np

from extremal.core.algorithm import Algorithm
from extremal.core.errors import DivergedError, ExtremalError, RunError
from extremal.core.files import atomic, read_json, write_json
from extremal.data.dataset import Dataset
from extremal.engine.loop import Divergence, Progress, train
from extremal.engine.replicas import init_replicas, run_keys, stack, take
from extremal.evaluation.claims import gap_expansion, policy_value
from extremal.io import checkpoint
from extremal.io.log import WITHOUT_DIVERGED, Table
from extremal.runs.calibration import save_calibration
from extremal.runs.health import shown as health_shown
from extremal.runs.heldout import at, spread, unseen
from extremal.runs.judge import Judgement, judge
from extremal.runs.plan import Plan
from extremal.runs.stopping import asked_to_stop, ended_by
from extremal.runs.summary import summary

if TYPE_CHECKING:
    pass

KEPT = 2  # checkpoints
SHOWN_EVERY = 10.0  # seconds between two writings of metrics.csv, so that a run can be followed between checkpoints
_DIVERGENCE = {"replica": int, "update": int, "metric": str}  # an entry of diverged.json
CLAIMED_STEPS = 512  # in the batch on which a critic is asked; acting may draw a hundred actions for each


class Watcher(Protocol):
    """Is told how a run goes on; the command line draws a progress bar from it.

    After a chunk `metrics` holds its means, and after an evaluation `evaluation`. Before the first chunk come `warnings`, what the
    check of the data found; `fitting`, of a network that is fitted beforehand; `compiling`, once nothing can be refused any more; and
    `compiled`, the seconds that it took, when the first update is next.
    """

    def __call__(self, update: int, metrics: dict[str, Any]) -> None: ...


@dataclasses.dataclass
class Training:
    """A run under way in `path`: its tables, and what is needed between two chunks."""

    plan: Plan
    path: Path
    data: Dataset  # prepared, for training
    held_out: Dataset | None  # prepared
    watch: Watcher
    given: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # networks [R, ...] that were fitted before
    simulator: Callable[[], Any] | None = None  # makes the environment that `plan` names
    begin: Callable[[Any], Any] = lambda states: states  # of fresh states [R, ...], those to start from

    def __post_init__(self) -> None:
        self.algorithms = [self.plan.algorithm(r) for r in range(len(self.plan.replicas))]
        self.metrics, self.evaluations = tables(self.path)
        self.diverged: list[Divergence] = []
        self.compile_seconds = self.evaluate_seconds = 0.0
        self.judge = ThreadPoolExecutor(1, "evaluation")
        self.judged: tuple[Progress, Future[Judgement]] | None = None  # the evaluation under way, and of what
        self.shown = time.perf_counter()
        self.logged = 0  # update of the last chunk

    def run(self) -> None:
        """From the last checkpoint, or from the start, to the end.

        Raises:
            DivergedError: no replica is left; the last good checkpoint stays.
            RunError: what there is to go on with is damaged, or the disk is full; the last checkpoint stays.
        """
        plan, (init, keys) = self.plan, run_keys(self.plan.seeds)
        algorithms = stack(self.algorithms)
        self.logged, states, alive = self._resume(algorithms, init)
        if self.logged == plan.updates and finished(self.path):
            return
        self._check_alive(alive)
        if self.logged < plan.updates:
            self.watch(self.logged, {"compiling": plan.method})
        try:
            self._make_up(states, alive)
            self._train(algorithms, states, keys, alive)
            self._finish()
        except RunError as error:
            raise RunError(f"{error}; {self._kept()}") from error

    def _train(self, algorithms: Algorithm, states: Any, keys: jax.Array, alive: np.ndarray) -> None:
        with asked_to_stop() as stopping, self.judge:
            for progress in train(
                algorithms,
                states,
                self.data.device(),
                keys,
                updates=self.plan.updates,
                every=(self.plan.log_every, self.plan.evaluate_every),
                start=self.logged,
                alive=alive,
                begins=lambda seconds: self.watch(self.logged, {"compiled": seconds}),
                library=self.plan.library,
            ):
                self._after(progress)
                if stopping:
                    self._settle()
                    self._save(progress)
                    raise ended_by(stopping[0])

    def _resume(self, algorithms: Algorithm, keys: jax.Array) -> tuple[int, Any, np.ndarray]:
        if not checkpoints(self.path):
            return 0, self.begin(init_replicas(algorithms, keys, self.given)), np.ones(len(self.plan.replicas), bool)
        states, alive, update, diverged = read_saved(self.plan, self.path, self.metrics, self.evaluations)
        self.diverged = [d for d in diverged if not alive[d.replica]]  # the others fell after it
        return update, states, alive

    def _kept(self) -> str:
        """The end of a message about a file that could not be written."""
        if not (update := reached(self.path)):
            return "nothing is saved of this run yet; `--resume` begins it again"
        return f"the run is saved up to update {update:,} and goes on from there by --resume"

    def _check_alive(self, alive: np.ndarray) -> None:
        if not alive.any():
            raise DivergedError("; ".join(d.advice for d in self.diverged) or "every replica left the finite numbers")

    def _after(self, progress: Progress) -> None:
        plan, update = self.plan, progress.update
        due = self._due(update)
        if due:  # read often from here on
            progress = dataclasses.replace(progress, states=jax.device_get(progress.states))
        self.compile_seconds += progress.compile_seconds
        self.diverged += progress.diverged
        self._log(progress, due)
        if due or progress.diverged or (self.judged is not None and self.judged[1].done()):
            self._settle()
        if update == plan.updates and self.held_out is not None:
            save_calibration(self.path, self.algorithms, progress.states, progress.alive, self.held_out)
        if due and plan.environment is not None:
            if beside() and update < plan.updates and not progress.diverged:
                self.judged = progress, self.judge.submit(self._evaluate, progress)
            else:
                self._keep(progress, self._judgement(progress, lambda: self._evaluate(progress)))
        elif due or progress.diverged:
            self._save(progress)
        self._check_alive(progress.alive)

    def _log(self, progress: Progress, due: bool) -> None:
        rate = len(self.plan.replicas) * (progress.update - self.logged) / progress.seconds
        self.logged = progress.update
        row: dict[str, Any] = {}
        for r in np.flatnonzero(progress.alive):
            row = {"update": progress.update, "replica": int(r)}
            row |= {name: float(value[r]) for name, value in sorted(progress.metrics.items())}
            if due and self.held_out is not None:
                row |= unseen(self.algorithms[r], take(progress.states, int(r)), self.held_out, self.data)
            if due and self.algorithms[r].discount is not None:
                row |= self._claims(self.algorithms[r], take(progress.states.online, int(r)))
            row |= {"seconds": progress.seconds, "updates_per_second": rate}
            self.metrics.add(row)
        if time.perf_counter() - self.shown > SHOWN_EVERY:
            self.metrics.save()
            self.shown = time.perf_counter()
        living = np.flatnonzero(progress.alive)
        shown = {n: float(np.mean(v[living])) for n, v in progress.metrics.items()} if living.size else {}
        health = {"health": said} if due and (said := health_shown(row)) else {}
        self.watch(progress.update, shown | {"updates_per_second": rate} | health)

    def _claims(self, algorithm: Algorithm, online: Any) -> dict[str, float]:
        """What the critic holds of the training data's actions, and of its own policy's in the data's states."""
        sampler = algorithm.sampler
        batch = at(sampler, self.data, spread(sampler, self.data, steps=CLAIMED_STEPS))
        own = policy_value(algorithm, online, batch.observation)
        return {
            "critic/gap_expansion": float(gap_expansion(online, batch)),
            "critic/policy_value": float(own.mean()),
        }

    def _evaluate(self, progress: Progress) -> Judgement:
        assert self.simulator is not None
        return judge(self.plan, self.algorithms, progress, self.simulator)

    def _settle(self) -> None:
        """Wait for the evaluation under way, if one is, and keep it."""
        if self.judged is not None:
            (progress, future), self.judged = self.judged, None
            self._keep(progress, self._judgement(progress, future.result))

    def _judgement(self, progress: Progress, evaluate: Callable[[], Judgement]) -> Judgement:
        """An evaluation; where it fails, what was trained is saved all the same, and `run` makes up for it."""
        try:
            return evaluate()
        except Exception as error:
            self._save(progress)
            if not isinstance(error, ExtremalError) or isinstance(error, RunError):
                raise
            raise type(error)(f"{error}; {self._kept()}") from error

    def _make_up(self, states: Any, alive: np.ndarray) -> None:
        """Evaluate the last checkpoint, if that is still due."""
        update = self.logged
        due = update and self.plan.environment is not None and self._due(update)
        if due and not any(row["update"] == update for row in self.evaluations.rows):
            progress = Progress(update, states, {}, alive, (), 0.0, 0.0)
            self._keep(progress, self._judgement(progress, lambda: self._evaluate(progress)))

    def _due(self, update: int) -> bool:
        return update % self.plan.evaluate_every == 0 or update == self.plan.updates

    def _keep(self, progress: Progress, found: Judgement) -> None:
        """Save an evaluation, and what it is of: a checkpoint stands for its evaluation, too."""
        for row in found.rows:
            self.evaluations.add(row)
        if found.drawn is not None:
            with atomic(self.path / "maze.npz") as temporary, temporary.open("wb") as file:
                np.savez_compressed(file, allow_pickle=False, **found.drawn)
        self.evaluate_seconds += found.seconds
        self._save(progress)
        if found.success is not None:
            self.watch(progress.update, {"evaluation": found.success})

    def _save(self, progress: Progress) -> None:
        """Tables first, the checkpoint last: a resumed run drops whatever was logged after its checkpoint."""
        self.metrics.save()
        self.evaluations.save()
        write_json(self.path / "diverged.json", [dataclasses.asdict(d) for d in self.diverged])
        tree = {"states": progress.states, "alive": progress.alive}
        checkpoint.save(checkpoint_path(self.path, progress.update), tree, update=progress.update)
        for old in checkpoints(self.path)[:-KEPT]:
            old.unlink()

    def _finish(self) -> None:
        write_json(
            self.path / "summary.json",
            summary(
                self.plan,
                self.metrics.rows,
                self.evaluations.rows,
                self.diverged,
                compile_seconds=self.compile_seconds,
                evaluate_seconds=self.evaluate_seconds,
            ),
        )


def beside() -> bool:
    """Whether evaluation runs beside the next chunks: where an accelerator trains. Cores that train are not to be disturbed."""
    return jax.default_backend() != "cpu"


# ---- checkpoints of a run ----------------------------------------------------------------------------------------------


def checkpoint_path(path: Path, update: int) -> Path:
    return path / "checkpoints" / f"{update:010d}.safetensors"


def checkpoints(path: Path) -> list[Path]:
    """All checkpoints of a run, oldest first."""
    return sorted((path / "checkpoints").glob("[0-9]" * 10 + ".safetensors"))


def reached(path: Path) -> int:
    """The update of a run's last checkpoint, 0 where there is none."""
    return int(saved[-1].stem) if (saved := checkpoints(path)) else 0


def finished(path: Path) -> bool:
    """Whether a run has its summary; one that is damaged is written again from the tables."""
    try:
        return read_json(path / "summary.json") is not None
    except RunError:
        return False


def tables(path: Path) -> tuple[Table, Table]:
    """metrics.csv and evaluations.csv of a run, without their rows."""
    return (
        Table(path / "metrics.csv", needs=("seconds", "updates_per_second")),
        Table(path / "evaluations.csv", needs=("return",)),
    )


def read_saved(plan: Plan, path: Path, *tables: Table) -> tuple[Any, np.ndarray, int, list[Divergence]]:
    """All that a run goes on with: its last checkpoint, as `load_checkpoint`, the rows of its tables up to there, who diverged.

    Raises:
        RunError: some of it is damaged, or there is no checkpoint.
    """
    states, alive, update = load_checkpoint(plan, path)
    for table in tables:
        table.resume(update, len(plan.replicas))
    return states, alive, update, read_diverged(path, len(plan.replicas))


def load_checkpoint(plan: Plan, path: Path) -> tuple[Any, np.ndarray, int]:
    """The stacked states of the last checkpoint, which replicas were alive, and its update.

    Raises:
        RunError: the run has not got to its first checkpoint, or that is damaged.
    """
    if not (found := checkpoints(path)):
        raise RunError(f"{path} has no checkpoint yet; the first one is written at update {plan.evaluate_every}")
    algorithms = stack([plan.algorithm(r) for r in range(len(plan.replicas))])
    like = {
        "states": jax.eval_shape(lambda: init_replicas(algorithms, run_keys(plan.seeds)[0])),
        "alive": jax.ShapeDtypeStruct((len(plan.replicas),), np.dtype(bool)),
    }
    tree, update = checkpoint.load(found[-1], like)
    return tree["states"], np.asarray(tree["alive"]), update


def read_diverged(path: Path, replicas: int | None = None) -> list[Divergence]:
    """Where replicas left the finite numbers.

    Raises:
        RunError: the file is damaged, or tells of a replica that is none of so many.
    """
    file = path / "diverged.json"
    found = []
    for number, item in enumerate(read_json(file, list, advice=WITHOUT_DIVERGED) or []):
        if not isinstance(item, dict) or {name: type(value) for name, value in item.items()} != _DIVERGENCE:
            raise RunError(
                f"{file} is damaged: entry {number} is {str(item)[:60]}, expected replica, update and metric; {WITHOUT_DIVERGED}"
            )
        if replicas is not None and not 0 <= item["replica"] < replicas:
            raise RunError(
                f"{file} is damaged: entry {number} tells of replica {item['replica']}, the run has 0 to {replicas - 1}; "
                f"{WITHOUT_DIVERGED}"
            )
        found.append(Divergence(**item))
    return found
