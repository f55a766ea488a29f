"""Objectives: what one network minimises, 10 to 30 lines each."""
