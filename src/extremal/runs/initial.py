"""The run whose weights another one starts from: its networks and slow copies, and the transforms that they were trained with."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from extremal.core.algorithm import Algorithm
from extremal.core.errors import ConfigError, RunError, SpecError
from extremal.core.types import AgentState, Spec, Transform
from extremal.data.dataset import Dataset
from extremal.data.finding import Finding
from extremal.data.transforms import BestEpisodes, RescaleAction, ReturnsToGo
from extremal.io import config
from extremal.io.checkpoint import path_name
from extremal.runs.fitted import Fitted
from extremal.runs.plan import Plan, read_plan
from extremal.runs.train import checkpoints, load_checkpoint

_OF_ROWS = (BestEpisodes, ReturnsToGo)  # transforms that choose or add, and leave the units of the networks alone


@dataclasses.dataclass(frozen=True)
class Origin:
    """A run at its last checkpoint."""

    path: Path
    plan: Plan
    states: AgentState  # [R, ...]
    alive: np.ndarray  # [R] bool
    record: Mapping[str, Any]  # for config.json: its folder, update, and the hash of its checkpoint

    def check(self, settings: Any, spec: Spec, base: Algorithm) -> None:
        """Refuse a run whose weights do not fit.

        Raises:
            SpecError: it was trained on other shapes of observations or actions.
            ConfigError: another method, other transforms, or networks of other shapes; names the difference.
        """
        if type(settings) is not type(self.plan.settings):
            raise ConfigError(
                f"{self.path} was trained by {self.plan.method}, whose networks are not those of {type(settings).__name__}; "
                "start from a run of the same method"
            )
        for kind, new, old in (
            ("observations", spec.observation, self.plan.spec.observation),
            ("actions", spec.action, self.plan.spec.action),
        ):
            if new != old:
                raise SpecError(
                    f"{self.path} was trained on {kind} of shape {old}, this dataset has them of shape {new}"
                )
        self._check_transforms(base)
        self._check_networks(settings, base)

    def _check_transforms(self, base: Algorithm) -> None:
        known = {type(t).__name__: _chosen(t) for t in self.plan.prepare if not isinstance(t, _OF_ROWS)}
        wanted = {type(t).__name__: _chosen(t) for t in base.prepare if not isinstance(t, _OF_ROWS)}
        for name in [*known, *wanted]:
            old, new = known.get(name), wanted.get(name)
            if old is None or new is None or any(old[field] != value for field, value in new.items()):
                shown = lambda fields: "none" if fields is None else " ".join(map(str, fields.values())) or "one"  # noqa: E731
                raise ConfigError(
                    f"the networks of {self.path} know the data through {name}: {shown(old)}, the settings ask for {shown(new)}; "
                    "give the settings of that run (reward_scale, reward_range, normalise_observation, ...)"
                )

    def _check_networks(self, settings: Any, base: Algorithm) -> None:
        new, old = (_shapes(algorithm) for algorithm in (base, self.plan.algorithm(0)))
        odd = next((name for name in [*old, *new] if old.get(name) != new.get(name)), None)
        if odd is None:
            return
        fields = config.to_json(self.plan.settings)
        differ = [
            f"{name} {fields[name]} (now {value})"
            for name, value in config.to_json(settings).items()
            if name not in config.sweepable(type(settings)) and fields[name] != value
        ]
        raise ConfigError(
            f"the networks of {self.path} do not fit: {odd} has the shape {old.get(odd, 'of nothing')} there and "
            f"{new.get(odd, 'of nothing')} here; that run has {', '.join(differ) or 'other settings'}"
        )

    def replicas(self, plan: Plan) -> list[int]:
        """Which replica of this run each of `plan` starts from: the one of its seed's place, or the only one.

        Raises:
            ConfigError: there are several, and not as many as seeds. RunError: one of them left the finite numbers.
        """
        count, seeds = len(self.plan.replicas), list(dict.fromkeys(plan.seeds))
        if count not in (1, len(seeds)):
            raise ConfigError(
                f"{self.path} has {count} replicas, and {len(seeds)} seeds are asked for; give as many seeds, or start from a run "
                "of one replica"
            )
        chosen = [0 if count == 1 else seeds.index(seed) for seed in plan.seeds]
        if fallen := sorted({replica for replica in chosen if not self.alive[replica]}):
            raise RunError(f"replica {fallen[0]} of {self.path} left the finite numbers; start from a run that did not")
        return chosen

    def foreign(self, plan: Plan) -> tuple[Transform, ...]:
        """The transforms that a run by `plan` takes over, where they were fitted to other data than its own."""
        return () if self.on(plan.dataset["hash"]) and self.plan.holdout == plan.holdout else self.plan.prepare

    def on(self, hash: str) -> bool:
        """Whether it learned from the data of this hash."""
        return self.plan.dataset["hash"] == hash

    def lacking(self, fits: Mapping[str, Fitted]) -> dict[str, Fitted]:
        """Networks to be fitted beforehand that this run has not: fitted to other data, say."""
        return {name: fit for name, fit in fits.items() if self.plan.fits.get(name) != fit.digest}

    def put(self, states: AgentState, *, plan: Plan, given: Mapping[str, Any]) -> AgentState:
        """Fresh states [R, ...] with this run's networks and slow copies, but for those `given`, which were fitted anew."""
        chosen = np.asarray(self.replicas(plan))
        online, target = jax.tree.map(lambda x: x[chosen], (self.states.online, self.states.target))
        return states._replace(online=online._replace(**given), target=target)

    def findings(self, plan: Plan, kept: Dataset) -> list[Finding]:
        """A warning where this run's range of actions cuts those of the data, and one where it has seen what `plan` holds out."""
        findings = []
        if self.on(plan.dataset["hash"]) and plan.holdout > self.plan.holdout:
            findings.append(
                Finding(
                    level="warning",
                    code="held-out-seen",
                    says=f"{self.path} held out {self.plan.holdout:g} of these episodes, and {plan.holdout:g} are asked for: its "
                    "weights know some of them, so that held-out numbers look better than they are",
                    advice=f"leave --holdout out, or give {self.plan.holdout:g}",
                )
            )
        for transform in self.plan.prepare:
            if isinstance(transform, RescaleAction):
                beyond = np.abs(np.asarray(kept.action) - transform.centre) > (1.0 + 1e-4) * transform.half
                if beyond.any():
                    findings.append(
                        Finding(
                            level="warning",
                            code="action-beyond-origin",
                            says=f"{beyond.mean():.2%} of the action entries lie beyond the range that {self.path} knows",
                            advice="they are clipped to it, since its weights go with it",
                            rows=tuple(np.flatnonzero(beyond.any(axis=1))[:5].tolist()),
                        )
                    )
        return findings


