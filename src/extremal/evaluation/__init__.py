"""Rollouts, normalised scores and honest intervals."""
