"""What the published experts of `extremal data build` earn on version 4 and on version 5 of their robots, on the same seeds.

    python scripts/robots.py POLICIES --steps 20000

Mean return of whole episodes, one standard error, and how many they were.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from extremal.data.actors import read_actor
from extremal.data.collect import collect
from extremal.data.mujoco import ROBOTS


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("policies", type=Path, help="the folder that `extremal data build --source` takes")
    options.add_argument("--steps", type=int, default=20_000, help="of each policy on each version")
    given = options.parse_args()
    for name, robot in ROBOTS.items():
        actor = read_actor(given.policies / robot.expert.file)
        for environment in (robot.environment.replace("-v5", "-v4"), robot.environment):
            returns = collect(environment, actor, given.steps, [0, 0]).returns
            error = returns.std(ddof=1) / np.sqrt(len(returns))
            print(
                f"{name:12s} {environment:16s} {returns.mean():8.0f} ± {error:.0f}  ({len(returns)} episodes)",
                flush=True,
            )


if __name__ == "__main__":
    main()
