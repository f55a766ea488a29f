"""The simulator of a run: named, or made by a function, and compared with the data before anything starts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from extremal.core.errors import ConfigError, ExtremalError, SimulatorError
from extremal.runs.plan import Plan

if TYPE_CHECKING:
    import gymnasium

Simulator = str | Callable[[], Any]  # a name for `extremal.envs.make`, or a function that makes a new environment

NO_SIMULATOR = "none"  # for `environment`: train without one, though the dataset names one


def named(simulator: Simulator | None) -> str | None:
    """The entry of config.json for it: the name, or that a function of this name made it.

    Raises:
        ConfigError: it is neither a name nor a function.
    """
    from extremal.envs.naming import name_of

    if simulator is None or isinstance(simulator, str):
        return simulator
    if not callable(simulator):
        raise ConfigError(
            f"environment is a {type(simulator).__name__}; give a name, or a function that makes a new environment at each call"
        )
    return name_of(simulator)


def maker(simulator: Simulator | None, plan: Plan) -> Callable[[], gymnasium.Env]:
    """A function that makes the simulator, or the one that the data name where None is given, and refuses one that does not fit.

    A module is imported where a user named it, now or when the run was begun, never where a file of data names it.
    """
    from extremal.envs import make
    from extremal.evaluation.fit import check_fit

    name = plan.environment if simulator is None else named(simulator)
    order = plan.dataset["recipe"].get("observation_order")
    assert name is not None

    def create() -> gymnasium.Env:
        made = _called(simulator) if callable(simulator) else make(name, imports=simulator is not None)
        if not hasattr(made, "observation_space") or not hasattr(made, "action_space"):
            raise ConfigError(f"environment: the function gave a {type(made).__name__}, not a Gymnasium environment")
        try:
            check_fit(made, plan.spec, name=name, order=order)
        except ExtremalError:
            made.close()
            raise
        return made

    return create


def _called(simulator: Callable[[], Any]) -> Any:
    try:
        return simulator()
    except ExtremalError:
        raise
    except Exception as error:
        raise SimulatorError(
            f"environment: the function, which is called without arguments, failed: {type(error).__name__}: {error}"
        ) from error


def check_simulator(simulator: Simulator | None, plan: Plan, *, begun: bool = False) -> None:
    """The simulator exists and takes what the data has: found out before training, not after.

    Args:
        begun: a run that goes on, and can no longer do without.

    Raises:
        ConfigError, SpecError, MissingExtraError, SimulatorError: it is not so; each says how to train without one.
    """
    if plan.environment is None:
        return
    try:
        maker(simulator, plan)().close()
    except ExtremalError as error:
        if begun:
            raise
        reason = str(error)
        separator = "\n" if "\n" in reason else "; "
        raise type(error)(f"{reason}{separator}to train without a simulator: --environment {NO_SIMULATOR}") from error
