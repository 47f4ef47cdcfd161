"""Page files: the page for browsers that lies in the package, file by file, with the headers that it needs.

The server and `mien page` hand out the same. Nothing of it is secret, and no path leads out of its folder.
"""

from __future__ import annotations

import gzip
import re
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from importlib import resources
from pathlib import Path

from mien.recognize.vendored import vendored_folder

MODELS = "models"  # folder of the page's models and detectors
_VENDORED = ("weights", "detectors")
_INDEX = "index.html"
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")  # of a file or folder: never `..`, never hidden
_TYPES = {  # not those of the system, whose table may lack or change some
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/vnd.microsoft.icon",
    ".jpg": "image/jpeg",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".map": "application/json",
    ".md": "text/plain; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".onnx": "application/octet-stream",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".woff2": "font/woff2",
}
_OTHER = "application/octet-stream"
_ALREADY_PACKED = (".jpg", ".png", ".webp", ".woff2")
_KEPT = 64  # files in memory; the page has about twenty
_POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'wasm-unsafe-eval'",
        "worker-src 'self' blob:",
        "img-src 'self' blob: data:",
        "media-src 'self' blob:",
        "style-src 'self'",
        "connect-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'none'",
    )
)
PAGE_HEADERS = {
    "Content-Security-Policy": _POLICY,  # even if something in the page tried to, nothing goes elsewhere
    "Cross-Origin-Opener-Policy": "same-origin",  # with the next one: the page may compute in several threads
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",  # kept, and asked for again by its ETag: a new version shows at once
}


@dataclass(frozen=True)
class PageFile:
    """One file as it is sent."""

    content: bytes
    media_type: str
    etag: str  # in its quotation marks
    packed: bool  # by gzip

    @property
    def headers(self) -> dict[str, str]:
        """All that belong to it, but its length."""
        packed = {"Content-Encoding": "gzip"} if self.packed else {}
        return {**PAGE_HEADERS, "Content-Type": self.media_type, "ETag": self.etag, "Vary": "Accept-Encoding", **packed}


def page_folder() -> Path:
    """Where the page lies; it may be missing."""
    return Path(str(resources.files("mien.page"))) / "static"


def is_page_path(path: str) -> bool:
    """Whether the page has a file at `path`."""
    return _place(path) is not None


def page_file(path: str, *, packed: bool = False, folder: Path | None = None) -> PageFile | None:
    """What the page has at `path`, as it stands in an address, decoded (`/`, `/assets/page.js`); None: nothing.

    `packed`: by gzip, where the client takes that and the file gets smaller. `folder`: of a page that `mien export
    --web` wrote, in place of the package's.
    """
    file = _place(path, folder)
    if file is None:
        return None
    return _read(file, file.stat().st_mtime_ns, packed)


def _place(path: str, written: Path | None = None) -> Path | None:
    names = path.removeprefix("/").split("/")
    names[-1] = names[-1] or _INDEX
    if not all(_NAME.fullmatch(name) for name in names):
        return None
    folder = written or page_folder()
    if names[0] == MODELS and not written:  # they lie in the package once, where Python opens them
        folder = next((place for place in map(vendored_folder, _VENDORED) if (place / names[-1]).is_file()), folder)
        names = names[1:]
    file = folder.joinpath(*names)
    try:
        return file if file.is_file() and file.resolve().is_relative_to(folder.resolve()) else None
    except OSError:  # a name that is too long
        return None


@lru_cache(_KEPT)
def _read(file: Path, stamp: int, packed: bool) -> PageFile:
    """`stamp`: when it was changed, so that a file that is built anew is read anew."""
    return as_page_file(file.read_bytes(), file.suffix, packed=packed)


def as_page_file(content: bytes, suffix: str, *, packed: bool = False) -> PageFile:
    """`content` as a file of that suffix is sent; `packed` as for `page_file`."""
    if packed and suffix not in _ALREADY_PACKED:
        smaller = gzip.compress(content, mtime=0)
        packed = len(smaller) < len(content)
        content = smaller if packed else content
    else:
        packed = False
    etag = f'"{sha256(content).hexdigest()[:32]}"'
    return PageFile(content, _TYPES.get(suffix, _OTHER), etag, packed)
