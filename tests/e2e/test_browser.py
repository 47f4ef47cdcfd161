"""The page in a real browser: photo, camera and video, behind a token, without a word to anywhere else.

The camera is a file that alternates the portrait with an empty wall. The server is a process of its own, in which every
connection and every look for an address is written down: those of Python as they happen, and those of libraries that
Python knows nothing of, such as onnxruntime with its own reports, by what the kernel lists.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PORTRAIT = Path(__file__).parents[2] / "src" / "mien" / "recognize" / "pictures" / "astronaut.jpg"
TOKEN = "correct horse battery"
WALL = (128, 136, 144)
SERVER = """
import os, sys
out = open(os.environ["MIEN_TEST_LOG"], "a", buffering=1)
def watch(event, given):
    if event in ("socket.connect", "socket.sendto"):
        out.write(f"{event} {given[1]!r}\\n")
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        out.write(f"{event} {given[0]!r}\\n")
sys.addaudithook(watch)
from mien.cli.main import main
main()
"""
LOCAL = re.compile(r"\(?'(127\.0\.0\.1|::1|localhost)'")

pytestmark = [pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt install chromium"), pytest.mark.slow]


@dataclass
class Served:
    """A running server: where it is, its folder for temporary files, and the list of its connections."""

    url: str
    process: subprocess.Popen[str]
    temporary: Path
    connections: Path


class Sockets(threading.Thread):
    """Notes the far ends of all sockets of a process, again and again."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._proc, self._end = Path("/proc") / str(pid), threading.Event()
        self.outside: set[str] = set()

    def run(self) -> None:
        while not self._end.wait(0.02):
            with suppress(OSError):  # a socket or the process has gone
                self._look()

    def finish(self) -> set[str]:
        self._end.set()
        self.join()
        return self.outside

    def _look(self) -> None:
        ours = set()
        for entry in (self._proc / "fd").iterdir():
            with suppress(OSError):  # closed meanwhile
                ours.add(str(entry.readlink()))
        for kind in ("tcp", "tcp6", "udp", "udp6"):
            for line in (self._proc / "net" / kind).read_text().splitlines()[1:]:
                fields = line.split()
                address, inode = fields[2].partition(":")[0], fields[9]
                # In hexadecimal, each four bytes turned around: 127.x.x.x, the same within IPv6, ::1, and none yet.
                here = address.endswith("7F") or address[-8:] == "01000000" or not int(address, 16)
                if f"socket:[{inode}]" in ours and not here:
                    self.outside.add(f"{kind} {fields[2]}")


@dataclass
class Watched:
    """What a browser asked for and complained about."""

    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def follow(self, context: Any) -> None:
        context.on("request", lambda request: self.requests.append(request.url))
        context.on("console", lambda message: self._hear(message.type, message.text))
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))

    def _hear(self, kind: str, text: str) -> None:
        # A codec that this Chromium lacks, or a fullscreen that nobody asked for, is no fault of the page.
        if "Content Security Policy" in text or (kind == "error" and "Failed to load resource" not in text):
            self.complaints.append(text)


def on_wall(shown: bool) -> Image.Image:
    picture = Image.new("RGB", (640, 480), WALL)
    if shown:
        picture.paste(Image.open(PORTRAIT).resize((480, 480)), (80, 0))
    return picture


@pytest.fixture
def camera(tmp_path: Path) -> Path:
    """Motion JPEG: a second of the portrait, a second of wall, in turn."""
    frames = []
    for shown in (True, False):
        out = io.BytesIO()
        on_wall(shown).save(out, "JPEG", quality=85)
        frames += [out.getvalue()] * 30
    path = tmp_path / "camera.mjpeg"
    path.write_bytes(b"".join(frames))
    return path


