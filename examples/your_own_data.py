"""From a log of your own to a policy: a CSV file becomes a dataset, is checked, trained on, and acted with.

    python examples/your_own_data.py            leaves log.csv and a run in runs/your_own_data

The log is of a heated room: a row is a quarter of an hour, an episode a day. Whoever was at home turned the heater their
own way, and on some days nobody was. The reward is comfort less the price of the energy, and a burst pipe is dear.
"""

import sys
from pathlib import Path

import numpy as np

import extremal
from extremal.report.check import check_text

COLUMNS = ("day", "room", "outside", "watts", "reward", "frozen")
FROZEN = 3.0  # degrees at which the pipes burst


def next_room(room, outside, watts):
    """Degrees a quarter of an hour later: the heater warms, the walls leak."""
    return room + 0.0006 * watts - 0.03 * (room - outside)


def reward_of(room, watts):
    """Comfort less energy, and less the plumber."""
    return -0.1 * abs(room - 20.0) - 0.0002 * watts - 100.0 * (room < FROZEN)


def weather(random):
    """[97] degrees outside over a day."""
    return random.uniform(-8.0, 4.0) + 4.0 * np.sin(np.linspace(-np.pi / 2, 1.5 * np.pi, 97))


def write_log(path, days, random):
    """A CSV as a controller would write it, in the units of the plant."""
    rows = []
    for day in range(days):
        outside, room, wish = weather(random), random.uniform(12.0, 20.0), random.uniform(14.0, 26.0)
        home = random.random() < 0.9
        for hour in outside[:-1]:
            watts = home * np.clip(400.0 * (wish - room) + random.normal(0.0, 400.0), 0.0, 2000.0)
            after = next_room(room, hour, watts)
            rows.append((day, room, hour, watts, reward_of(after, watts), after < FROZEN))
            room = after
            if room < FROZEN:
                break
    np.savetxt(path, np.array(rows, float), delimiter=",", header=",".join(COLUMNS), comments="", fmt="%.6g")


def read_log(path):
    """The dataset: which columns are seen, what was done, where an episode ends, and in which range an action may be."""
    table = np.genfromtxt(path, delimiter=",", names=True)
    return extremal.Dataset.from_rows(
        observation=np.column_stack([table["room"], table["outside"]]),
        action=table["watts"],
        reward=table["reward"],
        terminated=table["frozen"],  # the end of the task; where merely the day ends, what follows still counts
        episode=table["day"],
        card=extremal.Card(name="heater", action_low=(0.0,), action_high=(2000.0,)),
    )


def day_of(act, random):
    """What a day brings under `act`. With a plant in place of this function you would have to try it there, carefully."""
    outside, room, total = weather(random), random.uniform(12.0, 20.0), 0.0
    for hour in outside[:-1]:
        watts = float(np.clip(act(np.array([room, hour]))[0], 0.0, 2000.0))
        room = next_room(room, hour, watts)
        total += reward_of(room, watts)
        if room < FROZEN:
            break
    return total


def main(folder, updates=3000):
    folder.mkdir(parents=True, exist_ok=True)
    write_log(folder / "log.csv", days=200, random=np.random.default_rng(0))
    data = read_log(folder / "log.csv")

    # What is in it, and would anything in it make training wrong?
    report = extremal.check_dataset(data)
    print(check_text(report.to_json()))
    if not report.ok:
        sys.exit(1)

    # A tenth of the days is kept from training; without a simulator, losses on them stand in place of a score.
    settings = extremal.XQL(beta=0.5, width=64, normalise_observation=True)
    run = extremal.train(settings, data, updates=updates, out=folder / "run", resume=True)
    for result in run.results:
        print(f"{result['metric']:28} {result['mean']:9.4f}")

    # The policy takes observations and gives actions in the units of the log.
    policy = extremal.load(folder / "run")
    for room in (12.0, 20.0, 26.0):
        (watts,) = policy.act(np.array([room, 0.0]))
        print(f"room at {room:.0f} degrees, freezing outside: heat with {watts:.0f} W")
    random = np.random.default_rng(1)
    returns = [day_of(policy.act, random) for _ in range(20)]
    print(f"mean return of a day: {data.returns.mean():.1f} in the log, {np.mean(returns):.1f} under the policy")


if __name__ == "__main__":
    main(Path(*sys.argv[1:]) if len(sys.argv) > 1 else Path("runs/your_own_data"))
