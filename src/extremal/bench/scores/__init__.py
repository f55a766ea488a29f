"""Scores beside a peer: the same rows, sizes, budget and episodes; each program learns in a Python of its own, one evaluator judges."""
