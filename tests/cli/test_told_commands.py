"""Commands that errors tell: a shell takes them as they are meant."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mien.recognize.vendored import read_vendored


@pytest.fixture
def spaced(tmp_path: Path) -> Path:
    """A model file whose folder has a space in its name."""
    file = tmp_path / "my models" / "own.onnx"
    file.parent.mkdir()
    file.write_bytes(read_vendored("weights", "mien-small.onnx"))
    return file


def test_a_card_without_figures_names_the_file_and_not_its_stem(mien, spaced: Path) -> None:
    done = mien("card", spaced)
    assert done.code == 2
    assert f"(mien evaluate '{spaced}' --data PATH --report)" in done.err


def test_a_missing_model_file_is_told_with_a_quoted_path(mien, spaced: Path) -> None:
    missing = spaced.with_name("none.onnx")
    done = mien("recognize", "photo.jpg", "--model", missing)
    assert f"mien export RUN --data PATH --to '{missing}'" in done.err


def test_a_run_without_a_model_file_is_told_with_a_quoted_path(mien, spaced: Path) -> None:
    run = spaced.parent / "run"
    run.mkdir()
    (run / "card.json").write_text("{}")
    done = mien("recognize", "photo.jpg", "--model", run)
    assert f"mien export '{run}' --data PATH" in done.err
    shutil.rmtree(run)
    done = mien("compare", run, run)
    assert f"mien train cnn-v2 --data PATH --out '{run}'" in done.err
