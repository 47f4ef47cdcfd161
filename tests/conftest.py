"""Shared by all tests: a cache of their own, a drawn data set, and the real one where it is at hand."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from mien import FaceSet, Recipe, Run, train
from mien.data.draw import draw_set

DRAWN = 140  # faces: 112 for training, 14 public and 14 private


@pytest.fixture(scope="session", autouse=True)
def mien_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Decoded faces go to a folder of this session, never to the user's cache."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIEN_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def drawn_zip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cartoon faces in the Kaggle layout, as a zip. Read it, never change it."""
    return draw_set(tmp_path_factory.mktemp("drawn") / "drawn.zip", DRAWN, seed=7)


@pytest.fixture(scope="session")
def drawn_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The faces of `drawn_zip`, as a folder. Read it, never change it."""
    return draw_set(tmp_path_factory.mktemp("drawn") / "drawn", DRAWN, seed=7)


@pytest.fixture(scope="session")
def fer2013() -> FaceSet:
    """The real FER2013; tests that ask for it are skipped without it."""
    shared = Path(os.environ.get("MIEN_SHARED") or Path(__file__).parents[2] / "shared")
    path = shared / "data" / "fer2013.zip"
    if not path.is_file():
        pytest.skip(f"{path} is not there; set MIEN_SHARED to the folder that holds data/fer2013.zip")
    return FaceSet.open(path, size=48)


@pytest.fixture(scope="session")
def drawn_faces(drawn_zip: Path) -> FaceSet:
    """The drawn set, opened."""
    return FaceSet.open(drawn_zip, size=48)


@pytest.fixture
def trained_run(trained_folder: Path, tmp_path: Path) -> Run:
    """A finished run of cnn-v1 on the drawn faces, in a folder of this test's own."""
    return Run(Path(shutil.copytree(trained_folder, tmp_path / "trained")))


@pytest.fixture(scope="session")
def trained_folder(drawn_faces: FaceSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    recipe = Recipe.load("cnn-v1", ["epochs=3"])
    return train(recipe, drawn_faces, tmp_path_factory.mktemp("runs") / "trained").folder
