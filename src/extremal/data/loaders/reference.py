"""D4RL's names: which reference scores belong to a file, and where its task stops counting steps.

Names, file names and step limits are those of D4RL's own registrations.
"""

from __future__ import annotations

import re

# File name, with '-' for '_', -> D4RL's name; the rule must match the whole name.
_RULES: tuple[tuple[str, str], ...] = (
    (r"(halfcheetah|hopper|walker2d|ant)-(random|medium|expert|medium-expert)", r"\1-\2-v0"),
    (
        r"(halfcheetah|hopper|walker2d|ant)-(random|medium|expert|medium-(?:expert|replay)|full-replay)-v([012])",
        r"\1-\2-v\3",
    ),
    (r"(halfcheetah|hopper|ant)-mixed", r"\1-medium-replay-v0"),
    (r"walker-mixed", r"walker2d-medium-replay-v0"),
    (r"(pen|door|hammer|relocate)-(human|cloned|expert)-v([01])", r"\1-\2-v\3"),
    (r"(pen|door|hammer|relocate)-v0-demos-clipped", r"\1-human-v0"),
    (r"(pen|door|hammer|relocate)-v0-expert-clipped", r"\1-expert-v0"),
    (r"(pen|door|hammer|relocate)-demos-v0-bc-combined", r"\1-cloned-v0"),
    (r"antmaze-(umaze|umaze-diverse|medium-play|medium-diverse|large-play|large-diverse)-v([02])", r"antmaze-\1-v\2"),
    (r"maze2d-(umaze|medium|large)(?:-sparse)?-v1", r"maze2d-\1-v1"),
    (r"maze2d-(umaze|medium|large)-dense-v1", r"maze2d-\1-dense-v1"),
    (r"maze2d-open(?:-sparse|-v0)", r"maze2d-open-v0"),
    (r"maze2d-open-dense(?:-v0)?", r"maze2d-open-dense-v0"),
    (r"mini-kitchen-microwave-kettle-light-slider-v0", r"kitchen-complete-v0"),
    (r"kitchen-microwave-kettle-light-slider-v0", r"kitchen-partial-v0"),
    (r"kitchen-microwave-kettle-bottomburner-light-v0", r"kitchen-mixed-v0"),
    (r"kitchen-(complete|partial|mixed)-v0", r"kitchen-\1-v0"),
    (r"minigrid4rooms|minigrid-fourrooms-v0", r"minigrid-fourrooms-v0"),
    (r"minigrid4rooms-random|minigrid-fourrooms-random-v0", r"minigrid-fourrooms-random-v0"),
)
_ANTMAZE = re.compile(
    r"Ant_maze_(u|big|hardest)-maze_noisy_multistart_(True|False)_multigoal_(True|False)_sparse(_fixed)?"
)
_ANTMAZE_NAMES = {
    ("u", "False", "False"): "umaze",
    ("u", "True", "True"): "umaze-diverse",
    ("big", "True", "False"): "medium-play",
    ("big", "True", "True"): "medium-diverse",
    ("hardest", "True", "False"): "large-play",
    ("hardest", "True", "True"): "large-diverse",
}
_LIMITS: tuple[tuple[str, int], ...] = (
    ("halfcheetah-", 1000),
    ("hopper-", 1000),
    ("walker2d-", 1000),
    ("ant-", 1000),
    ("pen-", 100),
    ("door-", 200),
    ("hammer-", 200),
    ("relocate-", 200),
    ("kitchen-", 280),
    ("antmaze-umaze", 700),
    ("antmaze-", 1000),
    ("maze2d-open", 150),
    ("maze2d-umaze", 300),
    ("maze2d-medium", 600),
    ("maze2d-large", 800),
    ("minigrid-", 50),
)


def reference_of(stem: str) -> str | None:
    """D4RL's name for the file name `stem` (without ending), or None where it does not reveal one.

    >>> reference_of("hopper_medium_replay-v2"), reference_of("door-v0_demos_clipped"), reference_of("mine")
    ('hopper-medium-replay-v2', 'door-human-v0', None)
    """
    if match := _ANTMAZE.fullmatch(stem):
        name = _ANTMAZE_NAMES.get((match[1], match[2], match[3]))
        return f"antmaze-{name}-v{2 if match[4] else 0}" if name else None
    for pattern, name in _RULES:
        if match := re.fullmatch(pattern, stem.replace("_", "-")):
            return match.expand(name)
    return None


def minari_reference_of(name: str) -> str | None:
    """D4RL's name for a Minari dataset whose task kept its reward and its step limit, else None.

    Pen now stops after 200 steps instead of 100, the ant mazes and the kitchen count rewards differently, and Minari's
    point mazes and locomotion sets are new tasks: their returns are not on D4RL's scale.

    >>> minari_reference_of("D4RL/door/human-v2"), minari_reference_of("D4RL/pen/human-v2")
    ('door-human-v1', None)
    """
    match = re.fullmatch(r"D4RL/(door|hammer|relocate)/(human|cloned|expert)-v\d+", name)
    return f"{match[1]}-{match[2]}-v1" if match else None


def step_limit(reference: str | None) -> int | None:
    """Steps after which the task of D4RL's dataset `reference` stops an episode."""
    return next((limit for prefix, limit in _LIMITS if (reference or "").startswith(prefix)), None)


def action_count(reference: str | None) -> int | None:
    """Discrete actions of the task of D4RL's dataset `reference`; None: continuous, or not known.

    MiniGrid has seven: turn left and right, go on, pick up, drop, toggle, finish.
    """
    return 7 if (reference or "").startswith("minigrid-") else None
