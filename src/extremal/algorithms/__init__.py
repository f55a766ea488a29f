"""Recipes: one file per family, with settings per benchmark and their sources."""
