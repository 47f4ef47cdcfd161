"""Training: a recipe and labeled faces in, a run folder out."""
