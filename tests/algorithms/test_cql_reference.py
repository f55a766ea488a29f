"""Five updates of CQL against plain NumPy in float64, from the paper's equations and from what published code does."""

import jax
import numpy as np
import pytest
from by_hand import KEY, SMALL, backward, close, forward, noise, of_library, replay
from scipy.special import ndtr, softmax
from test_actor_critic_reference import LOG_2PI, ReferenceSAC, policy_of

from extremal.algorithms.cql import CQL


def keys_of_the_critic(index):
    """What the first step of an update draws from: for the penalty, and for what follows."""
    _, spend = jax.random.split(jax.random.fold_in(KEY, index))
    return jax.random.split(jax.random.fold_in(jax.random.fold_in(spend, 0), 0))


def normals(key, samples, shape):
    return np.stack([np.asarray(jax.random.normal(k, shape), np.float64) for k in jax.random.split(key, samples)])


class ReferenceCQL(ReferenceSAC):
    def __init__(self, settings, online):
        super().__init__(settings, online)
        self.log_penalty = {"x": np.zeros(())}
        self.previous = dict(self.pi)
        self.model = None if online.behaviour is None else of_library(online.behaviour.net)

    def squashed(self, observation, drawn, policy=None):
        """Actions [N, B, A] of a policy, the present one by default, and their log densities [N, B]."""
        mean, log_std = np.split(forward(policy or self.pi, observation)[0], 2, axis=1)
        u = mean + np.exp(log_std) * drawn
        log_prob = -(drawn**2) / 2 - log_std - LOG_2PI / 2 - np.log(1 - np.tanh(u) ** 2)
        return np.tanh(u), log_prob.sum(-1)

    def proposals(self, batch, key):
        """Every action that is looked at, and log of its density."""
        s, shape, keys = self.settings, batch.action.shape, jax.random.split(key, 3)
        even = jax.random.uniform(keys[0], (s.samples, *shape), minval=-1.0, maxval=1.0)
        found = [(np.asarray(even, np.float64), np.full((s.samples, shape[0]), -shape[1] * np.log(2)))]
        found.append(self.squashed(batch.observation, normals(keys[1], s.samples, shape)))
        if s.penalty == "published":
            found.append(self.squashed(batch.next_observation, normals(keys[2], s.samples, shape)))
        return [np.concatenate(parts) for parts in zip(*found, strict=True)]

    def looked_at(self, batch, key):
        """The actions [N, B, A] that are pushed down; and from their Q [N, B] what is, [B], with its slope in each of them."""
        s, shape = self.settings, batch.action.shape
        if s.penalty in ("log_sum_exp", "published"):
            action, log_density = self.proposals(batch, key)
            count = 1 if s.penalty == "published" else len(action)
            return action, lambda q: log_sum_exp(q - log_density - np.log(count))
        if s.penalty == "variance":
            action = np.asarray(jax.random.uniform(key, (s.samples, *shape), minval=-1.0, maxval=1.0), np.float64)
            return action, lambda q: robust(q, s.variance_radius, self.inverse_shares(batch.observation, action))
        drawn = normals(key, s.samples, shape)
        if s.penalty == "policy":
            return self.squashed(batch.observation, drawn)[0], lambda q: (q.mean(0), np.full(q.shape, 1 / len(q)))
        return self.squashed(batch.observation, drawn, self.previous)[0], tilted

    def truncated(self, observation, action):
        """Log densities [..., B] of the model, normals cut to [-1, 1], and their slopes in its outputs [..., B, 1 + 2 A]."""
        out, _ = forward(self.model, observation)
        mean, log_std = np.split(out[:, 1:], 2, axis=1)
        mean, deviation = np.tanh(mean), np.exp(log_std)
        z, low, high = ((x - mean) / deviation for x in (action, -1.0, 1.0))
        inside = ndtr(high) - ndtr(low)
        log_prob = np.sum(-(z**2) / 2 - log_std - LOG_2PI / 2 - np.log(inside), axis=-1)
        bell = lambda x: np.exp(-(x**2) / 2 - LOG_2PI / 2)  # noqa: E731
        in_mean = (z - (bell(low) - bell(high)) / inside) / deviation * (1 - mean**2)
        in_log_std = z**2 - 1 - (low * bell(low) - high * bell(high)) / inside
        return log_prob, np.concatenate([np.zeros_like(in_mean[..., :1]), in_mean, in_log_std], axis=-1)

    def inverse_shares(self, observation, action):
        """[N, B]: in proportion to 1 / density by the model, or equal ones."""
        if self.model is None:
            return np.full(action.shape[:2], 1 / len(action))
        inverse = 1 / np.exp(self.truncated(observation, action)[0])
        return inverse / inverse.sum(0)

    def train_model(self, batch):
        log_prob, slope = self.truncated(batch.observation, batch.action)
        self.fit(
            "behaviour",
            self.model,
            backward(self.model, forward(self.model, batch.observation)[1], -slope / len(slope))[0],
        )
        return {"behaviour/loss": -log_prob.mean(), "behaviour/log_prob": log_prob.mean()}

    def train_conservative(self, batch, index):
        s, (draw, follow) = self.settings, keys_of_the_critic(index)
        after = self.squashed(batch.next_observation, normals_once(follow, batch.action.shape))[0]
        value = self.values(self.slow, batch.next_observation, after)[0].min(axis=0)
        target = batch.reward + s.discount * np.where(batch.terminated > 0, 0.0, value)
        actions, push = self.looked_at(batch, draw)
        count, rows = actions.shape[:2]
        tiled = np.tile(batch.observation, (count, 1))
        weight = s.penalty_weight * (1.0 if s.threshold is None else np.exp(self.log_penalty["x"]))
        losses, gaps, means, errors = [], [], [], []
        for number, net in enumerate(self.q):
            q, tape = forward(net, np.concatenate([batch.observation, batch.action], axis=1))
            many, wide = forward(net, np.concatenate([tiled, actions.reshape(count * rows, -1)], axis=1))
            total, share = push(many.reshape(count, rows))
            error = q[:, 0] - target
            logged, _ = backward(net, tape, ((2 * s.square * error - weight * s.data_term) / rows)[:, None])
            drawn, _ = backward(net, wide, (weight * share / rows).reshape(-1, 1))
            self.fit(f"q{number}", net, {name: logged[name] + drawn[name] for name in net})
            gaps.append(np.mean(total - q[:, 0]))
            losses.append(weight * np.mean(total - s.data_term * q[:, 0]) + s.square * np.mean(error**2))
            means.append(q.mean())
            errors.append(np.abs(error).mean())
        return {
            "q/loss": np.sum(losses),
            "q/mean": np.mean(means),
            "q/error": np.mean(errors),
            "q/gap": np.mean(gaps),
        }

    def update(self, batches, index):
        (batch,), s, shape = batches, self.settings, batches[0].action.shape
        metrics = self.train_conservative(batch, index)
        self.previous = dict(self.pi)  # of the next update: `fit` puts new arrays in the places of the old
        alpha, drawn = np.exp(self.log_alpha["x"]), noise(index, 1, shape)
        action, log_prob, deviation, tape = self.draw(batch.observation, drawn)
        q, slope = self.lowest(self.q, batch.observation, action)
        in_u = (2 * alpha * action - slope * (1 - action**2)) / len(q)
        both = np.concatenate([in_u, in_u * drawn * deviation - alpha / len(q)], axis=1)
        self.fit("pi", self.pi, backward(self.pi, tape, both)[0], s.policy_learning_rate)
        metrics |= {"pi/loss": np.mean(alpha * log_prob - q), "pi/log_prob": log_prob.mean(), "pi/q": q.mean()}
        missing = -alpha * (log_prob.mean() + s.target_entropy * shape[1])
        self.fit("log_alpha", self.log_alpha, {"x": missing}, s.entropy_learning_rate)
        metrics |= {"log_alpha/loss": missing, "log_alpha/entropy_weight": alpha}
        if s.threshold is not None:
            scale, heavy = s.penalty_weight if s.threshold_on == "weighted_gap" else 1.0, np.exp(self.log_penalty["x"])
            slack = -heavy * (scale * metrics["q/gap"] - s.threshold)
            self.fit("log_penalty", self.log_penalty, {"x": slack})
            metrics |= {"log_penalty/loss": slack, "log_penalty/weight": heavy}
        if self.model is not None:
            metrics |= self.train_model(batch)
        self.follow_q()
        return metrics


