"""Models of the data's own policy mu(a|s): as a method of their own, and as what other methods want fitted beforehand."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, Literal, NamedTuple

import jax

from extremal.algorithms.acting import Drawn
from extremal.algorithms.settings import DataSettings, Fit, OfPreset, Preset, continuous, transforms
from extremal.core.algorithm import Algorithm, Step, Transitions
from extremal.core.errors import ConfigError
from extremal.core.optimiser import Adam
from extremal.core.ranges import Count, NotNegative, Positive, Range, Whole
from extremal.core.record import record, static
from extremal.core.types import Spec
from extremal.networks.autoregressive import Autoregressive
from extremal.networks.mixture import MixturePolicy
from extremal.networks.vae import VAE
from extremal.objectives.behaviour import EvidenceBound
from extremal.objectives.policy import Cloning

Model = Literal["autoregressive", "vae", "gaussian", "mixture"]


class Networks(NamedTuple):
    behaviour: Any


@record
class Behaviour(OfPreset):
    """A model of the behaviour, fitted to every logged action; as a policy it draws an action from itself.

    Source: [ghasemipour2021] App. B, G.1, G.3, H.1; [fujimoto2019].
    """

    model: Model = static(default="autoregressive")
    """Bins entry by entry, a conditional VAE, a Gaussian of the state, or a mixture of such."""
    learning_rate: Positive = 5e-4
    batch_size: Count = static(default=256)
    width: Count = static(default=256)
    """Of the state's embedding; of encoder and decoder; of the Gaussian's network."""
    depth: Whole = static(default=2)
    """Hidden layers of the same."""
    head_width: Count = static(default=256)
    """Autoregressive: of the network of each entry of an action."""
    head_depth: Count = static(default=3)
    """Autoregressive: hidden layers of the same."""
    prefix_width: Count | None = static(default=None)
    """Autoregressive: size of a linear embedding of the entries before; none: the entries themselves."""
    bins: Annotated[int, Range(at_least=2)] = static(default=40)
    """Autoregressive: of each entry."""
    components: Count = static(default=5)
    """Of the mixture."""
    kl_weight: NotNegative = 0.5
    """VAE: of the latents' divergence from their prior."""
    normalise_observation: bool = static(default=False)
    """Observations to zero mean and unit deviation."""

    def algorithm(self, spec: Spec, *, updates: int) -> Algorithm:
        observation, action = continuous(type(self).__name__, spec)
        vae = self.model == "vae"
        objective = EvidenceBound(kl_weight=self.kl_weight) if vae else Cloning(network="behaviour")
        return Algorithm(
            networks=BehaviourNetworks(settings=self, observation=observation, action=action),
            steps=(Step(trains="behaviour", objective=objective, optimiser=Adam(learning_rate=self.learning_rate)),),
            slow={},
            sampler=Transitions(size=self.batch_size),
            prepare=transforms(normalise_observation=self.normalise_observation),
            act=Drawn(),
        )

    def network(self, key: jax.Array, observation: int, action: int) -> Any:
        """A fresh one."""
        sizes = {"width": self.width, "depth": self.depth}
        if self.model == "vae":
            return VAE.init(key, observation, action, **sizes)
        if self.model == "autoregressive":
            heads = {"head_width": self.head_width, "head_depth": self.head_depth, "prefix_width": self.prefix_width}
            return Autoregressive.init(key, observation, action, bins=self.bins, **heads, **sizes)
        components = 1 if self.model == "gaussian" else self.components
        return MixturePolicy.init(key, observation, action, components=components, **sizes)


@record
class BehaviourNetworks:
    """The model alone."""

    settings: Behaviour
    observation: int = static()
    action: int = static()

    def init(self, key: jax.Array) -> Networks:
        return Networks(behaviour=self.settings.network(key, self.observation, self.action))


@record
class OnBehaviour(DataSettings):
    """Settings of a method that stands on a fitted model of the behaviour; they are those of `Behaviour`, with a prefix."""

    behaviour_model: Model = static(default="autoregressive")
    """The model: bins entry by entry, a conditional VAE, a Gaussian of the state, or a mixture of such."""
    behaviour_updates: Count = static(default=100_000)
    """Of the model, before the method begins; after that it stays as it is."""
    behaviour_learning_rate: Positive = static(default=5e-4)
    """Of the model."""
    behaviour_batch_size: Count = static(default=256)
    """Of the model's fit."""
    behaviour_width: Count = static(default=256)
    """Of the state's embedding; of encoder and decoder; of the Gaussian's network."""
    behaviour_depth: Whole = static(default=2)
    """Hidden layers of the same."""
    behaviour_head_width: Count = static(default=256)
    """Autoregressive: of the network of each entry of an action."""
    behaviour_head_depth: Count = static(default=3)
    """Autoregressive: hidden layers of the same."""
    behaviour_prefix_width: Count | None = static(default=None)
    """Autoregressive: size of a linear embedding of the entries before; none: the entries themselves."""
    behaviour_bins: Annotated[int, Range(at_least=2)] = static(default=40)
    """Autoregressive: of each entry."""
    behaviour_components: Count = static(default=5)
    """Of the mixture."""
    behaviour_kl_weight: NotNegative = static(default=0.5)
    """VAE: of the latents' divergence from their prior."""

    @property
    def behaviour(self) -> Behaviour:
        """The model's own settings."""
        names = {field.name for field in dataclasses.fields(OnBehaviour) if field.name.startswith("behaviour_")}
        own = {name.removeprefix("behaviour_"): getattr(self, name) for name in names - {"behaviour_updates"}}
        return Behaviour(**own, normalise_observation=self.normalise_observation)

    def needs_density(self, what: str) -> None:
        """Refuse a model that tells no density, for the sake of `what`.

        Raises:
            ConfigError: the model is a VAE.
        """
        if self.behaviour_model == "vae":
            raise ConfigError(
                f"{what} needs a model that tells the density of an action, and a VAE tells none; choose the "
                "behaviour_model 'autoregressive', 'gaussian' or 'mixture'"
            )

    def fits(self) -> dict[str, Fit]:
        """What is to be fitted before the method begins."""
        return {"behaviour": Fit(settings=self.behaviour, updates=self.behaviour_updates)}


PRESETS = {
    "paper/mujoco": Preset(
        settings=Behaviour(width=750), source="[ghasemipour2021] Table 2, App. G.1; its batch is not printed"
    ),
    "paper/kitchen-antmaze-adroit": Preset(
        settings=Behaviour(width=256, depth=4, head_width=128, head_depth=1, prefix_width=128, bins=80),
        source="[ghasemipour2021] Table 3, App. G.3; its batch is not printed",
    ),
    "paper/vae": Preset(
        settings=Behaviour(model="vae", width=1024, depth=3, kl_weight=0.5),
        source="[ghasemipour2021] App. H.1, rate of Table 2; its batch is not printed",
    ),
}
