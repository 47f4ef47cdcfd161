"""Recipes: what to train, as validated files."""
