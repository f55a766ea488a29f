"""Locomotion data of D4RL's kinds, from trained policies on Gymnasium's v5 robots.

    random               uniform actions
    medium               one poor policy
    expert               one good policy
    medium-expert        half the rows of each
    medium-replay-like   a training's policies from its first to the medium one, in equal shares

Every policy is a published one. Which file plays which part is fixed here, by the SHA-256 of the file, and so a name stands
for the same behaviour wherever it is built. A name alone means `ROWS` rows and seed 0; any other size or seed is a dataset
of its own, with a name that says so: `hopper-medium-rows1000000-seed1`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

import numpy as np

from extremal.core.errors import ConfigError, DataError, nearest, require
from extremal.data.actors import Actor, Uniform, read_actor, read_snapshot
from extremal.data.collect import Collected, Progress, collect
from extremal.data.dataset import Card, Dataset
from extremal.data.loaders.files import existing

ROWS = 200_000
GENERATOR = 1  # raised when the same seed gives other numbers
LEVELS = ("random", "medium", "expert", "medium-expert", "medium-replay-like")


@dataclass(frozen=True)
class Policy:
    """A published policy: its file below the folder of all, and which snapshot of it where the file holds many."""

    file: str
    sha256: str
    iteration: int | None = None


@dataclass(frozen=True)
class Robot:
    """A simulator, and who plays which part in it."""

    environment: str
    medium: Policy
    expert: Policy
    replay: tuple[Policy, ...]  # from the beginning of training to the medium one

    def policies(self, level: str) -> tuple[Policy | None, ...]:
        """Those that act in a dataset, in order and in equal shares; None stands for uniform actions."""
        return {
            "random": (None,),
            "medium": (self.medium,),
            "expert": (self.expert,),
            "medium-expert": (self.medium, self.expert),
            "medium-replay-like": self.replay,
        }[level]


def _snapshots(name: str, sha256: str, last: int) -> tuple[Policy, ...]:
    """A training's snapshots up to iteration `last`; there is one every 20 iterations."""
    return tuple(Policy(f"openai_imitation_trpo_snapshots/{name}.h5", sha256, i) for i in range(0, last + 1, 20))


def _actor(name: str, sha256: str) -> Policy:
    return Policy(f"sb3_zoo/{name}.npz", sha256)


_HOPPER = _snapshots("log_Hopper-v1_4", "4777c90d701cbc841c0cff5598cd86bbb6a3f4a9f8f22530230ff46ee22d0029", 20)
_HOPPER += (_actor("sac_Hopper-v3", "043fbfe1fd7c864da8bd5f830894e05a5b237a4f2047b06c01148af02e578144"),)
_CHEETAH = _snapshots("log_HalfCheetah-v1_2", "00fa85ce04cf74018351584fb1d2790f71949e4afae4be7fb19e794cee8dc7ff", 500)
_WALKER = _snapshots("log_Walker2d-v1_1", "4dc7f698ccb8f3f0b78728718e8dbb7d6e29becd199f5e80b8b27cc05489337e", 40)

# The expert is the robot's TQC actor. The medium one is the policy whose return lies nearest to a third of the expert's, in
# ratio: TRPO's hopper jumps from 18 % of the expert at iteration 20 to 80 % at 40, so there it is the SAC actor at 48 %.
ROBOTS: dict[str, Robot] = {
    "hopper": Robot(
        "Hopper-v5",
        medium=_HOPPER[-1],
        expert=_actor("tqc_Hopper-v3", "d65a31be88ec78ed24ec2dd56bd7b9b63d212b73eadfe61e2e7ac3cc4b6f56e8"),
        replay=_HOPPER,
    ),
    "halfcheetah": Robot(
        "HalfCheetah-v5",
        medium=_CHEETAH[-1],
        expert=_actor("tqc_HalfCheetah-v3", "1442565714b94ce5932856bbd9f984818a0a4f71412b4ed1a5f86140479c72f2"),
        replay=_CHEETAH,
    ),
    "walker2d": Robot(
        "Walker2d-v5",
        medium=_WALKER[-1],
        expert=_actor("tqc_Walker2d-v3", "67e06ddaa4329cf164210153258737bccd2dafae89713b2623c7c0440b96dbe8"),
        replay=_WALKER,
    ),
}
NAMES = tuple(f"{robot}-{level}" for robot in ROBOTS for level in LEVELS)
_ID = re.compile(rf"({'|'.join(NAMES)})(?:-rows(\d+))?(?:-seed(\d+))?")


def dataset_id(name: str, rows: int = ROWS, seed: int = 0) -> str:
    """What the dataset of this size and seed is called.

    >>> dataset_id("hopper-medium"), dataset_id("hopper-medium", rows=1_000_000, seed=1)
    ('hopper-medium', 'hopper-medium-rows1000000-seed1')
    """
    return name + (f"-rows{rows}" if rows != ROWS else "") + (f"-seed{seed}" if seed else "")


