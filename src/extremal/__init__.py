"""Extremal: learning policies from logged data. See https://extremal.readthedocs.io."""

__version__ = "0.1.0"
