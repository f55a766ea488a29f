"""Every method by name: its settings, its paper, and where it departs from it. The list is explicit.

A method's module, and with it JAX, is imported when its settings are asked for: to list the methods costs nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any

from extremal.core.errors import ConfigError, nearest

if TYPE_CHECKING:
    from extremal.algorithms.settings import Preset


@dataclasses.dataclass(frozen=True)
class Method:
    """A method as `extremal algorithms` lists it, and where its settings are."""

    home: str  # its module in `extremal.algorithms`
    settings_in: str  # name there of the settings' class, or of settings
    line: str
    paper: str  # key of docs/references.bib
    differs: str
    presets_in: str | None = None  # name there of the presets

    @property
    def module(self) -> str:
        return f"extremal.algorithms.{self.home}"

    @cached_property
    def default(self) -> Any:
        """Settings with the library's defaults."""
        settings = getattr(import_module(self.module), self.settings_in)
        return settings() if isinstance(settings, type) else settings

    @cached_property
    def presets(self) -> Mapping[str, Preset]:
        """Settings as printed for benchmarks, with their sources."""
        known = getattr(import_module(self.module), self.presets_in) if self.presets_in else {}
        own = lambda name, one: dataclasses.replace(one.settings, preset=name)  # noqa: E731
        return {name: dataclasses.replace(one, settings=own(name, one)) for name, one in known.items()}


METHODS: dict[str, Method] = {
    "xql": Method(
        "xql",
        "XQL",
        "Extreme Q-Learning: V is the soft maximum of Q over the data's actions, by Gumbel regression",
        "garg2023",
        "defaults: a tangent beyond the clip, and each eighth of a batch scaled by the others, instead of the clamp and the batch "
        "maximum of the presets; a policy weight with a temperature of its own, and at most 100",
        presets_in="PRESETS",
    ),
    "klxql": Method(
        "klxql",
        "KLXQL",
        "KL-ball XQL: V is the best mean of Q within a KL of kappa from the data's policy; no temperature to tune",
        "ahmadi2012",
        "a method of our own on the value functional of this paper (entropic value at risk); exponentials go on as tangents",
    ),
    "iql": Method(
        "iql",
        "IQL",
        "Implicit Q-Learning: V is an upper expectile of Q over the data's actions",
        "kostrikov2021",
        "defaults leave rewards as they are; the paper scales them per benchmark (presets)",
        presets_in="PRESETS",
    ),
    "bc": Method(
        "bc",
        "BC",
        "Behaviour cloning by maximum likelihood",
        "kostrikov2021",
        "nothing",
    ),
    "bc10": Method(
        "bc",
        "BC10",
        "10%BC: cloning of the best episodes, a tenth of the steps",
        "kostrikov2021",
        "nothing",
    ),
    "dt": Method(
        "decision_transformer",
        "DT",
        "Decision Transformer: actions cloned in the light of the return that followed; acting asks for a high one",
        "chen2021",
        "where none is set, the best logged return is asked for, and returns are divided by the largest that is logged; the "
        "last block runs for the tokens that are read",
        presets_in="PRESETS",
    ),
    "sac": Method(
        "sac",
        "SAC",
        "Soft Actor-Critic: a policy that maximises return and entropy",
        "haarnoja2018b",
        "here it learns from logged data alone, which the paper does not do: a baseline without a constraint",
        presets_in="PRESETS",
    ),
    "td3": Method(
        "td3",
        "TD3",
        "Twin Delayed DDPG: a deterministic policy, two critics, a smoothed target",
        "fujimoto2018",
        "here it learns from logged data alone, which the paper does not do: a baseline without a constraint",
        presets_in="PRESETS",
    ),
    "td3bc": Method(
        "td3",
        "TD3_BC",
        "TD3+BC: TD3 with a pull towards the logged actions",
        "fujimoto2021",
        "as the published code: Eq. (5) averages |Q| over the policy's actions, and the distance is a mean over dimensions",
        presets_in="CLONING_PRESETS",
    ),
    "awac": Method(
        "awac",
        "AWAC",
        "Advantage-weighted actor-critic: logged actions count by how far they surpass the policy's own",
        "nair2020",
        "defaults: weights of at most 100; the published code divides them by their mean over the batch (presets)",
        presets_in="PRESETS",
    ),
    "onestep": Method(
        "onestep",
        "Onestep",
        "Onestep RL: the values of the data's own policy, and one improvement of it",
        "brandfonbrener2021",
        "V is the mean of Q, which has the same fixed point as the next logged action; the policy's deviation does not depend "
        "on the state",
        presets_in="PRESETS",
    ),
    "cql": Method(
        "cql",
        "CQL",
        "Conservative Q-Learning: SAC whose critics are pushed down where the policy goes, up at the logged actions",
        "kumar2020",
        "defaults: the fixed weight 5 of App. F; the threshold that tunes it is in the presets paper/...",
        presets_in="PRESETS",
    ),
    "behaviour": Method(
        "behaviour",
        "Behaviour",
        "A model of the data's own policy: bins entry by entry, a conditional VAE, a Gaussian, or a mixture",
        "ghasemipour2021",
        "nothing; the likeliest action, which the paper does not name, is taken entry by entry",
        presets_in="PRESETS",
    ),
    "emaq": Method(
        "emaq",
        "EMaQ",
        "EMaQ: the value of a state is the largest Q among N actions that the behaviour's model draws",
        "ghasemipour2021",
        "defaults: networks of width 256 instead of 750; soft-EMaQ has the discount, which Eqs. (68)-(71) leave out",
        presets_in="PRESETS",
    ),
    "bcq": Method(
        "bcq",
        "BCQ",
        "BCQ: the best of some actions of the behaviour's model, each moved a little by a perturbation network",
        "fujimoto2019",
        "the behaviour's model is fitted beforehand, as in the comparison of [ghasemipour2021]",
        presets_in="PRESETS",
    ),
    "bear": Method(
        "bear",
        "BEAR",
        "BEAR: a policy at most a given maximum mean discrepancy away from the behaviour's actions",
        "kumar2019",
        "the behaviour's model is fitted beforehand; the multiplier has bounds, as in published code",
        presets_in="PRESETS",
    ),
    "brac": Method(
        "brac",
        "BRAC",
        "BRAC: an actor-critic that pays for the policy's divergence from the behaviour, in the policy or in the value",
        "wu2019",
        "dual forms draw the behaviour's actions from its model and not from the data",
        presets_in="PRESETS",
    ),
}