def origin_of(path: Path) -> Origin:
    """The run in `path`.

    Raises:
        RunError: there is none, it has no checkpoint yet, or it is damaged.
    """
    plan = read_plan(path)
    states, alive, update = load_checkpoint(plan, path)
    digest = hashlib.sha256(checkpoints(path)[-1].read_bytes()).hexdigest()
    return Origin(path, plan, states, alive, {"path": str(path.resolve()), "update": update, "sha256": digest})


def record_of(path: Path, origin: Origin | None, before: Plan | None) -> Mapping[str, Any]:
    """The entry of config.json for the run in `path`; for a run that has begun and needs it no more, the entry that is there."""
    if origin is not None:
        return origin.record
    named = str(path.resolve())
    return before.initial if before is not None and before.initial.get("path") == named else {"path": named}


def _chosen(transform: Any) -> dict[str, Any]:
    """The fields of a transform that settings choose, without those that were fitted."""
    return {f.name: getattr(transform, f.name) for f in dataclasses.fields(transform) if f.type != "Any"}


def _shapes(algorithm: Algorithm) -> dict[str, Sequence[int]]:
    """The shape of each array of the networks and their slow copies, by its path."""
    state = jax.eval_shape(lambda: algorithm.init(jax.random.key(0)))
    leaves = jax.tree_util.tree_leaves_with_path({"online": state.online, "target": state.target})
    return {path_name(path): leaf.shape for path, leaf in leaves}
