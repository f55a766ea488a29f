"""Five updates against an independent implementation: plain NumPy in float64, written from the papers' equations."""

import dataclasses

import numpy as np
import pytest
from by_hand import SMALL, UPDATES, adam, backward, close, forward, of_library, replay

from extremal.algorithms.bc import BC
from extremal.algorithms.iql import IQL
from extremal.algorithms.klxql import KLXQL
from extremal.algorithms.xql import XQL

# ---- the methods --------------------------------------------------------------------------------------------------


def value_net(v):
    """The arrays of V, with the logarithm of a beta that all states share."""
    common = getattr(v, "log_beta", None)
    return of_library(v.net) | ({} if common is None else {"log_beta": np.asarray(common, np.float64)})


class Reference:
    """XQL, KL-ball XQL, IQL and BC as the papers have them, V before the policy before Q."""

    def __init__(self, settings, online):
        self.settings = settings
        self.pi = of_library(online.pi.net) | {"log_std": np.asarray(online.pi.log_std, np.float64)}
        self.memory = {"pi": {}}
        if not isinstance(settings, BC):
            self.v = value_net(online.v)
            self.q = [of_library(member) for member in online.q.members]
            self.slow = [dict(member) for member in self.q]
            self.seen_v = dict(self.v) if settings.value_rate else self.v  # by the policy and Q
            self.log_weight = self.level = 0.0
            self.memory |= {"v": {}, "q": {}}

    def value_slope(self, q, v):
        """Loss, its slope in V [B], and the mean weight of the Gumbel or expectile loss."""
        s, rows = self.settings, len(q)
        if self.kappa is not None:
            return self.ball_slope(q, v)
        v = v[:, 0]
        if isinstance(s, IQL):  # |expectile - 1(u < 0)| u^2
            share = np.where(q < v, 1 - s.expectile, s.expectile)
            return np.mean(share * (q - v) ** 2), -2 * share[:, None] * (q - v)[:, None] / rows, share
        z = (q - v) / s.beta
        weight = np.exp(np.minimum(z, s.clip))
        if s.normaliser == "batch_max":
            least = -s.clip if s.clamp == "both" else -np.inf
            flat, z = (z < least) | (z > s.clip), np.clip(z, least, s.clip)
            peak = max(z.max(), -1.0)
            loss = np.exp(z - peak) - z * np.exp(-peak) - np.exp(-peak)
            slope = np.where(flat, 0.0, np.exp(z - peak) - np.exp(-peak))
            scale = 1.0
        else:
            loss = np.where(z < s.clip, np.exp(np.minimum(z, s.clip)), np.exp(s.clip) * (1 + z - s.clip)) - z - 1
            slope = weight - 1
            scale = self.scale(weight)
        return np.mean(scale * loss), -(scale * slope)[:, None] / s.beta / rows, weight

    def scale(self, weight):
        """What each row's loss is multiplied by, of weights [B]."""
        if self.settings.normaliser == "running":
            return np.exp(-self.log_weight)
        if self.settings.normaliser == "none":
            return 1.0
        parts = np.split(np.arange(len(weight)), 8)
        others = np.concatenate([np.full(len(part), np.delete(weight, part).mean()) for part in parts])
        return 1 / np.maximum(others, 1.0)

    def ball_slope(self, q, head):
        """J - E Q = E beta (phi(z) - z - 1 + kappa), its slopes in h and in beta (in place of log beta's), and phi'."""
        s, rows, beta = self.settings, len(q), np.exp(head[:, 1])
        z = (q - head[:, 0]) / beta
        weight = np.exp(np.minimum(z, s.clip))
        phi = np.where(z < s.clip, weight, np.exp(s.clip) * (1 + z - s.clip))
        loss = beta * (phi - z - 1 + self.kappa)
        slope = np.stack([1 - weight, phi - z * weight - 1 + self.kappa], axis=1)
        scale = 1.0 if isinstance(s, KLXQL) else self.scale(weight)
        return np.mean(scale * loss), np.reshape(scale, (-1, 1)) * slope / rows, weight

    @property
    def kappa(self):
        return getattr(self.settings, "kappa", None) or getattr(self.settings, "target_kl", None)

    def head(self, v, observation):
        """A V's head [B, 1 or 2], and what the backward pass needs."""
        x, tape = forward({name: value for name, value in v.items() if name != "log_beta"}, observation)
        if "log_beta" in v:
            x = np.concatenate([x, np.full_like(x, 30.0 * v["log_beta"])], axis=1)
        return x, tape

    def seen(self, observation):
        """The head as the policy and Q see it: h is moved so that density ratios have the mean 1."""
        head = self.head(self.seen_v, observation)[0]
        if self.kappa is not None and self.settings.value_rate:
            head[:, 0] += self.level * np.exp(head[:, 1])
        return head

    def value(self, head):
        return head[:, 0] + (self.settings.kappa * np.exp(head[:, 1]) if isinstance(self.settings, KLXQL) else 0.0)

    def health(self, weight, head):
        """What is known of a density ratio."""
        s = self.settings
        if isinstance(s, IQL):
            return {}
        share = weight / weight.mean()
        found = {"kl": np.mean(share * np.log(share)), "effective_share": 1 / np.mean(share**2)}
        found["clipped"] = np.mean(weight >= np.exp(s.clip) * (1 - 1e-6))
        if self.kappa is not None:
            beta, rows = np.sort(np.exp(head[:, 1])), len(head)
            found |= {
                "beta_low": beta[rows // 10],
                "beta": beta[rows // 2],
                "beta_high": beta[-1 - rows // 10],
                "at_floor": 0.0,
            }
        return found

    def slow_q(self, batch):
        both = np.concatenate([batch.observation, batch.action], axis=1)
        return np.min([forward(member, both)[0][:, 0] for member in self.slow], axis=0)

    def train_v(self, batch):
        s, q = self.settings, self.slow_q(batch)
        head, tape = self.head(self.v, batch.observation)
        loss, slope, weight = self.value_slope(q, head)
        net, common = dict(self.v), {}
        if net.pop("log_beta", None) is not None:
            slope, common = slope[:, :1], {"log_beta": 30.0 * slope[:, 1].sum()}
        gradient = backward(net, tape, slope)[0] | common
        seen = self.seen(batch.observation)
        adam(self.v, gradient, self.memory["v"], s.value_learning_rate or s.learning_rate, s.max_gradient_norm)
        if s.value_rate:
            head, weight = seen, self.value_slope(q, seen)[2]
        v = self.value(head)
        found = {"loss": loss, "mean": v.mean(), "advantage": np.mean(q - v), "weight": weight.mean()}
        found |= self.health(weight, head)
        return {f"v/{name}": value for name, value in found.items()}

    def track(self, mean_weight):
        """The running normaliser: 0.99 of itself, 0.01 of the log of the batch's mean weight, which counts as 0 where it is less."""
        level = np.log(max(mean_weight, 1.0))
        loss = (self.log_weight - level) ** 2 / 2
        self.log_weight += 0.01 * (level - self.log_weight)
        return {"log_weight/loss": loss}

    def rise(self, mean_weight):
        """A hundredth of what the mean weight is above 1."""
        found = {"loss": -self.level * (mean_weight - 1), "level": self.level}
        self.level += 0.01 * (mean_weight - 1)
        return {f"log_level/{name}": value for name, value in found.items()}

    def policy_weight(self, batch):
        s, head = self.settings, self.seen(batch.observation)
        advantage = self.slow_q(batch) - self.value(head)
        if isinstance(s, KLXQL):
            return np.exp(np.minimum((self.slow_q(batch) - head[:, 0]) / np.exp(head[:, 1]), s.clip))
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
            own = isinstance(s, KLXQL) or s.policy_weight == "statistic"
            bound = np.exp(s.clip) if own else s.max_weight
            found["at_bound"] = np.mean(weight >= bound * (1 - 1e-6))
        return {f"pi/{name}": value for name, value in found.items()}

    def train_q(self, batch):
        s, both = self.settings, np.concatenate([batch.observation, batch.action], axis=1)
        follow = self.value(self.seen(batch.next_observation))
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
        if rate := self.settings.value_rate:
            for name in self.seen_v:
                self.seen_v[name] = (1 - rate) * self.seen_v[name] + rate * self.v[name]

    def update(self, batches, update):
        batch, metrics = batches[0], {}
        if isinstance(self.settings, BC):
            return self.train_pi(batch, np.ones(len(batch.reward)), update)
        for fresh in batches:
            metrics |= self.train_v(fresh)
        if getattr(self.settings, "normaliser", None) == "running":
            metrics |= self.track(metrics["v/weight"])
        if self.kappa is not None and self.settings.value_rate:
            metrics |= self.rise(metrics["v/weight"])
        metrics |= self.train_pi(batch, self.policy_weight(batch), update)
        metrics |= self.train_q(batch)
        self.follow()
        return metrics


# ---- the comparison -----------------------------------------------------------------------------------------------


XQL_OTHERS = XQL(
    beta=0.7, value_updates=2, value_layer_norm=True, huber=1.0, policy_schedule="constant", clip=2.0, **SMALL
)
QUICK_V = {"value_learning_rate": 0.004, "value_rate": 0.2}
CASES = {
    "xql": XQL_OTHERS,
    "xql, running normaliser": dataclasses.replace(XQL_OTHERS, normaliser="running"),
    "xql, batch maximum": dataclasses.replace(XQL_OTHERS, normaliser="batch_max", clip=1.0, policy_schedule="cosine"),
    "xql, as published": dataclasses.replace(
        XQL_OTHERS, normaliser="batch_max", clip=0.5, clamp="above", value_batch="same", value_layer_norm=False
    ),
    # The bound cuts some gradients of Q and leaves others: Adam would not see one that cuts all of them alike.
    "xql, own weight, bounded gradient": dataclasses.replace(
        XQL_OTHERS, normaliser="none", policy_weight="statistic", max_gradient_norm=5.0, value_updates=1, huber=None
    ),
    "iql": IQL(expectile=0.8, inverse_temperature=2.0, max_weight=5.0, target_rate=0.05, critics=3, **SMALL),
    "xql, a KL held": dataclasses.replace(XQL_OTHERS, target_kl=0.3, learning_rate=1e-3),
    "klxql": KLXQL(kappa=0.3, clip=1.5, floor=1e-6, **QUICK_V, **SMALL),
    "klxql, one beta": KLXQL(
        kappa=0.5, floor=1e-6, temperature="shared", max_gradient_norm=5.0, reward_unit="none", **QUICK_V, **SMALL
    ),
    "bc": BC(**SMALL),
}


QUICK = ("xql", "klxql", "bc")  # one of each kind; IQL is that of another library, in test_corl.py


@pytest.mark.parametrize(
    "settings",
    [pytest.param(case, id=name, marks=[] if name in QUICK else [pytest.mark.slow]) for name, case in CASES.items()],
)
def test_five_updates_are_those_of_the_equations(settings):
    first, state, reference = replay(settings, Reference)
    online = state.online
    policy = lambda pi: of_library(pi.net) | {"log_std": np.asarray(pi.log_std, np.float64)}  # noqa: E731
    close(policy(online.pi), reference.pi, policy(first.pi), "pi")
    if isinstance(settings, BC):
        return
    close(value_net(online.v), reference.v, value_net(first.v), "v")
    for number, start in enumerate(first.q.members):
        close(of_library(online.q.members[number]), reference.q[number], of_library(start), f"q{number}")
        close(
            of_library(state.target["q"].members[number]), reference.slow[number], of_library(start), f"slow q{number}"
        )
    if online.log_level is not None:
        np.testing.assert_allclose(online.log_level(), reference.level, rtol=1e-4)
    if online.log_weight is not None:
        np.testing.assert_allclose(online.log_weight(), reference.log_weight, rtol=1e-4)
