"""Predictions to numbers: scores with intervals, and comparisons of models on the same images."""
