"""Five updates of the actor-critic methods and of Onestep RL against plain NumPy in float64, from the papers' equations."""

import dataclasses

import numpy as np
import pytest
from by_hand import SMALL, adam, backward, close, forward, noise, of_library, replay

from extremal.algorithms.awac import AWAC
from extremal.algorithms.onestep import Onestep
from extremal.algorithms.sac import SAC
from extremal.algorithms.td3 import TD3, TD3_BC

LOG_2PI = np.log(2 * np.pi)


def policy_of(pi):
    found = of_library(pi.net)
    return found | ({"log_std": np.asarray(pi.log_std, np.float64)} if hasattr(pi, "log_std") else {})


def normal(params, observation):
    """Mean [B, A], deviation [A], and what the backward pass of the mean needs."""
    net = {name: x for name, x in params.items() if name != "log_std"}
    raw, tape = forward(net, observation)
    return np.tanh(raw), np.exp(params["log_std"]), (net, tape)


def density(mean, deviation, action):
    return np.sum(-(((action - mean) / deviation) ** 2) / 2 - np.log(deviation) - LOG_2PI / 2, axis=1)


class Reference:
    """Critics with their slow copies; what follows a transition, and how the policy improves, is each method's."""

    def __init__(self, settings, online):
        self.settings = settings
        self.q = [of_library(member) for member in online.q.members]
        self.slow = [dict(member) for member in self.q]
        self.pi = policy_of(online.pi)
        self.memory = {}

    def values(self, members, observation, action):
        """[E, B], and what the backward passes need."""
        both = [forward(net, np.concatenate([observation, action], axis=1)) for net in members]
        return np.stack([q[:, 0] for q, _ in both]), [tape for _, tape in both]

    def lowest(self, members, observation, action):
        """The smallest Q [B] of each row and its slope in the action [B, A]."""
        q, tapes = self.values(members, observation, action)
        slope = 0.0
        for number, (net, tape) in enumerate(zip(members, tapes, strict=True)):
            here = (q.argmin(axis=0) == number).astype(float)
            slope = slope + backward(net, tape, here[:, None])[1][:, observation.shape[1] :]
        return q.min(axis=0), slope

    def fit(self, name, params, gradient, rate=None):
        decay = getattr(self.settings, "policy_weight_decay", 0.0) if name == "pi" else 0.0
        adam(params, gradient, self.memory.setdefault(name, {}), rate or self.settings.learning_rate, decay=decay)

    def train_q(self, batch, follow):
        target = batch.reward + self.settings.discount * np.where(batch.terminated > 0, 0.0, follow)
        q, tapes = self.values(self.q, batch.observation, batch.action)
        for number, (net, tape) in enumerate(zip(self.q, tapes, strict=True)):
            slope = 2 * (q[number] - target) / len(target)
            self.fit(f"q{number}", net, backward(net, tape, slope[:, None])[0])
        error = q - target
        return {"q/loss": np.mean(error**2, axis=1).sum(), "q/mean": q.mean(), "q/error": np.abs(error).mean()}

    def clone(self, name, params, batch, weight, rate):
        """A normal that clones by weights [B]; its loss and the log density of the logged actions."""
        mean, deviation, (net, tape) = normal(params, batch.observation)
        z, share = (batch.action - mean) / deviation, weight[:, None] / len(weight)
        gradient, _ = backward(net, tape, -share * z / deviation * (1 - mean**2))
        log_prob = density(mean, deviation, batch.action)
        self.fit(name, params, gradient | {"log_std": -np.sum(share * (z**2 - 1), axis=0)}, rate)
        return {f"{name}/loss": -np.mean(weight * log_prob), f"{name}/log_prob": log_prob.mean()}

    def follow(self, slow, params):
        for name in slow:
            slow[name] = (1 - self.settings.target_rate) * slow[name] + self.settings.target_rate * params[name]

    def follow_q(self):
        for slow, net in zip(self.slow, self.q, strict=True):
            self.follow(slow, net)


def told(weight, bound=None):
    found = {"pi/weight": weight.mean(), "pi/effective_share": weight.sum() ** 2 / (weight**2).sum() / len(weight)}
    return found if bound is None else found | {"pi/at_bound": np.mean(weight >= bound)}


