"""XQL's published scripts, typed again: temperature, clip, batch, updates of V, and uniform actions beside the data's."""

import pytest

from extremal.algorithms import xql
from extremal.algorithms.registry import preset

# The scripts' flags --temp, --max_clip, --batch_size (1024 where a script does not set it), --num_v_updates, and
# --sample_random_times. A script that adds noise to actions (halfcheetah-medium) has no preset; pen is the read-me's.
SCRIPTS = {
    ("halfcheetah", "v2"): {"medium-replay": (1, 5, 256, 1, 0), "medium-expert": (1, 5, 1024, 1, 0)},
    ("hopper", "v2"): {
        "medium": (5, 7, 1024, 1, 0),
        "medium-replay": (2, 7, 256, 1, 0),
        "medium-expert": (2, 7, 1024, 1, 1),
    },
    ("walker2d", "v2"): {
        "medium": (10, 7, 1024, 1, 0),
        "medium-replay": (5, 5, 1024, 1, 0),
        "medium-expert": (2, 5, 256, 1, 0),
    },
    ("antmaze", "v0"): {
        "umaze": (2, 7, 256, 1, 0),
        "umaze-diverse": (5, 7, 256, 1, 1),
        "medium-play": (0.8, 5, 256, 1, 0),
        "medium-diverse": (0.6, 7, 256, 4, 0),
        "large-play": (0.6, 5, 1024, 1, 0),
        "large-diverse": (0.55, 5, 1024, 1, 0),
    },
    ("kitchen", "v0"): {
        "complete": (2, 7, 1024, 1, 0),
        "partial": (5, 7, 1024, 1, 0),
        "mixed": (8, 7, 1024, 1, 0),
    },
    ("pen", "v0"): {"human": (8, 5, 1024, 1, 1)},
}
TASKS = {f"{first}-{kind}-{version}": row for (first, version), rows in SCRIPTS.items() for kind, row in rows.items()}


@pytest.mark.parametrize("task", TASKS)
def test_a_preset_has_the_numbers_of_its_script(task):
    settings = preset("xql", f"code/{task}")
    found = settings.beta, settings.clip, settings.batch_size, settings.value_updates, settings.random_actions
    assert found == TASKS[task]
    assert (settings.huber, settings.value_layer_norm, settings.critics) == (20.0, True, 2)
    assert settings.policy_schedule == ("constant" if task.startswith("antmaze") else "cosine")
    temperature = {"antmaze": 10.0, "kitchen": 0.5, "pen": 0.5}.get(task.split("-")[0], 3.0)
    assert settings.inverse_temperature == temperature
    assert settings.policy_dropout == (0.1 if temperature == 0.5 else None)


def test_no_script_goes_unchecked():
    scripts = {name.split("/")[-1] for name, known in xql.PRESETS.items() if known.settings.huber}
    assert scripts == set(TASKS)
