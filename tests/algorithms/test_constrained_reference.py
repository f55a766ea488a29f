"""Five updates of the methods on a model of the behaviour against plain NumPy in float64, from the papers' equations."""

import jax
import numpy as np
import pytest
from by_hand import KEY, SMALL, backward, close, forward, of_library, replay
from scipy.special import ndtr
from test_actor_critic_reference import LOG_2PI, Reference, policy_of
from test_cql_reference import normals

from extremal.algorithms.bcq import BCQ
from extremal.algorithms.bear import BEAR
from extremal.algorithms.brac import BRAC
from extremal.algorithms.emaq import EMaQ


def key_of(index, step):
    """What step number `step` of an update draws from."""
    _, spend = jax.random.split(jax.random.fold_in(KEY, index))
    return jax.random.fold_in(jax.random.fold_in(spend, step), 0)


def normal(key, shape):
    return np.asarray(jax.random.normal(key, shape), np.float64)


def beside(observation, action):
    """[N B, O + A] of observations [B, O] and actions [N, B, A]."""
    return np.concatenate([np.tile(observation, (len(action), 1)), action.reshape(-1, action.shape[-1])], axis=1)


# ---- models of the behaviour ---------------------------------------------------------------------------------------


class Binned:
    """EMaQ, Eq. (62) to (66): bins entry by entry, each from the state's embedding and the entries before."""

    def __init__(self, model):
        self.nets = [of_library(net) for net in (model.embedding, *model.heads)]
        self.prefixes = [[np.asarray(x, np.float64) for x in (p.weight, p.bias)] for p in model.prefixes]

    def logits(self, observation, before):
        """Those of the entry after `before` [B, I], and what the backward pass needs."""
        embedding, *heads = self.nets
        number = before.shape[1]
        if self.prefixes and number:
            weight, bias = self.prefixes[number - 1]
            before = before @ weight + bias
        state, tape = forward(embedding, observation)
        return *forward(heads[number], np.concatenate([state, before], axis=1)), tape

    def draws(self, observation, key, count):
        entries, rows = len(self.nets) - 1, len(observation)
        chance = np.asarray(jax.random.uniform(key, (entries, 2, count, rows)), np.float64).reshape(entries, 2, -1)
        action = np.zeros((count * rows, 0))
        for which, where in chance:
            share = np.exp(self.logits(np.tile(observation, (count, 1)), action)[0])
            below = np.cumsum(share / share.sum(axis=1, keepdims=True), axis=1)
            label = np.sum(below <= which[:, None], axis=1)
            entry = -1.0 + 2.0 * (label + where) / share.shape[1]
            action = np.concatenate([action, entry[:, None]], axis=1)
        return action.reshape(count, rows, -1)

    def cloned(self, observation, action):
        """Mean log density of actions [B, A], and the gradient of its negative for each network."""
        log_prob, slopes = 0.0, [0.0]
        for number, entry in enumerate(action.T):
            logits, tape, below = self.logits(observation, action[:, :number])
            rows, bins = logits.shape
            share = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
            taken = np.eye(bins)[np.minimum((entry + 1.0) / 2.0 * bins, bins - 1).astype(int)]
            log_prob += np.mean(np.sum(taken * np.log(share), axis=1) + np.log(bins / 2))
            found, slope = backward(self.nets[number + 1], tape, (share - taken) / rows)
            slopes[0] += slope[:, : slope.shape[1] - number]
            slopes.append(found)
        return log_prob, [backward(self.nets[0], below, slopes[0])[0], *slopes[1:]]


class Latent:
    """BCQ's VAE: normal latents within [-0.5, 0.5], decoded."""

    def __init__(self, model):
        self.decoder = of_library(model.decoder)

    def draws(self, observation, key, count):
        shape = (count, len(observation), len(self.decoder["w0"]) - observation.shape[1])
        latent = np.clip(normal(key, shape), -0.5, 0.5)
        return np.tanh(forward(self.decoder, beside(observation, latent))[0]).reshape(*shape[:2], -1)


