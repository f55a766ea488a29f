"""Five updates against an independent implementation: plain NumPy in float64, written from the papers' equations."""

import dataclasses

import numpy as np
import pytest
from by_hand import SMALL, UPDATES, adam, backward, close, forward, of_library, replay

from extremal.algorithms.bc import BC
from extremal.algorithms.iql import IQL
from extremal.algorithms.xql import XQL

# ---- the methods --------------------------------------------------------------------------------------------------


class Reference:
    """XQL, IQL and BC as the papers have them, V before the policy before Q."""

    def __init__(self, settings, online):
        self.settings = settings
        self.pi = of_library(online.pi.net) | {"log_std": np.asarray(online.pi.log_std, np.float64)}
        self.memory = {"pi": {}}
        if not isinstance(settings, BC):
            self.v = of_library(online.v.net)
            self.q = [of_library(member) for member in online.q.members]
            self.slow = [dict(member) for member in self.q]
            self.log_weight = 0.0
            self.memory |= {"v": {}, "q": {}}

    def value_slope(self, q, v):
        """Loss, its slope in V [B], and the mean weight of the Gumbel or expectile loss."""
        s, rows = self.settings, len(q)
        if isinstance(s, IQL):  # |expectile - 1(u < 0)| u^2
            share = np.where(q < v, 1 - s.expectile, s.expectile)
            return np.mean(share * (q - v) ** 2), -2 * share * (q - v) / rows, share.mean()
        z = (q - v) / s.beta
        weight = np.exp(np.minimum(z, s.clip))
        if s.normaliser == "batch_max":
            flat, z = np.abs(z) > s.clip, np.clip(z, -s.clip, s.clip)
            peak = max(z.max(), -1.0)
            loss = np.exp(z - peak) - z * np.exp(-peak) - np.exp(-peak)
            slope = np.where(flat, 0.0, np.exp(z - peak) - np.exp(-peak))
            scale = 1.0
        else:
            loss = np.where(z < s.clip, np.exp(np.minimum(z, s.clip)), np.exp(s.clip) * (1 + z - s.clip)) - z - 1
            slope = weight - 1
            scale = np.exp(-self.log_weight)
        return scale * loss.mean(), -scale * slope / s.beta / rows, weight.mean()

    def slow_q(self, batch):
        both = np.concatenate([batch.observation, batch.action], axis=1)
        return np.min([forward(member, both)[0][:, 0] for member in self.slow], axis=0)

    def train_v(self, batch):
        s, q = self.settings, self.slow_q(batch)
        v, tape = forward(self.v, batch.observation)
        loss, slope, weight = self.value_slope(q, v[:, 0])
        gradient, _ = backward(self.v, tape, slope[:, None])
        adam(self.v, gradient, self.memory["v"], s.learning_rate, s.max_gradient_norm)
        found = {"loss": loss, "mean": v.mean(), "advantage": np.mean(q - v[:, 0]), "weight": weight}
        return {f"v/{name}": value for name, value in found.items()}

    def track(self, mean_weight):
        """The running normaliser: 0.99 of itself, 0.01 of the log of the batch's mean weight."""
        loss = (self.log_weight - np.log(mean_weight)) ** 2 / 2
        self.log_weight += 0.01 * (np.log(mean_weight) - self.log_weight)
        return {"log_weight/loss": loss}

    def policy_weight(self, batch):
        s = self.settings
        advantage = self.slow_q(batch) - forward(self.v, batch.observation)[0][:, 0]
        if s.policy_weight == "statistic":
            return np.exp(np.minimum(advantage / s.beta, s.clip))
        return np.minimum(np.exp(s.inverse_temperature * advantage), s.max_weight)

    def train_pi(self, batch, weight, update):
        s, net = self.settings, {name: value for name, value in self.pi.items() if name != "log_std"}
        raw, tape = forward(net, batch.observation)
        mean, deviation = np.tanh(raw), np.exp(self.pi["log_std"])
        z = (batch.action - mean) / deviation
        log_prob = np.sum(-(z**2) / 2 - self.pi["log_std"] - np.log(2 * np.pi) / 2, axis=1)
        share = weight[:, None] / len(weight)
        gradient, _ = backward(net, tape, -share * z / deviation * (1 - mean**2))
        gradient["log_std"] = -np.sum(share * (z**2 - 1), axis=0)
        cosine = (1 + np.cos(np.pi * update / UPDATES)) / 2 if s.policy_schedule == "cosine" else 1.0
        adam(self.pi, gradient, self.memory["pi"], s.learning_rate * cosine)
        found = {"loss": -np.mean(weight * log_prob), "log_prob": log_prob.mean()}
        if not isinstance(s, BC):
            effective = weight.sum() ** 2 / (weight**2).sum() / len(weight)
            found |= {"weight": weight.mean(), "effective_share": effective}
        return {f"pi/{name}": value for name, value in found.items()}

    def train_q(self, batch):
        s, both = self.settings, np.concatenate([batch.observation, batch.action], axis=1)
        follow = forward(self.v, batch.next_observation)[0][:, 0]
        target = batch.reward + s.discount * np.where(batch.terminated > 0, 0.0, follow)
        gradient, loss, values, errors = {}, 0.0, [], []
        for number, member in enumerate(self.q):
            q, tape = forward(member, both)
            error = q[:, 0] - target
            near = True if s.huber is None else np.abs(error) <= s.huber
            delta, half = s.huber or np.inf, 1.0 if s.huber is None else 0.5
            far = delta * (np.abs(error) - delta / 2) if s.huber else 0.0
            loss += np.mean(np.where(near, half * error**2, far))
            slope = np.where(near, 2 * half * error, delta * np.sign(error) if s.huber else 0.0)
            found, _ = backward(member, tape, slope[:, None] / len(error))
            gradient |= {f"{number} {name}": value for name, value in found.items()}
            values.append(q.mean())
            errors.append(np.abs(error).mean())
        params = {f"{number} {name}": x for number, member in enumerate(self.q) for name, x in member.items()}
        adam(params, gradient, self.memory["q"], s.learning_rate, s.max_gradient_norm)
        for key, x in params.items():
            number, name = key.split()
            self.q[int(number)][name] = x
        return {"q/loss": loss, "q/mean": np.mean(values), "q/error": np.mean(errors)}

    def follow(self):
        rate = self.settings.target_rate
        for slow, member in zip(self.slow, self.q, strict=True):
            for name in slow:
                slow[name] = (1 - rate) * slow[name] + rate * member[name]

    def update(self, batches, update):
        batch, metrics = batches[0], {}
        if isinstance(self.settings, BC):
            return self.train_pi(batch, np.ones(len(batch.reward)), update)
        for fresh in batches:
            metrics |= self.train_v(fresh)
        if getattr(self.settings, "normaliser", None) == "running":
            metrics |= self.track(metrics["v/weight"])
        metrics |= self.train_pi(batch, self.policy_weight(batch), update)
        metrics |= self.train_q(batch)
        self.follow()
        return metrics


