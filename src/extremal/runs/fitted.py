"""Networks that are fitted before a method starts, such as a model of the behaviour: trained once, kept, and shared.

Each is an ordinary run in the cache folder, in a folder named by all that it comes from: the training data, the settings, the
updates. Every method that asks for the same gets the same; a seed of the method gets the network of the same seed, and seeds that
are not there yet are fitted together. Of two processes that want the same at once, one waits.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from extremal.core.errors import DivergedError
from extremal.core.files import unwritable
from extremal.core.lock import alone
from extremal.core.types import Transform
from extremal.data import cache, transforms
from extremal.data.dataset import Dataset
from extremal.engine.replicas import stack, take
from extremal.io import config

if TYPE_CHECKING:
    from extremal.runs.train import Watcher


@dataclasses.dataclass(frozen=True)
class Fitted:
    """What is to be fitted, and to what."""

    name: str  # of the network
    settings: Any
    updates: int
    holdout: float  # as in the run that wants it: the same episodes train it, and the same ones judge it
    digest: str  # of settings, updates, data, hold-out and version

    @property
    def folder(self) -> Path:
        return cache.folder() / "fitted" / f"{self.name}-{self.digest[:16]}"

    def networks(self, data: Dataset, seeds: Sequence[int], fitted: Sequence[Transform], *, watch: Watcher) -> Any:
        """[R, ...] one network a seed; a seed that stands twice (in a sweep) gets the same one twice.

        Args:
            data: all of them, of which the same episodes are held out as in the method's run.
            fitted: transforms of the method; what it and the network see is in the same units.

        Raises:
            DivergedError: the fit left the finite numbers, for one seed or for all.
        """
        from extremal.runs.train import read_diverged

        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(self.folder, error) from error
        with alone(self.folder, wait=True):
            known = self._known()
            if missing := [seed for seed in dict.fromkeys(seeds) if seed not in known]:
                path = self._fit(data, missing, fitted, watch)
                known = self._known()
                if not set(seeds) <= known.keys():
                    raise DivergedError(f"{path}: " + "; ".join(found.advice for found in read_diverged(path)))
        return stack([known[seed] for seed in seeds])

    def _known(self) -> dict[int, Any]:
        """The networks of the seeds that are fitted."""
        from extremal.runs.run import Run
        from extremal.runs.train import load_checkpoint

        found: dict[int, Any] = {}
        for summary in sorted(self.folder.glob("seeds-*/summary.json")):
            plan = Run(summary.parent).plan
            states, alive, _ = load_checkpoint(plan, summary.parent)
            networks = getattr(states.online, self.name)
            found |= {seed: take(networks, r) for r, seed in enumerate(plan.seeds) if alive[r]}
        return found

    def _fit(self, data: Dataset, seeds: Sequence[int], fitted: Sequence[Transform], watch: Watcher) -> Path:
        """The run that they are in."""
        from extremal.runs.run import train

        def told(update: int, metrics: dict[str, Any]) -> None:
            watch(0, {"fitting": f"{self.name}, {update:,} of {self.updates:,}"})

        run = train(
            self.settings,
            data,
            updates=self.updates,
            seeds=seeds,
            out=self.folder / f"seeds-{'-'.join(map(str, seeds))}",
            environment="none",
            holdout=self.holdout,
            resume=True,
            watch=told,
            transforms=fitted,
        )
        return run.path


def fits_of(settings: Any, data: Dataset, holdout: float, known: Sequence[Transform] = ()) -> dict[str, Fitted]:
    """The networks that a method wants fitted beforehand; most want none.

    Args:
        holdout: share of the episodes that the method's run holds out.
        known: transforms that were fitted to other data.
    """
    if not hasattr(settings, "fits"):
        return {}
    version = importlib.metadata.version("extremal")
    found = {}
    for name, fit in settings.fits().items():
        kind, values = type(fit.settings).__name__, config.to_json(fit.settings)
        recipe = [version, kind, values, fit.updates, data.hash(), holdout]
        recipe += [transforms.to_json(transform) for transform in known]
        digest = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()
        found[name] = Fitted(name, fit.settings, fit.updates, holdout, digest)
    return found
