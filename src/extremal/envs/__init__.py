"""Simulators: D4RL's mazes on today's MuJoCo, the Adroit door as D4RL scores it, and whatever Gymnasium knows, with arguments and wrappers."""

from extremal.envs.layouts import SIZES, Layout, layout
from extremal.envs.make import NAMES, make, make_vector

__all__ = ["NAMES", "SIZES", "Layout", "layout", "make", "make_vector"]
