"""A Python client that another program generates from /openapi.json: it asks, and its types take every answer."""

from __future__ import annotations

import base64
import importlib
import io
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import httpx
import pytest
import uvicorn

from mien.recognize.recognizer import Recognizer
from mien.serve.access import Access
from mien.serve.api import create_app

from .conftest import TOKEN

GENERATOR = os.environ.get("MIEN_CLIENT_GENERATOR") or shutil.which("openapi-python-client")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not GENERATOR, reason="no openapi-python-client")]


@pytest.fixture(scope="module")
def url(fast: Recognizer) -> Iterator[str]:
    """A server behind a token; generated clients want a real one."""
    app = create_app({"mien-tiny": fast}, access=Access(token=TOKEN))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def package(url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    folder = tmp_path_factory.mktemp("client")
    (folder / "openapi.json").write_text(httpx.get(f"{url}/openapi.json").text)
    (folder / "config.json").write_text(json.dumps({"post_hooks": []}))  # they would format it
    subprocess.run(
        [str(GENERATOR), "generate", "--path", "openapi.json", "--config", "config.json",
         "--meta", "none", "--output-path", "mien_client"],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    sys.path.insert(0, str(folder))
    yield importlib.import_module("mien_client")
    sys.path.remove(str(folder))


def test_it_recognizes_files_and_json(package: ModuleType, url: str, portrait: bytes) -> None:
    recognize = importlib.import_module("mien_client.api.default.recognize").sync
    models, types = importlib.import_module("mien_client.models"), importlib.import_module("mien_client.types")
    with package.AuthenticatedClient(base_url=url, token=TOKEN) as client:
        body = models.RecognizeFilesBody(files=[types.File(io.BytesIO(portrait), "a.jpg", "image/jpeg")])
        by_files = recognize(client=client, body=body)
        encoded = base64.b64encode(portrait).decode()
        pictures = [models.PictureIn(data=encoded, name="b.jpg"), encoded, base64.b64encode(b"no picture").decode()]
        by_json = recognize(client=client, body=models.RecognizeRequest(images=pictures), model="mien-tiny")
    (picture,) = by_files.images
    (face,) = picture.faces
    assert (picture.name, face.emotion) == ("a.jpg", "happy")
    assert sum(face.probabilities.additional_properties.values()) == pytest.approx(1, abs=1e-3)
    assert by_json.images[0].faces == by_json.images[1].faces == picture.faces
    assert by_json.images[2].error
    assert by_json.images[0].error is None


def test_it_knows_each_refusal_and_the_state(package: ModuleType, url: str) -> None:
    def ask(verb: str, **sent: object) -> object:
        return importlib.import_module(f"mien_client.api.default.{verb}").sync(client=client, **sent)

    models = importlib.import_module("mien_client.models")
    with package.AuthenticatedClient(base_url=url, token=TOKEN) as client:
        assert ask("health").status == "ok"  # type: ignore[attr-defined]
        assert ask("ready").status == "ready"  # type: ignore[attr-defined]
        (model,) = ask("list_models").models  # type: ignore[attr-defined]
        assert model.name == "mien-tiny"
        refused = ask("recognize", body=models.RecognizeRequest(images=["eA=="]), model="mien-smal")
    assert isinstance(refused, models.Problem)
    assert (refused.status, refused.code) == (404, "unknown_model")
    with package.Client(base_url=url) as client:
        refused = ask("list_models")
    assert isinstance(refused, models.Problem)
    assert refused.code == "wrong_token"


def test_nothing_else_stands_in_the_folder(package: ModuleType) -> None:
    names = {file.stem for file in (Path(str(package.__file__)).parent / "api" / "default").glob("[a-z]*.py")}
    assert names == {"recognize", "list_models", "health", "ready", "metrics"}
