"""What a run's density ratios say of its health, without an environment: identities that hold where V is right.

At the optimum of a Gumbel-type value E phi'(z) = 1 in every state, and with a held KL E phi'(z) log phi'(z) is that KL. Over the
training batches a network that memorises keeps both; over held-out episodes it does not. So the held-out numbers are judged.

V sways about its place: at one moment its mean ratio is 0.9, at another 1.3, on held-out and training rows alike, and over all updates between
it is 1. So the held-out mean is taken in proportion to that of training rows by the same networks, and this times the mean over the updates
of the last evaluations. What few held-out episodes explain by chance is no alarm, nor is what is too small to matter.

Of the weights by which a policy clones, whatever the method, no identity holds; but few of them may not outweigh all others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

CALIBRATION = 0.05  # how far the mean density ratio may be from 1, which is by how many beta V is off
ERRORS = 2.0  # standard errors that chance is given
SHARE = 0.2  # by what share the KL may miss its target
MEMORISED = 1.25  # held-out over training mean of the density ratio
CLIPPED = 0.05  # share of weights at the bound
GREEDY = 0.1  # effective share of the policy's weights, below which a few rows of a batch are all that it sees
CUT = 0.25  # share of the policy's weights at their bound, above which the bound decides and not the temperature
RESTS = 0.05  # effective share of the density ratios: that of a normal Q with a deviation of 1.7 beta
EVALUATIONS = 3  # that are averaged over
BURN_IN = 0.2  # share of the updates before which nothing is said

Row = Mapping[str, Any]


def alarms(rows: Sequence[Row], settings: Sequence[Mapping[str, Any]], updates: int) -> list[str]:
    """A sentence for each identity that a replica misses, and one where its policy's weights are too uneven or are cut off.

    Args:
        settings: of each replica.
    """
    judged = [row for row in rows if int(row["update"]) >= BURN_IN * updates]
    found = []
    for replica in dict.fromkeys(int(row["replica"]) for row in judged):
        own, late = ([row for row in some if int(row["replica"]) == replica] for some in (rows, judged))
        said = [*_ratios(own, late[-1], settings[replica]), *_greedy(late, settings[replica])]
        found += [f"replica {replica}: {sentence}" for sentence in said]
    return found


def shown(row: Row) -> str:
    """Calibration and KL as they stand in the progress line, held out where there is such a number; and a policy that is greedy."""
    said = []
    where = "heldout/" if _number(row.get("heldout/v/weight")) is not None else ""
    weight, kl = (_number(row.get(f"{where}v/{name}")) for name in ("weight", "kl"))
    if weight is not None and kl is not None:
        said.append(f"calibration {weight:.2f}, KL {kl:.2f}{' held out' if where else ''}")
    share = _number(row.get("pi/effective_share"))
    if share is not None and share < GREEDY:
        said.append(f"the policy learns from {_percent(share)} of a batch")
    return ", ".join(said)


def _ratios(rows: Sequence[Row], last: Row, settings: Mapping[str, Any]) -> list[str]:
    """Of density ratios; nothing where a method has none."""
    if last.get("v/kl", "") == "":
        return []
    measured = [row for row in rows if _number(row.get("heldout/v/weight")) is not None][-EVALUATIONS:]
    lately = [row for row in rows if measured and int(row["update"]) >= int(measured[0]["update"])]
    trained = _mean(lately, "v/weight")
    target = settings.get("kappa") or settings.get("target_kl")
    return [*_held_out(measured, 1.0 if trained is None else trained, target), *_trained(last)]


def _greedy(rows: Sequence[Row], settings: Mapping[str, Any]) -> list[str]:
    """Of the weights by which the policy clones, over the last rows; nothing where a method has none, or no policy yet."""
    known = [row for row in rows if _number(row.get("pi/effective_share")) is not None][-EVALUATIONS:]
    share, bound = (_mean(known, f"pi/{name}") for name in ("effective_share", "at_bound"))
    greedy = f"its temperature is too greedy for this log; {_milder(settings)}"
    if share is not None and share < GREEDY:
        cut = f", and {_percent(bound)} of its weights are at their bound" if bound else ""
        return [f"the policy learns from {_percent(share)} of each batch{cut}: {greedy}"]
    if bound is not None and bound > CUT:
        return [
            f"the policy cannot tell good from better, {_percent(bound)} of its weights are at their bound: {greedy}"
        ]
    return []


def _milder(settings: Mapping[str, Any]) -> str:
    """Which of a method's settings makes the policy's weights more even."""
    named = lambda name: f"{name}, which is {settings[name]:g}"  # noqa: E731
    if settings.get("kappa") is not None:
        return f"lower {named('kappa')}"
    scale = next((name for name in ("reward_scale", "reward_range") if settings.get(name) is not None), None)
    smaller = (
        f"make rewards smaller: lower {named(scale)}" if scale else "make rewards smaller by a reward_scale below 1"
    )
    if settings.get("policy_weight") == "statistic":
        if settings.get("target_kl") is not None:
            return f"lower {named('target_kl')}"
        return f"raise {named('beta')}, or {smaller}" if "beta" in settings else f"lower {named('expectile')}"
    return f"lower {named('inverse_temperature')}, or {smaller}" if "inverse_temperature" in settings else smaller


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
            f"V rests on {_percent(rests)} of each batch: beta is small for the spread of Q within a state, and a few rows make "
            "the soft maximum; a larger beta, or a smaller KL, helps"
        )
    clipped = _number(row.get("v/clipped"))
    if clipped is not None and clipped > CLIPPED:
        said.append(
            f"{100 * clipped:.0f} % of the density ratios are at their bound; a larger clip or less greed helps"
        )
    return said


def _percent(share: float) -> str:
    """Two digits: a share may be a thousandth."""
    return f"{100 * share:.2g} %"


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
