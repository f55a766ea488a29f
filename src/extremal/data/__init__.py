"""Logged data: the store, the files it is read from, and what is done to it before training."""