@pytest.fixture
def video(tmp_path: Path) -> Path:
    import cv2

    path = tmp_path / "clip.webm"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"VP80"), 10, (640, 480))
    for i in range(60):  # two seconds of the portrait, two in which it darkens and comes back, one of wall, one more
        light = np.interp(i, (20, 28, 32, 40), (1, 0.05, 0.05, 1))
        writer.write((np.asarray(on_wall(not 40 <= i < 50)) * light).astype(np.uint8)[..., ::-1])
    writer.release()
    return path


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    log = tmp_path / "connections.txt"
    environment = {**os.environ, "MIEN_TOKEN": TOKEN, "MIEN_TEST_LOG": str(log), "TMPDIR": str(temporary)}
    command = [sys.executable, "-c", SERVER, "serve", "--page", "--port", "0", "--detector", "fast", "--threads", "1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stderr
            line = process.stderr.readline()
            found = re.search(r"http://127\.0\.0\.1:\d+", line)
            assert found, line + process.stderr.read()
            yield Served(found.group(), process, temporary, log)
        finally:
            process.kill()


@pytest.fixture
def browser(camera: Path) -> Iterator[Any]:
    with playwright.sync_playwright() as play:
        yield play.chromium.launch(
            executable_path=CHROMIUM,
            args=[
                "--no-sandbox",
                "--use-fake-ui-for-media-stream",
                "--use-fake-device-for-media-stream",
                f"--use-file-for-fake-video-capture={camera}",
            ],
        )


def test_a_person_uses_the_page(served: Served, browser: Any, video: Path) -> None:
    watched, sockets = Watched(), Sockets(served.process.pid)
    sockets.start()
    context = browser.new_context(viewport={"width": 1280, "height": 900}, permissions=["camera"])
    watched.follow(context)
    page = context.new_page()
    page.set_default_timeout(20_000)
    log_in(page, served.url)
    show_photo(page)
    use_camera(page)
    assert stored(served) == [PORTRAIT.name]  # pictures of the camera are never laid down
    show_video(page, video)
    # In a page of its own: to leave one while a stream is open is an error to Gradio, and whether it is, is chance.
    read_docs(context.new_page(), served.url)
    context.close()

    assert {urlsplit(url).hostname for url in watched.requests if not url.startswith(("data:", "blob:"))} == {
        "127.0.0.1"
    }
    assert len(watched.requests) > 20
    assert watched.complaints == []
    assert sockets.finish() == set()
    stop(served)
    lines = served.connections.read_text().splitlines() if served.connections.exists() else []
    assert [line for line in lines if not LOCAL.search(line)] == []


def log_in(page: Any, url: str) -> None:
    page.goto(url)
    assert page.url == f"{url}/login"
    page.fill("#token", "not the token")
    page.get_by_role("button", name="Log in").click()
    page.get_by_text("That is not the token.").wait_for()
    page.fill("#token", TOKEN)
    page.get_by_role("button", name="Log in").click()
    page.get_by_text("Responsible use.").wait_for()
    assert page.url == f"{url}/"
    assert "Article 5(1)(f)" in page.inner_text(".mien-foot")


def show_photo(page: Any) -> None:
    page.set_input_files("#photo input[type=file]", str(PORTRAIT))
    page.locator("#photo-faces h3", has_text="happy").wait_for()
    assert happiness(page, "photo") > 90
    labels = page.locator("#photo-faces .mien-row span").all_inner_texts()
    assert labels == ["angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"]
    assert page.locator("#photo-picture img").get_attribute("alt").startswith("happy")
    shoot(page, "photo")


def use_camera(page: Any) -> None:
    page.get_by_role("tab", name="Camera").click()
    page.get_by_text("Click to Access Webcam").click()
    page.get_by_role("button", name="capture photo").click()
    faces, wall = page.locator("#camera-faces .mien-row").first, page.get_by_text("No face found.")
    for _ in range(2):  # the bars come, go, and come again
        faces.wait_for()
        assert happiness(page, "camera", at_least=50) >= 50
        wall.wait_for()
    faces.wait_for()
    shoot(page, "camera")
    page.get_by_text("Stop").click()


def show_video(page: Any, video: Path) -> None:
    page.get_by_role("tab", name="Video").click()
    page.set_input_files("#video input[type=file]", str(video))
    page.locator("#video-faces .mien-timeline").wait_for()
    assert "happy" in page.inner_text("#video-faces")
    shoot(page, "video")


def shoot(page: Any, name: str) -> None:
    """A picture of the page for docs/page, where MIEN_SCREENSHOTS names a folder."""
    if folder := os.environ.get("MIEN_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def read_docs(page: Any, url: str) -> None:
    page.goto(f"{url}/docs")
    page.get_by_text("/v1/recognize").wait_for()


def happiness(page: Any, tab: str, *, at_least: int = 0) -> int:
    """Percent, as the bar says; the camera's picture may change while it is read."""
    until = time.monotonic() + 10
    while True:
        told = page.locator(f"#{tab}-faces b[data-label=happy]").all_inner_texts()
        value = int(re.sub(r"\D", "", told[0])) if told else 0
        if (told and value >= at_least) or time.monotonic() > until:
            return value
        page.wait_for_timeout(50)


def stored(served: Served) -> list[str]:
    """Names of all files that the server has laid into its folder for temporary ones."""
    return sorted(path.name for path in served.temporary.rglob("*") if path.is_file())


def stop(served: Served) -> None:
    (folder,) = served.temporary.glob(".mien-*.part")
    assert folder.stat().st_mode & 0o777 == 0o700
    served.process.send_signal(signal.SIGINT)
    assert served.process.wait(20) == 0
    assert not folder.exists()
    assert stored(served) == []
    assert served.process.stderr
    said = served.process.stderr.read()
    assert said.startswith("warning: whoever reaches the page may read files that this program can read")
    assert "Traceback" not in said
    assert PORTRAIT.name not in said
