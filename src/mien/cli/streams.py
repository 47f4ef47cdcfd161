"""Streams: standard output and error, whatever they lead to: closed, a pipe, a terminal that knows few characters."""

from __future__ import annotations

import codecs
import os
import sys
from io import TextIOWrapper

_PLAIN = {
    "–": "-", "—": "-", "−": "-", "…": "...", "×": "x", "·": ".", "“": '"', "”": '"', "’": "'", "≥": ">=", "≤": "<=",
    "→": "->", "±": "+-",
}  # fmt: skip


def set_up_streams() -> None:
    """Nothing that is said can fail for its characters or for want of a place, and each line is there at once."""
    _open_closed()
    codecs.register_error("mien", _encoded)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # On Windows a pipe has an old code page, which lacks signs that we print.
            encoding = "utf-8" if sys.platform == "win32" else None
            stream.reconfigure(encoding=encoding, errors="mien", line_buffering=True)


def _open_closed() -> None:
    """Lead streams that the caller has closed nowhere; the next file opened would take their place, and get our words
    or those of a library written in C.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False)


def _encoded(error: UnicodeError) -> tuple[str | bytes, int]:
    """What stands for characters that the stream's encoding lacks.

    Bytes of file names that are no text go out as they came. In JSON, escapes say the same; elsewhere, typographic
    signs have plain ones.
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    is_json = error.object.lstrip()[:1] in ("{", "[")
    out = b""
    for sign in error.object[error.start : error.end]:
        if "\udc80" <= sign <= "\udcff":
            out += bytes([ord(sign) - 0xDC00])
        elif not is_json and sign in _PLAIN:
            out += _PLAIN[sign].encode("ascii")
        else:
            pairs = sign.encode("utf-16-be", "surrogatepass")
            out += b"".join(b"\\u%04x" % int.from_bytes(pairs[i : i + 2], "big") for i in range(0, len(pairs), 2))
    return out, error.end
