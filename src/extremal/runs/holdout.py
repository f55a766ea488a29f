"""Which episodes a run keeps from training, and why: by one rule for every method, so that methods are compared on the same rows.

    asked for by                                    share of the episodes
    an option (--holdout, holdout=)                 what it says
    a preset                                        none: papers train on the whole log
    the run to start from, on the same data         as that run, whose weights know the other episodes
    nobody, without a simulator                     a tenth: they judge in its place
    nobody, with one                                a twentieth, where there are 40 episodes

The split depends on the share and the number of episodes alone, and the episodes of a smaller share are among those of a larger one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from extremal.algorithms.registry import METHODS, name_of, preset
from extremal.core.errors import ConfigError
from extremal.data.dataset import Dataset
from extremal.report.words import KEEPS_SOME

if TYPE_CHECKING:
    from extremal.runs.initial import Origin
    from extremal.runs.plan import Plan

WITHOUT_SIMULATOR = 0.1
WITH_SIMULATOR = 0.05
LEAST_EPISODES = 40  # with fewer, a twentieth is an episode or none, which tells nothing


class Choice(NamedTuple):
    """A share of the episodes, and where it comes from."""

    share: float
    by: str  # option, preset, initial or default
    why: str

    def record(self, held_out: Dataset | None) -> dict[str, Any]:
        """The entry `held_out` of config.json."""
        episodes, rows = (0, 0) if held_out is None else (held_out.episodes, held_out.rows)
        return {"share": self.share, "episodes": episodes, "rows": rows, "by": self.by, "why": self.why}


def choose(
    settings: Any, data: Dataset, environment: str | None, *, asked: float | None, origin: Origin | None, hash: str
) -> Choice:
    """How many episodes are held out.

    Args:
        environment: the simulator that judges, or None. asked: what an option says.
        origin: the run whose weights are taken. hash: of the data.

    Raises:
        ConfigError: the settings name a preset that their method does not have.
    """
    began = _preset(settings)
    if asked is not None:
        return Choice(asked, "option", "it was asked for")
    if began is not None:
        return Choice(0.0, "preset", f"under the preset {began} the whole log is trained on, as in the source")
    if origin is not None and origin.on(hash):
        return Choice(origin.plan.holdout, "initial", f"as in {origin.path}, whose weights know the other episodes")
    if environment is None:
        return Choice(WITHOUT_SIMULATOR, "default", "no simulator judges")
    if data.episodes < LEAST_EPISODES:
        return Choice(0.0, "default", f"there is a simulator and there are fewer than {LEAST_EPISODES} episodes")
    return Choice(WITH_SIMULATOR, "default", "there is a simulator")


def parted(data: Dataset, share: float) -> tuple[Dataset, Dataset | None]:
    """The episodes for training, and those held out."""
    return data.split(share) if share else (data, None)


def unjudged(plan: Plan, metrics: Sequence[Mapping[str, Any]] = ()) -> list[str]:
    """A sentence for what a run that holds nothing out cannot tell, if there is anything."""
    if plan.holdout:
        return []
    lacking = []
    if plan.environment is None:
        lacking.append("with no simulator either, nothing judges it")
    if any(row.get("v/kl", "") != "" for row in metrics):
        lacking.append("whether V is calibrated, or has memorised, is not known")
    if getattr(plan.settings, "behaviour_model", getattr(plan.settings, "model", "vae")) != "vae":
        lacking.append("how well its model of the behaviour is calibrated is not known")
    if not lacking:
        return []
    why = f" ({plan.held_out['why']})" if plan.held_out.get("by") in ("preset", "default") else ""
    return [f"no episode is held out{why}: {'; '.join(lacking)}; {KEEPS_SOME}"]


def _preset(settings: Any) -> str | None:
    """The preset that settings began as, by the name that it is listed under."""
    name, kind = getattr(settings, "preset", None), type(settings)
    if name is None:
        return None
    near = [which for which, known in METHODS.items() if known.module == kind.__module__]  # the others are not imported
    own = [which for which in near if type(METHODS[which].default) is kind and METHODS[which].presets]
    unknown = ConfigError(f"{kind.__name__} has no presets, and its setting 'preset' is {name!r}; leave it out")
    for which in sorted(own, key=lambda which: which == name_of(settings)):
        try:
            return preset(which, name).preset
        except ConfigError as error:
            unknown = error
    raise unknown
