"""Hostile pictures: 200 of the cases of `benchmarks/fuzz.py`, which tries 20,000."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

FUZZ = Path(__file__).parents[2] / "benchmarks" / "fuzz.py"
CASES, SECONDS = 200, 5.0


@pytest.fixture(scope="module")
def fuzz() -> dict[str, Any]:
    return runpy.run_path(str(FUZZ))


def test_every_original_is_read(fuzz: dict[str, Any]) -> None:
    ask = fuzz["ask_recognizer"]()
    answers = {name: ask(data) for name, data in fuzz["originals"]().items()}
    assert set(answers.values()) <= {"faces", "no face"}, answers
    assert answers["png, clear"] == "faces"  # faint, and found


def test_faces_or_an_error_by_name_and_nothing_else(fuzz: dict[str, Any]) -> None:
    ask, answers = fuzz["ask_recognizer"](), []
    for what, data in fuzz["cases"](0, CASES):
        try:
            answer, seconds = fuzz["trial"](ask, data)
        except Exception as error:
            pytest.fail(f"{what}: {type(error).__name__}: {error}")
        assert seconds < SECONDS, what
        answers.append(answer)
    assert set(answers) == {"faces", "no face", "refused"}  # the cases reach both sides


def test_a_case_depends_on_its_number_alone(fuzz: dict[str, Any]) -> None:
    assert list(fuzz["cases"](10, 3)) == list(fuzz["cases"](8, 5))[2:]
