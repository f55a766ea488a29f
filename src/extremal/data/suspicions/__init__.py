"""The rules of `check_dataset`: each looks for one way in which logged data misleads a method."""

from extremal.data.suspicions.actions import action_kind, action_range, discrete_actions
from extremal.data.suspicions.boundaries import boundaries
from extremal.data.suspicions.ends import cut_episodes, flags, short_episodes, time_limit_as_end
from extremal.data.suspicions.log import Rule
from extremal.data.suspicions.successors import filled_successors, half_written, written_again
from extremal.data.suspicions.values import features, rewards, stray_numbers

RULES: tuple[Rule, ...] = (
    boundaries,
    filled_successors,
    time_limit_as_end,
    short_episodes,
    cut_episodes,
    flags,
    rewards,
    discrete_actions,
    action_range,
    action_kind,
    features,
    stray_numbers,
    written_again,
    half_written,
)
