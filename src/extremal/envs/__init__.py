"""Environments: Gymnasium adaptors and the D4RL mazes."""
