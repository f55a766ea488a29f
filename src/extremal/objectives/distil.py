"""A second proposal that learns what the critic picked."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from extremal.core.record import record, static
from extremal.core.types import Batch, Metrics
from extremal.objectives.ensemble import EnsembleStatistic
from extremal.objectives.sampled import SampledStatistic, constant_values, draws_of, proposed


@record
class Distil:
    """-mean log p(a*|s), a* the drawn action of which the ensemble says most.

    Source: [ghasemipour2021] App. D.1.
    """

    statistic: SampledStatistic
    ensemble: EnsembleStatistic
    proposal: str = static()
    network: str = static()

    def __call__(
        self, online: Any, target: Any, batch: Batch, key: jax.Array | None, earlier: Metrics
    ) -> tuple[jax.Array, Metrics]:
        action = proposed(target, self.proposal, self.statistic, batch.observation, draws_of(key))
        said = self.ensemble.value(constant_values(target.q, batch.observation, action))
        best = action[jnp.argmax(said, axis=0), jnp.arange(said.shape[1])]
        log_prob = jnp.mean(getattr(online, self.network)(batch.observation).log_prob(best))
        return -log_prob, {"log_prob": log_prob}
