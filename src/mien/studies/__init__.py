"""Studies: many trainings on one data set, side by side."""
