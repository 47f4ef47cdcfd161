"""Kills: a few of those of `benchmarks/faults.py`, which tries every change of the file system of every verb."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FAULTS = Path(__file__).parents[1] / "benchmarks" / "faults.py"

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="children are forked")


def test_what_a_killed_command_began_the_same_command_ends() -> None:
    verbs = ["data draw, zip", "data stats", "recognize, pictures", "recognize, video"]
    command = [sys.executable, str(FAULTS), "--number", "2", "--seed", "7", "--verbs", *verbs]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == f"{2 * len(verbs)} kills of {len(verbs)} verbs: 0 went wrong"
