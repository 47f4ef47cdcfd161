"""Applications over the bundled model and the portrait, called without a network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from mien.recognize.recognizer import Recognizer
from mien.serve.api import create_app

PORTRAIT = Path(__file__).parents[2] / "src" / "mien" / "recognize" / "pictures" / "astronaut.jpg"
TOKEN = "correct horse battery"


@pytest.fixture(scope="session")
def portrait() -> bytes:
    return PORTRAIT.read_bytes()


@pytest.fixture(scope="session")
def recognizer() -> Recognizer:
    return Recognizer(threads=1)


@pytest.fixture(scope="session")
def fast() -> Recognizer:
    return Recognizer("mien-tiny", detector="fast", threads=1)


@pytest.fixture
def client_of(recognizer: Recognizer) -> Iterator[Callable[..., TestClient]]:
    """`client_of(limits=…, access=…)`: a client of an application; errors come as answers."""
    opened: list[TestClient] = []

    def make(model: Recognizer = recognizer, **settings: Any) -> TestClient:
        app = create_app({"mien-small": model}, **settings)
        opened.append(TestClient(app, raise_server_exceptions=False))
        return opened[-1].__enter__()

    yield make
    for client in opened:
        client.__exit__(None, None, None)


@pytest.fixture
def client(client_of: Callable[..., TestClient]) -> TestClient:
    return client_of()
