"""What a run's density ratios say of its health, without an environment: identities that hold where V is right.

At the optimum of a Gumbel-type value E phi'(z) = 1 in every state, and with a held KL E phi'(z) log phi'(z) is that KL. Over the
training batches a network that memorises keeps both; over held-out episodes it does not. So the held-out numbers are judged.

V sways about its place: at one moment its mean ratio is 0.9, at another 1.3, on held-out and training rows alike, and over all updates between
it is 1. So the held-out mean is taken in proportion to that of training rows by the same networks, and this times the mean over the updates
of the last evaluations. What few held-out episodes explain by chance is no alarm, nor is what is too small to matter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

CALIBRATION = 0.05  # how far the mean density ratio may be from 1, which is by how many beta V is off
ERRORS = 2.0  # standard errors that chance is given
SHARE = 0.2  # by what share the KL may miss its target
MEMORISED = 1.25  # held-out over training mean of the density ratio
CLIPPED = 0.05  # share of weights at the bound
ESTIMATED = 0.05  # effective sample size of the policy's weights over the batch
RESTS = (
    0.05  # effective sample size of the density ratios over the batch: that of a normal Q with a deviation of 1.7 beta
)
EVALUATIONS = 3  # that are averaged over
BURN_IN = 0.2  # share of the updates before which nothing is said

Row = Mapping[str, Any]


def alarms(rows: Sequence[Row], settings: Sequence[Mapping[str, Any]], updates: int) -> list[str]:
    """One sentence for each identity that the last row of a replica misses; none for a method without density ratios.

    Args:
        settings: of each replica.
    """
    judged = [row for row in rows if row.get("v/kl", "") != "" and int(row["update"]) >= BURN_IN * updates]
    last = {int(row["replica"]): row for row in judged}
    found = []
    for replica, row in last.items():
        own = [other for other in rows if int(other["replica"]) == replica]
        measured = [other for other in own if _number(other.get("heldout/v/weight")) is not None][-EVALUATIONS:]
        lately = [other for other in own if measured and int(other["update"]) >= int(measured[0]["update"])]
        trained = _mean(lately, "v/weight")
        target = settings[replica].get("kappa") or settings[replica].get("target_kl")
        said = [*_held_out(measured, 1.0 if trained is None else trained, target), *_trained(row)]
        found += [f"replica {replica}: {sentence}" for sentence in said]
    return found


def shown(row: Row) -> str:
    """Calibration and KL as they stand in the progress line; held out where there is such a number."""
    where = "heldout/" if _number(row.get("heldout/v/weight")) is not None else ""
    weight, kl = (_number(row.get(f"{where}v/{name}")) for name in ("weight", "kl"))
    if weight is None or kl is None:
        return ""
    return f"calibration {weight:.2f}, KL {kl:.2f}{' held out' if where else ''}"


def _held_out(measured: Sequence[Row], trained: float, target: float | None) -> list[str]:
    """At most one sentence, the gravest first; `trained` is the mean density ratio over the updates of these evaluations."""
    weight, seen, kl, floor = (
        _mean(measured, name) for name in ("heldout/v/weight", "seen/v/weight", "heldout/v/kl", "heldout/v/at_floor")
    )
    if weight is None or seen is None:
        return []
    error = _mean(measured, "calibration/error") or 0.0  # the same episodes every time: no average makes it less
    chance = ERRORS * error
    if weight > MEMORISED * seen and weight - chance > seen:
        return [
            f"V has memorised: its density ratios have the mean {weight:.2f} on held-out episodes and {seen:.2f} on those of "
            "training; more data or a smaller network helps"
        ]
    still = trained * weight / seen if seen > 0.0 else weight  # without what V sways by
    if abs(still - 1.0) > max(CALIBRATION, chance):
        within = f" (± {chance:.2f})" if chance > 0.0 else ""
        return [
            f"V is not calibrated: density ratios have the mean {still:.2f} on held-out episodes{within}, and 1 where V is right"
        ]
    if floor is not None and floor > CLIPPED:
        return [
            f"beta is near its floor in {100 * floor:.0f} % of the states: their actions are all as good, or the KL is out of reach"
        ]
    if target is not None and kl is not None and abs(kl / target - 1.0) > SHARE:
        return [f"the policy's KL from the data is {kl:.2f} on held-out episodes, {target:g} was asked for"]
    return []


def _trained(row: Row) -> list[str]:
    said = []
    rests = _number(row.get("v/effective_share"))
    if rests is not None and rests < RESTS:
        said.append(
            f"V rests on {100 * rests:.1f} % of each batch: beta is small for the spread of Q within a state, and a few rows make "
            "the soft maximum; a larger beta, or a smaller KL, helps"
        )
    clipped = _number(row.get("v/clipped"))
    if clipped is not None and clipped > CLIPPED:
        said.append(
            f"{100 * clipped:.0f} % of the density ratios are at their bound; a larger clip or less greed helps"
        )
    share = _number(row.get("pi/effective_share"))
    if share is not None and share < ESTIMATED:
        said.append(f"the policy learns from {100 * share:.0f} % of each batch: its weights are too uneven to trust")
    return said


def _mean(rows: Sequence[Row], name: str) -> float | None:
    """Over the rows that have it."""
    numbers = [number for row in rows if (number := _number(row.get(name))) is not None]
    return sum(numbers) / len(numbers) if numbers else None


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if number == number else None
