"""Checkpoints, logs and settings on disk, all written atomically."""