class ReferenceSAC(Reference):
    def __init__(self, settings, online):
        super().__init__(settings, online)
        self.log_alpha = {"x": np.log(np.asarray(settings.entropy_weight))}

    def draw(self, observation, drawn):
        """A squashed action, its log density, its number before tanh, and the policy's deviation and tape."""
        out, tape = forward(self.pi, observation)
        mean, log_std = np.split(out, 2, axis=1)
        u = mean + np.exp(log_std) * drawn
        squeeze = np.log(1 - np.tanh(u) ** 2)
        log_prob = np.sum(-(drawn**2) / 2 - log_std - LOG_2PI / 2 - squeeze, axis=1)
        return np.tanh(u), log_prob, np.exp(log_std), tape

    def update(self, batches, index):
        (batch,), s = batches, self.settings
        alpha, shape = np.exp(self.log_alpha["x"]), batch.action.shape
        action, log_prob, _, _ = self.draw(batch.next_observation, noise(index, 0, shape))
        follow = self.values(self.slow, batch.next_observation, action)[0].min(axis=0)
        metrics = self.train_q(batch, follow - alpha * log_prob)

        drawn = noise(index, 1, shape)
        action, log_prob, deviation, tape = self.draw(batch.observation, drawn)
        q, slope = self.lowest(self.q, batch.observation, action)
        in_u = (2 * alpha * action - slope * (1 - action**2)) / len(q)  # d log(1 - tanh^2) / du = -2 tanh
        both = np.concatenate([in_u, in_u * drawn * deviation - alpha / len(q)], axis=1)
        self.fit("pi", self.pi, backward(self.pi, tape, both)[0], s.policy_learning_rate)
        loss = np.mean(alpha * log_prob - q)
        metrics |= {"pi/loss": loss, "pi/log_prob": log_prob.mean(), "pi/q": q.mean()}

        missing = -alpha * (log_prob.mean() + s.target_entropy * shape[1])
        self.fit("log_alpha", self.log_alpha, {"x": missing}, s.entropy_learning_rate)
        self.follow_q()
        return metrics | {"log_alpha/loss": missing, "log_alpha/entropy_weight": alpha}


class ReferenceTD3(Reference):
    def __init__(self, settings, online):
        super().__init__(settings, online)
        self.slow_pi = dict(self.pi)

    def update(self, batches, index):
        (batch,), s = batches, self.settings
        drawn = np.clip(s.target_noise * noise(index, 0, batch.action.shape), -s.target_noise_clip, s.target_noise_clip)
        action = np.clip(np.tanh(forward(self.slow_pi, batch.next_observation)[0]) + drawn, -1.0, 1.0)
        metrics = self.train_q(batch, self.values(self.slow, batch.next_observation, action)[0].min(axis=0))
        if (index + 1) % s.policy_delay:
            return metrics | {"pi/loss": 0.0, "pi/q": 0.0, "pi/distance": 0.0}
        metrics |= self.improve(batch)
        self.follow_q()
        self.follow(self.slow_pi, self.pi)
        return metrics

    def improve(self, batch):
        s, (raw, tape) = self.settings, forward(self.pi, batch.observation)
        action = np.tanh(raw)
        q, slope = self.lowest(self.q[:1], batch.observation, action)
        distance = action - batch.action
        scale, near = (1.0, 0.0) if s.cloning is None else (s.cloning / np.mean(np.abs(q)), 1.0)
        in_action = -scale * slope / len(q) + near * 2 * distance / distance.size
        self.fit("pi", self.pi, backward(self.pi, tape, in_action * (1 - action**2))[0], s.policy_learning_rate)
        loss = -scale * q.mean() + near * np.mean(distance**2)
        return {"pi/loss": loss, "pi/q": q.mean(), "pi/distance": np.mean(distance**2)}


class ReferenceAWAC(Reference):
    def own(self, observation, drawn):
        mean, deviation, _ = normal(self.pi, observation)
        return np.clip(mean + deviation * drawn, -1.0, 1.0)

    def update(self, batches, index):
        (batch,), s, shape = batches, self.settings, batches[0].action.shape
        action = self.own(batch.next_observation, noise(index, 0, shape))
        metrics = self.train_q(batch, self.values(self.slow, batch.next_observation, action)[0].min(axis=0))

        own = self.own(batch.observation, noise(index, 1, shape))
        q, v = (self.values(self.q, batch.observation, a)[0].min(axis=0) for a in (batch.action, own))
        weight = np.exp(s.inverse_temperature * (q - v))
        bound = s.max_weight if s.policy_weight == "exponential" else None
        weight = weight / weight.mean() if bound is None else np.minimum(weight, bound)
        metrics |= self.clone("pi", self.pi, batch, weight, s.policy_learning_rate) | told(weight, bound)
        self.follow_q()
        return metrics | {"pi/advantage": np.mean(q - v)}


