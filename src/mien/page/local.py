"""Local page: the page handed out on this machine by the standard library's server, so a light install shows it."""

from __future__ import annotations

from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mien.errors import InputError
from mien.page.files import page_file

_HOSTS = ("localhost", "127.0.0.1", "[::1]")  # a page of elsewhere whose name leads here asks with another


def serve_page(port: int, folder: Path | None = None) -> ThreadingHTTPServer:
    """A server of the package's page, or of one that was written to `folder`, on the loopback address alone.

    `port` 0 takes any that is free. Raises `InputError` for one that is taken.
    """

    class Handler(_Handler):
        site = folder

    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    except OSError as error:
        raise InputError(f"port {port}: {error.strerror}. Choose another: --port 0 takes any that is free") from error
    server.daemon_threads = True
    return server


class _Handler(BaseHTTPRequestHandler):
    site: Path | None = None
    protocol_version = "HTTP/1.1"
    timeout = 30  # seconds without a word from a client

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def _answer(self, *, body: bool) -> None:
        host = self.headers.get("Host", "").rpartition(":")[0] or self.headers.get("Host", "")
        if host not in _HOSTS:
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST)
            return
        found = page_file(unquote(urlsplit(self.path).path), folder=self.site)  # no wire, so nothing to pack for
        if found is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        same = self.headers.get("If-None-Match") == found.etag
        self.send_response(HTTPStatus.NOT_MODIFIED if same else HTTPStatus.OK)
        for name, value in found.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(0 if same else len(found.content)))
        self.end_headers()
        if body and not same:
            self.wfile.write(found.content)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: what a visitor looks at is nobody's concern."""