class Normal:
    """A normal of the state, cut to [-1, 1]: the log density of actions [N, B, A] and its slope."""

    def __init__(self, model):
        self.net = of_library(model.net)

    def density(self, observation, action):
        mean, log_std = np.split(forward(self.net, observation)[0][:, 1:], 2, axis=1)
        mean, deviation = np.tanh(mean), np.exp(np.clip(log_std, -5.0, 2.0))
        inside = ndtr((1.0 - mean) / deviation) - ndtr((-1.0 - mean) / deviation)
        z = (action - mean) / deviation
        return np.sum(-(z**2) / 2 - LOG_2PI / 2 - np.log(deviation * inside), axis=-1), -z / deviation


# ---- methods -------------------------------------------------------------------------------------------------------


class OnModel(Reference):
    """Critics with their slow copies, and a model of the behaviour that stays as it is."""

    def __init__(self, settings, online):
        self.settings, self.memory = settings, {}
        self.q = [of_library(member) for member in online.q.members]
        self.slow = [dict(member) for member in self.q]
        self.behaviour = {"autoregressive": Binned, "vae": Latent, "gaussian": Normal}[settings.behaviour_model](
            online.behaviour
        )

    def mixed(self, members, observation, action):
        """lambda min_k Q_k + (1 - lambda) max_k Q_k of actions [N, B, A]."""
        q = np.stack([forward(net, beside(observation, action))[0].reshape(action.shape[:2]) for net in members])
        return self.settings.ensemble_weight * q.min(axis=0) + (1 - self.settings.ensemble_weight) * q.max(axis=0)


class ReferenceEMaQ(OnModel):
    def __init__(self, settings, online):
        super().__init__(settings, online)
        self.distilled = None if online.distilled is None else Binned(online.distilled)

    def proposed(self, observation, key):
        if self.distilled is None:
            return self.behaviour.draws(observation, key, self.settings.samples)
        both = zip((self.behaviour, self.distilled), jax.random.split(key), strict=True)
        return np.concatenate([model.draws(observation, k, self.settings.samples) for model, k in both])

    def statistic(self, q):
        s, count = self.settings, len(q)
        soft = lambda q: s.beta * np.log(np.mean(np.exp(q / s.beta), axis=0))  # noqa: E731
        if s.target == "max":
            return q.max(axis=0)
        if s.target == "soft":
            return np.sum(np.exp(q / s.beta) * q, axis=0) / np.sum(np.exp(q / s.beta), axis=0)
        if s.target == "log_mean_exp":
            return soft(q)
        return count * soft(q) - (count - 1) * np.mean([soft(np.delete(q, i, axis=0)) for i in range(count)], axis=0)

    def update(self, batches, index):
        (batch,) = batches
        action = self.proposed(batch.next_observation, key_of(index, 0))
        follow = self.statistic(self.mixed(self.slow, batch.next_observation, action))
        metrics = self.train_q(batch, follow)
        if self.distilled is not None:
            action = self.proposed(batch.observation, key_of(index, 1))
            best = self.mixed(self.slow, batch.observation, action).argmax(axis=0)
            log_prob, slopes = self.distilled.cloned(batch.observation, action[best, np.arange(len(best))])
            for number, (net, slope) in enumerate(zip(self.distilled.nets, slopes, strict=True)):
                self.fit(f"distilled{number}", net, slope, self.settings.behaviour_learning_rate)
            metrics |= {"distilled/loss": -log_prob, "distilled/log_prob": log_prob}
        self.follow_q()
        return metrics

    def compare(self, first, state):
        if self.distilled is not None:
            nets = lambda model: [of_library(net) for net in (model.embedding, *model.heads)]  # noqa: E731
            ours, start = nets(state.online.distilled), nets(first.distilled)
            for number, net in enumerate(self.distilled.nets):
                close(ours[number], net, start[number], f"distilled {number}")


