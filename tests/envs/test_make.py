"""Every name makes its simulator; an unknown one is answered with the nearest."""

import warnings

import numpy as np
import pytest

from extremal.core.errors import ConfigError
from extremal.envs import NAMES, make, make_vector


@pytest.mark.parametrize("name", NAMES)
def test_every_name_of_ours_steps(name):
    environment = make(name)
    observation, _ = environment.reset(seed=0)
    after, reward, terminated, truncated, info = environment.step(np.zeros(environment.action_space.shape, np.float32))
    environment.close()
    assert observation.shape == after.shape == environment.observation_space.shape
    assert isinstance(reward, float)
    assert (terminated, truncated) == (False, False)
    assert info["success"] is False


def test_a_gymnasium_id_is_made_by_gymnasium():
    environment = make("Pendulum-v1")
    assert environment.spec is not None
    assert environment.spec.id == "Pendulum-v1"
    environment.close()


def test_ids_of_gymnasium_robotics_are_known_without_importing_it():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)  # of Gymnasium: newer versions of the id
        environment = make("AdroitHandDoorSparse-v1")
    assert environment.action_space.shape == (28,)
    environment.close()


def test_an_unknown_environment_names_the_nearest():
    with pytest.raises(
        ConfigError, match="unknown environment 'pointmaze-medium-gaol'; did you mean 'pointmaze-medium-goal'"
    ):
        make("pointmaze-medium-gaol")


def test_a_module_that_is_not_there_is_told():
    with pytest.raises(ConfigError, match="no_such_package"):
        make("no_such_package:Env-v0")


def test_vector_environments_step_together():
    vector = make_vector("pointmaze-umaze-goal", 3)
    observation, _ = vector.reset(seed=0)
    assert observation.shape == (3, 4)
    assert len(np.unique(observation, axis=0)) == 3
    vector.step(np.zeros((3, 2), np.float32))
    vector.close()
    with pytest.raises(ConfigError, match="at least one"):
        make_vector("pointmaze-umaze-goal", 0)
