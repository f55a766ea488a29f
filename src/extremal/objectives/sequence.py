"""Clone the logged actions of whole windows, each told what its episode went on to bring."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from extremal.core.record import record
from extremal.core.types import Metrics, SequenceBatch
from extremal.losses.sequence import squared_error


@record
class SequenceCloning:
    """mean (pi(R_t, s_t, and the steps before) - a_t)^2 over the steps that are not padding.

    Source: [chen2021] Sec. 3, Algorithm 1. Symbols: R_t = the return to go over `return_scale`.
    """

    return_scale: float
    dropout: float | None = None

    def __call__(
        self, online: Any, target: Any, batch: SequenceBatch, key: jax.Array | None, earlier: Metrics
    ) -> tuple[jax.Array, Metrics]:
        action = online.pi(
            batch.observation,
            batch.action,
            batch.return_to_go / self.return_scale,
            batch.timestep,
            batch.valid,
            dropout=self.dropout,
            key=key,
        ).mode()
        loss = squared_error(action, batch.action, batch.valid)
        newest = squared_error(
            action[:, -1], batch.action[:, -1], batch.valid[:, -1]
        )  # the longest context, as when acting
        return loss, {"newest": newest, "valid": jnp.mean(batch.valid, dtype=loss.dtype)}