class ReferenceBCQ(OnModel):
    def __init__(self, settings, online):
        super().__init__(settings, online)
        self.perturbation = of_library(online.perturbation.net)
        self.slow_perturbation = dict(self.perturbation)

    def moved(self, net, observation, action):
        """Actions, how much of the largest shift each entry got, and what the backward pass needs."""
        raw, tape = forward(net, beside(observation, action))
        share = np.tanh(raw).reshape(action.shape)
        return action + self.settings.shift * share, share, tape

    def update(self, batches, index):
        (batch,), s = batches, self.settings
        action = self.behaviour.draws(batch.next_observation, key_of(index, 0), s.samples)
        action = np.clip(self.moved(self.slow_perturbation, batch.next_observation, action)[0], -1.0, 1.0)
        metrics = self.train_q(batch, self.mixed(self.slow, batch.next_observation, action).max(axis=0))

        drawn = self.behaviour.draws(batch.observation, key_of(index, 1), 1)
        action, share, tape = self.moved(self.perturbation, batch.observation, drawn)
        action, inside = np.clip(action, -1.0, 1.0), np.abs(action) < 1.0
        q, slope = self.lowest(self.q[:1], batch.observation, action[0])
        in_raw = -slope / len(q) * s.shift * (inside * (1 - share**2))[0]
        self.fit(
            "perturbation", self.perturbation, backward(self.perturbation, tape, in_raw)[0], s.policy_learning_rate
        )
        self.follow_q()
        self.follow(self.slow_perturbation, self.perturbation)
        shift = np.mean(np.abs(action - drawn))
        return metrics | {"perturbation/loss": -q.mean(), "perturbation/q": q.mean(), "perturbation/shift": shift}

    def compare(self, first, state):
        start = of_library(first.perturbation.net)
        close(of_library(state.online.perturbation.net), self.perturbation, start, "perturbation")
        close(of_library(state.target["perturbation"].net), self.slow_perturbation, start, "slow perturbation")


class WithPolicy(OnModel):
    """A squashed normal that follows the critics and pays for its distance from the behaviour, perhaps at a tuned price."""

    def __init__(self, settings, online):
        super().__init__(settings, online)
        self.pi = policy_of(online.pi)
        self.slow_pi = dict(self.pi)
        tuned = online.log_multiplier is not None
        self.log_multiplier = {"x": np.log(self.first_price() if tuned else settings.divergence_weight)}

    def normal(self, params, observation):
        """Mean and log deviation before tanh, whether the latter is within its bounds, and what the backward pass needs."""
        raw, tape = forward(params, observation)
        mean, log_std = np.split(raw, 2, axis=1)
        return mean, np.clip(log_std, -20.0, 2.0), np.abs(log_std + 9.0) < 11.0, tape

    def squashed(self, params, observation, drawn):
        mean, log_std, _, _ = self.normal(params, observation)
        return np.tanh(mean + np.exp(log_std) * drawn)

    def improve(self, batch, index, step, follows, name):
        """The policy's step, by the slopes in the numbers before tanh, and in its log deviation where density has one."""
        s, (draw, follow) = self.settings, jax.random.split(key_of(index, step))
        mean, log_std, free, tape = self.normal(self.pi, batch.observation)
        drawn, apart, in_u, direct = self.divergence(self.pi, batch.observation, draw)
        price, rows = np.exp(self.log_multiplier["x"]), len(mean)
        in_mean = price * in_u.sum(axis=0) / rows
        in_std = price * (np.sum(in_u * drawn, axis=0) * np.exp(log_std) + direct) / rows
        metrics = {"loss": price * apart.mean(), "divergence": apart.mean()}
        if follows:
            drawn = normals(follow, 1, mean.shape)[0]
            action = self.squashed(self.pi, batch.observation, drawn)
            q, slope = self.improved(batch.observation, action)
            up = slope * (1 - action**2) / rows
            in_mean, in_std = in_mean - up, in_std - up * drawn * np.exp(log_std)
            metrics |= {"loss": metrics["loss"] - q.mean(), "q": q.mean()}
        gradient, _ = backward(self.pi, tape, np.concatenate([in_mean, in_std * free], axis=1))
        self.fit(name, self.pi, gradient, s.policy_learning_rate)
        return {f"{name}/{what}": value for what, value in metrics.items()}

    def improved(self, observation, action):
        return self.lowest(self.q, observation, action)

    def tune(self, name, divergence):
        """Ascent of the price, in its logarithm."""
        price = np.exp(self.log_multiplier["x"])
        loss = -price * (divergence - self.settings.threshold)
        self.fit(name, self.log_multiplier, {"x": loss}, self.settings.multiplier_learning_rate)
        return {f"{name}/loss": loss, f"{name}/weight": price}

    def compare(self, first, state):
        close(policy_of(state.online.pi), self.pi, policy_of(first.pi), "pi")
        if first.log_multiplier is not None:
            start = {"x": np.log(self.first_price())}
            close({"x": np.asarray(state.online.log_multiplier.x)}, self.log_multiplier, start, "log_multiplier")


