"""Compiled training; knows nothing of losses, objectives and algorithms."""