class ReferenceOnestep(Reference):
    """SARSA's values until `extract_after`, and the policy from there on."""

    def __init__(self, settings, online):
        super().__init__(settings, online)
        self.v = of_library(online.v.net)
        self.behaviour = None if online.behaviour is None else policy_of(online.behaviour)
        self.first = 0 if settings.extract_after is None else 2  # of 5 updates

    def update(self, batches, index):
        (batch,), s = batches, self.settings
        metrics = {}
        if s.extract_after is None or index < self.first:
            if self.behaviour is not None:
                metrics |= self.clone("behaviour", self.behaviour, batch, np.ones(len(batch.reward)), None)
            metrics |= self.train_v(batch) | self.train_q(batch, forward(self.v, batch.next_observation)[0][:, 0])
        if index >= self.first:
            metrics |= self.diverge(batch, index) if self.behaviour is not None else self.weigh(batch)
        self.follow_q()
        names = ["v/loss", "v/mean", "v/advantage", "v/weight", "q/loss", "q/mean", "q/error", "pi/loss"]
        weights = ["pi/log_prob", "pi/weight", "pi/effective_share", "pi/at_bound"]
        names += ["pi/divergence", "pi/q"] if self.behaviour else weights
        names += ["behaviour/loss", "behaviour/log_prob"] if self.behaviour else []
        return dict.fromkeys(names, 0.0) | metrics

    def train_v(self, batch):
        q = self.values(self.slow, batch.observation, batch.action)[0].min(axis=0)
        v, tape = forward(self.v, batch.observation)
        error = q - v[:, 0]
        self.fit("v", self.v, backward(self.v, tape, (-2 * error / len(q))[:, None])[0])
        return {"v/loss": np.mean(error**2), "v/mean": v.mean(), "v/advantage": error.mean(), "v/weight": 1.0}

    def weigh(self, batch):
        s = self.settings
        advantage = self.values(self.slow, batch.observation, batch.action)[0].min(axis=0)
        advantage = advantage - forward(self.v, batch.observation)[0][:, 0]
        weight = np.minimum(np.exp(s.inverse_temperature * advantage), s.max_weight)
        return self.clone("pi", self.pi, batch, weight, None) | told(weight, s.max_weight)

    def diverge(self, batch, index):
        s, drawn = self.settings, noise(index, 3, batch.action.shape)
        mean, deviation, (net, tape) = normal(self.pi, batch.observation)
        model, spread, _ = normal(self.behaviour, batch.observation)
        action = mean + deviation * drawn
        q, slope = self.lowest(self.slow, batch.observation, np.clip(action, -1.0, 1.0))
        divergence = np.mean(density(mean, deviation, action) - density(model, spread, action))
        in_action = (action - model) / spread**2 - s.inverse_temperature * slope * (np.abs(action) < 1)
        in_action = in_action / len(q)
        gradient, _ = backward(net, tape, in_action * (1 - mean**2))
        gradient["log_std"] = np.sum(in_action * drawn * deviation, axis=0) - 1.0
        self.fit("pi", self.pi, gradient)
        loss = divergence - s.inverse_temperature * q.mean()
        return {"pi/loss": loss, "pi/divergence": divergence, "pi/q": q.mean()}


FAST = {**SMALL, "target_rate": 0.05}
PACED = {**FAST, "policy_learning_rate": 2e-3}
ONESTEP = Onestep(inverse_temperature=2.0, max_weight=5.0, critics=2, extract_after=0.5, **FAST)
CASES = {
    "sac": (SAC(entropy_weight=0.5, entropy_learning_rate=0.01, **PACED), ReferenceSAC),
    "td3": (TD3(target_noise=0.4, **PACED), ReferenceTD3),
    "td3bc": (
        dataclasses.replace(TD3_BC, normalise_observation=False, critics=4, policy_delay=3, **PACED),
        ReferenceTD3,
    ),
    "awac": (AWAC(inverse_temperature=2.0, max_weight=3.0, policy_weight_decay=0.5, **PACED), ReferenceAWAC),
    "awac, batch softmax": (AWAC(policy_weight="batch_softmax", critics=3, policy_depth=1, **PACED), ReferenceAWAC),
    "onestep": (ONESTEP, ReferenceOnestep),
    "onestep, reverse KL": (dataclasses.replace(ONESTEP, improvement="reverse_kl"), ReferenceOnestep),
}


QUICK = ("awac", "onestep")  # one of each kind; CQL's is built on SAC's, and TD3+BC is in test_corl.py


@pytest.mark.parametrize(
    ("settings", "reference"),
    [pytest.param(*case, id=name, marks=[] if name in QUICK else [pytest.mark.slow]) for name, case in CASES.items()],
)
def test_five_updates_are_those_of_the_equations(settings, reference):
    first, state, by_hand = replay(settings, reference)
    online = state.online
    close(policy_of(online.pi), by_hand.pi, policy_of(first.pi), "pi")
    for number, start in enumerate(first.q.members):
        close(of_library(online.q.members[number]), by_hand.q[number], of_library(start), f"q{number}")
        slow = of_library(state.target["q"].members[number])
        close(slow, by_hand.slow[number], of_library(start), f"slow q{number}")
    if reference is ReferenceSAC:
        start = {"x": np.asarray(first.log_alpha.x)}
        close({"x": np.asarray(online.log_alpha.x)}, by_hand.log_alpha, start, "log_alpha")
    if reference is ReferenceTD3:
        close(policy_of(state.target["pi"]), by_hand.slow_pi, policy_of(first.pi), "slow pi")
    if reference is ReferenceOnestep:
        close(of_library(online.v.net), by_hand.v, of_library(first.v.net), "v")
        if by_hand.behaviour is not None:
            close(policy_of(online.behaviour), by_hand.behaviour, policy_of(first.behaviour), "behaviour")