def method(name: str) -> Method:
    """The method called `name`.

    Raises:
        ConfigError: there is none; says the nearest names.
    """
    if name not in METHODS:
        raise nearest(name, METHODS, kind="method")
    return METHODS[name]


def name_of(settings: Any) -> str:
    """The registered name that a settings record belongs to: the method whose defaults are nearest to it."""
    kind = type(settings)
    near = [name for name, known in METHODS.items() if known.module == kind.__module__]  # the others are not imported
    same = [name for name in near if type(METHODS[name].default) is kind]
    if not same:
        raise nearest(kind.__name__.lower(), METHODS, kind="method")
    return max(same, key=lambda name: _alike(METHODS[name].default, settings))


def _alike(one: Any, other: Any) -> int:
    """How many fields of two records of one kind are equal."""
    return sum(getattr(one, field.name) == getattr(other, field.name) for field in dataclasses.fields(one))


def preset(name: str, which: str) -> Any:
    """Settings of method `name` as a paper or a published code has them for a benchmark; they say so in their `preset`.

    Raises:
        ConfigError: there is no such preset; says the nearest ones.
    """
    return preset_called(name, which).settings


def preset_called(name: str, which: str) -> Preset:
    """The preset of method `name` that has the name `which`, or had it.

    Raises:
        ConfigError: there is none; says the nearest ones.
    """
    known = dict(method(name).presets)
    if not known:
        raise ConfigError(f"{name} has no presets; give its settings one by one")
    known |= {other: each for each in known.values() for other in each.also}
    if which not in known:
        raise nearest(which, known, kind=f"{name} preset", listing=f"extremal algorithms {name}")
    return known[which]