class ReferenceBEAR(WithPolicy):
    def first_price(self):
        return 1.0

    def kernel(self, x, y):
        """[N, M, B], and its slope in x [N, M, B, A]."""
        s, apart = self.settings, x[:, None] - y[None]
        if s.kernel == "gaussian":
            k = np.exp(-np.sum(apart**2, axis=-1) / (2 * s.kernel_scale))
            return k, -k[..., None] * apart / s.kernel_scale
        k = np.exp(-np.sum(np.abs(apart), axis=-1) / s.kernel_scale)
        return k, -k[..., None] * np.sign(apart) / s.kernel_scale

    def divergence(self, params, observation, key):
        """The normal numbers drawn, the root of MMD^2 before tanh, and its slopes."""
        s, keys = self.settings, jax.random.split(key)
        count = s.divergence_samples
        mean, log_std, _, _ = self.normal(params, observation)
        drawn = normal(keys[0], (count, *mean.shape))
        x = mean + np.exp(log_std) * drawn
        other = np.arctanh(np.clip(self.behaviour.draws(observation, keys[1], count), -0.999, 0.999))
        (within, in_x), (between, across), (rest, _) = (
            self.kernel(x, x),
            self.kernel(x, other),
            self.kernel(other, other),
        )
        mmd = np.sqrt((within + rest - 2 * between).mean(axis=(0, 1)) + 1e-6)
        slope = 2 * (in_x.sum(axis=1) - across.sum(axis=1)) / count**2
        return drawn, mmd, slope / (2 * mmd[:, None]), 0.0

    def update(self, batches, index):
        (batch,), s = batches, self.settings
        drawn = normal(key_of(index, 0), (s.samples, *batch.action.shape))
        action = self.squashed(self.slow_pi, batch.next_observation, drawn)
        metrics = dict.fromkeys(
            ["pi/loss", "pi/divergence", "pi/q", "log_multiplier/loss", "log_multiplier/weight"], 0.0
        )
        warm = ["warm_pi/loss", "warm_pi/divergence", "warm_log_multiplier/loss", "warm_log_multiplier/weight"]
        metrics |= dict.fromkeys(warm if s.warm_start else [], 0.0)
        metrics |= self.train_q(batch, self.mixed(self.slow, batch.next_observation, action).max(axis=0))
        before = index < s.warm_start
        prefix, step = ("warm_", 1) if before else ("", 3 if s.warm_start else 1)
        metrics |= self.improve(batch, index, step, not before, f"{prefix}pi")
        metrics |= self.tune(f"{prefix}log_multiplier", metrics[f"{prefix}pi/divergence"])
        self.follow_q()
        self.follow(self.slow_pi, self.pi)
        return metrics

    def compare(self, first, state):
        super().compare(first, state)
        close(policy_of(state.target["pi"]), self.slow_pi, policy_of(first.pi), "slow pi")


class ReferenceBRAC(WithPolicy):
    def first_price(self):
        return self.settings.divergence_weight

    def improved(self, observation, action):
        """The mix of the critics, and its slope: the maximum is what the minimum is of their negatives."""
        share = self.settings.ensemble_weight
        low, up = self.lowest(self.q, observation, action)
        last = len([name for name in self.q[0] if name[0] == "w"]) - 1
        negative = [net | {name: -net[name] for name in (f"w{last}", f"b{last}")} for net in self.q]
        high, down = self.lowest(negative, observation, action)
        return share * low - (1 - share) * high, share * up - (1 - share) * down

    def divergence(self, params, observation, key):
        """The normal numbers drawn, the mean of log pi - log mu over actions of pi, and its slopes."""
        count = self.settings.samples
        mean, log_std, _, _ = self.normal(params, observation)
        drawn = normals(key, count, mean.shape)
        action = np.tanh(mean + np.exp(log_std) * drawn)
        squeeze = np.log(1 - action**2)
        own = np.sum(-(drawn**2) / 2 - log_std - LOG_2PI / 2 - squeeze, axis=-1)
        other, slope = self.behaviour.density(observation, np.clip(action, -0.999, 0.999))
        in_u = 2 * action - slope * (1 - action**2) * (np.abs(action) < 0.999)
        return drawn, np.mean(own - other, axis=0), in_u / count, -1.0

    def update(self, batches, index):
        (batch,), s = batches, self.settings
        key = key_of(index, 0)
        follow, draw = jax.random.split(key) if s.penalty == "value" else (key, None)
        action = self.squashed(self.pi, batch.next_observation, normals(follow, 1, batch.action.shape))
        value = self.mixed(self.slow, batch.next_observation, action)[0]
        if s.penalty == "value":
            price = np.exp(self.log_multiplier["x"])
            value = value - price * self.divergence(self.pi, batch.next_observation, draw)[1]
        names = ["warm_pi/loss", "warm_pi/divergence"] if s.warm_start else []
        names += ["pi/loss", "pi/divergence", "pi/q"]
        names += [] if s.threshold is None else ["log_multiplier/loss", "log_multiplier/weight"]
        metrics = dict.fromkeys(names, 0.0) | self.train_q(batch, value)
        if index < s.warm_start:
            metrics |= self.improve(batch, index, 1, False, "warm_pi")
        else:
            metrics |= self.improve(batch, index, 2 if s.warm_start else 1, True, "pi")
            if s.threshold is not None:
                metrics |= self.tune("log_multiplier", metrics["pi/divergence"])
        self.follow_q()
        return metrics


