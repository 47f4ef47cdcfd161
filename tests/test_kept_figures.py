"""The kept evidence follows from the kept predictions, to the last digit: whoever moves code moves no figure."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from mien import Run, Votes
from mien.evaluation.evidence import Asked, evidence
from mien.studies.gather import gather

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))
from keep_results import result_lines  # noqa: E402  a script beside the package

EVIDENCE = sorted(path for path in (ROOT / "docs" / "evidence").glob("*.json") if path.stem != "seconds")


def same(found: Any, kept: Any, where: str = "") -> None:
    """Equal but for the last digits, which another processor adds in another order."""
    if isinstance(kept, dict):
        assert found.keys() >= kept.keys(), where  # what is new has a default
        for key, value in kept.items():
            same(found[key], value, f"{where}.{key}")
    elif isinstance(kept, list):
        assert len(found) == len(kept), where
        for i, (ours, theirs) in enumerate(zip(found, kept, strict=True)):
            same(ours, theirs, f"{where}[{i}]")
    elif isinstance(kept, float):
        assert found == pytest.approx(kept, rel=1e-7, abs=1e-9), where
    else:
        assert found == kept, where


@pytest.mark.parametrize("file", EVIDENCE, ids=lambda path: path.stem)
def test_evidence(file: Path, real_data: Path) -> None:
    kept, run = json.loads(file.read_text()), Run(ROOT / "results" / file.stem)
    found = evidence(run.predictions("test"), run.name, run.card, Asked(votes=Votes.open(real_data / "ferplus.csv")))
    told = json.loads(found.model_dump_json())
    for part in ("evaluation", "abstention", "humans"):
        same(told[part], kept[part], part)


def test_results() -> None:
    kept = json.loads((ROOT / "docs" / "results.json").read_text())
    found = [line for run in gather(ROOT / "results", "", []).runs for line in result_lines(run)]
    same(json.loads(json.dumps(found)), kept)
