"""A hub of its own for each test, and Python that talks to it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from stand_in import Hub, caller, serving


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serving() as found:
        yield found


@pytest.fixture
def python(hub: Hub, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    return caller(hub, tmp_path)
