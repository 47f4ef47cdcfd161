"""The server's own pages in a real browser, behind a token and a prefix, without a word to anywhere else.

The server is a process of its own, in which every connection and every look for an address is written down: those of
Python as they happen, and those of libraries that Python knows nothing of, such as onnxruntime with its own reports, by
what the kernel lists.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
TOKEN = "correct horse battery"
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
    """A running server: where it is, and the list of its connections."""

    url: str
    process: subprocess.Popen[str]
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


@contextmanager
def served(folder: Path, *options: str) -> Iterator[Served]:
    log = folder / "connections.txt"
    environment = {**os.environ, "MIEN_TOKEN": TOKEN, "MIEN_TEST_LOG": str(log)}
    command = [sys.executable, "-c", SERVER, "serve", "--port", "0", "--detector", "fast", "--threads", "1", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stderr
            line = process.stderr.readline()
            found = re.search(r"http://127\.0\.0\.1:\d+", line)
            assert found, line + process.stderr.read()
            yield Served(found.group(), process, log)
        finally:
            process.kill()


@pytest.fixture
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as play:
        yield play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])


@pytest.mark.parametrize("prefix", ["", "/mien"])
def test_a_person_reads_the_api_and_tries_it(browser: Any, tmp_path: Path, prefix: str) -> None:
    with served(tmp_path, "--root-path", prefix) as server:
        watched, sockets = Watched(), Sockets(server.process.pid)
        sockets.start()
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        watched.follow(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.goto(f"{server.url}{prefix}/")
        assert page.evaluate("window.crossOriginIsolated") is True
        page.goto(f"{server.url}{prefix}/docs")
        page.get_by_role("button", name="Authorize").first.click()
        page.locator("input[aria-label='auth-bearer-value']").fill(TOKEN)
        page.locator(".auth-btn-wrapper button", has_text="Authorize").click()
        page.locator(".auth-btn-wrapper button", has_text="Close").click()
        page.locator("#operations-default-list_models .opblock-summary-control").click()
        page.get_by_role("button", name="Try it out").click()
        page.get_by_role("button", name="Execute").click()
        page.locator(".live-responses-table .response-col_status", has_text="200").wait_for()
        context.close()
        assert {urlsplit(url).hostname for url in watched.requests if not url.startswith("data:")} == {"127.0.0.1"}
        assert len(watched.requests) > 5
        assert watched.complaints == []
        assert sockets.finish() == set()
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(20) == 0
        lines = server.connections.read_text().splitlines() if server.connections.exists() else []
        assert [line for line in lines if not LOCAL.search(line)] == []