# ---- the comparison -----------------------------------------------------------------------------------------------


XQL_RUNNING = XQL(
    beta=0.7, value_updates=2, value_layer_norm=True, huber=1.0, policy_schedule="constant", clip=2.0, **SMALL
)
CASES = {
    "xql, running normaliser": XQL_RUNNING,
    "xql, batch maximum": dataclasses.replace(XQL_RUNNING, normaliser="batch_max", clip=1.0, policy_schedule="cosine"),
    # The bound cuts some gradients of Q and leaves others: Adam would not see one that cuts all of them alike.
    "xql, own weight, bounded gradient": dataclasses.replace(
        XQL_RUNNING, normaliser="none", policy_weight="statistic", max_gradient_norm=5.0, value_updates=1, huber=None
    ),
    "iql": IQL(expectile=0.8, inverse_temperature=2.0, max_weight=5.0, target_rate=0.05, critics=3, **SMALL),
    "bc": BC(**SMALL),
}


@pytest.mark.parametrize("settings", CASES.values(), ids=CASES)
def test_five_updates_are_those_of_the_equations(settings):
    first, state, reference = replay(settings, Reference)
    online = state.online
    policy = lambda pi: of_library(pi.net) | {"log_std": np.asarray(pi.log_std, np.float64)}  # noqa: E731
    close(policy(online.pi), reference.pi, policy(first.pi), "pi")
    if isinstance(settings, BC):
        return
    close(of_library(online.v.net), reference.v, of_library(first.v.net), "v")
    for number, start in enumerate(first.q.members):
        close(of_library(online.q.members[number]), reference.q[number], of_library(start), f"q{number}")
        close(
            of_library(state.target["q"].members[number]), reference.slow[number], of_library(start), f"slow q{number}"
        )
    if online.log_weight is not None:
        np.testing.assert_allclose(online.log_weight(), reference.log_weight, rtol=1e-4)
