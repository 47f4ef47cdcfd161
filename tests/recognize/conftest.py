"""A real photo: the portrait that comes with the package."""

from __future__ import annotations

from pathlib import Path

import pytest

from mien.images import Pixels, read
from mien.recognize.vendored import vendored_folder


@pytest.fixture(scope="session")
def portrait_file() -> Path:
    return vendored_folder("pictures") / "astronaut.jpg"


@pytest.fixture(scope="session")
def portrait(portrait_file: Path) -> Pixels:
    """512 x 512 RGB, one face. Read it, never change it."""
    return read(portrait_file)