def parse(id: str) -> tuple[str, int, int] | None:
    """Name, rows and seed of what `dataset_id` gave; None where it cannot have given this.

    >>> parse("hopper-medium-seed1"), parse("hopper-medium-seed0")
    (('hopper-medium', 200000, 1), None)
    """
    if (match := _ID.fullmatch(id)) is None:
        return None
    parts = match[1], int(match[2] or ROWS), int(match[3] or 0)
    return parts if id == dataset_id(*parts) else None


def build(name: str, source: Path, *, rows: int = ROWS, seed: int = 0, progress: Progress | None = None) -> Dataset:
    """The dataset `name`, one of `NAMES`, simulated anew. The same arguments give the same numbers on the same machine.

    Args:
        source: the folder of policies; it holds `openai_imitation_trpo_snapshots/` and `sb3_zoo/`.
        rows: the policies share them equally, and each one's last episode is cut where its share is full.

    Every action is a sample. Entries outside [-1, 1] are clipped before they are carried out and recorded.

    Raises:
        ConfigError: an unknown name, or fewer rows than policies.
        DataError: a policy's file is missing, damaged, or not the one that the name stands for.
        MissingExtraError: the simulator, or h5py, is not installed.

    Source: [fu2020] {hopper,halfcheetah,walker2d}-{random,medium,expert,medium-expert,medium-replay}.
    Differs from the paper: other policies (TRPO, SAC and TQC, each from a training of its own, where D4RL's are one SAC
    training's) on version 5 of the robots; `medium-replay-like` samples anew from a training's policies, where a replay
    buffer holds what each of very many policies did once, exploration included.
    """
    if name not in NAMES:
        raise nearest(name, NAMES, kind="dataset")
    robot, level = name.split("-", 1)
    policies = ROBOTS[robot].policies(level)
    if rows < len(policies) or seed < 0:
        raise ConfigError(
            f"cannot build {rows} rows of '{name}' by seed {seed}; it takes a row of each of {len(policies)} "
            f"{'policy' if len(policies) == 1 else 'policies'} at least, and a seed from 0 on"
        )
    require("mujoco", extra="envs", purpose="generating data")
    actors = [_load(policy, source) for policy in policies]
    shares = _shares(rows, len(policies))
    collected: list[Collected] = []
    for number, (actor, (first, last)) in enumerate(zip(actors, shares, strict=True)):
        told = _after(progress, first, rows)
        collected.append(collect(ROBOTS[robot].environment, actor, last - first, [seed, number], progress=told))
    episodes = [episode for part in collected for episode in part.episodes]
    return Dataset.from_episodes(episodes, card=_card(name, rows, seed, policies, shares, collected))


def _load(policy: Policy | None, source: Path) -> Actor:
    """The policy from its file, which must be the published one."""
    if policy is None:
        return Uniform()
    path = Path(source).expanduser() / policy.file
    found = hashlib.sha256(existing(path, path.suffix).read_bytes()).hexdigest()
    if found != policy.sha256:
        raise DataError(
            f"is not the published policy: its SHA-256 is {found[:16]}..., expected {policy.sha256[:16]}...", file=path
        )
    return read_actor(path) if policy.iteration is None else read_snapshot(path, policy.iteration)


def _shares(rows: int, policies: int) -> list[tuple[int, int]]:
    """First and last row, exclusive, of each policy; sizes differ by one at most."""
    return list(pairwise(rows * number // policies for number in range(policies + 1)))


def _after(progress: Progress | None, before: int, total: int) -> Progress | None:
    """Progress of one policy as progress of the whole."""
    return None if progress is None else lambda finished, _: progress(before + finished, total)


def _card(
    name: str,
    rows: int,
    seed: int,
    policies: Sequence[Policy | None],
    shares: Sequence[tuple[int, int]],
    collected: Sequence[Collected],
) -> Card:
    robot, level = name.split("-", 1)
    actions = collected[0].episodes[0]["action"].shape[1]
    recipe = {
        "generator": "extremal.data.mujoco",
        "version": GENERATOR,
        "rows": rows,
        "seed": seed,
        "policies": [
            (asdict(policy) if policy else {"file": None, "distribution": "uniform"})
            | {"rows": last - first, "clipped_action_entries": round(part.clipped, 6)}
            | _measured(part.returns)
            for policy, (first, last), part in zip(policies, shares, collected, strict=True)
        ],
        **{package: version(package) for package in ("gymnasium", "mujoco", "numpy")},
    }
    return Card(
        name=dataset_id(name, rows, seed),
        environment=ROBOTS[robot].environment,
        reference=f"{robot}-{level.removesuffix('-like')}-v2",
        action_low=(-1.0,) * actions,
        action_high=(1.0,) * actions,
        recipe=json.dumps(recipe),
    )


def _measured(returns: np.ndarray) -> dict[str, float | int | None]:
    """Of the episodes that were not cut: how many, their mean return and its standard deviation over episodes."""
    if len(returns) == 0:
        return {"episodes": 0, "mean_return": None, "return_deviation": None}
    return {
        "episodes": len(returns),
        "mean_return": round(float(returns.mean()), 3),
        "return_deviation": round(float(returns.std()), 3),
    }