MODEL = {"behaviour_width": 12, "behaviour_depth": 1, "behaviour_head_width": 8, "behaviour_head_depth": 1}
FAST = {**SMALL, **MODEL, "depth": 1, "target_rate": 0.05, "ensemble_weight": 0.7}
PACED = {**FAST, "policy_learning_rate": 2e-3}
TUNED = {**PACED, "multiplier_learning_rate": 0.01}
BINNED = {**FAST, "behaviour_bins": 5, "critics": 2}
CASES = {
    "emaq": (EMaQ(samples=4, **BINNED, behaviour_prefix_width=3), ReferenceEMaQ),
    "bcq": (BCQ(samples=3, shift=0.3, **PACED), ReferenceBCQ),
    "brac-v, tuned": (BRAC(samples=2, penalty="value", divergence_weight=0.5, threshold=0.4, **TUNED), ReferenceBRAC),
}
MORE = {
    "emaq, soft": (EMaQ(samples=4, target="soft", beta=0.5, **BINNED), ReferenceEMaQ),
    "emaq, log-mean-exp": (EMaQ(samples=4, target="log_mean_exp", beta=0.5, **BINNED), ReferenceEMaQ),
    "emaq, jackknife": (EMaQ(samples=4, target="jackknife", beta=0.5, **BINNED), ReferenceEMaQ),
    "emaq, distilled": (EMaQ(samples=4, distilled=True, behaviour_learning_rate=3e-3, **BINNED), ReferenceEMaQ),
    "bear, warm start": (BEAR(samples=3, divergence_samples=3, warm_start=2, **TUNED), ReferenceBEAR),
    "bear, gaussian kernel": (
        BEAR(samples=3, divergence_samples=2, kernel="gaussian", kernel_scale=5.0, **TUNED),
        ReferenceBEAR,
    ),
    "brac-p": (BRAC(samples=2, divergence_weight=0.3, **PACED), ReferenceBRAC),
    "brac-p, tuned, warm start": (BRAC(samples=2, threshold=0.4, warm_start=2, **TUNED), ReferenceBRAC),
    "brac-v": (BRAC(samples=2, penalty="value", divergence_weight=0.3, **PACED), ReferenceBRAC),
}
EACH = [pytest.param(*case, id=name) for name, case in CASES.items()]
EACH += [pytest.param(*case, id=name, marks=pytest.mark.slow) for name, case in MORE.items()]


@pytest.mark.parametrize(("settings", "reference"), EACH)
def test_five_updates_are_those_of_the_equations(settings, reference):
    first, state, by_hand = replay(settings, reference)
    for number, start in enumerate(first.q.members):
        close(of_library(state.online.q.members[number]), by_hand.q[number], of_library(start), f"q{number}")
        slow = of_library(state.target["q"].members[number])
        close(slow, by_hand.slow[number], of_library(start), f"slow q{number}")
    by_hand.compare(first, state)
    jax.tree.map(np.testing.assert_array_equal, state.online.behaviour, first.behaviour)
