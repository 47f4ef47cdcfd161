"""Hostile files: 600 of the cases of `benchmarks/fuzz_files.py`, which tries 100,000."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

FUZZ = Path(__file__).parents[2] / "benchmarks" / "fuzz_files.py"
CASES = 600


@pytest.fixture(scope="module")
def fuzz() -> dict[str, Any]:
    return runpy.run_path(str(FUZZ))


@pytest.fixture
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))


@pytest.mark.usefixtures("own_cache")
def test_every_original_is_read(fuzz: dict[str, Any], tmp_path: Path) -> None:
    for name, kind in fuzz["kinds"]().items():
        for number, original in enumerate(kind.originals):
            assert fuzz["trial"](kind, original, tmp_path) == "read", (name, number)


@pytest.mark.slow
@pytest.mark.usefixtures("own_cache")
def test_each_case_is_read_or_refused_in_little_memory(fuzz: dict[str, Any], tmp_path: Path) -> None:
    wanted = fuzz["kinds"]()
    ends, wrong, memory = fuzz["run"](wanted, 0, CASES, tmp_path / "kept")
    assert wrong == []
    assert memory < fuzz["MOST_MEMORY"]
    for name in wanted:
        assert ends[name, "read"] > 0 or name == "csv.gz", name  # its checksum finds every change
        assert ends[name, "refused"] > 0, name
