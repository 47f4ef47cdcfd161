"""Vendored: model files that lie in the package, each checked against the sum written beside it."""

from __future__ import annotations

from hashlib import sha256
from importlib import resources
from pathlib import Path

from mien.errors import InputError


def vendored_folder(folder: str) -> Path:
    """`weights`, `starts` or `detectors`."""
    return Path(str(resources.files("mien.recognize"))) / folder


def read_vendored(folder: str, name: str) -> bytes:
    """The content of a file, once its SHA-256 is what `SHA256SUMS` beside it says; `InputError` otherwise."""
    file = vendored_folder(folder) / name
    try:
        content = file.read_bytes()
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror}). Install mien again") from error
    if sha256(content).hexdigest() != _checksums(vendored_folder(folder)).get(name):
        raise InputError(f"{file}: is not the file that the package came with. Install mien again")
    return content


def _checksums(folder: Path) -> dict[str, str]:
    """By file name, as `sha256sum` writes them."""
    lines = (folder / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    return {name: digest for digest, name in (line.split() for line in lines)}
