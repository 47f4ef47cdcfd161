"""Clip: an uploaded video, from its first frame to the timeline of its faces, as HTML for the page."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mien.errors import InputError
from mien.recognize.recognizer import Recognizer
from mien.serve.bars import message_html, shares_html
from mien.serve.limits import Limits

if TYPE_CHECKING:
    from mien.recognize.rows import Row
    from mien.recognize.summary import Summary

LOOKS = 5.0  # a second of the video
_TOLD = 4  # faces, the longest seen, that get bars
_EVERY = 0.5  # seconds between two words on how far it is
# Containers that hold their frames themselves. FFmpeg knows playlists too, which name other files and addresses.
_BEGINNINGS = (b"RIFF", b"\x1aE\xdf\xa3", b"OggS", b"FLV", b"\x00\x00\x01\xba", b"\x00\x00\x01\xb3", b"G")
_ATOMS = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")  # of MP4 and MOV, from the fifth byte


def watch_clip(path: Path, name: str, recognizer: Recognizer, limits: Limits) -> Iterator[str]:
    """How far it is, now and then; the last one is the timeline, with bars for the share of time of each emotion.

    Work ends after `limits.video_seconds`, with what was seen until then. Raises `InputError` for what is no video, and
    for frames of more than `limits.pixels`; of the faces in a frame the `limits.faces` largest count.
    """
    from mien.recognize.summary import Summary
    from mien.recognize.video import Pace, Video
    from mien.recognize.watch import watch

    _check_container(path, name)
    start = told = time.monotonic()
    cut = ""
    with _by_name(path, name), Video(path, most_pixels=limits.pixels) as video:
        summary, last_s = Summary(recognizer.labels, step_s=1 / LOOKS), 0.0
        for seen in watch(video, recognizer, pace=Pace(fps=LOOKS)):
            last_s = seen.frame.time_s
            if seen.frame.look:
                summary.add(_largest(seen.rows, limits.faces), last_s)
            now = time.monotonic()
            if now - start > limits.video_seconds:
                cut = f"Stopped after {limits.video_seconds} s of work, at {last_s:.0f} s of the video."
                break
            if now - told > _EVERY:
                told = now
                yield message_html(_progress(seen.frame.index + 1, video.expected, last_s))
        summary.end(last_s + 1 / video.fps)
    yield _result(summary, name, cut)


@contextmanager
def _by_name(path: Path, name: str) -> Iterator[None]:
    """Errors say the name that the person knows, not where the upload lies."""
    try:
        yield
    except InputError as error:
        raise InputError(str(error).replace(str(path), name)) from error


def _largest(rows: tuple[Row, ...], most: int) -> tuple[Row, ...]:
    return tuple(sorted(rows, key=lambda row: -row.face.box[2] * row.face.box[3])[:most])


def _result(summary: Summary, name: str, cut: str) -> str:
    from mien.report.style import png_bytes
    from mien.report.timeline import timeline

    if not summary.faces:
        return message_html(f"No face found. {cut}".strip())
    picture = base64.b64encode(png_bytes(timeline(summary, name))).decode()
    longest = sorted(sorted(summary.faces, key=lambda face: -face.seen_s)[:_TOLD], key=lambda face: face.face_id)
    blocks = "".join(shares_html(f"Face {face.face_id}, seen for {face.seen_s:.1f} s", face.shares) for face in longest)
    return (
        f"{message_html(cut) if cut else ''}"
        f'<img class="mien-picture mien-timeline" alt="timeline of the faces" src="data:image/png;base64,{picture}">'
        f'<div class="mien-faces">{blocks}</div>'
    )


def _progress(frames: int, expected: int | None, time_s: float) -> str:
    share = f" ({min(1, frames / expected):.0%})" if expected else ""
    return f"Watching: {time_s:.0f} s of the video{share} …"


def _check_container(path: Path, name: str) -> None:
    with path.open("rb") as file:
        head = file.read(8)
    if not head.startswith(_BEGINNINGS) and head[4:] not in _ATOMS:
        raise InputError(f"{name}: not a video that can be read (MP4, MOV, WebM, MKV, AVI, MPEG, Ogg, FLV)")
