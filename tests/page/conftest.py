"""The page in Chromium, handed out as `mien page` does."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mien.page.local import serve_page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SIZE = (640, 480)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here) and "browser" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt install chromium"))


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = serve_page(0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://localhost:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def camera_file(tmp_path_factory: pytest.TempPathFactory, portrait: Path) -> Path:
    """What the browser's camera shows: the portrait, moving to and fro, as raw frames."""
    import cv2

    face = cv2.resize(cv2.cvtColor(cv2.imread(str(portrait)), cv2.COLOR_BGR2RGB), (420, 420))
    path = tmp_path_factory.mktemp("camera") / "camera.y4m"
    with path.open("wb") as file:
        file.write(b"YUV4MPEG2 W640 H480 F30:1 Ip A1:1 C420jpeg\n")
        for i in range(60):
            frame = np.full((SIZE[1], SIZE[0], 3), (90, 110, 130), np.uint8)
            left = 60 + round(50 * (1 + np.sin(2 * np.pi * i / 60)))
            frame[30:450, left : left + 420] = face
            file.write(b"FRAME\n" + cv2.cvtColor(frame, cv2.COLOR_RGB2YUV_I420).tobytes())
    return path


@pytest.fixture(scope="session")
def portrait() -> Path:
    return Path(__file__).parents[2] / "src" / "mien" / "recognize" / "pictures" / "astronaut.jpg"


@pytest.fixture(scope="module")
def browser(camera_file: Path) -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    media = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    with playwright.sync_playwright() as play:
        opened = play.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", *media, f"--use-file-for-fake-video-capture={camera_file}"],
        )
        yield opened
        opened.close()
