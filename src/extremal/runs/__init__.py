"""Runs on disk: plan, train, resume, evaluate, summarise, read back."""
