"""The peers by name: what runs them, what is installed for them, and the methods that they have."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from extremal.core.errors import nearest

_HERE = Path(__file__).parent
SERVE = _HERE / "sides" / "serve.py"
OURS = _HERE / "ours.py"
METHODS = ("iql", "td3bc", "sac", "td3", "cql", "xql")


class Peer(NamedTuple):
    """A library that has some of the methods."""

    side: Path  # runs in its own Python
    packages: Path  # its list of packages; peers with the same list share a Python
    methods: tuple[str, ...]


def _peer(side: str, packages: str, *methods: str) -> Peer:
    return Peer(_HERE / "sides" / side, _HERE / "packages" / packages, methods)


PEERS: dict[str, Peer] = {
    "d3rlpy": _peer("d3rlpy_side.py", "d3rlpy.txt", "iql", "td3bc", "sac", "td3", "cql"),
    "stable-baselines3": _peer("stable_baselines3_side.py", "stable-baselines3.txt", "sac", "td3"),
    "sbx-rl": _peer("sbx_side.py", "stable-baselines3.txt", "sac", "td3"),
    "torchrl": _peer("torchrl_side.py", "torchrl.txt", "iql", "td3bc", "sac", "td3", "cql"),
}

LEARNERS: dict[str, Peer] = {
    "d3rlpy": _peer("d3rlpy_learner.py", "d3rlpy.txt", "iql", "td3bc", "bc", "cql", "awac"),
}
"""Of `bench --scores`: their sides train with our settings, and act."""


def check_names(methods: Sequence[str], peers: Sequence[str]) -> None:
    """Refuse what no race can be run of.

    Raises:
        ConfigError: an unknown method or peer; says the nearest ones.
    """
    for name in methods:
        if name not in METHODS:
            raise nearest(name, METHODS, kind="method of the bench")
    for name in peers:
        if name not in PEERS:
            raise nearest(name, PEERS, kind="peer")
