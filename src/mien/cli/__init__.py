"""Command line: one file per verb. Only this room prints or exits."""
