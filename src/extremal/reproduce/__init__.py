"""Figures of the papers, and of this library, each from numbers that are computed here."""