def normals_once(key, shape):
    return np.asarray(jax.random.normal(key, shape), np.float64)


def log_sum_exp(z):
    share = softmax(z, axis=0)
    return np.log(np.exp(z - z.max(0)).sum(0)) + z.max(0), share


def tilted(q):
    """Eq. (7): Q weighted by exp(Q) / Z, where the weights are those that are best against Q, and stay."""
    share = np.exp(q) / np.exp(q).sum(0)
    return (share * q).sum(0), share


def robust(q, radius, share):
    """Eq. (9): the mean and the root of the variance."""
    centre = (share * q).sum(0)
    spread = np.sqrt(radius * (share * (q - centre) ** 2).sum(0) + 1e-12)
    return centre + spread, share * (1 + radius * (q - centre) / spread)


FAST = {**SMALL, "target_rate": 0.05, "policy_learning_rate": 2e-3, "entropy_learning_rate": 0.01, "samples": 3}
CASES = {
    "as in Appendix F": CQL(threshold=0.5, penalty_weight=1.0, **FAST),
    "as published": CQL(penalty="published", square=1.0, threshold=5.0, threshold_on="weighted_gap", **FAST),
    "Eq. (1)": CQL(data_term=False, **FAST),
    "Eq. (2), of the policy": CQL(penalty="policy", **FAST),
    "Eq. (7)": CQL(penalty="previous_policy", threshold=0.5, penalty_weight=1.0, **FAST),
    "Eq. (9)": CQL(penalty="variance", variance_radius=0.7, **FAST),
    "Eq. (9), 1 / D": CQL(penalty="variance", variance_radius=0.7, variance_prior="inverse", **FAST),
}


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(settings, id=name, marks=[pytest.mark.slow] if number else [])
        for number, (name, settings) in enumerate(CASES.items())
    ],
)
def test_five_updates_are_those_of_the_equations(settings):
    first, state, by_hand = replay(settings, ReferenceCQL)
    close(policy_of(state.online.pi), by_hand.pi, policy_of(first.pi), "pi")
    for number, start in enumerate(first.q.members):
        close(of_library(state.online.q.members[number]), by_hand.q[number], of_library(start), f"q{number}")
    if settings.threshold is not None:
        close({"x": np.asarray(state.online.log_penalty.x)}, by_hand.log_penalty, {"x": np.zeros(())}, "log_penalty")
    if by_hand.model is not None:
        start = of_library(first.behaviour.net)
        close(of_library(state.online.behaviour.net), by_hand.model, start, "behaviour")
